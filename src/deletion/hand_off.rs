//! Hands a deletion off when a request has to answer before it has finished: a
//! state machine is started, which calls the `drain` function until nothing is
//! left. If the start fails, nothing is lost: the next DELETE or the scheduled
//! clean-up finds the campaign in `deleting`.

use std::time::Duration;

use aws_config::{SdkConfig, retry::RetryConfig};
use aws_sdk_sfn::{Client, operation::start_execution::StartExecutionError};
use tokio::time::{Instant, timeout_at};

use crate::{
    metrics,
    record::{DeletionRef, Record},
    sdk::{self, Cause},
};

/// How many times the SDK sends a start. Starting an execution again under the
/// same name with the same input has no effect.
const ATTEMPTS: u32 = 3;

/// The upper bound of the SDK's first wait between attempts; its default, a second,
/// would use up most of the time that is kept for a hand-off.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// No start is attempted with less time than this: a call takes tens of milliseconds
/// within a region.
const LEAST_TIME: Duration = Duration::from_millis(50);

/// Who continues with what is left of a deletion.
#[derive(Clone, Debug, Default)]
pub enum HandOff {
    /// Nothing is handed off: a state machine is calling already, a terminal
    /// continues by itself, or the next DELETE or clean-up resumes it.
    #[default]
    None,
    /// A state machine of Step Functions.
    StateMachine(StateMachine),
    /// A task of this process, for the local server alone: a Lambda function is
    /// frozen once it has answered.
    #[cfg(feature = "cli")]
    Background(tokio::sync::mpsc::UnboundedSender<DeletionRef>),
}

/// A Standard state machine that calls `drain`.
#[derive(Clone, Debug)]
pub struct StateMachine {
    client: Client,
    arn: String,
}

impl HandOff {
    /// Returns the hand-off to the state machine with this ARN, or none.
    #[must_use]
    pub fn to_state_machine(arn: Option<String>, config: &SdkConfig) -> Self {
        let Some(arn) = arn else {
            return Self::None;
        };
        let config = sdk::step_functions(config)
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(ATTEMPTS)
                    .with_initial_backoff(FIRST_BACKOFF),
            )
            .build();
        Self::StateMachine(StateMachine {
            client: Client::from_conf(config),
            arn,
        })
    }

    /// Hands off a deletion that this worker has stopped working on, and returns
    /// whether it did. A failure is only logged, not returned: the deletion is found
    /// again.
    pub(crate) async fn start(&self, left: &Record, deadline: Instant) -> bool {
        match self {
            Self::None => false,
            Self::StateMachine(state_machine) => match state_machine.start(left, deadline).await {
                Ok(()) => true,
                Err(error) => {
                    metrics::hand_off_failed();
                    tracing::error!(
                        deletion_id = %left.deletion_id,
                        campaign_id = %left.campaign_id,
                        "could not hand off deletion {}: {error}",
                        left.deletion_id,
                    );
                    false
                }
            },
            #[cfg(feature = "cli")]
            Self::Background(queue) => queue.send(DeletionRef::of(left)).is_ok(),
        }
    }
}

impl StateMachine {
    /// Starts the execution that is named after the version of the release, or, if the
    /// release was not answered, after the last version that the worker wrote. Repeating
    /// a start has no effect.
    async fn start(&self, left: &Record, deadline: Instant) -> Result<(), String> {
        if Instant::now() + LEAST_TIME >= deadline {
            return Err("no time was left".to_owned());
        }
        let name = format!("{}-{}", left.deletion_id, left.version);
        let input = serde_json::to_string(&DeletionRef::of(left)).map_err(|e| e.to_string())?;
        let start = self
            .client
            .start_execution()
            .state_machine_arn(&self.arn)
            .name(name)
            .input(input)
            .send();
        match timeout_at(deadline, Box::pin(start)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => match error.as_service_error() {
                // An earlier attempt, whose answer was lost, started it, and it has ended.
                Some(StartExecutionError::ExecutionAlreadyExists(_)) => Ok(()),
                _ => Err(Cause::of("StartExecution", &error).to_string()),
            },
            Err(_) => Err("the start was not answered in time".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_start_is_begun_with_less_time_than_one_takes() {
        let config = aws_sdk_sfn::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .build();
        let state_machine = StateMachine {
            client: Client::from_conf(config),
            arn: String::new(),
        };
        let left = Record::example(0);
        for (milliseconds, is_begun) in [(0, false), (50, false), (60, true)] {
            let deadline = Instant::now() + Duration::from_millis(milliseconds);
            // Without credentials it fails, if it is begun.
            let why = state_machine.start(&left, deadline).await.unwrap_err();
            assert_eq!(why != "no time was left", is_begun, "{milliseconds}: {why}");
        }
    }
}
