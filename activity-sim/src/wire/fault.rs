//! Error answers. The faults of only one service are in the folder of the service.

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
    /// A fault with the HTTP status 400, as nearly all have.
    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code: Cow::Borrowed(code),
            message: message.into(),
        }
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

    /// An injected fault.
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

    /// The prefix of `__type`. A fault of the services has another prefix than one of their framework.
    fn namespace(&self) -> &'static str {
        match &*self.code {
            "ValidationException" => "com.amazon.coral.validate#",
            "ThrottlingException" => "com.amazon.coral.availability#",
            "SerializationException"
            | "UnknownOperationException"
            | "AccessDeniedException"
            | "InternalFailure"
            | "ServiceUnavailable" => "com.amazon.coral.service#",
            code if code.ends_with("Fault") => "com.amazonaws.swf.base.model#",
            _ => "com.amazonaws.swf.service.v2.model#",
        }
    }
}
