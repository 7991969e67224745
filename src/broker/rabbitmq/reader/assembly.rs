//! Puts frames together to deliveries. Pure.

use super::{
    handshake::ended,
    held::{Need, Share},
};
use crate::{
    broker::{
        amqp::{
            content_header::ContentHeader,
            frame::{Frame, Kind},
            method,
            properties::Properties,
        },
        reply_type::is_sign,
    },
    util::supervise::catch,
};
use amq_protocol::protocol::{AMQPClass, channel};
use bytes::BytesMut;
use std::mem;

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

/// What follows from a frame.
#[derive(Debug)]
pub(super) enum Taken {
    /// Nothing yet.
    Nothing,
    /// A message is there, and this is the memory that it takes.
    Message(Message, Share),
    /// There is no memory for this message. Its body is skipped.
    NoRoom { tag: u64, need: Need },
    /// The broker has closed the channel.
    ChannelClosed { code: u16, why: String },
    /// The broker has opened the channel again.
    ChannelOpened,
}

/// The message whose frames are not all there.
#[derive(Debug, Default)]
pub(super) struct Assembly(State);

#[derive(Debug, Default)]
enum State {
    #[default]
    Between,
    Delivered {
        tag: u64,
        exchange: Vec<u8>,
    },
    Body {
        message: Message,
        share: Share,
        left: u64,
    },
    Skipping {
        left: u64,
    },
}

impl Assembly {
    /// Takes a frame of the channel. `take_memory` is asked for the memory of a message before its body is read. The error says
    /// why the connection has to end.
    pub(super) fn take(
        &mut self,
        frame: &Frame,
        take_memory: impl FnOnce(Need) -> Option<Share>,
    ) -> Result<Taken, String> {
        match (frame.kind, mem::take(&mut self.0)) {
            (Kind::Method, State::Between) => self.method(frame),
            (Kind::Header, State::Delivered { tag, exchange }) => {
                let header = ContentHeader::decode_any(&frame.payload);
                let header = header.map_err(|error| error.to_string())?;
                let size = header.body_size.saturating_add(frame.payload.len() as u64);
                // What is wrong with them is found when the whole message is read.
                let is_sign = catch(|| is_sign(&header.properties)).unwrap_or(false);
                let need = Need::of(size, is_sign);
                let Some(share) = take_memory(need) else {
                    self.skip(header.body_size);
                    return Ok(Taken::NoRoom { tag, need });
                };
                let reserved = usize::try_from(header.body_size.min(MAX_RESERVED));
                let message = Message {
                    tag,
                    exchange,
                    properties: header.properties.detached(),
                    body: BytesMut::with_capacity(reserved.unwrap_or_default()),
                };
                Ok(self.complete(message, share, header.body_size))
            }
            (
                Kind::Body,
                State::Body {
                    mut message,
                    share,
                    left,
                },
            ) => {
                let left = rest(left, frame)?;
                message.body.extend_from_slice(&frame.payload);
                Ok(self.complete(message, share, left))
            }
            (Kind::Body, State::Skipping { left }) => {
                self.skip(rest(left, frame)?);
                Ok(Taken::Nothing)
            }
            (kind, _) => Err(format!("a frame out of order: {kind:?}")),
        }
    }

    fn complete(&mut self, message: Message, share: Share, left: u64) -> Taken {
        if left == 0 {
            return Taken::Message(message, share);
        }
        self.0 = State::Body {
            message,
            share,
            left,
        };
        Taken::Nothing
    }

    fn skip(&mut self, left: u64) {
        if left > 0 {
            self.0 = State::Skipping { left };
        }
    }

    fn method(&mut self, frame: &Frame) -> Result<Taken, String> {
        if let Some(arguments) = frame.payload.strip_prefix(&DELIVER) {
            let (tag, exchange) = deliver(arguments).ok_or("a malformed basic.deliver")?;
            self.0 = State::Delivered { tag, exchange };
            return Ok(Taken::Nothing);
        }
        let method = method::decode(&frame.payload).map_err(|error| error.to_string())?;
        match &method {
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                return Ok(Taken::ChannelClosed {
                    code: close.reply_code,
                    why: close.reply_text.to_string(),
                });
            }
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(_)) => return Ok(Taken::ChannelOpened),
            _ => {}
        }
        ended(&method).map_or(Ok(Taken::Nothing), Err)
    }
}

fn rest(left: u64, frame: &Frame) -> Result<u64, String> {
    let left = left.checked_sub(frame.payload.len() as u64);
    left.ok_or_else(|| "a body is longer than its header says".to_owned())
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
