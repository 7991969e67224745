use super::super::frame;
use super::super::table::MAX_DEPTH;
use super::*;
use amq_protocol::types::{AMQPValue, FieldArray, FieldTable};
use proptest::collection::vec;
use proptest::prelude::*;
use samples::{samples, table, with_table};

mod samples;

/// A table with a value of `levels` levels, the table included.
fn nested(levels: usize) -> FieldTable {
    let mut value = AMQPValue::Void;
    for _ in 1..levels {
        value = AMQPValue::FieldArray(FieldArray::from(vec![value]));
    }
    table(value)
}

/// The payload of the one frame that `method` makes.
fn written(method: &AMQPClass) -> Bytes {
    let mut out = BytesMut::new();
    encode(method, 3, &mut out).unwrap();
    let frame = frame::decode(&mut out, u32::MAX).unwrap().unwrap();
    assert_eq!((frame.kind, frame.channel, out.len()), (Kind::Method, 3, 0));
    frame.payload
}

fn ids(method: &AMQPClass) -> (u16, u16) {
    (method.get_amqp_class_id(), method.get_amqp_method_id())
}

#[test]
fn a_method_is_read_as_it_was_written() {
    for method in samples() {
        assert_eq!(decode(&written(&method)), Ok(method));
    }
}

#[test]
fn a_method_that_ends_early_or_late_is_malformed() {
    for sample in samples() {
        let payload = written(&sample);
        let (class, method) = ids(&sample);
        for length in 0..4 {
            let error = MethodError::Truncated(length);
            assert_eq!(decode(&payload.slice(..length)), Err(error));
        }
        for length in 4..payload.len() {
            let error = decode(&payload.slice(..length)).unwrap_err();
            assert!(matches!(
                error,
                MethodError::Malformed { .. } | MethodError::Table { .. }
            ));
            assert_eq!(error.ids(), Some((class, method)));
        }
        let longer = Bytes::from([&payload[..], b"\0"].concat());
        assert_eq!(
            decode(&longer),
            Err(MethodError::Malformed { class, method })
        );
    }
}

#[test]
fn a_table_with_32_levels_is_taken_on_a_stack_of_a_megabyte() {
    let thread = std::thread::Builder::new().stack_size(1_024 * 1_024);
    let decoded = thread.spawn(|| {
        for method in with_table(&nested(MAX_DEPTH)) {
            assert_eq!(decode(&written(&method)), Ok(method));
        }
    });
    decoded.unwrap().join().unwrap();
}

#[test]
fn a_table_with_more_levels_is_refused_in_every_method_before_it_is_parsed() {
    for sample in with_table(&nested(MAX_DEPTH + 1)) {
        let (class, method) = ids(&sample);
        let error = TableError::TooDeep;
        let error = MethodError::Table {
            class,
            method,
            error,
        };
        assert_eq!(decode(&written(&sample)), Err(error));
    }
}

/// A valid `connection.start-ok` but for the value in its table.
fn start_ok(value: &[u8]) -> Bytes {
    let content = [b"\x01n", value].concat();
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let after: &[u8] = b"\x05PLAIN\0\0\0\0\x05en_US";
    Bytes::from([b"\0\x0a\0\x0b", &length[..], &content, after].concat())
}

#[test]
fn two_thousand_levels_before_the_login_are_refused_on_a_small_stack() {
    let thread = std::thread::Builder::new().stack_size(128 * 1_024);
    let refused = thread.spawn(|| {
        let mut value = b"V".to_vec();
        for _ in 0..2_500 {
            let length = u32::try_from(value.len()).unwrap().to_be_bytes();
            value = [b"A", &length[..], &value].concat();
        }
        decode(&start_ok(&value)).map_err(|error| error.to_string())
    });
    let text = "method 11 of class 10 is malformed: a table has more than 32 levels";
    assert_eq!(refused.unwrap().join().unwrap(), Err(text.to_owned()));
}

#[test]
fn a_table_with_more_values_than_any_client_sends_is_refused() {
    let array = |length: usize| {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        start_ok(&[b"A", &size[..], &b"V".repeat(length)].concat())
    };
    assert!(decode(&array(MAX_VALUES - 1)).is_ok());
    let error = TableError::TooMany(MAX_VALUES);
    let (class, method) = (10, 11);
    let refused = MethodError::Table {
        class,
        method,
        error,
    };
    assert_eq!(decode(&array(MAX_VALUES)), Err(refused));
}

