//! The session of a connection: which frame is what, from the handshake to the close. It puts messages together, and
//! passes methods to the state.

use super::{
    content_header::{CLASS_BASIC, ContentHeader},
    custody_terms::{ConnectionId, ReturnCause},
    frame::{Frame, Kind},
    handshake::{self, FIRST_FRAME_MAX, Progress, Step, Tuned},
    method,
    open_replies::OpenReplies,
    outbox::Outbox,
    publish::Published,
    refusal::{Refusal, Scope},
    state::Connection,
    switch::Switch,
    users::Users,
};
use amq_protocol::protocol::{AMQPClass, basic, channel, connection};
use bytes::BytesMut;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use tokio::{sync::Notify, time::Instant};
use tracing::{debug, info, warn};

/// Maximum size of all unfinished messages of a connection, in bytes.
const MAX_UNFINISHED: usize = 4 << 20;

/// Maximum number of channels that the endpoint has closed and whose `channel.close-ok` has not come.
const MAX_CLOSING_CHANNELS: usize = 255;

/// Bytes of an unfinished message that count as progress.
const PROGRESS: usize = 1_024;

/// The method `basic.publish`, by its ids.
const PUBLISH: (u16, u16) = (CLASS_BASIC, 40);
/// The method `basic.qos`, by its ids.
const QOS: (u16, u16) = (CLASS_BASIC, 10);

/// The text of the refusal of immediate messages. Clients compare all of it, so it gives no advice.
const NO_IMMEDIATE: &str = "immediate=true";

/// See the module.
pub(crate) struct Session {
    switch: Switch,
    users: Arc<Users>,
    outbox: Arc<Outbox>,
    /// Notified when the connection may be read again.
    readable: Arc<Notify>,
    stage: Stage,
    channels: HashMap<u16, ChannelStage>,
    unfinished: usize,
    peer: String,
}

enum Stage {
    Handshake(Step),
    Open(ConnectionId, Tuned),
    /// A close was sent or answered. What still comes is not read.
    Closing,
}

enum ChannelStage {
    Open(Option<Box<Unfinished>>),
    /// `channel.close` was sent. Everything up to its answer is dropped.
    Closing,
}

/// A message whose frames are not all there.
struct Unfinished {
    publish: basic::Publish,
    header: Option<ContentHeader>,
    body: BytesMut,
    /// What it counts for in the bound on all of them, in bytes.
    cost: usize,
    /// When it last made progress, and what it counted for then.
    progress: (Instant, usize),
}

impl Session {
    /// A session before its handshake. It sends `connection.start`.
    pub(crate) fn new(
        switch: Switch,
        users: Arc<Users>,
        outbox: Arc<Outbox>,
        peer: String,
    ) -> Self {
        let session = Self {
            switch,
            users,
            outbox,
            readable: Arc::new(Notify::new()),
            stage: Stage::Handshake(Step::StartOk),
            channels: HashMap::new(),
            unfinished: 0,
            peer,
        };
        session.send(0, &handshake::start());
        session
    }

    /// Maximum size of a frame that may come now, in bytes.
    pub(crate) fn frame_max(&self) -> u32 {
        match &self.stage {
            Stage::Open(_, tuned) => tuned.frame_max,
            Stage::Handshake(_) | Stage::Closing => FIRST_FRAME_MAX,
        }
    }

    /// The connection, and what was agreed on, if the session is open.
    pub(crate) fn open(&self) -> Option<(ConnectionId, Tuned)> {
        match &self.stage {
            Stage::Open(id, tuned) => Some((*id, *tuned)),
            Stage::Handshake(_) | Stage::Closing => None,
        }
    }

