//! The codec on any bytes: frames, methods, content headers, properties, tables.

use crate::broker::endpoint::{
    content_header::ContentHeader,
    frame::{self, Frame, FrameError, Kind},
    handshake::{FIRST_FRAME_MAX, FRAME_MAX},
    method,
    properties::Properties,
    table::{self, TableError, Value},
};
use amq_protocol::{protocol::basic::parse_properties, types::parsing::parse_field_table};
use bytes::{Bytes, BytesMut};

/// Reads the bytes as frames, and as each thing that a frame can carry.
///
/// What is read and written again is the same. What is refused is refused for its reason. Where another implementation
/// can be asked without a risk, it agrees.
///
/// # Panics
///
/// When something does not hold.
pub fn codec(bytes: &[u8]) {
    for frame_max in [FIRST_FRAME_MAX, FRAME_MAX] {
        frames(bytes, frame_max);
    }
    payload(&Bytes::copy_from_slice(bytes));
}

fn frames(bytes: &[u8], frame_max: u32) {
    let mut buffer = BytesMut::from(bytes);
    let mut again = BytesMut::new();
    let ended = loop {
        match frame::decode(&mut buffer, frame_max) {
            Ok(Some(frame)) => {
                assert!(frame::fits(frame.payload.len(), frame_max));
                let parts: [&[u8]; 1] = [&frame.payload];
                frame::encode(&mut again, frame.kind, frame.channel, &parts).expect("short");
                if frame.kind != Kind::Heartbeat {
                    payload(&frame.payload);
                }
            }
            other => break other,
        }
    };
    assert!(bytes.starts_with(&again), "frames are written as they were");
    assert_eq!(bytes.len(), again.len() + buffer.len());
    match &ended {
        Err(error) => assert!(is_right(error, &buffer, frame_max), "{error}"),
        // A frame that is awaited will be within its bound.
        _ => assert!(buffer.len() < frame_max as usize),
    }
    one_by_one(bytes, frame_max, &ended);
}

/// Whether bytes are refused for what they are.
fn is_right(error: &FrameError, bytes: &[u8], frame_max: u32) -> bool {
    let size = || {
        let size = bytes.get(3..7).and_then(|size| size.first_chunk());
        size.map_or(0, |size| u32::from_be_bytes(*size) as usize)
    };
    match *error {
        FrameError::UnknownKind(octet) => bytes[0] == octet && ![1, 2, 3, 8].contains(&octet),
        FrameError::TooLarge { payload, .. } => {
            payload == size() && payload + frame::OVERHEAD > frame_max as usize
        }
        FrameError::End(octet) => octet != 0xCE && bytes[7 + size()] == octet,
        FrameError::Heartbeat { channel, payload } => {
            bytes[0] == 8 && payload == size() && (channel, payload) != (0, 0)
        }
    }
}

/// The same frames come out, and the same error, if the bytes come in small parts.
fn one_by_one(bytes: &[u8], frame_max: u32, expected: &Result<Option<Frame>, FrameError>) {
    let (mut at_once, mut buffer) = (BytesMut::from(bytes), BytesMut::new());
    for part in bytes.chunks(5) {
        buffer.extend_from_slice(part);
        loop {
            match frame::decode(&mut buffer, frame_max) {
                Ok(Some(frame)) => {
                    assert_eq!(frame::decode(&mut at_once, frame_max), Ok(Some(frame)));
                }
                Ok(None) => break,
                Err(error) => return assert_eq!(expected, &Err(error)),
            }
        }
    }
    assert_eq!(expected, &Ok(None));
}

/// What a frame carries.
fn payload(bytes: &Bytes) {
    if let Ok(read) = method::decode(bytes) {
        let again = method_again(&read);
        let read = method::decode(&again).expect("a method");
        // Written twice, for a float that is no number equals nothing.
        assert_eq!(method_again(&read), again);
    }
    if let Ok(header) = ContentHeader::decode(bytes) {
        let mut out = BytesMut::new();
        header.encode(1, &mut out).expect("short");
        let frame = frame::decode(&mut out, u32::MAX).expect("a frame");
        assert_eq!(frame.expect("whole").payload, bytes);
        assert_eq!(header.payload_length(), bytes.len());
    }
    properties(bytes);
    properties(&bytes.slice(bytes.len().min(12)..));
    tables(bytes);
}

fn method_again(method: &amq_protocol::protocol::AMQPClass) -> Bytes {
    let mut out = BytesMut::new();
    method::encode(method, 1, &mut out).expect("a method that was read");
    let frame = frame::decode(&mut out, u32::MAX).expect("a frame");
    frame.expect("whole").payload
}

fn properties(bytes: &Bytes) {
    let Ok(read) = Properties::parse(bytes.clone()) else {
        return;
    };
    assert_eq!(read.raw(), bytes);
    assert_eq!(read.detached(), read);
    let other = parse_properties(&bytes[..]);
    let is_same = other.is_ok_and(|(rest, _)| rest.is_empty());
    assert!(is_same || str::from_utf8(bytes).is_err());
    let with = read.with_header("h", 7).expect("short");
    assert_eq!(with.header(b"h"), Some(Value::Integer(7)));
    let with = with.with_reply_to("somewhere").expect("short");
    assert_eq!(with.reply_to(), Some(&b"somewhere"[..]));
    assert_eq!(with.header(b"h"), Some(Value::Integer(7)));
    let texts = |read: &Properties| {
        let (first, second) = (read.content_type(), read.app_id());
        let all = [first, read.correlation_id(), read.kind(), second];
        all.map(|text| text.map(<[u8]>::to_vec))
    };
    assert_eq!(texts(&with), texts(&read));
    let again = Properties::parse(with.raw().clone());
    assert_eq!(again, Ok(with));
}

fn tables(bytes: &[u8]) {
    let checked = table::check(bytes);
    let outer = table::check_outer(bytes);
    assert!(outer == checked || checked == Err(TableError::TooDeep));
    match checked {
        Ok(length) => {
            let content = bytes.get(4..length).expect("within");
            assert!(table::entries(content).all(|entry| entry.is_ok()));
            let values = table::raw_entries(content).count();
            assert!(table::check_bounded(bytes, values.saturating_sub(1)).is_err() || values == 0);
            // A name that is not UTF-8 is refused there.
            let other = parse_field_table(bytes);
            let is_same = other.is_ok_and(|(rest, _)| rest.len() == bytes.len() - length);
            assert!(is_same || str::from_utf8(&bytes[..length]).is_err());
        }
        // The other implementation may need more stack than there is.
        Err(TableError::TooDeep | TableError::TooMany(_)) => {}
        Err(_) => assert!(parse_field_table(bytes).is_err()),
    }
}
