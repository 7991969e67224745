use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const FRAME_MAX: u32 = 4_096;

fn buffer(bytes: &[u8]) -> BytesMut {
    BytesMut::from(bytes)
}

fn written(kind: Kind, channel: u16, parts: &[&[u8]]) -> BytesMut {
    let mut out = BytesMut::new();
    encode(&mut out, kind, channel, parts).unwrap();
    out
}

#[test]
fn a_frame_is_written_as_the_protocol_says() {
    let out = written(Kind::Header, 0x0102, &[b"ab", b"", b"c"]);
    assert_eq!(&out[..], b"\x02\x01\x02\0\0\0\x03abc\xCE");
    let out = written(Kind::Heartbeat, 0, &[]);
    assert_eq!(&out[..], b"\x08\0\0\0\0\0\0\xCE");
}

#[test]
fn frames_come_out_as_they_were_written_one_after_the_other() {
    let kinds = [Kind::Method, Kind::Header, Kind::Body, Kind::Heartbeat];
    let frames: Vec<_> = kinds
        .into_iter()
        .map(|kind| match kind {
            Kind::Heartbeat => (kind, 0, ""),
            _ => (kind, 7, "payload"),
        })
        .collect();
    let mut bytes = BytesMut::new();
    for (kind, channel, payload) in &frames {
        encode(&mut bytes, *kind, *channel, &[payload.as_bytes()]).unwrap();
    }
    for (kind, channel, payload) in frames {
        let frame = decode(&mut bytes, FRAME_MAX).unwrap().unwrap();
        let payload = Bytes::from(payload);
        assert_eq!(
            frame,
            Frame {
                kind,
                channel,
                payload
            }
        );
    }
    assert_eq!(decode(&mut bytes, FRAME_MAX), Ok(None));
}

#[test]
fn bytes_that_are_no_frame_are_refused_as_early_as_they_can_be() {
    let too_large = |payload, frame_max| FrameError::TooLarge { payload, frame_max };
    let cases: [(&[u8], u32, FrameError); 10] = [
        (b"GET / HTTP/1.1", FRAME_MAX, FrameError::UnknownKind(b'G')),
        (b"A", FRAME_MAX, FrameError::UnknownKind(b'A')),
        (b"\x16\x03\x01", FRAME_MAX, FrameError::UnknownKind(0x16)),
        (b"\x00", FRAME_MAX, FrameError::UnknownKind(0)),
        (
            b"\x03\0\x01\xff\xff\xff\xff",
            FRAME_MAX,
            too_large(0xffff_ffff, FRAME_MAX),
        ),
        (
            b"\x03\0\x01\0\0\x0f\xf9",
            FRAME_MAX,
            too_large(4_089, FRAME_MAX),
        ),
        (b"\x01\0\x01\0\0\0\x01", 0, too_large(1, 0)),
        (b"\x01\0\x01\0\0\0\x01a\0", FRAME_MAX, FrameError::End(0)),
        (
            b"\x08\0\x01\0\0\0\0\xCE",
            FRAME_MAX,
            FrameError::Heartbeat {
                channel: 1,
                payload: 0,
            },
        ),
        (
            b"\x08\0\0\0\0\0\x05",
            FRAME_MAX,
            FrameError::Heartbeat {
                channel: 0,
                payload: 5,
            },
        ),
    ];
    for (bytes, frame_max, error) in cases {
        let mut buffer = buffer(bytes);
        assert_eq!(decode(&mut buffer, frame_max), Err(error), "{bytes:?}");
        assert_eq!(&buffer[..], bytes, "an error consumes nothing");
    }
}

#[test]
fn the_largest_frame_has_frame_max_bytes() {
    let payload = vec![7; 4_088];
    let mut bytes = written(Kind::Body, 1, &[&payload]);
    assert_eq!(bytes.len(), 4_096);
    let frame = decode(&mut bytes, FRAME_MAX).unwrap().unwrap();
    assert_eq!(frame.payload, payload);
    assert!(fits(4_088, FRAME_MAX) && !fits(4_089, FRAME_MAX) && !fits(1, 8) && fits(0, 0));
}

#[test]
fn an_incomplete_frame_is_awaited_and_takes_no_memory_beforehand() {
    let whole = written(Kind::Method, 3, &[b"0123456789"]);
    for length in 0..whole.len() {
        let mut buffer = buffer(&whole[..length]);
        let capacity = buffer.capacity();
        assert_eq!(decode(&mut buffer, u32::MAX), Ok(None));
        assert_eq!(&buffer[..], &whole[..length]);
        assert_eq!(buffer.capacity(), capacity);
    }
    let mut announced = buffer(b"\x03\0\x01\xff\xff\xff\x00");
    let capacity = announced.capacity();
    assert_eq!(decode(&mut announced, u32::MAX), Ok(None));
    assert_eq!(announced.capacity(), capacity);
}

#[test]
fn an_empty_body_has_no_frame() {
    let mut out = BytesMut::new();
    encode_body(&mut out, 1, b"", FRAME_MAX).unwrap();
    assert!(out.is_empty());
}

#[test]
fn a_frame_max_without_room_for_a_payload_ends_nevertheless() {
    let mut out = BytesMut::new();
    encode_body(&mut out, 1, b"abc", 0).unwrap();
    assert_eq!(out.len(), 3 * 9);
}

proptest! {
    #[test]
    fn random_bytes_never_panic_and_a_frame_is_what_was_there(bytes in vec(any::<u8>(), 0..200), frame_max: u32) {
        let mut buffer = buffer(&bytes);
        while let Ok(Some(frame)) = decode(&mut buffer, frame_max) {
            prop_assert!(fits(frame.payload.len(), frame_max));
        }
        prop_assert!(bytes.ends_with(&buffer));
    }

    #[test]
    fn a_changed_octet_gives_an_error_or_a_frame_and_never_a_panic(
        payload in vec(any::<u8>(), 0..50), at in 0_usize..58, octet: u8,
    ) {
        let mut bytes = written(Kind::Method, 1, &[&payload]);
        let at = at % bytes.len();
        bytes[at] = octet;
        let before = bytes.clone();
        if let Ok(Some(frame)) = decode(&mut bytes, FRAME_MAX) {
            let mut again = written(frame.kind, frame.channel, &[&frame.payload]);
            again.unsplit(bytes);
            prop_assert_eq!(again, before);
        }
    }

    #[test]
    fn a_body_is_split_and_joins_again(body in vec(any::<u8>(), 0..2_000), frame_max in 9_u32..300) {
        let mut out = BytesMut::new();
        encode_body(&mut out, 5, &body, frame_max).unwrap();
        let mut joined = Vec::new();
        while let Some(frame) = decode(&mut out, frame_max).unwrap() {
            prop_assert_eq!((frame.kind, frame.channel), (Kind::Body, 5));
            prop_assert!(!frame.payload.is_empty());
            joined.extend_from_slice(&frame.payload);
        }
        prop_assert!(out.is_empty());
        prop_assert_eq!(joined, body);
    }
}