    /// Whether the session is over: nothing that comes is read any more.
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing)
    }

    /// Notified when the connection may be read again.
    pub(crate) fn readable(&self) -> Arc<Notify> {
        Arc::clone(&self.readable)
    }

    /// When the unfinished message that waits longest made its last progress. `None` if no message is unfinished.
    pub(crate) fn oldest_progress(&self) -> Option<Instant> {
        let unfinished = self.channels.values().filter_map(|stage| match stage {
            ChannelStage::Open(unfinished) => unfinished.as_ref(),
            ChannelStage::Closing => None,
        });
        unfinished.map(|unfinished| unfinished.progress.0).min()
    }

    /// Notes that the bridge itself has not read the connection until now.
    pub(crate) fn excuse(&mut self, now: Instant) {
        for stage in self.channels.values_mut() {
            if let ChannelStage::Open(Some(unfinished)) = stage {
                unfinished.progress.0 = now;
            }
        }
    }

    /// Whether another log line about a misbehaving client may be written at its usual level.
    fn may_log(&self, now: Instant) -> bool {
        self.switch.with(|state| state.log_quota.allows(now))
    }

    fn send(&self, channel: u16, method: &AMQPClass) {
        self.outbox.put(|out| {
            if let Err(error) = method::encode(method, channel, out) {
                warn!(%error, "a frame could not be written; this is a bug of activity-bridge");
            }
        });
    }

    /// Takes a frame.
    pub(crate) fn on_frame(&mut self, frame: Frame, now: Instant) {
        if self.is_closing() {
            return;
        }
        let number = frame.channel;
        let mut ids = (0, 0);
        if let Err(refusal) = self.try_frame(frame, &mut ids, now) {
            self.refuse(number, &refusal, ids, now);
        }
    }

    /// Closes what a refusal says: the channel or the connection.
    pub(crate) fn refuse(&mut self, number: u16, refusal: &Refusal, ids: (u16, u16), now: Instant) {
        let text = &*refusal.text;
        debug!(peer = self.peer, channel = number, text, "refused a client");
        let channel_is_open = matches!(self.channels.get(&number), Some(ChannelStage::Open(_)));
        match (&self.stage, refusal.scope) {
            (Stage::Open(id, _), Scope::Channel) if channel_is_open => {
                let id = *id;
                if self.may_log(now) {
                    info!(
                        peer = self.peer,
                        channel = number,
                        text,
                        "a worker's channel is closed"
                    );
                }
                self.drop_unfinished(number);
                self.switch
                    .with(|state| state.close_channel(id, number, ReturnCause::Lost, now));
                self.channels.insert(number, ChannelStage::Closing);
                let close = channel::AMQPMethod::Close(channel::Close {
                    reply_code: refusal.code,
                    reply_text: text.into(),
                    class_id: ids.0,
                    method_id: ids.1,
                });
                self.send(number, &AMQPClass::Channel(close));
            }
            _ => {
                if self.may_log(now) {
                    info!(peer = self.peer, text, "a worker's connection is closed");
                }
                self.send(0, &handshake::close(refusal, ids));
                self.end(ReturnCause::Lost, now);
            }
        }
    }

    /// Closes the connection at the end of the process. Its deliveries have not failed.
    pub(crate) fn shut_down(&mut self, now: Instant) {
        let refusal = Refusal::connection(320, "activity-bridge is shutting down");
        self.send(0, &handshake::close(&refusal, (0, 0)));
        self.end(ReturnCause::Closed, now);
    }

    /// Ends the session: the connection leaves the state.
    pub(crate) fn end(&mut self, cause: ReturnCause, now: Instant) {
        if let Some((id, _)) = self.open() {
            self.switch
                .with(|state| state.close_connection(id, cause, now));
            debug!(peer = self.peer, "a worker's connection ended");
        }
        self.channels.clear();
        self.stage = Stage::Closing;
    }

    fn drop_unfinished(&mut self, number: u16) {
        if let Some(ChannelStage::Open(Some(unfinished))) = self.channels.get(&number) {
            self.unfinished -= unfinished.cost;
        }
    }

    fn try_frame(
        &mut self,
        frame: Frame,
        ids: &mut (u16, u16),
        now: Instant,
    ) -> Result<(), Refusal> {
        match frame.kind {
            Kind::Heartbeat if frame.channel == 0 => Ok(()),
            Kind::Heartbeat => Err(Refusal::connection(501, "a heartbeat on a channel")),
            Kind::Method => {
                if let [a, b, c, d, ..] = *frame.payload {
                    *ids = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                }
                self.on_method(frame, *ids, now)
            }
            Kind::Header | Kind::Body => {
                *ids = PUBLISH;
                self.on_content(frame, now)
            }
        }
    }

    fn on_method(&mut self, frame: Frame, ids: (u16, u16), now: Instant) -> Result<(), Refusal> {
        let number = frame.channel;
        if let Some(ChannelStage::Closing) = self.channels.get(&number) {
            // A close and its answer may cross.
            match ids {
                (20, 41) => drop(self.channels.remove(&number)),
                (20, 40) => {
                    let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                    self.send(number, &AMQPClass::Channel(ok));
                }
                _ => {}
            }
            return Ok(());
        }
        let method = method::decode(&frame.payload).map_err(|error| {
            let code = if error.ids().is_some() { 502 } else { 501 };
            Refusal::connection(code, error)
        })?;
        if number == 0 {
            return self.on_connection_method(method, now);
        }
        let Stage::Open(id, _) = self.stage else {
            return Err(Refusal::connection(
                504,
                "a channel before the connection is open",
            ));
        };
        let is_open = self.channels.contains_key(&number);
        match method {
            AMQPClass::Channel(channel::AMQPMethod::Open(_)) => {
                let closing = self.channels.values();
                let closing = closing.filter(|stage| matches!(stage, ChannelStage::Closing));
                if closing.count() >= MAX_CLOSING_CHANNELS {
                    return Err(Refusal::connection(
                        504,
                        "too many channels whose channel.close was not answered",
                    ));
                }
                self.switch.with(|state| state.open_channel(id, number))?;
                self.channels.insert(number, ChannelStage::Open(None));
                let ok = channel::AMQPMethod::OpenOk(channel::OpenOk {});
                self.send(number, &AMQPClass::Channel(ok));
                Ok(())
            }
            // Some clients close a channel that the endpoint has closed already.
            AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)) if !is_open => Ok(()),
            _ if !is_open => Err(Refusal::connection(
                504,
                format_args!("channel {number} is not open"),
            )),
            AMQPClass::Channel(channel::AMQPMethod::Close(_)) => {
                self.drop_unfinished(number);
                self.channels.remove(&number);
                self.switch
                    .with(|state| state.close_channel(id, number, ReturnCause::Closed, now));
                let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                self.send(number, &AMQPClass::Channel(ok));
                Ok(())
            }
            AMQPClass::Basic(basic::AMQPMethod::Publish(publish)) => {
                self.begin(number, publish, now)
            }
            method => {
                if let Some(ChannelStage::Open(Some(_))) = self.channels.get(&number) {
                    return Err(Refusal::connection(505, "a method inside of a message"));
                }
                if ids == QOS && frame.payload.get(4..8).is_some_and(|size| size != [0; 4]) {
                    return Err(Refusal::not_implemented(
                        "prefetch_size!=0; use prefetch_count",
                    ));
                }
                self.switch
                    .with(|state| state.on_method((id, number), method, now))
            }
        }
    }

    fn begin(&mut self, number: u16, publish: basic::Publish, now: Instant) -> Result<(), Refusal> {
        if publish.immediate {
            return Err(Refusal::not_implemented(NO_IMMEDIATE));
        }
        match self.channels.get_mut(&number) {
            Some(ChannelStage::Open(unfinished @ None)) => {
                *unfinished = Some(Box::new(Unfinished {
                    publish,
                    header: None,
                    body: BytesMut::new(),
                    cost: 0,
                    progress: (now, 0),
                }));
                Ok(())
            }
            _ => Err(Refusal::connection(
                505,
                "basic.publish inside of a message",
            )),
        }
    }

    fn on_connection_method(&mut self, method: AMQPClass, now: Instant) -> Result<(), Refusal> {
        match (&self.stage, method) {
            (_, AMQPClass::Connection(connection::AMQPMethod::Close(_))) => {
                self.end(ReturnCause::Closed, now);
                let ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                self.send(0, &AMQPClass::Connection(ok));
                Ok(())
            }
            (Stage::Handshake(step), method) => {
                let progress = step.clone().take(method, &self.users)?;
                self.progress(progress, now)
            }
            (Stage::Open(..), AMQPClass::Connection(connection::AMQPMethod::UpdateSecret(_))) => {
                let ok = connection::AMQPMethod::UpdateSecretOk(connection::UpdateSecretOk {});
                self.send(0, &AMQPClass::Connection(ok));
                Ok(())
            }
            _ => Err(Refusal::connection(
                503,
                "a method that a client does not send on channel 0",
            )),
        }
    }

    fn progress(&mut self, progress: Progress, now: Instant) -> Result<(), Refusal> {
        match progress {
            Progress::Next(step, method) => {
                self.stage = Stage::Handshake(step);
                if let Some(method) = method {
                    self.send(0, &method);
                }
                Ok(())
            }
            Progress::Opened(client, tuned) => {
                let connection = Connection {
                    outbox: Arc::clone(&self.outbox),
                    channels: BTreeMap::new(),
                    frame_max: tuned.frame_max,
                    wants_cancels: client.wants_cancels,
                    open_replies: OpenReplies::new(Arc::clone(&self.readable)),
                    own_queues: 0,
                    confirming: BTreeSet::new(),
                    allowed: client.rights.queues,
                    sees_parked: client.rights.parked,
                    unacked_bytes: 0,
                };
                let opened = self.switch.with(|state| state.open_connection(connection));
                let Some(id) = opened else {
                    return Err(Refusal::connection(
                        530,
                        "too many connections (amqp.max_connections)",
                    ));
                };
                debug!(peer = self.peer, client = client.name, "a worker connected");
                self.stage = Stage::Open(id, tuned);
                let ok = connection::AMQPMethod::OpenOk(connection::OpenOk {});
                self.send(0, &AMQPClass::Connection(ok));
                Ok(())
            }
            Progress::LoginRefused(tell, why) => {
                if self.may_log(now) {
                    warn!(peer = self.peer, why, "refused a login");
                }
                if tell {
                    let refusal = Refusal::connection(
                        403,
                        "Login was refused; see the log of activity-bridge",
                    );
                    self.send(0, &handshake::close(&refusal, (0, 0)));
                }
                self.end(ReturnCause::Lost, now);
                Ok(())
            }
        }
    }

    /// Takes a content header, or a part of a body.
    fn on_content(&mut self, frame: Frame, now: Instant) -> Result<(), Refusal> {
        let number = frame.channel;
        let unfinished = match self.channels.get_mut(&number) {
            Some(ChannelStage::Open(Some(unfinished))) => unfinished,
            Some(ChannelStage::Closing) => return Ok(()),
            Some(ChannelStage::Open(None)) | None => {
                return Err(Refusal::connection(505, "content without a method"));
            }
        };
        let most = self.switch.with(|state| state.limits.message_bytes);
        match (frame.kind, &unfinished.header) {
            (Kind::Header, None) => {
                let mut header = ContentHeader::decode(&frame.payload)
                    .map_err(|error| Refusal::connection(502, error))?;
                if header.body_size > most as u64 {
                    return Err(Refusal::precondition(format_args!(
                        "message size {} is larger than configured max size {most} (amqp.max_message_bytes)",
                        header.body_size
                    )));
                }
                // Otherwise the properties keep the whole buffer that they were read from.
                header.properties = header.properties.detached();
                unfinished.cost += header.payload_length();
                self.unfinished += header.payload_length();
                unfinished.progress = (now, unfinished.cost);
                unfinished.header = Some(header);
            }
            (Kind::Body, Some(header)) => {
                let whole = (unfinished.body.len() + frame.payload.len()) as u64;
                if whole > header.body_size {
                    return Err(Refusal::connection(
                        501,
                        "a body that is longer than its header says",
                    ));
                }
                self.unfinished += frame.payload.len();
                unfinished.cost += frame.payload.len();
                if unfinished.cost >= unfinished.progress.1 + PROGRESS {
                    unfinished.progress = (now, unfinished.cost);
                }
                unfinished.body.extend_from_slice(&frame.payload);
            }
            _ => return Err(Refusal::connection(505, "a content frame out of order")),
        }
        self.finish(number, now)?;
        if self.unfinished > MAX_UNFINISHED {
            return Err(Refusal::connection(
                506,
                format_args!("unfinished messages of more than {MAX_UNFINISHED} bytes"),
            ));
        }
        Ok(())
    }

    /// Publishes the message of a channel, if all of it is there.
    fn finish(&mut self, number: u16, now: Instant) -> Result<(), Refusal> {
        let (Some(ChannelStage::Open(slot)), Stage::Open(id, _)) =
            (self.channels.get_mut(&number), &self.stage)
        else {
            return Ok(());
        };
        let whole = |unfinished: &mut Box<Unfinished>| {
            let header = unfinished.header.as_ref();
            header.is_some_and(|header| header.body_size == unfinished.body.len() as u64)
        };
        let Some(unfinished) = slot.take_if(whole) else {
            return Ok(());
        };
        self.unfinished -= unfinished.cost;
        let Unfinished {
            publish,
            header: Some(header),
            body,
            ..
        } = *unfinished
        else {
            return Ok(());
        };
        let published = Published {
            publish,
            properties: header.properties,
            body: body.freeze(),
        };
        let (id, switch) = (*id, self.switch.clone());
        self.switch
            .with(|state| state.publish(&switch, (id, number), published, now))
    }
}

#[cfg(test)]
mod tests;
