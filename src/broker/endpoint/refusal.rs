//! Refusals: why the endpoint closes a channel or a connection, with AMQP's code and a text that says what to do.

use std::fmt;

/// What a refusal closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The channel on which the method came.
    Channel,
    /// The whole connection.
    Connection,
}

/// Why a method or a frame is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// AMQP's reply code.
    pub(crate) code: u16,
    /// The text for the client's log; at most 255 bytes.
    pub(crate) text: String,
    /// What is closed.
    pub(crate) scope: Scope,
}

/// The words that AMQP gives its codes. Clients show them.
fn word(code: u16) -> &'static str {
    match code {
        320 => "CONNECTION_FORCED",
        402 => "INVALID_PATH",
        403 => "ACCESS_REFUSED",
        404 => "NOT_FOUND",
        405 => "RESOURCE_LOCKED",
        406 => "PRECONDITION_FAILED",
        501 => "FRAME_ERROR",
        502 => "SYNTAX_ERROR",
        503 => "COMMAND_INVALID",
        504 => "CHANNEL_ERROR",
        505 => "UNEXPECTED_FRAME",
        506 => "RESOURCE_ERROR",
        530 => "NOT_ALLOWED",
        540 => "NOT_IMPLEMENTED",
        _ => "INTERNAL_ERROR",
    }
}

impl Refusal {
    fn new(code: u16, scope: Scope, text: impl fmt::Display) -> Self {
        let mut text = format!("{} - {text}", word(code));
        let mut end = text.len().min(255);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        Self { code, text, scope }
    }

    /// A refusal that closes the channel.
    pub(crate) fn channel(code: u16, text: impl fmt::Display) -> Self {
        Self::new(code, Scope::Channel, text)
    }

    /// A refusal that closes the connection.
    pub(crate) fn connection(code: u16, text: impl fmt::Display) -> Self {
        Self::new(code, Scope::Connection, text)
    }

    /// The resource does not exist.
    pub(crate) fn not_found(kind: &str, name: &str) -> Self {
        Self::channel(404, format_args!("no {kind} '{name}' in vhost '/'"))
    }

    /// The client may not do this. The text says what to do.
    pub(crate) fn access(text: impl fmt::Display) -> Self {
        Self::channel(403, text)
    }

    /// The state does not allow this.
    pub(crate) fn precondition(text: impl fmt::Display) -> Self {
        Self::channel(406, text)
    }

    /// The endpoint does not have this. The text says what to use.
    pub(crate) fn not_implemented(text: impl fmt::Display) -> Self {
        Self::channel(540, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_the_code_and_fits_a_short_string() {
        let refusal = Refusal::not_found("queue", "a");
        assert_eq!(refusal.text, "NOT_FOUND - no queue 'a' in vhost '/'");
        assert_eq!((refusal.code, refusal.scope), (404, Scope::Channel));
        let long = Refusal::connection(501, "é".repeat(300));
        assert!(long.text.len() <= 255 && long.text.starts_with("FRAME_ERROR - é"));
    }
}
