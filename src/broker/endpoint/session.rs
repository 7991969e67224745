//! The session of a connection: which frame is what, from the handshake to the close. It passes methods and whole
//! messages to the state.

use super::{
    assembly::Assembly,
    content_header::CLASS_BASIC,
    custody_terms::{ConnectionId, ReturnCause},
    frame::{Frame, Kind},
    handshake::{self, FIRST_FRAME_MAX, Progress, Step, Tuned},
    method,
    open_connection::Connection,
    open_replies::OpenReplies,
    outbox::Outbox,
    refusal::{Refusal, Scope},
    switch::Switch,
    users::Login,
};
use crate::util::{
    crash_point::{CrashPoint, crash_point_over},
    supervise::{Panicked, catch},
};
use amq_protocol::protocol::{AMQPClass, basic, channel, connection};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use tokio::{sync::Notify, time::Instant};
use tracing::{debug, error, info, warn};

/// Maximum number of channels that the endpoint has closed and whose `channel.close-ok` has not come.
const MAX_CLOSING_CHANNELS: usize = 255;

/// The method `basic.publish`, by its ids.
const PUBLISH: (u16, u16) = (CLASS_BASIC, 40);
/// The method `basic.qos`, by its ids.
const QOS: (u16, u16) = (CLASS_BASIC, 10);

/// The text of the refusal of immediate messages. Clients compare all of it, so it gives no advice.
const NO_IMMEDIATE: &str = "immediate=true";

/// See the module.
pub(crate) struct Session {
    switch: Switch,
    login: Login,
    outbox: Arc<Outbox>,
    /// Notified when the connection may be read again.
    readable: Arc<Notify>,
    stage: Stage,
    channels: HashMap<u16, ChannelStage>,
    assembly: Assembly,
    peer: String,
}

enum Stage {
    Handshake(Step),
    Open(ConnectionId, Tuned),
    /// A close was sent or answered. What still comes is not read.
    Closing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ChannelStage {
    Open,
    /// `channel.close` was sent. Everything up to its answer is dropped.
    Closing,
}

impl Session {
    /// A session before its handshake. It sends `connection.start`.
    pub(crate) fn new(switch: Switch, login: Login, outbox: Arc<Outbox>, peer: String) -> Self {
        let session = Self {
            switch,
            login,
            outbox,
            readable: Arc::new(Notify::new()),
            stage: Stage::Handshake(Step::StartOk),
            channels: HashMap::new(),
            assembly: Assembly::default(),
            peer,
        };
        session.send(0, &handshake::start(&session.login));
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
        self.assembly.oldest_progress()
    }

    /// The size of all unfinished messages, in bytes.
    #[cfg(any(test, fuzzing))]
    pub(super) fn unfinished(&self) -> usize {
        self.assembly.cost()
    }

    /// Whether the endpoint has closed this channel, and the client has not answered.
    #[cfg(any(test, fuzzing))]
    pub(super) fn has_closed(&self, number: u16) -> bool {
        matches!(self.channels.get(&number), Some(ChannelStage::Closing))
    }

    /// Notes that the bridge itself has not read the connection until now.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.assembly.excuse(now);
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
        let channel_is_open = self.channels.get(&number) == Some(&ChannelStage::Open);
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
                self.assembly.remove(number);
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
        self.assembly = Assembly::default();
        self.stage = Stage::Closing;
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
                let taken = catch(|| self.on_content(&frame, now));
                taken.unwrap_or_else(|Panicked| {
                    error!(
                        peer = self.peer,
                        "taking a worker's message panicked; this is a bug of activity-bridge, and the worker's connection is closed"
                    );
                    Err(bug())
                })
            }
        }
    }

    /// Reads what a method says. A panic closes the connection. Nothing may change the state here: a panic there may leave a change
    /// half done, so it ends the process, and the token store publishes the tasks again.
    fn reading<T>(
        &self,
        ids: (u16, u16),
        read: impl FnOnce() -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        catch(read).unwrap_or_else(|Panicked| {
            error!(
                peer = self.peer,
                class = ids.0,
                method = ids.1,
                "reading a worker's method panicked; this is a bug of activity-bridge, and the worker's connection is closed"
            );
            Err(bug())
        })
    }

    fn on_method(&mut self, frame: Frame, ids: (u16, u16), now: Instant) -> Result<(), Refusal> {
        let number = frame.channel;
        if self.channels.get(&number) == Some(&ChannelStage::Closing) {
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
        let method = self.reading(ids, || {
            crash_point_over(CrashPoint::OnMethod, &frame.payload);
            method::decode(&frame.payload).map_err(|error| {
                let code = if error.ids().is_some() { 502 } else { 501 };
                Refusal::connection(code, error)
            })
        })?;
        if number == 0 {
            return self.on_connection_method(method, ids, now);
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
                let closing = closing.filter(|stage| **stage == ChannelStage::Closing);
                if closing.count() >= MAX_CLOSING_CHANNELS {
                    return Err(Refusal::connection(
                        504,
                        "too many channels whose channel.close was not answered",
                    ));
                }
                self.switch.with(|state| state.open_channel(id, number))?;
                self.channels.insert(number, ChannelStage::Open);
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
                self.assembly.remove(number);
                self.channels.remove(&number);
                self.switch
                    .with(|state| state.close_channel(id, number, ReturnCause::Closed, now));
                let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                self.send(number, &AMQPClass::Channel(ok));
                Ok(())
            }
            AMQPClass::Basic(basic::AMQPMethod::Publish(publish)) => {
                if publish.immediate {
                    return Err(Refusal::not_implemented(NO_IMMEDIATE));
                }
                self.assembly.begin(number, publish, now)
            }
            method => {
                if self.assembly.is_unfinished(number) {
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

    fn on_connection_method(
        &mut self,
        method: AMQPClass,
        ids: (u16, u16),
        now: Instant,
    ) -> Result<(), Refusal> {
        match (&self.stage, method) {
            (_, AMQPClass::Connection(connection::AMQPMethod::Close(_))) => {
                self.end(ReturnCause::Closed, now);
                let ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                self.send(0, &AMQPClass::Connection(ok));
                Ok(())
            }
            (Stage::Handshake(step), method) => {
                let progress = self.reading(ids, || step.clone().take(method, &self.login))?;
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
                let all_bytes = self.switch.with(|state| state.all_reply_bytes());
                let connection = Connection {
                    outbox: Arc::clone(&self.outbox),
                    channels: BTreeMap::new(),
                    frame_max: tuned.frame_max,
                    wants_cancels: client.wants_cancels,
                    open_replies: OpenReplies::new(Arc::clone(&self.readable), all_bytes),
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

    /// Takes a content header, or a part of a body, and publishes the message if all of it is there.
    fn on_content(&mut self, frame: &Frame, now: Instant) -> Result<(), Refusal> {
        let number = frame.channel;
        if self.channels.get(&number) == Some(&ChannelStage::Closing) {
            return Ok(());
        }
        let max_bytes = self.switch.with(|state| state.limits.message_bytes);
        let published = self.assembly.add(frame, max_bytes, now)?;
        let (Some(published), Stage::Open(id, _)) = (published, &self.stage) else {
            return Ok(());
        };
        let (at, switch) = ((*id, number), &self.switch);
        switch.with(|state| state.publish(switch, at, published, now))
    }
}

/// The refusal of what the endpoint panics over. The next process would panic too. What the connection had, others get.
fn bug() -> Refusal {
    Refusal::connection(541, "a bug; see the log of activity-bridge")
}

#[cfg(test)]
mod tests;
