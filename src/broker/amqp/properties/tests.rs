use super::super::properties_builder::PropertiesBuilder;
use super::*;

mod random;

fn parse(raw: &[u8]) -> Result<Properties, PropertiesError> {
    Properties::parse(Bytes::copy_from_slice(raw))
}

/// All 14 properties.
const ALL: &[u8] = b"\xff\xfc\x01a\x01b\0\0\0\x03\x01hV\x02\x03\x01c\x01d\x01e\x01f\
    \0\0\0\0\0\0\0\x09\x01g\x01h\x01i\x01j";

#[test]
fn each_property_is_found() {
    let all = parse(ALL).unwrap();
    assert_eq!(all.content_type(), Some(&b"a"[..]));
    assert_eq!(all.content_encoding(), Some(&b"b"[..]));
    assert_eq!(all.headers(), Some(&b"\x01hV"[..]));
    assert_eq!(all.header(b"h"), Some(Value::Void));
    assert_eq!(all.header(b"other"), None);
    assert_eq!(all.delivery_mode(), Some(2));
    assert_eq!(all.priority(), Some(3));
    assert_eq!(all.correlation_id(), Some(&b"c"[..]));
    assert_eq!(all.reply_to(), Some(&b"d"[..]));
    assert_eq!(all.expiration(), Some(&b"e"[..]));
    assert_eq!(all.message_id(), Some(&b"f"[..]));
    assert_eq!(all.timestamp(), Some(9));
    assert_eq!(all.kind(), Some(&b"g"[..]));
    assert_eq!(all.user_id(), Some(&b"h"[..]));
    assert_eq!(all.app_id(), Some(&b"i"[..]));
    assert_eq!(all.cluster_id(), Some(&b"j"[..]));
    assert_eq!(all.raw(), ALL);
    assert_eq!(all.detached(), all);
}

#[test]
fn a_property_that_was_not_sent_is_absent() {
    let none = Properties::default();
    assert_eq!(parse(b"\0\0"), Ok(none.clone()));
    assert_eq!(none.content_type(), None);
    assert_eq!(none.headers(), None);
    assert_eq!(none.header(b"h"), None);
    assert_eq!(none.delivery_mode(), None);
    assert_eq!(none.timestamp(), None);
    assert_eq!(none.cluster_id(), None);
    let last = parse(b"\0\x04\x02ab").unwrap();
    assert_eq!((last.app_id(), last.cluster_id()), (None, Some(&b"ab"[..])));
}

#[test]
fn text_needs_no_encoding() {
    let latin = parse(b"\x80\0\x02\xe4\xff").unwrap();
    assert_eq!(latin.content_type(), Some(&b"\xe4\xff"[..]));
}

#[test]
fn bytes_that_are_no_properties_are_refused() {
    let cases: [(&[u8], PropertiesError); 10] = [
        (b"", PropertiesError::Truncated),
        (b"\0", PropertiesError::Truncated),
        (b"\x80\0", PropertiesError::Truncated),
        (b"\x80\0\x02a", PropertiesError::Truncated),
        (b"\x00\x40\0\0\0\0\0\0\0", PropertiesError::Truncated),
        (b"\x20\0\xff\xff\xff\xff", PropertiesError::Truncated),
        (
            b"\x20\0\0\0\0\x02\0Z",
            PropertiesError::Headers(TableError::UnknownType(b'Z')),
        ),
        (b"\0\x01\0\0", PropertiesError::UnknownFlags(1)),
        (b"\0\x02", PropertiesError::UnknownFlags(2)),
        (b"\x80\0\x01ab", PropertiesError::Trailing(1)),
    ];
    for (raw, error) in cases {
        assert_eq!(parse(raw), Err(error), "{raw:?}");
    }
    for length in 0..ALL.len() {
        assert_eq!(parse(&ALL[..length]), Err(PropertiesError::Truncated));
    }
}

#[test]
fn headers_with_too_many_levels_are_refused() {
    let mut array = b"V".to_vec();
    for _ in 0..2_000 {
        let length = u32::try_from(array.len()).unwrap();
        array = [b"A", &length.to_be_bytes()[..], &array].concat();
    }
    let headers = TableBuilder::new().raw("n", &array).finish().unwrap();
    let refused = PropertiesBuilder::new().headers(headers).finish();
    assert_eq!(refused, Err(PropertiesError::Headers(TableError::TooDeep)));
}

#[test]
fn a_header_is_added_where_there_are_none() {
    let cases: [(&[u8], &[u8]); 3] = [
        (b"\0\0", b"\x20\0\0\0\0\x0b\x01nl\0\0\0\0\0\0\0\x07"),
        (
            b"\x80\0\x01a",
            b"\xa0\0\x01a\0\0\0\x0b\x01nl\0\0\0\0\0\0\0\x07",
        ),
        (
            b"\x18\0\x02\x05",
            b"\x38\0\0\0\0\x0b\x01nl\0\0\0\0\0\0\0\x07\x02\x05",
        ),
    ];
    for (raw, with) in cases {
        assert_eq!(parse(raw).unwrap().with_header("n", 7).unwrap().raw(), with);
    }
}

#[test]
fn a_header_replaces_all_of_its_name_and_leaves_the_others() {
    let headers = TableBuilder::new()
        .text("count", "many")
        .raw("list", b"A\0\0\0\x02t\x01")
        .integer("count", 3)
        .integer("counter", 5)
        .finish();
    let before = PropertiesBuilder::new()
        .headers(headers.unwrap())
        .kind("task")
        .content_type("text/plain")
        .finish()
        .unwrap();
    let after = before.with_header("count", -2).unwrap();
    let read: Vec<_> = table::entries(after.headers().unwrap())
        .map(Result::unwrap)
        .collect();
    let expected: [(&[u8], Value<'_>); 3] = [
        (b"list", Value::Other(b"A\0\0\0\x02t\x01")),
        (b"counter", Value::Integer(5)),
        (b"count", Value::Integer(-2)),
    ];
    assert_eq!(read, expected);
    assert_eq!(after.kind(), Some(&b"task"[..]));
    assert_eq!(after.content_type(), Some(&b"text/plain"[..]));
    assert_eq!(parse(after.raw()), Ok(after));
    assert_eq!(
        before.with_header(&"n".repeat(256), 1),
        Err(PropertiesError::Headers(TableError::TooLong))
    );
}

#[test]
fn another_reply_address_leaves_the_other_properties_as_they_were() {
    let all = parse(ALL).unwrap().with_reply_to("longer").unwrap();
    assert_eq!(all.reply_to(), Some(&b"longer"[..]));
    assert_eq!(all.with_reply_to("d").unwrap().raw(), ALL);
    let none = Properties::default().with_reply_to("x").unwrap();
    assert_eq!(none.raw(), &b"\x02\0\x01x"[..]);
    let long = "x".repeat(256);
    assert_eq!(none.with_reply_to(&long), Err(PropertiesError::TooLong));
}
