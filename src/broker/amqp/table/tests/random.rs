//! Random and changed bytes, and another implementation on the same bytes.

use super::*;
use amq_protocol::frame::WriteContext;
use amq_protocol::types::generation::gen_field_table;
use amq_protocol::types::parsing::parse_field_table;
use amq_protocol::types::{AMQPValue, DecimalValue, FieldTable, ShortString};
use proptest::collection::vec;
use proptest::prelude::*;

/// Any value that can stand in a table, with a few levels.
fn value() -> impl Strategy<Value = AMQPValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i8>().prop_map(AMQPValue::ShortShortInt),
        any::<u8>().prop_map(AMQPValue::ShortShortUInt),
        any::<i16>().prop_map(AMQPValue::ShortInt),
        any::<u16>().prop_map(AMQPValue::ShortUInt),
        any::<i32>().prop_map(AMQPValue::LongInt),
        any::<u32>().prop_map(AMQPValue::LongUInt),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        any::<f64>().prop_map(AMQPValue::Double),
        any::<f32>().prop_map(AMQPValue::Float),
        (any::<u8>(), any::<u32>())
            .prop_map(|(scale, value)| AMQPValue::DecimalValue(DecimalValue { scale, value })),
        vec(any::<u8>(), 0..20).prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        vec(any::<u8>(), 0..20).prop_map(|bytes| AMQPValue::ByteArray(bytes.into())),
        Just(AMQPValue::Void),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| AMQPValue::FieldArray(values.into())),
            named(inner).prop_map(AMQPValue::FieldTable),
        ]
    })
}

fn named(value: impl Strategy<Value = AMQPValue>) -> impl Strategy<Value = FieldTable> {
    vec(("[a-zü-]{0,12}", value), 0..5).prop_map(|entries| {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert(ShortString::from(name), value);
        }
        table
    })
}

fn written(table: &FieldTable) -> Vec<u8> {
    let out = WriteContext::from(Vec::new());
    gen_field_table(table)(out).unwrap().into_inner().0
}

/// How another reader understands the same value.
fn agrees(value: Value<'_>, other: &AMQPValue) -> bool {
    match (value, other) {
        (Value::Bool(a), AMQPValue::Boolean(b)) => a == *b,
        (Value::Integer(a), AMQPValue::ShortShortInt(b)) => a == i64::from(*b),
        (Value::Integer(a), AMQPValue::ShortShortUInt(b)) => a == i64::from(*b),
        (Value::Integer(a), AMQPValue::ShortInt(b)) => a == i64::from(*b),
        (Value::Integer(a), AMQPValue::ShortUInt(b)) => a == i64::from(*b),
        (Value::Integer(a), AMQPValue::LongInt(b)) => a == i64::from(*b),
        (Value::Integer(a), AMQPValue::LongUInt(b)) => a == i64::from(*b),
        (Value::Integer(a), AMQPValue::LongLongInt(b)) => a == *b,
        (Value::Integer(a), AMQPValue::Timestamp(b)) => a == b.cast_signed(),
        (Value::Text(a), AMQPValue::LongString(b)) => a == b.as_bytes(),
        (Value::Text(a), AMQPValue::ByteArray(b)) => a == b.as_slice(),
        (Value::Void, AMQPValue::Void) => true,
        (Value::Other(raw), other) => raw.first() == Some(&(other.get_type().get_id() as u8)),
        _ => false,
    }
}

proptest! {
    #[test]
    fn a_valid_table_is_read_as_another_implementation_wrote_it(table in named(value())) {
        let bytes = written(&table);
        prop_assert_eq!(check(&bytes), Ok(bytes.len()));
        let read: Vec<_> = entries(&bytes[4..]).map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), table.inner().len());
        for ((name, value), (other_name, other)) in read.into_iter().zip(&table) {
            prop_assert_eq!(name, other_name.as_str().as_bytes());
            prop_assert!(agrees(value, other), "{:?} {:?}", value, other);
        }
    }

    #[test]
    fn a_changed_table_is_refused_where_another_implementation_refuses_it(
        table in named(value()), changes in vec((any::<usize>(), any::<u8>()), 1..4), cut in 0_usize..4,
    ) {
        let mut bytes = written(&table);
        for (at, octet) in changes {
            let at = at % bytes.len();
            bytes[at] = octet;
        }
        bytes.truncate(bytes.len() - cut);
        let length = check(&bytes);
        match (length, parse_field_table(&bytes[..])) {
            (Ok(length), Ok((rest, _))) => prop_assert_eq!(length, bytes.len() - rest.len()),
            // The other implementation refuses names that are not UTF-8.
            (Ok(_), Err(_)) => prop_assert!(std::str::from_utf8(&bytes).is_err()),
            (Err(_), other) => prop_assert!(other.is_err()),
        }
    }

    #[test]
    fn random_bytes_never_panic(content in vec(any::<u8>(), 0..300)) {
        let bytes = table(&content);
        let checked = check(&bytes);
        let walked = entries(&content).collect::<Result<Vec<_>, _>>();
        prop_assert!(checked.is_err() || walked.is_ok());
        let _ = check(&content);
    }

    #[test]
    fn random_nesting_never_panics(octets in vec(prop::sample::select(&b"\0\0\0\x01\x05FAVSt"[..]), 0..300)) {
        let bytes = table(&octets);
        let (checked, outer) = (check(&bytes), check_outer(&bytes));
        prop_assert!(outer == checked || checked == Err(TableError::TooDeep));
        prop_assert!(checked.is_ok() || parse_field_table(&bytes[..]).is_err());
    }
}
