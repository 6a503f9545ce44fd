//! What is around the functions: the state machine that continues deletions, the settings of
//! `api`, the schedule of the clean-up, and the event bus.

use std::time::{Duration, SystemTime};

use aws_sdk_sfn::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::describe_state_machine::{DescribeStateMachineError, DescribeStateMachineOutput},
    types::{StateMachineStatus, StateMachineType},
};

use lambda_http::http::{Uri, uri::Scheme};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{
    super::{
        connect,
        web::{self, Answer},
    },
    check::Check,
    service::Service,
};
use crate::{
    config::{EVENT_BUS_NAME, STATE_MACHINE_ARN, TABLE_NAME},
    sdk::{self, Cause, EVENTBRIDGE_ENDPOINT_URL, SignedBody, ToSign},
    table::Table,
};

/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

const FUNCTION: &str = "function-settings";
const SCHEDULE: &str = "schedule";
const EVENT_BUS: &str = "event-bus";

/// What the stack's outputs and options say about it.
pub(super) struct Surroundings<'a> {
    pub(super) state_machine: Option<String>,
    pub(super) api_function: Option<&'a str>,
    pub(super) cleanup_rule: Option<&'a str>,
    pub(super) event_bus: Option<&'a str>,
    pub(super) service: &'a Service,
}

impl Surroundings<'_> {
    pub(super) async fn checks(&self) -> Vec<Check> {
        vec![
            self.state_machine().await,
            self.function().await,
            self.schedule().await,
            self.event_bus().await,
        ]
    }

    async fn state_machine(&self) -> Check {
        const NAME: &str = "state-machine";
        let Some(arn) = &self.state_machine else {
            return Check::skipped(
                NAME,
                "no --state-machine-arn",
                "Give the output StateMachineArn of the stack; --live shows whether it works.",
            );
        };
        let region = self.service.table.as_ref().map(Table::region);
        if let Some(check) = other_region(arn, region) {
            return check;
        }
        let config = match connect::step_functions().await {
            Ok(config) => config,
            Err(error) => {
                let remedy = "Set Region, credentials and AWS_ENDPOINT_URL_SFN.";
                return Check::failed(NAME, error.to_string(), remedy);
            }
        };
        let client = Client::from_conf(sdk::step_functions(&config).build());
        let answer = client.describe_state_machine().state_machine_arn(arn);
        described(arn, answer.send().await)
    }

    /// The settings of the function `api`.
    async fn function(&self) -> Check {
        let Some(name) = self.api_function else {
            return Check::skipped(
                FUNCTION,
                "no --api-function",
                "Give the function's name, or look yourself:\n\
                 aws lambda get-function-configuration --function-name API \
                 --query Environment.Variables",
            );
        };
        let question = Question {
            service: "lambda",
            variable: "AWS_ENDPOINT_URL_LAMBDA",
            method: "GET",
            path: &format!("/2015-03-31/functions/{}/configuration", encoded(name)),
            headers: &[],
            body: "",
        };
        match question.ask().await {
            Ok(answer) if answer.status == 200 => self.compared(&answer.body),
            Ok(answer) => refused(FUNCTION, "lambda:GetFunctionConfiguration", name, &answer),
            Err(why) => Check::failed(FUNCTION, why, "Check the network and the credentials."),
        }
    }

    /// Compares the variables of the function with what is looked at here.
    fn compared(&self, function: &Value) -> Check {
        const REMEDY: &str = "Deploy the stack again: it sets TABLE_NAME and STATE_MACHINE_ARN.";
        let variables = &function["Environment"]["Variables"];
        let variable = |name: &str| variables[name].as_str().unwrap_or_default();
        let table = self.service.table.as_ref().map_or("", Table::name);
        let state_machine = variable(STATE_MACHINE_ARN);
        let given = self.state_machine.as_deref().unwrap_or(state_machine);
        if state_machine.is_empty() {
            let seen = "STATE_MACHINE_ARN is not set: nothing continues what a request leaves";
            Check::failed(FUNCTION, seen, REMEDY)
        } else if state_machine != given {
            let seen = format!("STATE_MACHINE_ARN is {state_machine}, not {given}");
            Check::failed(FUNCTION, seen, REMEDY)
        } else if let Some(bus) = self.event_bus
            && variable(EVENT_BUS_NAME) != bus
        {
            let seen = format!(
                "EVENT_BUS_NAME is '{}', not {bus}",
                variable(EVENT_BUS_NAME)
            );
            Check::failed(FUNCTION, seen, REMEDY)
        } else if variable(TABLE_NAME) != table {
            let seen = format!("TABLE_NAME is {}, not {table}", variable(TABLE_NAME));
            Check::failed(FUNCTION, seen, REMEDY)
        } else {
            Check::ok(
                FUNCTION,
                format!("table {table}, state machine {state_machine}"),
            )
        }
    }

    /// The rule that starts the clean-up.
    async fn schedule(&self) -> Check {
        let Some(name) = self.cleanup_rule else {
            return Check::skipped(
                SCHEDULE,
                "no --cleanup-rule",
                "Give the output CleanupRuleName, or look yourself:\n\
                 aws events describe-rule --name RULE",
            );
        };
        match of_eventbridge("AWSEvents.DescribeRule", name).await {
            Ok(answer) if answer.status == 200 => enabled(name, &answer.body),
            Ok(answer) => refused(SCHEDULE, "events:DescribeRule", name, &answer),
            Err(why) => Check::failed(SCHEDULE, why, "Check the network and the credentials."),
        }
    }

    /// The bus that gets events of finished deletions.
    async fn event_bus(&self) -> Check {
        let Some(name) = self.event_bus else {
            return Check::skipped(
                EVENT_BUS,
                "no --event-bus-name",
                "Give it if finished deletions are announced (the parameter EventBusName).",
            );
        };
        match of_eventbridge("AWSEvents.DescribeEventBus", name).await {
            Ok(answer) if answer.status == 200 => {
                let arn = answer.body["Arn"].as_str();
                Check::ok(EVENT_BUS, arn.unwrap_or(name))
            }
            Ok(answer) => refused(EVENT_BUS, "events:DescribeEventBus", name, &answer),
            Err(why) => Check::failed(EVENT_BUS, why, "Check the network and the credentials."),
        }
    }
}

