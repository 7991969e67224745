//! The requests: their shapes and their limits.

use serde::Deserialize;

use crate::{
    faults::About,
    swf::{
        SwfAction,
        limits::{self, duration, name},
    },
    wire::{
        Fault,
        limits::{optional, required},
        read,
    },
};

/// A request, not yet validated.
#[derive(Debug)]
pub(crate) enum Request {
    RegisterDomain(RegisterDomain),
    DescribeDomain(DescribeDomain),
    ListDomains(ListDomains),
    RegisterActivityType(Box<RegisterActivityType>),
    DescribeActivityType(DescribeActivityType),
    Count(Count),
    History(GetHistory),
    Poll(Poll),
    Token(TokenCall),
}

/// RegisterDomain.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegisterDomain {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) workflow_execution_retention_period_in_days: Option<String>,
}

/// DescribeDomain.
#[derive(Debug, Deserialize)]
pub(crate) struct DescribeDomain {
    pub(crate) name: Option<String>,
}

/// ListDomains, all on one page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListDomains {
    pub(crate) registration_status: Option<String>,
}

/// RegisterActivityType.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegisterActivityType {
    pub(crate) domain: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) default_task_list: Option<TaskList>,
    pub(crate) default_task_priority: Option<String>,
    pub(crate) default_task_heartbeat_timeout: Option<String>,
    pub(crate) default_task_schedule_to_start_timeout: Option<String>,
    pub(crate) default_task_schedule_to_close_timeout: Option<String>,
    pub(crate) default_task_start_to_close_timeout: Option<String>,
}

/// DescribeActivityType.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeActivityType {
    pub(crate) domain: Option<String>,
    pub(crate) activity_type: Option<TypeName>,
}

/// A type's name and version, as a caller writes it.
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

/// The ids of an execution, as a caller writes them.
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

/// The four calls with a task token; each uses the members it knows.
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
            SwfAction::RegisterDomain => Self::RegisterDomain(read(body)?),
            SwfAction::DescribeDomain => Self::DescribeDomain(read(body)?),
            SwfAction::ListDomains => Self::ListDomains(read(body)?),
            SwfAction::RegisterActivityType => Self::RegisterActivityType(read(body)?),
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

    /// The domain and task list that the request itself names.
    pub(crate) fn about(&self) -> About<'_> {
        fn list(list: &Option<TaskList>) -> Option<&str> {
            list.as_ref().and_then(|list| list.name.as_deref())
        }
        let (domain, task_list) = match self {
            Self::RegisterDomain(request) => (&request.name, None),
            Self::DescribeDomain(request) => (&request.name, None),
            Self::RegisterActivityType(request) => (&request.domain, None),
            Self::DescribeActivityType(request) => (&request.domain, None),
            Self::History(request) => (&request.domain, None),
            Self::Count(request) => (&request.domain, list(&request.task_list)),
            Self::Poll(request) => (&request.domain, list(&request.task_list)),
            Self::ListDomains(_) | Self::Token(_) => (&None, None),
        };
        About {
            domain: domain.as_deref(),
            task_list,
        }
    }
}

impl RegisterDomain {
    pub(crate) fn check(&self) -> Result<(&str, &str), Fault> {
        let retention = &self.workflow_execution_retention_period_in_days;
        let field = "workflowExecutionRetentionPeriodInDays";
        optional(
            self.description.as_deref(),
            "description",
            limits::DESCRIPTION,
        )?;
        let domain = name(self.name.as_deref(), "name", limits::NAME)?;
        let retention = required(retention.as_deref(), field, limits::DURATION)?;
        duration(Some(retention), field)?;
        Ok((domain, retention))
    }
}

impl RegisterActivityType {
    /// Domain, name and version.
    pub(crate) fn check(&self) -> Result<(&str, &str, &str), Fault> {
        let domain = name(self.domain.as_deref(), "domain", limits::NAME)?;
        let type_name = name(self.name.as_deref(), "name", limits::NAME)?;
        let version = name(self.version.as_deref(), "version", limits::VERSION)?;
        optional(
            self.description.as_deref(),
            "description",
            limits::DESCRIPTION,
        )?;
        if let Some(list) = &self.default_task_list {
            name(list.name.as_deref(), "defaultTaskList.name", limits::NAME)?;
        }
        for (value, field) in [
            (
                &self.default_task_heartbeat_timeout,
                "defaultTaskHeartbeatTimeout",
            ),
            (
                &self.default_task_schedule_to_start_timeout,
                "defaultTaskScheduleToStartTimeout",
            ),
            (
                &self.default_task_schedule_to_close_timeout,
                "defaultTaskScheduleToCloseTimeout",
            ),
            (
                &self.default_task_start_to_close_timeout,
                "defaultTaskStartToCloseTimeout",
            ),
        ] {
            duration(value.as_deref(), field)?;
        }
        Ok((domain, type_name, version))
    }
}

impl DescribeActivityType {
    /// Domain, name and version.
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
    /// Domain, workflow id, run id and the size of a page.
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

/// The domain and the task list of a poll or a count.
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
    /// The token, when the call keeps to the action's limits.
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
