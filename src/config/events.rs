//! Where finished deletions are announced.

use super::ConfigError;

/// `EVENT_BUS_NAME`: the EventBridge event bus of this account and Region that gets an event for
/// each finished deletion; unset for no events.
pub const EVENT_BUS_NAME: &str = "EVENT_BUS_NAME";

/// The longest name (EventBridge API reference, `CreateEventBus`).
const LONGEST: usize = 256;

/// Checks the name of an event bus: of one in this account and Region, since another one's
/// existence could not be checked. An empty one counts as unset: `sam local` cannot leave a
/// variable unset.
///
/// # Errors
/// [`ConfigError`].
pub fn event_bus_name(value: Option<String>) -> Result<Option<String>, ConfigError> {
    let Some(name) = value.filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if name.len() <= LONGEST && name.bytes().all(allowed) {
        Ok(Some(name))
    } else {
        Err(ConfigError::new(
            EVENT_BUS_NAME,
            Some(&name),
            "the name of an event bus, 1 to 256 characters of A-Z a-z 0-9 _ . -",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_a_name_or_nothing() {
        for (value, expected) in [
            (None, None),
            (Some(""), None),
            (Some("default"), Some("default")),
            (Some("my.bus_1-a"), Some("my.bus_1-a")),
        ] {
            let read = event_bus_name(value.map(ToOwned::to_owned)).unwrap();
            assert_eq!(read.as_deref(), expected);
        }
        let long = "a".repeat(257);
        for value in ["a b", "a/b", "arn:aws:events:x:1:event-bus/a", &long, "ä"] {
            let error = event_bus_name(Some(value.to_owned())).unwrap_err();
            let expected =
                format!("EVENT_BUS_NAME is '{value}'; allowed: the name of an event bus");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }
}
