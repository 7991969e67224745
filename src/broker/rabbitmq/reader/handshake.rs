//! The client's side of the handshake, up to the consumer. Pure.

use super::{consumer, receipt::CHANNEL};
use crate::broker::{
    amqp::method::{encode, short_string},
    rabbitmq::{identity::client_properties, options::Options},
};
use amq_protocol::{
    protocol::{AMQPClass, basic, channel, connection},
    types::{AMQPValue, FieldTable, LongString},
};
use bytes::BytesMut;
use lapin::uri::{AMQPUri, SASLMechanism};

/// What both sides have agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tuned {
    /// Maximum size of a frame, in bytes.
    pub(super) frame_max: u32,
    /// Interval of heartbeats, in seconds; 0 for none.
    pub(super) heartbeat_secs: u16,
}

/// What follows from a method.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More methods come.
    More,
    /// The limits are known.
    Tuned(Tuned),
    /// The consumer is there.
    Consumes,
}

/// Answers a method of the broker's. The error says why it can't be answered.
pub(super) fn take(
    method: AMQPClass,
    uri: &AMQPUri,
    options: &Options,
    out: &mut BytesMut,
) -> Result<Progress, String> {
    use basic::AMQPMethod as Basic;
    use channel::AMQPMethod as Channel;
    use connection::AMQPMethod as Connection;
    let mut put = |number, method| {
        encode(&method, number, out).map_err(|error| error.to_string())?;
        Ok::<_, String>(Progress::More)
    };
    match method {
        AMQPClass::Connection(Connection::Start(_)) => {
            let start = Connection::StartOk(start_ok(uri, &options.identity));
            put(0, AMQPClass::Connection(start))
        }
        AMQPClass::Connection(Connection::Tune(offered)) => {
            let (tuned, answer) = tune(&offered, uri);
            put(0, AMQPClass::Connection(Connection::TuneOk(answer)))?;
            let open = connection::Open {
                virtual_host: short_string(&uri.vhost),
            };
            put(0, AMQPClass::Connection(Connection::Open(open)))?;
            Ok(Progress::Tuned(tuned))
        }
        AMQPClass::Connection(Connection::OpenOk(_)) => {
            let open = Channel::Open(channel::Open {});
            put(CHANNEL, AMQPClass::Channel(open))
        }
        AMQPClass::Channel(Channel::OpenOk(_)) => put(CHANNEL, consumer::qos(options.prefetch)),
        AMQPClass::Basic(Basic::QosOk(_)) => {
            put(CHANNEL, consumer::consume(&options.reply_queue, 0))
        }
        AMQPClass::Basic(Basic::ConsumeOk(_)) => Ok(Progress::Consumes),
        other => Err(ended(&other).unwrap_or_else(|| "the broker broke the handshake".to_owned())),
    }
}

/// Why the broker ends the connection, the channel or the consumer, if this method says so.
pub(super) fn ended(method: &AMQPClass) -> Option<String> {
    match method {
        AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
            Some(format!("{} {}", close.reply_code, close.reply_text))
        }
        AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
            Some(format!("{} {}", close.reply_code, close.reply_text))
        }
        AMQPClass::Basic(basic::AMQPMethod::Cancel(_)) => {
            Some("the broker ended the consumer of replies".to_owned())
        }
        _ => None,
    }
}

fn start_ok(uri: &AMQPUri, identity: &str) -> connection::StartOk {
    let mut capabilities = FieldTable::default();
    for capability in ["consumer_cancel_notify", "authentication_failure_close"] {
        capabilities.insert(capability.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    for (name, text) in client_properties("replies", identity) {
        properties.insert(name.into(), AMQPValue::LongString(LongString::from(text)));
    }
    let user = &uri.authority.userinfo;
    // No other mechanism is in an address of the bridge's.
    let (mechanism, response) = match uri.query.auth_mechanism {
        Some(SASLMechanism::External) => ("EXTERNAL", String::new()),
        _ => ("PLAIN", format!("\0{}\0{}", user.username, user.password)),
    };
    connection::StartOk {
        client_properties: properties,
        mechanism: mechanism.into(),
        response: LongString::from(response),
        locale: "en_US".into(),
    }
}

/// The smaller of what both sides want. 0 means that a side has no wish.
fn tune(offered: &connection::Tune, uri: &AMQPUri) -> (Tuned, connection::TuneOk) {
    let smaller = |a: u32, b: u32| match (a, b) {
        (0, other) | (other, 0) => other,
        (a, b) => a.min(b),
    };
    let frame_max = smaller(offered.frame_max, uri.query.frame_max.unwrap_or(131_072));
    let heartbeat = uri.query.heartbeat.unwrap_or_default();
    let heartbeat = smaller(offered.heartbeat.into(), heartbeat.into());
    let heartbeat_secs = u16::try_from(heartbeat).unwrap_or(u16::MAX);
    let tuned = Tuned {
        frame_max,
        heartbeat_secs,
    };
    let answer = connection::TuneOk {
        channel_max: CHANNEL,
        frame_max,
        heartbeat: heartbeat_secs,
    };
    (tuned, answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::rabbitmq::uri::Uri;

    #[test]
    fn the_login_is_a_password_or_the_certificate_as_the_address_says() {
        let login = |text: &str| {
            let uri: Uri = text.parse().expect(text);
            let ok = start_ok(&uri.inner(), "");
            let response = ok.response.as_bytes().to_vec();
            (ok.mechanism.to_string(), response)
        };
        let plain = ("PLAIN".to_owned(), b"\0u\0p".to_vec());
        assert_eq!(login("amqp://u:p@b"), plain);
        let external = ("EXTERNAL".to_owned(), Vec::new());
        assert_eq!(login("amqps://b?auth_mechanism=external"), external);
    }
}
