//! The members of the requests, and their limits.

use serde::{Deserialize, de::IgnoredAny};

use crate::{
    arn,
    wire::{
        Fault,
        limits::{optional, refuse, required},
    },
};

const ARN: usize = 256;
/// Activities and workers.
const NAME: usize = 80;
const TOKEN: usize = 2_048;
/// In bytes.
const OUTPUT: usize = 262_144;
const ERROR: usize = 256;
const CAUSE: usize = 32_768;

/// A request of any action, not yet validated: no two give a member different types.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    pub(crate) name: Option<String>,
    pub(crate) activity_arn: Option<String>,
    pub(crate) worker_name: Option<String>,
    pub(crate) task_token: Option<String>,
    pub(crate) output: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) cause: Option<String>,
    pub(crate) execution_arn: Option<String>,
}

impl Request {
    /// The name of an activity to create.
    pub(crate) fn name(&self) -> Result<&str, Fault> {
        let name = required(self.name.as_deref(), "name", NAME)?;
        match arn::is_name(name) {
            true => Ok(name),
            false => Err(Fault::invalid_name(name)),
        }
    }

    pub(crate) fn activity_arn(&self) -> Result<&str, Fault> {
        let arn = required(self.activity_arn.as_deref(), "activityArn", ARN)?;
        match arn::is_activity(arn) {
            true => Ok(arn),
            false => Err(Fault::invalid_arn(arn)),
        }
    }

    pub(crate) fn execution_arn(&self) -> Result<&str, Fault> {
        let arn = required(self.execution_arn.as_deref(), "executionArn", ARN)?;
        match arn::is_execution(arn) {
            true => Ok(arn),
            false => Err(Fault::invalid_arn(arn)),
        }
    }

    /// May be missing, but not empty.
    pub(crate) fn check_worker_name(&self) -> Result<(), Fault> {
        let name = self.worker_name.as_deref();
        name.map_or(Ok(()), |name| {
            required(Some(name), "workerName", NAME).map(|_| ())
        })
    }

    pub(crate) fn token(&self) -> Result<&str, Fault> {
        required(self.task_token.as_deref(), "taskToken", TOKEN)
    }

    /// The length of the output; whether it is JSON is asked when the token is known to be one.
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

    pub(crate) fn check_output(&self) -> Result<(), Fault> {
        let output = self.output.as_deref().unwrap_or_default();
        serde_json::from_str::<IgnoredAny>(output)
            .map(|_| ())
            .map_err(|error| Fault::invalid_output(&error))
    }

    /// Error and cause.
    pub(crate) fn check_failure(&self) -> Result<(), Fault> {
        optional(self.error.as_deref(), "error", ERROR)?;
        optional(self.cause.as_deref(), "cause", CAUSE)
    }
}
