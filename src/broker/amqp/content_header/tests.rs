use super::super::frame::{Frame, decode};
use super::super::properties_builder::PropertiesBuilder;
use super::super::{table::Value, table_builder::TableBuilder};
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Result<ContentHeader, ContentHeaderError> {
    ContentHeader::decode(&Bytes::copy_from_slice(bytes))
}

fn written(header: &ContentHeader) -> Frame {
    let mut out = BytesMut::new();
    header.encode(9, &mut out).unwrap();
    let frame = decode(&mut out, u32::MAX).unwrap().unwrap();
    assert!(out.is_empty());
    frame
}

#[test]
fn a_content_header_is_written_as_the_protocol_says() {
    let properties = PropertiesBuilder::new().delivery_mode(2).finish().unwrap();
    let frame = written(&ContentHeader::new(5, properties));
    assert_eq!((frame.kind, frame.channel), (Kind::Header, 9));
    assert_eq!(
        &frame.payload[..],
        b"\0\x3c\0\0\0\0\0\0\0\0\0\x05\x10\0\x02"
    );
}

#[test]
fn bytes_that_are_no_content_header_are_refused() {
    let cases: [(&[u8], ContentHeaderError); 6] = [
        (b"", ContentHeaderError::Truncated(0)),
        (
            b"\0\x3c\0\0\0\0\0\0\0\0\0",
            ContentHeaderError::Truncated(11),
        ),
        (
            b"\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0",
            ContentHeaderError::Class(10),
        ),
        (
            b"\0\x3c\0\x01\0\0\0\0\0\0\0\0\0\0",
            ContentHeaderError::Weight(1),
        ),
        (
            b"\0\x3c\0\0\0\0\0\0\0\0\0\0",
            ContentHeaderError::Properties(PropertiesError::Truncated),
        ),
        (
            b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0\0a",
            ContentHeaderError::Properties(PropertiesError::Trailing(1)),
        ),
    ];
    for (bytes, error) in cases {
        assert_eq!(read(bytes), Err(error), "{bytes:?}");
    }
}

#[test]
fn headers_are_nested_to_any_depth_and_stay_as_they_were_sent() {
    let mut array = b"V".to_vec();
    for _ in 0..2_000 {
        let length = u32::try_from(array.len()).unwrap();
        array = [b"A", &length.to_be_bytes()[..], &array].concat();
    }
    let headers = TableBuilder::new().raw("n", &array).text("shop", "A1");
    let headers = headers.finish().unwrap();
    let payload = [b"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0", &headers[..]].concat();
    let header = read(&payload).unwrap();
    assert_eq!(header.properties.header(b"shop"), Some(Value::Text(b"A1")));
    assert_eq!(written(&header).payload, payload);
}

#[test]
fn a_body_of_any_size_can_be_announced() {
    let header = read(b"\0\x3c\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0").unwrap();
    assert_eq!(header, ContentHeader::new(u64::MAX, Properties::default()));
}

proptest! {
    #[test]
    fn a_content_header_is_read_as_it_was_written(body_size: u64, kind in option(), priority: u8) {
        let builder = PropertiesBuilder::new().priority(priority);
        let builder = kind.into_iter().fold(builder, PropertiesBuilder::kind);
        let header = ContentHeader::new(body_size, builder.finish().unwrap());
        let payload = written(&header).payload;
        prop_assert_eq!(payload.len(), header.payload_length());
        prop_assert_eq!(read(&payload), Ok(header));
    }

    #[test]
    fn random_bytes_never_panic_and_are_passed_on_verbatim(tail in vec(any::<u8>(), 0..80), basic: bool) {
        let fixed: &[u8] = if basic { b"\0\x3c\0\0" } else { b"" };
        let bytes = [fixed, &tail].concat();
        if let Ok(header) = read(&bytes) {
            prop_assert_eq!(written(&header).payload, bytes);
        }
    }
}

fn option() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[a-z]{0,40}")
}
