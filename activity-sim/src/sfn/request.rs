//! The members of the requests and their limits.

use serde::{Deserialize, de::IgnoredAny};

use crate::{
    arn,
    wire::{
        Fault,
        limits::{optional, refuse, required},
    },
};

const ARN: usize = 256;
const WORKER_NAME: usize = 80;
const TOKEN: usize = 2_048;
/// Maximum length in bytes.
const OUTPUT: usize = 262_144;
const ERROR: usize = 256;
const CAUSE: usize = 32_768;

/// A request of any action that is not validated yet. A member has the same type in all actions.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    pub(crate) activity_arn: Option<String>,
    pub(crate) worker_name: Option<String>,
    pub(crate) task_token: Option<String>,
    pub(crate) output: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) cause: Option<String>,
}

impl Request {
    pub(crate) fn activity_arn(&self) -> Result<&str, Fault> {
        let arn = required(self.activity_arn.as_deref(), "activityArn", ARN)?;
        match arn::is_activity(arn) {
            true => Ok(arn),
            false => Err(Fault::invalid_arn(arn)),
        }
    }

    /// Checks the worker's name, which may be missing but not empty.
    pub(crate) fn check_worker_name(&self) -> Result<(), Fault> {
        let name = self.worker_name.as_deref();
        name.map_or(Ok(()), |name| {
            required(Some(name), "workerName", WORKER_NAME).map(|_| ())
        })
    }

    pub(crate) fn token(&self) -> Result<&str, Fault> {
        required(self.task_token.as_deref(), "taskToken", TOKEN)
    }

    /// Checks the length of the output. The service checks its JSON later, after the token.
    pub(crate) fn check_output_length(&self) -> Result<(), Fault> {
        match self.output.as_deref().map(str::len) {
            Some(0..=OUTPUT) => Ok(()),
            Some(_) => Err(refuse(
                "Value at 'output'",
                &format!("Member must have length less than or equal to {OUTPUT}"),
            )),
            None => Err(refuse("Value null at 'output'", "Member must not be null")),
        }
    }

    /// Checks that the output is JSON.
    pub(crate) fn check_output(&self) -> Result<(), Fault> {
        let output = self.output.as_deref().unwrap_or_default();
        serde_json::from_str::<IgnoredAny>(output)
            .map(|_| ())
            .map_err(|error| Fault::invalid_output(&error))
    }

    /// Checks the error and the cause.
    pub(crate) fn check_failure(&self) -> Result<(), Fault> {
        optional(self.error.as_deref(), "error", ERROR)?;
        optional(self.cause.as_deref(), "cause", CAUSE)
    }
}
