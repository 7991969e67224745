//! Random and changed bytes, and another implementation on the same bytes.

use super::*;
use amq_protocol::frame::WriteContext;
use amq_protocol::protocol::basic::{AMQPProperties, gen_properties, parse_properties};
use amq_protocol::types::{AMQPValue, FieldTable, LongString, ShortString};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn other_reader(raw: &[u8]) -> Option<AMQPProperties> {
    match parse_properties(raw) {
        Ok(([], properties)) => Some(properties),
        _ => None,
    }
}

/// Properties as another implementation writes them.
fn other_properties() -> impl Strategy<Value = AMQPProperties> {
    let header = ("[a-f]{0,3}", vec(any::<u8>(), 0..5));
    let numbers = (
        option::of(any::<u8>()),
        option::of(any::<u8>()),
        option::of(any::<u64>()),
    );
    let texts = vec(option::of("[a-zü]{0,20}"), 10);
    (texts, option::of(vec(header, 0..4)), numbers).prop_map(|(texts, headers, numbers)| {
        let mut out = AMQPProperties::default();
        let setters: [fn(AMQPProperties, ShortString) -> AMQPProperties; 10] = [
            AMQPProperties::with_content_type,
            AMQPProperties::with_content_encoding,
            AMQPProperties::with_correlation_id,
            AMQPProperties::with_reply_to,
            AMQPProperties::with_expiration,
            AMQPProperties::with_message_id,
            AMQPProperties::with_type,
            AMQPProperties::with_user_id,
            AMQPProperties::with_app_id,
            AMQPProperties::with_cluster_id,
        ];
        for (set, text) in setters.into_iter().zip(texts) {
            out = text
                .into_iter()
                .fold(out, |out, text| set(out, text.into()));
        }
        if let Some(headers) = headers {
            let mut table = FieldTable::default();
            for (name, value) in headers {
                table.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
            }
            out = out.with_headers(table);
        }
        let (mode, priority, timestamp) = numbers;
        out = mode
            .into_iter()
            .fold(out, AMQPProperties::with_delivery_mode);
        out = priority
            .into_iter()
            .fold(out, AMQPProperties::with_priority);
        timestamp
            .into_iter()
            .fold(out, AMQPProperties::with_timestamp)
    })
}

fn written(properties: &AMQPProperties) -> Vec<u8> {
    let out = WriteContext::from(Vec::new());
    gen_properties(properties)(out).unwrap().into_inner().0
}

/// Both readings agree on all 14 properties; on the headers, in their number.
fn assert_agree(ours: &Properties, other: &AMQPProperties) {
    let texts = [
        (ours.content_type(), other.content_type()),
        (ours.content_encoding(), other.content_encoding()),
        (ours.correlation_id(), other.correlation_id()),
        (ours.reply_to(), other.reply_to()),
        (ours.expiration(), other.expiration()),
        (ours.message_id(), other.message_id()),
        (ours.kind(), other.kind()),
        (ours.user_id(), other.user_id()),
        (ours.app_id(), other.app_id()),
        (ours.cluster_id(), other.cluster_id()),
    ];
    for (ours, other) in texts {
        assert_eq!(ours, other.as_ref().map(|text| text.as_str().as_bytes()));
    }
    assert_eq!(ours.delivery_mode(), *other.delivery_mode());
    assert_eq!(ours.priority(), *other.priority());
    assert_eq!(ours.timestamp(), *other.timestamp());
    assert_eq!(ours.headers().is_some(), other.headers().is_some());
    for (name, _) in other.headers().iter().flatten() {
        assert!(ours.header(name.as_str().as_bytes()).is_some());
    }
}

proptest! {
    #[test]
    fn properties_are_read_as_another_implementation_wrote_them(other in other_properties()) {
        let raw = written(&other);
        let ours = parse(&raw).unwrap();
        prop_assert_eq!(ours.raw(), &raw);
        assert_agree(&ours, &other);
    }

    #[test]
    fn changed_properties_are_refused_where_another_implementation_refuses_them(
        other in other_properties(), changes in vec((any::<usize>(), any::<u8>()), 1..4), cut in 0_usize..3,
    ) {
        let mut raw = written(&other);
        for (at, octet) in changes {
            let at = at % raw.len();
            raw[at] = octet;
        }
        raw.truncate(raw.len() - cut);
        let flags = u16::from_be_bytes(raw.first_chunk().copied().unwrap_or_default());
        match (parse(&raw), other_reader(&raw)) {
            (Ok(ours), Some(other)) => assert_agree(&ours, &other),
            // The other implementation refuses text that is not UTF-8.
            (Ok(_), None) => prop_assert!(std::str::from_utf8(&raw).is_err()),
            // It knows nothing of flags without a property.
            (Err(_), other) => prop_assert!(other.is_none() || flags & UNKNOWN_FLAGS != 0),
        }
    }

    #[test]
    fn a_header_changes_nothing_else(other in other_properties(), value: i64) {
        let with = parse(&written(&other)).unwrap().with_header("a", value).unwrap();
        prop_assert_eq!(with.header(b"a"), Some(Value::Integer(value)));
        let mut headers = other.headers().clone().unwrap_or_default();
        headers.insert("a".into(), AMQPValue::LongLongInt(value));
        let expected = other.with_headers(headers);
        prop_assert_eq!(other_reader(with.raw()), Some(expected));
    }

    #[test]
    fn random_bytes_never_panic(raw in vec(any::<u8>(), 0..200), name in "[a-z]{0,3}") {
        if let Ok(properties) = parse(&raw) {
            prop_assert_eq!(properties.raw(), &raw);
            let with = properties.with_header(&name, 1).unwrap();
            prop_assert_eq!(with.header(name.as_bytes()), Some(Value::Integer(1)));
        }
    }
}
