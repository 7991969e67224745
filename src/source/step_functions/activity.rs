//! Activities of AWS Step Functions as a source of tasks.
//!
//! What a worker can't see of them: their timeouts, and that their execution is being stopped. The first is
//! configured, the second shows as a token that is dead.

use super::settings::ResultAs;
use crate::{
    source::{
        CancelRequested, Source, SourceError, Unfit,
        aws::{self, Meaning, Meanings},
        cut,
        rate_limit::RateLimiter,
    },
    task::{HeaderValue, Outcome, Task, TaskId, TaskToken, Timeouts},
};
use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sfn::{Client, operation::get_activity_task::GetActivityTaskOutput};
use serde::de::IgnoredAny;
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The API's limits: in bytes of UTF-8, the others in characters.
const MAX_OUTPUT: usize = 262_144;

const MAX_ERROR: usize = 256;

const MAX_CAUSE: usize = 32_768;

const MAX_WORKER_NAME: usize = 80;

/// The error name of a task that a worker canceled; Step Functions knows no canceled tasks.
const CANCELED: &str = "Canceled";

/// Any task asks for one more open poll: AWS advises 100 for an activity, because an answer that gets lost can hold up
/// those of other polls. An activity that is not busy gets fewer.
const BUSY_WITHIN: Duration = Duration::from_secs(60);

const KMS_STATE: (&str, Meaning) = (
    "KmsInvalidStateException",
    Meaning::Refused(Some("enable the KMS key, or restore it")),
);

const KMS_THROTTLING: (&str, Meaning) = ("KmsThrottlingException", Meaning::TooMany);

/// Of calls about an activity.
const OF_ACTIVITIES: &Meanings = &[
    (
        "ActivityDoesNotExist",
        Meaning::Refused(Some(
            "create the activity, or correct activity_arn or the region",
        )),
    ),
    (
        "InvalidArn",
        Meaning::Refused(Some("correct activity_arn or the region")),
    ),
    ("ActivityWorkerLimitExceeded", Meaning::TooMany),
    (
        "KmsAccessDeniedException",
        Meaning::Refused(Some(
            "allow the bridge's role kms:Decrypt with the activity's key",
        )),
    ),
    KMS_STATE,
    KMS_THROTTLING,
];

/// Of calls with a token. `TaskTimedOut` is also said of a task that is closed.
const OF_TOKENS: &Meanings = &[
    ("TaskTimedOut", Meaning::Gone),
    ("TaskDoesNotExist", Meaning::Gone),
    ("InvalidToken", Meaning::Gone),
    (
        "InvalidOutput",
        Meaning::Invalid("AWS does not take the result as JSON"),
    ),
    (
        "KmsAccessDeniedException",
        Meaning::Refused(Some(
            "allow the state machine's role kms:Decrypt and kms:GenerateDataKey with the activity's key and with its own",
        )),
    ),
    KMS_STATE,
    KMS_THROTTLING,
];

/// One activity.
#[derive(Debug)]
pub struct StepFunctions {
    clients: SfnClients,
    activity_arn: String,
    worker_name: String,
    timeouts: Timeouts,
    result_as: ResultAs,
}

/// What makes one [`StepFunctions`].
#[derive(Debug)]
pub struct SfnOptions<'a> {
    /// The activity.
    pub activity_arn: &'a str,
    /// Who polls, as it shows in the execution's history; see [`worker_name`].
    pub worker_name: String,
    /// The timeouts that are configured; the service tells none.
    pub timeouts: Timeouts,
    /// What may be a result.
    pub result_as: ResultAs,
}

/// What all Step Functions routes of a process share: two clients and one budget.
#[derive(Clone, Debug)]
pub struct SfnClients {
    poll: Client,
    respond: Client,
    rate_limiter: Arc<RateLimiter>,
}

impl SfnClients {
    /// Builds them from one configuration. Nothing is called yet.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self {
            poll: Client::new(&aws::for_polls(config)),
            respond: Client::new(&aws::for_responses(config)),
            rate_limiter: Arc::default(),
        }
    }
}

/// Route, host and process, within the 80 characters that AWS takes and without those that it takes in no name.
#[must_use]
pub fn worker_name(route: &str, host: &str, pid: u32) -> String {
    let pid = pid.to_string();
    let plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    let room = MAX_WORKER_NAME.saturating_sub(route.chars().count() + pid.len() + 2);
    let host: String = host.chars().filter(plain).take(room).collect();
    format!("{route}@{host}.{pid}")
}

impl StepFunctions {
    /// One route's view of Step Functions.
    #[must_use]
    pub fn new(clients: &SfnClients, options: SfnOptions<'_>) -> Self {
        Self {
            clients: clients.clone(),
            activity_arn: options.activity_arn.to_owned(),
            worker_name: options.worker_name,
            timeouts: options.timeouts,
            result_as: options.result_as,
        }
    }

    /// The activity's name: the last part of its ARN.
    fn name(&self) -> &str {
        let (_, name) = self.activity_arn.rsplit_once(':').unwrap_or_default();
        name
    }

