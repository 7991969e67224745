//! The requests: their members and the limits of these.

use serde::Deserialize;

use crate::{
    calls::CallScope,
    swf::{
        action::SwfAction,
        limits::{self, name},
    },
    wire::{
        Fault,
        limits::{optional, required},
        read,
    },
};

/// A request that is not validated yet.
#[derive(Debug)]
pub(crate) enum Request {
    DescribeActivityType(DescribeActivityType),
    Count(Count),
    History(GetHistory),
    Poll(Poll),
    Token(TokenCall),
}

/// DescribeActivityType.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeActivityType {
    pub(crate) domain: Option<String>,
    pub(crate) activity_type: Option<TypeName>,
}

/// A type's name and version in a request.
#[derive(Debug, Deserialize)]
pub(crate) struct TypeName {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
}

/// A task list.
#[derive(Debug, Deserialize)]
pub(crate) struct TaskList {
    pub(crate) name: Option<String>,
}

/// CountPendingActivityTasks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Count {
    pub(crate) domain: Option<String>,
    pub(crate) task_list: Option<TaskList>,
}

/// GetWorkflowExecutionHistory.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetHistory {
    pub(crate) domain: Option<String>,
    pub(crate) execution: Option<ExecutionName>,
    pub(crate) next_page_token: Option<String>,
    pub(crate) maximum_page_size: Option<i64>,
    pub(crate) reverse_order: Option<bool>,
}

/// The ids of an execution in a request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExecutionName {
    pub(crate) workflow_id: Option<String>,
    pub(crate) run_id: Option<String>,
}

/// PollForActivityTask.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Poll {
    pub(crate) domain: Option<String>,
    pub(crate) task_list: Option<TaskList>,
    pub(crate) identity: Option<String>,
}

/// The four calls with a task token. Each uses only its own members.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenCall {
    pub(crate) task_token: Option<String>,
    pub(crate) details: Option<String>,
    pub(crate) result: Option<String>,
    pub(crate) reason: Option<String>,
}

impl Request {
    /// Reads the body of a call of this action.
    pub(crate) fn parse(action: SwfAction, body: &[u8]) -> Result<Self, Fault> {
        Ok(match action {
            SwfAction::DescribeActivityType => Self::DescribeActivityType(read(body)?),
            SwfAction::CountPendingActivityTasks => Self::Count(read(body)?),
            SwfAction::GetWorkflowExecutionHistory => Self::History(read(body)?),
            SwfAction::PollForActivityTask => Self::Poll(read(body)?),
            SwfAction::RecordActivityTaskHeartbeat
            | SwfAction::RespondActivityTaskCompleted
            | SwfAction::RespondActivityTaskFailed
            | SwfAction::RespondActivityTaskCanceled => Self::Token(read(body)?),
        })
    }

    /// The domain and the task list in the request.
    pub(crate) fn scope(&self) -> CallScope<'_> {
        fn list(list: &Option<TaskList>) -> Option<&str> {
            list.as_ref().and_then(|list| list.name.as_deref())
        }
        let (domain, task_list) = match self {
            Self::DescribeActivityType(request) => (&request.domain, None),
            Self::History(request) => (&request.domain, None),
            Self::Count(request) => (&request.domain, list(&request.task_list)),
            Self::Poll(request) => (&request.domain, list(&request.task_list)),
            Self::Token(_) => (&None, None),
        };
        CallScope {
            domain: domain.as_deref(),
            task_list,
        }
    }
}

impl DescribeActivityType {
    /// Domain, name and version, if they are valid.
    pub(crate) fn check(&self) -> Result<(&str, &str, &str), Fault> {
        let domain = name(self.domain.as_deref(), "domain", limits::NAME)?;
        let wanted = self.activity_type.as_ref();
        let type_name = wanted.and_then(|wanted| wanted.name.as_deref());
        let version = wanted.and_then(|wanted| wanted.version.as_deref());
        Ok((
            domain,
            name(type_name, "activityType.name", limits::NAME)?,
            name(version, "activityType.version", limits::VERSION)?,
        ))
    }
}

impl GetHistory {
    /// Domain, workflow id, run id and the size of a page, if they are valid.
    pub(crate) fn check(&self) -> Result<(&str, &str, &str, u32), Fault> {
        let domain = name(self.domain.as_deref(), "domain", limits::NAME)?;
        let execution = self.execution.as_ref();
        let workflow_id = execution.and_then(|execution| execution.workflow_id.as_deref());
        let run_id = execution.and_then(|execution| execution.run_id.as_deref());
        let page_token = self.next_page_token.as_deref();
        optional(page_token, "nextPageToken", limits::PAGE_TOKEN)?;
        Ok((
            domain,
            required(workflow_id, "execution.workflowId", limits::NAME)?,
            required(run_id, "execution.runId", limits::RUN_ID)?,
            limits::page_size(self.maximum_page_size)?,
        ))
    }
}

/// The domain and the task list of a poll or a count, if they are valid.
pub(crate) fn check_place<'a>(
    domain: Option<&'a str>,
    task_list: Option<&'a TaskList>,
) -> Result<(&'a str, &'a str), Fault> {
    let list = task_list.and_then(|list| list.name.as_deref());
    Ok((
        name(domain, "domain", limits::NAME)?,
        name(list, "taskList.name", limits::NAME)?,
    ))
}

impl TokenCall {
    /// The token, if the call is within the action's limits.
    pub(crate) fn check(&self, action: SwfAction) -> Result<&str, Fault> {
        let token = required(self.task_token.as_deref(), "taskToken", limits::TOKEN)?;
        let (details, result, reason) = (
            self.details.as_deref(),
            self.result.as_deref(),
            self.reason.as_deref(),
        );
        match action {
            SwfAction::RecordActivityTaskHeartbeat => {
                optional(details, "details", limits::HEARTBEAT_DETAILS)?;
            }
            SwfAction::RespondActivityTaskCompleted => optional(result, "result", limits::DATA)?,
            SwfAction::RespondActivityTaskFailed => {
                optional(reason, "reason", limits::REASON)?;
                optional(details, "details", limits::DATA)?;
            }
            _ => optional(details, "details", limits::DATA)?,
        }
        Ok(token)
    }
}
