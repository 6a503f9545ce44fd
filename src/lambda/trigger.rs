//! The events that start a clean-up.

use serde_json::{Value, json};

/// What starts a clean-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// A schedule: does what the settings say.
    Schedule,
    /// A request for a report: nothing is written.
    Report,
}

/// Reads an event: one of an EventBridge rule's schedule (source `aws.events`) or
/// of EventBridge Scheduler (`aws.scheduler`), or `{"mode": "report"}` and nothing
/// else. No event can turn `report` into `enforce`.
pub(super) fn trigger(event: &Value) -> Option<Trigger> {
    if *event == json!({"mode": "report"}) {
        return Some(Trigger::Report);
    }
    let event = event.as_object()?;
    let source = event.get("source")?.as_str()?;
    let is_scheduled = match event.get("detail-type") {
        Some(kind) => kind == "Scheduled Event",
        None => true,
    };
    (matches!(source, "aws.events" | "aws.scheduler") && is_scheduled).then_some(Trigger::Schedule)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn only_the_sources_of_schedules_start_anything(source in "(aws\\.)?[a-z]{0,9}", kind in "[A-Z][a-z]{0,8} Event") {
            let event = json!({"source": source, "detail-type": kind});
            let is_schedule = ["aws.events", "aws.scheduler"].contains(&source.as_str());
            let expected = (is_schedule && kind == "Scheduled Event").then_some(Trigger::Schedule);
            proptest::prop_assert_eq!(trigger(&event), expected);
            proptest::prop_assert_eq!(trigger(&json!({"mode": kind})), None);
        }
    }

    #[test]
    fn a_schedule_or_a_report_and_nothing_else() {
        for (event, expected) in [
            (json!({"mode": "report"}), Some(Trigger::Report)),
            (
                json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}),
                Some(Trigger::Schedule),
            ),
            (
                json!({"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}"}),
                Some(Trigger::Schedule),
            ),
            (json!({"source": "aws.scheduler"}), Some(Trigger::Schedule)),
            (json!({"mode": "enforce"}), None),
            (json!({"mode": "report", "more": 1}), None),
            (json!({"mode": "Report"}), None),
            (
                json!({"source": "aws.s3", "detail-type": "Scheduled Event"}),
                None,
            ),
            (
                json!({"source": "aws.events", "detail-type": "Object Created"}),
                None,
            ),
            (json!({"source": ["aws.events"]}), None),
            (json!({}), None),
            (json!([]), None),
            (json!("report"), None),
            (json!(null), None),
        ] {
            assert_eq!(trigger(&event), expected, "{event}");
        }
    }
}
