//! The handshake of a connection: what the endpoint offers, and what the client's answers mean.

use super::{
    refusal::Refusal,
    users::{Login, Rights},
};
use amq_protocol::{
    protocol::{AMQPClass, connection},
    types::{AMQPValue, FieldTable, LongString},
};

/// The offered interval of heartbeats, in seconds.
const HEARTBEAT_SECS: u16 = 60;

/// The offered and greatest size of a frame, in bytes.
pub(crate) const FRAME_MAX: u32 = 131_072;

/// The size of a frame before it is negotiated, in bytes.
pub(crate) const FIRST_FRAME_MAX: u32 = 4_096;

/// The offered greatest number of a channel; RabbitMQ offers the same. The number of open channels has a bound of its
/// own.
const CHANNEL_MAX: u16 = 2_047;

/// What RabbitMQ's clients look for.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

/// The step of the handshake that the client must take next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// `connection.start-ok`.
    StartOk,
    /// `connection.tune-ok`.
    TuneOk(Client),
    /// `connection.open`.
    Open(Client, Tuned),
}

/// What the client has said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// What it may do.
    pub(crate) rights: Rights,
    /// Its name, for the log.
    pub(crate) name: String,
    /// Whether it wants to be told when a queue under its consumer is deleted.
    pub(crate) wants_cancels: bool,
}

/// What both sides have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuned {
    /// Maximum size of a frame, in bytes.
    pub(crate) frame_max: u32,
    /// Interval of heartbeats, in seconds; 0 for none.
    pub(crate) heartbeat_secs: u16,
}

/// What follows from a step.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The next step, and what to send.
    Next(Step, Option<AMQPClass>),
    /// The connection is open.
    Opened(Client, Tuned),
    /// The login is refused. Whether the client wants to be told by `connection.close`; and why, for the log.
    LoginRefused(bool, String),
}

/// `connection.start`.
pub(crate) fn start(login: &Login) -> AMQPClass {
    let mut capabilities = FieldTable::default();
    for capability in CAPABILITIES {
        capabilities.insert(capability.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    let texts = [
        // Some clients give a server of the name RabbitMQ what only RabbitMQ can do.
        ("product", "activity-bridge"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("platform", "Rust"),
        ("copyright", "the authors of activity-bridge"),
        ("information", "Apache License, Version 2.0"),
    ];
    for (name, text) in texts {
        properties.insert(name.into(), AMQPValue::LongString(LongString::from(text)));
    }
    AMQPClass::Connection(connection::AMQPMethod::Start(connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: properties,
        mechanisms: LongString::from(login.mechanisms()),
        locales: LongString::from("en_US"),
    }))
}

impl Step {
    /// Takes the client's next method.
    pub(crate) fn take(self, method: AMQPClass, login: &Login) -> Result<Progress, Refusal> {
        let AMQPClass::Connection(method) = method else {
            return Err(Refusal::connection(
                503,
                "a method before the connection is open",
            ));
        };
        match (self, method) {
            (Self::StartOk, connection::AMQPMethod::StartOk(ok)) => Ok(log_in(&ok, login)),
            (Self::TuneOk(client), connection::AMQPMethod::TuneOk(ok)) => {
                Ok(Progress::Next(Self::Open(client, tuned(&ok)?), None))
            }
            (Self::Open(client, tuned), connection::AMQPMethod::Open(open)) => {
                match open.virtual_host.as_str() {
                    "/" | "" => Ok(Progress::Opened(client, tuned)),
                    other => Err(Refusal::connection(
                        530,
                        format_args!("vhost '{other}' not found; the only one is '/'"),
                    )),
                }
            }
            _ => Err(Refusal::connection(
                503,
                "a method out of the order of the handshake",
            )),
        }
    }
}

fn log_in(ok: &connection::StartOk, login: &Login) -> Progress {
    let properties = ok.client_properties.inner();
    let text = |name: &str| match properties.get(name) {
        Some(AMQPValue::LongString(text)) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        _ => String::new(),
    };
    let can = |name: &str| match properties.get("capabilities") {
        Some(AMQPValue::FieldTable(can)) => {
            matches!(can.inner().get(name), Some(AMQPValue::Boolean(true)))
        }
        _ => false,
    };
    match login.check(ok.mechanism.as_str(), ok.response.as_bytes()) {
        Err(why) => Progress::LoginRefused(can("authentication_failure_close"), why),
        Ok(rights) => {
            let name = [text("product"), text("connection_name")].join(" ");
            let client = Client {
                rights,
                name: name.trim().chars().take(100).collect(),
                wants_cancels: can("consumer_cancel_notify"),
            };
            let tune = connection::AMQPMethod::Tune(connection::Tune {
                channel_max: CHANNEL_MAX,
                frame_max: FRAME_MAX,
                heartbeat: HEARTBEAT_SECS,
            });
            Progress::Next(Step::TuneOk(client), Some(AMQPClass::Connection(tune)))
        }
    }
}

fn tuned(ok: &connection::TuneOk) -> Result<Tuned, Refusal> {
    let frame_max = match ok.frame_max {
        0 => FRAME_MAX,
        size => size,
    };
    if !(FIRST_FRAME_MAX..=FRAME_MAX).contains(&frame_max) {
        return Err(Refusal::connection(
            530,
            format_args!(
                "negotiated frame_max = {frame_max} is not from {FIRST_FRAME_MAX} to {FRAME_MAX}"
            ),
        ));
    }
    Ok(Tuned {
        frame_max,
        heartbeat_secs: ok.heartbeat,
    })
}

/// `connection.close`.
pub(crate) fn close(refusal: &Refusal, (class_id, method_id): (u16, u16)) -> AMQPClass {
    AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
        reply_code: refusal.code,
        reply_text: refusal.text.as_str().into(),
        class_id,
        method_id,
    }))
}
