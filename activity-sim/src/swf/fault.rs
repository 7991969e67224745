//! What the service answers when it does not do what it was asked.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde::Serialize;

/// An error answer: status, code and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    message: String,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "__type")]
    kind: String,
    message: &'a str,
}

impl Fault {
    fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: Cow::Borrowed(code),
            message: message.into(),
        }
    }

    pub(crate) fn unknown_resource(message: impl Into<String>) -> Self {
        Self::refused("UnknownResourceFault", message)
    }

    pub(crate) fn not_permitted(message: impl Into<String>) -> Self {
        Self::refused("OperationNotPermittedFault", message)
    }

    pub(crate) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::refused("LimitExceededFault", message)
    }

    pub(crate) fn domain_exists(name: &str) -> Self {
        Self::refused("DomainAlreadyExistsFault", name)
    }

    pub(crate) fn type_exists(message: impl Into<String>) -> Self {
        Self::refused("TypeAlreadyExistsFault", message)
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::refused("ValidationException", message)
    }

    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::refused("SerializationException", message)
    }

    pub(crate) fn unknown_operation() -> Self {
        Self::refused("UnknownOperationException", "")
    }

    pub(crate) fn throttled() -> Self {
        Self::refused("ThrottlingException", "Rate exceeded")
    }

    /// As an injected fault says.
    pub(crate) fn injected(status: u16, code: String) -> Self {
        let message = match code.as_str() {
            "ThrottlingException" => "Rate exceeded",
            _ => "injected by the simulator",
        };
        let message = message.to_owned();
        Self {
            status,
            code: Cow::Owned(code),
            message,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let body = Body {
            kind: format!("{}{}", self.namespace(), self.code),
            message: &self.message,
        };
        serde_json::to_vec(&body).expect("strings can be written as JSON")
    }

    /// The service's own faults and those of the framework it is built on are named differently.
    fn namespace(&self) -> &'static str {
        match &*self.code {
            "ValidationException" => "com.amazon.coral.validate#",
            "ThrottlingException" => "com.amazon.coral.availability#",
            "SerializationException"
            | "UnknownOperationException"
            | "InternalFailure"
            | "ServiceUnavailable" => "com.amazon.coral.service#",
            code if code.ends_with("Fault") => "com.amazonaws.swf.base.model#",
            _ => "",
        }
    }
}
