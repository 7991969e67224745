//! An argument of a queue as a client has given it. Pure.

use amq_protocol::types::AMQPValue;
use std::fmt;

/// An argument as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The name that RabbitMQ gives the type of the value.
    pub(super) kind: &'static str,
    pub(super) value: Value,
}

/// The value of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(i64),
    Text(String),
    Flag(bool),
}

/// An argument in RabbitMQ's words.
pub(super) fn described(given: Option<&Given>) -> String {
    match given {
        None => "none".to_owned(),
        Some(Given { kind, value }) => format!("the value '{value}' of type '{kind}'"),
    }
}

impl Given {
    /// Whether it is this text.
    pub(super) fn is_text(&self, text: &str) -> bool {
        matches!(&self.value, Value::Text(own) if own == text)
    }

    /// Reads a value; `None` for a type that no argument of a queue has.
    pub(super) fn read(value: &AMQPValue) -> Option<Self> {
        let number = |kind, number| {
            Some(Self {
                kind,
                value: Value::Number(number),
            })
        };
        let text = |bytes: &[u8]| Value::Text(String::from_utf8_lossy(bytes).into_owned());
        match value {
            AMQPValue::ShortShortInt(n) => number("byte", i64::from(*n)),
            AMQPValue::ShortShortUInt(n) => number("unsignedbyte", i64::from(*n)),
            AMQPValue::ShortInt(n) => number("short", i64::from(*n)),
            AMQPValue::ShortUInt(n) => number("unsignedshort", i64::from(*n)),
            AMQPValue::LongInt(n) => number("signedint", i64::from(*n)),
            AMQPValue::LongUInt(n) => number("unsignedint", i64::from(*n)),
            AMQPValue::LongLongInt(n) => number("long", *n),
            AMQPValue::Boolean(flag) => Some(Self {
                kind: "bool",
                value: Value::Flag(*flag),
            }),
            AMQPValue::LongString(bytes) => Some(Self {
                kind: "longstr",
                value: text(bytes.as_bytes()),
            }),
            AMQPValue::ShortString(bytes) => Some(Self {
                kind: "longstr",
                value: text(bytes.as_str().as_bytes()),
            }),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}
