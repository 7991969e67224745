//! What the bridge reads of a worker's message, whichever broker brought it.

use super::{
    amqp::{
        properties::Properties,
        table::{self, Value},
    },
    inbound::{Delivery, Receipt},
    names::{PARKED_AS, PARKED_AT, PARKED_BECAUSE, PARKED_QUEUES, PARKED_ROUTE},
};
use crate::{
    task::HeaderValue,
    util::{
        crash_point::{CrashPoint, crash_point_over},
        supervise::{Panicked, catch},
    },
};
use tracing::error;

/// Maximum number of headers that are kept. A header of one byte takes many bytes of memory.
const MAX_HEADERS: usize = 256;

/// The headers that mean something to the bridge. They are kept in any case.
const KNOWN_HEADERS: [&[u8]; 9] = [
    b"correlation-id",
    b"reply-type",
    b"reason",
    b"error",
    PARKED_BECAUSE.as_bytes(),
    PARKED_AT.as_bytes(),
    PARKED_AS.as_bytes(),
    PARKED_ROUTE.as_bytes(),
    PARKED_QUEUES.as_bytes(),
];

/// A worker's message in the bridge's terms, and what else is read of it. Bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
///
/// Reading it panicked. The error is the message without what can't be read. Otherwise the broker would deliver it to one process
/// after another, and each would panic.
#[expect(
    clippy::result_large_err,
    reason = "the error is as large as the value"
)]
pub(super) fn delivery<T>(
    properties: &Properties,
    body: Vec<u8>,
    receipt: Receipt,
    more: impl FnOnce() -> T,
) -> Result<(Delivery, T), Delivery> {
    let read = catch(|| {
        crash_point_over(CrashPoint::OnRead, &body);
        let delivery = Delivery {
            headers: headers(properties.headers().unwrap_or_default()),
            ..without_headers(properties)
        };
        (delivery.or_from_headers(), more())
    });
    match read {
        Ok((delivery, more)) => {
            let delivery = Delivery {
                body,
                receipt,
                ..delivery
            };
            Ok((delivery, more))
        }
        Err(Panicked) => {
            error!("reading a reply panicked; this is a bug of activity-bridge");
            let rest = catch(|| without_headers(properties));
            Err(Delivery {
                body,
                may_be_copied: false,
                receipt,
                ..rest.unwrap_or_else(|Panicked| Delivery::empty())
            })
        }
    }
}

/// The properties of a message, without its headers and its body.
fn without_headers(properties: &Properties) -> Delivery {
    Delivery {
        correlation_id: properties.correlation_id().map(lossy),
        kind: properties.kind().map(lossy),
        reply_to: properties.reply_to().map(lossy),
        content_type: properties.content_type().map(lossy),
        may_be_copied: true,
        ..Delivery::empty()
    }
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A floating-point number, as a text.
fn float(raw: &[u8]) -> Option<String> {
    match raw.split_first()? {
        (b'f', bytes) => Some(f32::from_be_bytes(bytes.try_into().ok()?).to_string()),
        (b'd', bytes) => Some(f64::from_be_bytes(bytes.try_into().ok()?).to_string()),
        _ => None,
    }
}

/// The headers that the bridge can read: texts and numbers. A header that is there several times counts once for those that are
/// kept in any case.
fn headers(table: &[u8]) -> Vec<(String, HeaderValue)> {
    let mut headers: Vec<(String, HeaderValue)> = Vec::new();
    let mut known = [false; KNOWN_HEADERS.len()];
    for (name, value) in table::entries(table).map_while(Result::ok) {
        let value = match value {
            Value::Text(text) => HeaderValue::Text(lossy(text)),
            Value::Integer(number) => HeaderValue::Integer(number),
            Value::Bool(flag) => HeaderValue::Text(flag.to_string()),
            Value::Other(raw) => match float(raw) {
                Some(text) => HeaderValue::Text(text),
                None => continue,
            },
            Value::Void => continue,
        };
        let is_first = KNOWN_HEADERS
            .iter()
            .position(|known| *known == name)
            .is_some_and(|at| !std::mem::replace(&mut known[at], true));
        if is_first || headers.len() < MAX_HEADERS {
            headers.push((lossy(name), value));
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::amqp::table_builder::TableBuilder;

    #[test]
    fn of_many_headers_a_few_are_kept_and_those_that_mean_something() {
        let mut table = TableBuilder::new();
        for number in 0..10_000 {
            table = table.integer(format!("n{number}"), 1);
        }
        for _ in 0..10 {
            table = table.text("reason", "no money");
        }
        let table = table.finish().expect("a table");
        // Its length comes first.
        let headers = headers(&table[4..]);
        assert_eq!(headers.len(), MAX_HEADERS + 1);
        let (name, value) = headers.last().expect("headers");
        assert_eq!(name, "reason");
        assert_eq!(*value, HeaderValue::Text("no money".to_owned()));
    }
}