    /// The answer to a poll as a task; `None` where it is empty.
    fn task(&self, answer: GetActivityTaskOutput) -> Option<Task> {
        Some(Task {
            id: TaskId::random(),
            token: TaskToken::new(&answer.task_token?)?,
            activity: self.name().to_owned(),
            input: answer.input.unwrap_or_default().into(),
            headers: Vec::new(),
            polled_at: SystemTime::now(),
            timeouts: self.timeouts,
        })
    }

    async fn fail(&self, token: &str, error: &str, cause: &str) -> Result<(), SourceError> {
        let call = self.clients.respond.send_task_failure().task_token(token);
        let call = call
            .set_error(unless_empty(error))
            .set_cause(unless_empty(cause));
        call.send()
            .await
            .map(drop)
            .map_err(aws::to_source_error(OF_TOKENS))
    }
}

/// Step Functions tells "nothing" from the empty text; the bridge does not.
fn unless_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[async_trait]
impl Source for StepFunctions {
    fn kind(&self) -> &'static str {
        "step-functions"
    }

    fn headers(&self) -> Vec<(&'static str, HeaderValue)> {
        vec![("activity-arn", HeaderValue::Text(self.activity_arn.clone()))]
    }

    fn rate_limiter(&self) -> &RateLimiter {
        &self.clients.rate_limiter
    }

    async fn timeouts(&self, _task: &Task) -> Timeouts {
        self.timeouts
    }

    async fn poll(&self) -> Result<Option<Task>, SourceError> {
        let call = self.clients.poll.get_activity_task();
        let call = call
            .activity_arn(&self.activity_arn)
            .worker_name(&self.worker_name);
        let answer = call.send().await;
        let answer = answer.map_err(aws::to_source_error(OF_ACTIVITIES))?;
        Ok(self.task(answer))
    }

    fn busy_within(&self) -> Duration {
        BUSY_WITHIN
    }

    async fn heartbeat(
        &self,
        token: &TaskToken,
        _details: &str,
    ) -> Result<CancelRequested, SourceError> {
        let call = self.clients.respond.send_task_heartbeat();
        let answer = call.task_token(token.reveal()).send().await;
        answer
            .map(|_| CancelRequested(false))
            .map_err(aws::to_source_error(OF_TOKENS))
    }

    async fn settle(&self, token: &TaskToken, outcome: &Outcome) -> Result<(), SourceError> {
        let token = token.reveal();
        match outcome {
            Outcome::Completed { result } => {
                let call = self.clients.respond.send_task_success();
                call.task_token(token)
                    .output(result)
                    .send()
                    .await
                    .map(drop)
                    .map_err(aws::to_source_error(OF_TOKENS))
            }
            Outcome::Failed {
                reason, details, ..
            } => self.fail(token, reason, details).await,
            // `fit` leaves none.
            Outcome::Canceled { details } => self.fail(token, CANCELED, details).await,
        }
    }

    fn result<'b>(&self, body: &'b str) -> Result<Cow<'b, str>, Unfit> {
        // No form of it is shorter.
        let too_long = |length: usize| {
            Unfit::TooLong(format!(
                "the result has {length} bytes as JSON, and Step Functions takes {MAX_OUTPUT}"
            ))
        };
        if body.len() > MAX_OUTPUT {
            return Err(too_long(body.len()));
        }
        let output = match (serde_json::from_str::<IgnoredAny>(body), self.result_as) {
            (Ok(IgnoredAny), _) => Cow::Borrowed(body),
            (Err(_), ResultAs::JsonOrString) => {
                Cow::Owned(serde_json::Value::from(body).to_string())
            }
            (Err(error), ResultAs::Json) => {
                let words = format!("the result is not JSON, which result_as demands: {error}");
                return Err(Unfit::WrongForm(words));
            }
        };
        match output.len() {
            length if length > MAX_OUTPUT => Err(too_long(length)),
            _ => Ok(output),
        }
    }

    fn fit(&self, outcome: Outcome) -> Outcome {
        let (error, cause) = match outcome {
            Outcome::Completed { .. } => return outcome,
            Outcome::Canceled { details } => (CANCELED.to_owned(), details),
            Outcome::Failed {
                own: None,
                reason,
                details,
            } => (reason, details),
            // Retry and Catch go by the error's name, so that must not differ from task to task.
            Outcome::Failed {
                own: Some(own),
                reason,
                details,
            } => {
                let separator = if details.is_empty() { "" } else { ": " };
                (
                    own.name().to_owned(),
                    format!("{reason}{separator}{details}"),
                )
            }
        };
        Outcome::Failed {
            own: None,
            reason: cut(error, MAX_ERROR),
            details: cut(cause, MAX_CAUSE),
        }
    }

    /// There is no place for them.
    fn fit_details(&self, _details: &str) -> String {
        String::new()
    }

    fn place(&self) -> &'static str {
        "activity"
    }

    async fn probe(&self) -> Result<String, SourceError> {
        let call = self.clients.respond.describe_activity();
        let answer = call.activity_arn(&self.activity_arn).send().await;
        answer
            .map(|_| "reached".to_owned())
            .map_err(aws::to_source_error(OF_ACTIVITIES))
    }

    fn probe_action(&self) -> &'static str {
        "DescribeActivity"
    }
}

#[cfg(test)]
mod tests;