#[test]
fn a_short_string_that_is_not_utf8_is_malformed() {
    let class = 60;
    // basic.publish with a routing key, basic.consume with the name of an argument.
    let publish = Bytes::from_static(b"\0\x3c\0\x28\0\0\0\x01\xff\0");
    assert_eq!(
        decode(&publish),
        Err(MethodError::Malformed { class, method: 40 })
    );
    let consume = Bytes::from_static(b"\0\x3c\0\x14\0\0\x01q\0\0\0\0\0\x03\x01\xffV");
    assert_eq!(
        decode(&consume),
        Err(MethodError::Malformed { class, method: 20 })
    );
}

#[test]
fn a_method_that_does_not_exist_is_unknown_whatever_follows() {
    for (class, method) in [
        (60, 41),
        (60, 0),
        (10, 12),
        (61, 10),
        (0, 0),
        (0xffff, 0xffff),
    ] {
        for arguments in [&b""[..], &[0; 20]] {
            let payload = [
                &u16::to_be_bytes(class)[..],
                &u16::to_be_bytes(method),
                arguments,
            ]
            .concat();
            let error = MethodError::Unknown { class, method };
            assert_eq!(decode(&Bytes::from(payload)), Err(error));
        }
    }
}

#[test]
fn every_method_with_a_table_is_known_here() {
    let mut with_tables = Vec::new();
    let mut known = 0;
    for (class, method) in
        (0..=120_u16).flat_map(|class| (0..=130_u16).map(move |method| (class, method)))
    {
        let ids = [class.to_be_bytes(), method.to_be_bytes()].concat();
        let zeros = |length| Bytes::from([&ids[..], &vec![0; length]].concat());
        if !is_known([ids[0], ids[1], ids[2], ids[3]]) {
            let unknown = Err(MethodError::Unknown { class, method });
            assert_eq!(
                (decode(&zeros(0)), decode(&zeros(20))),
                (unknown.clone(), unknown)
            );
            continue;
        }
        // Zeros are empty strings and tables, so some number of them is a valid method.
        let parsed = (0..40)
            .find_map(|length| decode(&zeros(length)).ok())
            .unwrap();
        known += 1;
        let has_table = format!("{parsed:?}").contains("FieldTable");
        assert_eq!(
            before_table(class, method).is_some(),
            has_table,
            "{parsed:?}"
        );
        if has_table {
            with_tables.push((class, method));
        }
    }
    let tested: Vec<_> = with_table(&FieldTable::default()).iter().map(ids).collect();
    assert_eq!(with_tables, tested);
    // All methods of the protocol and of RabbitMQ's extensions to it.
    assert_eq!(known, 66);
}

#[test]
fn a_long_text_is_cut_between_characters() {
    assert_eq!(short_string("short").as_str(), "short");
    assert_eq!(short_string(&"a".repeat(300)).as_str(), "a".repeat(255));
    assert_eq!(short_string(&"ü".repeat(200)).as_str(), "ü".repeat(127));
}

proptest! {
    #[test]
    fn a_changed_method_is_refused_or_read_and_never_a_panic(
        at in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        tail in vec(any::<u8>(), 0..4),
    ) {
        let mut payload = written(at.get(&samples())).to_vec();
        for (at, octet) in changes {
            let at = at.index(payload.len());
            payload[at] = octet;
        }
        payload.extend(tail);
        if let Ok(method) = decode(&Bytes::from(payload)) {
            let again = written(&method);
            // Written twice, for a float that is no number equals nothing.
            prop_assert_eq!(decode(&again).map(|method| written(&method)), Ok(again));
        }
    }

    #[test]
    fn random_arguments_never_panic(at in any::<prop::sample::Index>(), arguments in vec(any::<u8>(), 0..100)) {
        let sample = written(at.get(&samples()));
        let _ = decode(&Bytes::from([&sample[..4], &arguments].concat()));
        let _ = decode(&Bytes::from(arguments));
    }
}