/// One question to a service of AWS.
struct Question<'a> {
    service: &'static str,
    /// The variable that names its endpoint.
    variable: &'static str,
    method: &'static str,
    path: &'a str,
    headers: &'a [(&'static str, &'a str)],
    body: &'a str,
}

impl Question<'_> {
    async fn ask(&self) -> Result<Answer, String> {
        let configured = connect::service(self.variable).await;
        let (config, url) = configured.map_err(|error| error.to_string())?;
        let region = config.region().map_or("", AsRef::as_ref);
        let url = url.unwrap_or_else(|| endpoint(self.service, region));
        let url = format!("{}{}", url.trim_end_matches('/'), self.path);
        let uri = url.parse::<Uri>().map_err(|error| error.to_string())?;
        let request = ToSign {
            service: self.service,
            method: self.method,
            url: &url,
            headers: self.headers,
            body: SignedBody::Text(self.body),
            time: SystemTime::now(),
        };
        let mut headers = sdk::signature(&config, request).await?;
        let given = self.headers.iter();
        headers.extend(given.map(|(name, value)| (*name, (*value).to_owned())));
        let scheme = uri.scheme().cloned().unwrap_or(Scheme::HTTPS);
        let connector = sdk::web_client(&scheme, PATIENCE);
        web::send(&connector, self.method, url, headers, self.body).await
    }
}

/// Asks EventBridge about what has this name.
async fn of_eventbridge(target: &str, name: &str) -> Result<Answer, String> {
    let question = Question {
        service: "events",
        variable: EVENTBRIDGE_ENDPOINT_URL,
        method: "POST",
        path: "/",
        headers: &[
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", target),
        ],
        body: &json!({ "Name": name }).to_string(),
    };
    question.ask().await
}

