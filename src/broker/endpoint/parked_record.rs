//! The form of a parked message in the file: a version, the length of the properties, the properties, the body. Pure.

use super::{message::Message, properties::Properties};
use crate::broker::names::PARKING_QUEUE;
use bytes::Bytes;

/// The first byte of a record.
const VERSION: u8 = 1;

/// The length of what stands before the properties.
const HEAD: usize = 5;

/// The record of a message.
pub(super) fn encode(message: &Message) -> Vec<u8> {
    let properties = message.properties.raw();
    // No message has so many properties; its frame bounds them.
    let length = u32::try_from(properties.len()).unwrap_or(u32::MAX);
    let mut record = Vec::with_capacity(HEAD + properties.len() + message.body.len());
    record.push(VERSION);
    record.extend(length.to_be_bytes());
    record.extend_from_slice(properties);
    record.extend_from_slice(&message.body);
    record
}

/// The message of a record, or what is wrong with it.
pub(super) fn decode(record: &[u8]) -> Result<Message, String> {
    let (head, rest) = record
        .split_first_chunk::<HEAD>()
        .ok_or("it is too short")?;
    let [version, length @ ..] = *head;
    if version != VERSION {
        return Err(format!("its version is {version}"));
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    let (properties, body) = rest
        .split_at_checked(length)
        .ok_or("its properties are cut off")?;
    let properties = Properties::parse(Bytes::copy_from_slice(properties));
    Ok(Message {
        exchange: "".into(),
        routing_key: PARKING_QUEUE.into(),
        properties: properties.map_err(|error| error.to_string())?,
        body: Bytes::copy_from_slice(body),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::broker::endpoint::properties_builder::PropertiesBuilder;
    use proptest::prelude::*;

    /// A message with this type and body.
    pub(in crate::broker::endpoint) fn message(kind: &str, body: &[u8]) -> Message {
        let properties = PropertiesBuilder::new().kind(kind).finish();
        Message {
            exchange: "".into(),
            routing_key: PARKING_QUEUE.into(),
            properties: properties.expect("properties"),
            body: Bytes::copy_from_slice(body),
        }
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(kind in "[a-z]{0,255}", body in any::<Vec<u8>>()) {
            let written = message(&kind, &body);
            let read = decode(&encode(&written)).expect("a record");
            prop_assert_eq!(read.properties, written.properties);
            prop_assert_eq!(read.body, written.body);
            prop_assert_eq!(&*read.routing_key, PARKING_QUEUE);
        }

        #[test]
        fn whatever_else_is_there_is_no_panic(mut record in any::<Vec<u8>>(), known in any::<bool>()) {
            if let Some(version) = record.first_mut().filter(|_| known) {
                *version = VERSION;
            }
            drop(decode(&record));
        }
    }

    #[test]
    fn what_is_wrong_with_a_record_is_said() {
        let good = encode(&message("completed", b"7"));
        for (record, wrong) in [
            (&good[..3], "it is too short"),
            (&good[..9], "its properties are cut off"),
            (&[9, 0, 0, 0, 0, 0, 0][..], "its version is 9"),
            (&[1, 0, 0, 0, 1, 0, 0][..], "the properties end too early"),
        ] {
            assert_eq!(decode(record).expect_err(wrong), wrong);
        }
    }
}
