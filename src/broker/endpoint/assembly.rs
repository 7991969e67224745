//! The messages of one connection whose frames are not all there.

use super::{
    content_header::ContentHeader,
    frame::{Frame, Kind},
    publish::Published,
    refusal::Refusal,
};
use amq_protocol::protocol::basic;
use bytes::BytesMut;
use std::collections::HashMap;
use tokio::time::Instant;

/// Maximum sum of a connection's unfinished messages, in bytes.
pub(super) const MAX_UNFINISHED: usize = 4 << 20;

/// Bytes of an unfinished message that count as progress.
const PROGRESS: usize = 1_024;

/// See the module. At most one message of each channel is unfinished.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    messages: HashMap<u16, Unfinished>,
    /// What all of them count for, in bytes.
    cost: usize,
}

#[derive(Debug)]
struct Unfinished {
    publish: basic::Publish,
    header: Option<ContentHeader>,
    body: BytesMut,
    /// What it counts for in the bound on all of them, in bytes.
    cost: usize,
    /// When it last made progress, and what it counted for then.
    progress: (Instant, usize),
}

impl Assembly {
    /// Begins the message of a channel.
    ///
    /// # Errors
    ///
    /// The last message of the channel is unfinished.
    pub(super) fn begin(
        &mut self,
        channel: u16,
        publish: basic::Publish,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.is_unfinished(channel) {
            let text = "basic.publish inside of a message";
            return Err(Refusal::connection(505, text));
        }
        let unfinished = Unfinished {
            publish,
            header: None,
            body: BytesMut::new(),
            cost: 0,
            progress: (now, 0),
        };
        self.messages.insert(channel, unfinished);
        Ok(())
    }

    /// Whether a message of this channel is unfinished.
    pub(super) fn is_unfinished(&self, channel: u16) -> bool {
        self.messages.contains_key(&channel)
    }

    /// Drops the unfinished message of a channel, if there is one.
    pub(super) fn remove(&mut self, channel: u16) {
        if let Some(unfinished) = self.messages.remove(&channel) {
            self.cost -= unfinished.cost;
        }
    }

    /// Takes a content header, or a part of a body. Returns the message if all of it is there.
    ///
    /// # Errors
    ///
    /// The frame does not fit the message, or the message is larger than `max_bytes`.
    pub(super) fn add(
        &mut self,
        frame: &Frame,
        max_bytes: usize,
        now: Instant,
    ) -> Result<Option<Published>, Refusal> {
        let Some(unfinished) = self.messages.get_mut(&frame.channel) else {
            return Err(Refusal::connection(505, "content without a method"));
        };
        let before = unfinished.cost;
        match (frame.kind, &unfinished.header) {
            (Kind::Header, None) => unfinished.add_header(frame, max_bytes, now)?,
            (Kind::Body, Some(header)) => {
                let size = header.body_size;
                unfinished.add_body(frame, size, now)?;
            }
            _ => return Err(Refusal::connection(505, "a content frame out of order")),
        }
        self.cost += unfinished.cost - before;
        let published = self.take_whole(frame.channel);
        if self.cost > MAX_UNFINISHED {
            return Err(Refusal::connection(
                506,
                format_args!("unfinished messages of more than {MAX_UNFINISHED} bytes"),
            ));
        }
        Ok(published)
    }

    /// The size of all unfinished messages, in bytes.
    #[cfg(any(test, fuzzing))]
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// When the message that waits longest made its last progress. `None` if no message is unfinished.
    pub(super) fn oldest_progress(&self) -> Option<Instant> {
        let unfinished = self.messages.values();
        unfinished.map(|unfinished| unfinished.progress.0).min()
    }

    /// Notes that the bridge itself has not read the connection until now.
    pub(super) fn excuse(&mut self, now: Instant) {
        for unfinished in self.messages.values_mut() {
            unfinished.progress.0 = now;
        }
    }

    fn take_whole(&mut self, channel: u16) -> Option<Published> {
        if !self.messages.get(&channel)?.is_whole() {
            return None;
        }
        let unfinished = self.messages.remove(&channel)?;
        self.cost -= unfinished.cost;
        Some(Published {
            publish: unfinished.publish,
            properties: unfinished.header?.properties,
            body: unfinished.body.freeze(),
        })
    }
}

impl Unfinished {
    fn add_header(&mut self, frame: &Frame, max_bytes: usize, now: Instant) -> Result<(), Refusal> {
        let mut header = ContentHeader::decode(&frame.payload)
            .map_err(|error| Refusal::connection(502, error))?;
        if header.body_size > max_bytes as u64 {
            return Err(Refusal::precondition(format_args!(
                "message size {} is larger than configured max size {max_bytes} (amqp.max_message_bytes)",
                header.body_size
            )));
        }
        // Otherwise the properties keep the whole buffer that they were read from.
        header.properties = header.properties.detached();
        self.cost += header.payload_length();
        self.progress = (now, self.cost);
        self.header = Some(header);
        Ok(())
    }

    fn add_body(&mut self, frame: &Frame, size: u64, now: Instant) -> Result<(), Refusal> {
        if (self.body.len() + frame.payload.len()) as u64 > size {
            let text = "a body that is longer than its header says";
            return Err(Refusal::connection(501, text));
        }
        self.cost += frame.payload.len();
        if self.cost >= self.progress.1 + PROGRESS {
            self.progress = (now, self.cost);
        }
        self.body.extend_from_slice(&frame.payload);
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let header = self.header.as_ref();
        header.is_some_and(|header| header.body_size == self.body.len() as u64)
    }
}