/// Returns the endpoint of a service in a Region. Those of other partitions than `aws` and
/// `aws-cn` have to be given.
fn endpoint(service: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://{service}.{region}.amazonaws.com{suffix}")
}

/// What is encoded in a path: all but the unreserved characters of RFC 3986, as the
/// signature wants it.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Encodes a function's name or ARN as a part of a path.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, RESERVED).to_string()
}

fn enabled(name: &str, rule: &Value) -> Check {
    let schedule = rule["ScheduleExpression"].as_str().unwrap_or("no schedule");
    let state = rule["State"].as_str().unwrap_or("in no state");
    let seen = format!("{name}: {schedule}, {state}");
    if state.starts_with("ENABLED") && rule["ScheduleExpression"].is_string() {
        return Check::ok(SCHEDULE, seen);
    }
    Check::failed(
        SCHEDULE,
        seen,
        format!(
            "Nothing resumes stalled deletions while it is disabled:\n\
             aws events enable-rule --name {name}"
        ),
    )
}

/// An answer of a service that is not 200.
fn refused(check: &'static str, right: &str, name: &str, answer: &Answer) -> Check {
    let body = &answer.body;
    // Lambda says it in a header, EventBridge in the body.
    let code = answer
        .header("x-amzn-errortype")
        .or(body["__type"].as_str());
    let code = code.unwrap_or_default();
    let message = body["message"].as_str().or(body["Message"].as_str());
    let seen = format!(
        "{} {code}: {}",
        answer.status,
        message.unwrap_or("no message")
    );
    if code.contains("AccessDenied") {
        let remedy = format!("Allow {right} to see it; no function needs it.");
        Check::skipped(check, seen, remedy)
    } else if code.contains("ResourceNotFound") {
        let remedy = "Give the name in the Region of the table's stack.";
        Check::failed(check, format!("there is no {name}"), remedy)
    } else {
        Check::failed(check, seen, "Check the network and the credentials.")
    }
}

/// A state machine in another Region than the table has another table's functions.
fn other_region(arn: &str, table: Option<&str>) -> Option<Check> {
    let region = arn.split(':').nth(3)?;
    let table = table.filter(|table| *table != region)?;
    Some(Check::failed(
        "state-machine",
        format!("{arn} is in {region}, and the table was looked for in {table}"),
        format!("Give the state machine of the table's stack, or set AWS_REGION={region}."),
    ))
}

fn described(
    arn: &str,
    answer: Result<DescribeStateMachineOutput, SdkError<DescribeStateMachineError>>,
) -> Check {
    const NAME: &str = "state-machine";
    let machine = match answer {
        Ok(machine) => machine,
        Err(error) => {
            let cause = Cause::of("DescribeStateMachine", &error).to_string();
            let code = error
                .as_service_error()
                .and_then(ProvideErrorMetadata::code);
            return match code {
                Some("AccessDeniedException") => Check::skipped(
                    NAME,
                    cause,
                    "Allow states:DescribeStateMachine to see it; no function needs it.",
                ),
                Some("StateMachineDoesNotExist") => Check::failed(
                    NAME,
                    format!("there is no {arn}"),
                    "Deploy the stack again, or give its output StateMachineArn.",
                ),
                _ => Check::failed(NAME, cause, "Check the network and the credentials."),
            };
        }
    };
    // Developer guide of Step Functions, "Execution guarantees".
    if machine.r#type() != &StateMachineType::Standard {
        return Check::failed(
            NAME,
            format!("{} is {}", machine.name(), machine.r#type()),
            "Make it STANDARD: only there can one deletion not be started twice by its name, \
             and run for longer than five minutes.",
        );
    }
    match machine.status() {
        Some(StateMachineStatus::Active) | None => {
            Check::ok(NAME, format!("{}, STANDARD, ACTIVE", machine.name()))
        }
        Some(status) => Check::failed(
            NAME,
            format!("{} is {status}", machine.name()),
            "Deploy the stack again: nothing continues deletions.",
        ),
    }
}
