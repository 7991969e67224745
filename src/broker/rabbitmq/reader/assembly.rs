//! Puts frames together to deliveries. Pure.

use super::handshake::ended;
use crate::broker::amqp::{
    content_header::ContentHeader,
    frame::{Frame, Kind},
    method,
    properties::Properties,
};
use bytes::BytesMut;

/// The method `basic.deliver`, by its ids.
const DELIVER: [u8; 4] = [0, 60, 0, 60];

/// Maximum memory that is taken for a body before its bytes have come.
const MAX_RESERVED: u64 = 1 << 20;

/// A message from the reply queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) tag: u64,
    /// The exchange through which it came. Its name may be in any encoding.
    pub(super) exchange: Vec<u8>,
    pub(super) properties: Properties,
    pub(super) body: BytesMut,
}

/// The message whose frames are not all there.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    deliver: Option<(u64, Vec<u8>)>,
    message: Option<(Message, u64)>,
}

impl Assembly {
    /// Takes a frame of the channel. The error says why the connection has to end.
    pub(super) fn take(&mut self, frame: &Frame) -> Result<Option<Message>, String> {
        match (frame.kind, self.deliver.take(), self.message.take()) {
            (Kind::Method, None, None) => self.method(frame),
            (Kind::Header, Some((tag, exchange)), None) => {
                let header = ContentHeader::decode_flat(&frame.payload);
                let header = header.map_err(|error| error.to_string())?;
                let reserved = usize::try_from(header.body_size.min(MAX_RESERVED));
                let message = Message {
                    tag,
                    exchange,
                    properties: header.properties.detached(),
                    body: BytesMut::with_capacity(reserved.unwrap_or_default()),
                };
                Ok(self.complete(message, header.body_size))
            }
            (Kind::Body, None, Some((mut message, left))) => {
                let size = frame.payload.len() as u64;
                let Some(left) = left.checked_sub(size) else {
                    return Err("a body is longer than its header says".to_owned());
                };
                message.body.extend_from_slice(&frame.payload);
                Ok(self.complete(message, left))
            }
            (kind, ..) => Err(format!("a frame out of order: {kind:?}")),
        }
    }

    fn complete(&mut self, message: Message, left: u64) -> Option<Message> {
        if left == 0 {
            return Some(message);
        }
        self.message = Some((message, left));
        None
    }

    fn method(&mut self, frame: &Frame) -> Result<Option<Message>, String> {
        if let Some(arguments) = frame.payload.strip_prefix(&DELIVER) {
            let delivered = deliver(arguments).ok_or("a malformed basic.deliver")?;
            self.deliver = Some(delivered);
            return Ok(None);
        }
        let method = method::decode(&frame.payload).map_err(|error| error.to_string())?;
        ended(&method).map_or(Ok(None), Err)
    }
}

/// The delivery tag and the exchange. A routing key may be in any encoding, and `amq_protocol` refuses all but one.
fn deliver(arguments: &[u8]) -> Option<(u64, Vec<u8>)> {
    let (_, rest) = short(arguments)?;
    let (tag, rest) = rest.split_first_chunk()?;
    let (_redelivered, rest) = rest.split_first()?;
    let (exchange, rest) = short(rest)?;
    let (_routing_key, rest) = short(rest)?;
    rest.is_empty()
        .then(|| (u64::from_be_bytes(*tag), exchange.to_vec()))
}

fn short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(length.into())
}
