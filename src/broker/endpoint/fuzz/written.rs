//! What the endpoint writes to a client, read as a client reads it.

use crate::broker::endpoint::{
    content_header::ContentHeader,
    frame::{self, Frame, Kind},
    handshake::FRAME_MAX,
    method,
};
use amq_protocol::protocol::{AMQPClass, basic, channel, connection};
use bytes::BytesMut;
use std::collections::HashMap;

/// The reply codes that the endpoint has words for.
const CODES: [u16; 14] = [
    320, 402, 403, 404, 405, 406, 501, 502, 503, 504, 505, 506, 530, 540,
];

/// See the module.
#[derive(Default)]
pub(super) struct Written {
    incoming: BytesMut,
    /// What a channel's message still lacks: its header, or bytes of its body.
    lacking: HashMap<u16, Option<u64>>,
    closed_with: Option<u16>,
    refusals: Vec<u16>,
}

impl Written {
    /// The code of the `connection.close`, if one has come.
    pub(super) fn closed_with(&self) -> Option<u16> {
        self.closed_with
    }

    /// The codes of all closes of channels and of the connection.
    pub(super) fn refusals(&self) -> &[u16] {
        &self.refusals
    }

    /// Takes bytes, and asserts that they are whole methods and messages.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.incoming.extend_from_slice(bytes);
        while let Some(frame) = frame::decode(&mut self.incoming, FRAME_MAX).expect("a frame") {
            self.frame(&frame);
        }
        assert!(self.incoming.is_empty(), "half a frame");
    }

    fn frame(&mut self, frame: &Frame) {
        let channel = frame.channel;
        let lacking = self.lacking.remove(&channel);
        let left = match (frame.kind, lacking) {
            (Kind::Heartbeat, None) => None,
            (Kind::Method, None) => {
                let method = method::decode(&frame.payload).expect("a method");
                self.method(&method);
                carries_content(&method).then_some(None)
            }
            (Kind::Header, Some(None)) => {
                let header = ContentHeader::decode(&frame.payload).expect("a header");
                Some(Some(header.body_size))
            }
            (Kind::Body, Some(Some(left))) => {
                let size = frame.payload.len() as u64;
                assert!(size > 0 && size <= left, "{size} of {left} bytes");
                Some(Some(left - size))
            }
            (kind, lacking) => panic!("{kind:?} where a message lacks {lacking:?}"),
        };
        if let Some(left) = left.filter(|left| *left != Some(0)) {
            self.lacking.insert(channel, left);
        }
    }

    fn method(&mut self, method: &AMQPClass) {
        let code = match method {
            AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
                assert_eq!(self.closed_with, None, "closed twice");
                self.closed_with = Some(close.reply_code);
                close.reply_code
            }
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => close.reply_code,
            _ => return,
        };
        assert!(CODES.contains(&code), "{code}");
        self.refusals.push(code);
    }
}

fn carries_content(method: &AMQPClass) -> bool {
    matches!(
        method,
        AMQPClass::Basic(
            basic::AMQPMethod::Deliver(_)
                | basic::AMQPMethod::GetOk(_)
                | basic::AMQPMethod::Return(_)
        )
    )
}
