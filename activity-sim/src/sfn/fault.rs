//! The faults that only AWS Step Functions has, in the service's words where they are known.

use crate::wire::Fault;

impl Fault {
    pub(crate) fn activity_does_not_exist(arn: &str) -> Self {
        Self::refused(
            "ActivityDoesNotExist",
            format!("Activity Does Not Exist: '{arn}'"),
        )
    }

    pub(crate) fn activity_worker_limit_exceeded(arn: &str) -> Self {
        let message = format!("Activity Worker Limit Exceeded: '{arn}'");
        Self::refused("ActivityWorkerLimitExceeded", message)
    }

    pub(crate) fn access_denied(action: &str, arn: &str) -> Self {
        let message = format!("User is not authorized to perform: states:{action} on {arn}");
        Self::refused("AccessDeniedException", message)
    }

    pub(crate) fn invalid_arn(arn: &str) -> Self {
        Self::refused("InvalidArn", format!("Invalid Arn: '{arn}'"))
    }

    pub(crate) fn invalid_output(why: &serde_json::Error) -> Self {
        Self::refused("InvalidOutput", format!("Invalid Output: '{why}'"))
    }

    pub(crate) fn invalid_token() -> Self {
        Self::refused("InvalidToken", "Invalid Token: 'Invalid token'")
    }

    pub(crate) fn task_does_not_exist() -> Self {
        let message = "Task Does Not Exist: 'Provided task does not exist'";
        Self::refused("TaskDoesNotExist", message)
    }

    pub(crate) fn task_timed_out() -> Self {
        let message = "Task Timed Out: 'Provided task does not exist anymore'";
        Self::refused("TaskTimedOut", message)
    }
}
