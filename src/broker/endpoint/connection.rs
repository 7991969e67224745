//! One connection: its bytes in and out, its heartbeats, its time limits. What the bytes mean is in `session`.

use super::{
    certificate::CertificateNames,
    custody_terms::ReturnCause,
    doorway::Handshake,
    frame::{self, Kind, PROTOCOL_HEADER},
    outbox::Outbox,
    refusal::Refusal,
    session::Session,
    switch::Switch,
    users::{Login, Users},
};
use bytes::BytesMut;
use std::{future::pending, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    sync::watch,
    task::yield_now,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::debug;

/// Timeout for the next [`PROGRESS`] bytes, or the end, of a frame or a message that has begun.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for the end of a connection after both sides have closed it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout for the end of a connection whose client was refused before it had finished the handshake.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(3);

/// Timeout for progress in writing, if the client has no heartbeats.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for the client's answer to the close at the end of the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval in which a paused connection looks whether it may be read again.
const PAUSE_INTERVAL: Duration = Duration::from_millis(20);

/// Number of bytes that are progress of a frame.
const PROGRESS: usize = 1_024;

/// Number of bytes that are read at once.
const READ_SIZE: usize = 16 << 10;

/// What all connections share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) switch: Switch,
    pub(crate) users: Arc<Users>,
    /// Whether the endpoint closes its connections.
    pub(crate) closing: watch::Receiver<bool>,
}

/// Serves a connection until it ends: that of a peer, and the names of the certificate that it has shown.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite>(
    stream: S,
    (peer, certificate): (String, Option<CertificateNames>),
    shared: Shared,
    handshake: Handshake,
) {
    let (mut reading, mut writing) = split(stream);
    let mut header = [0; 8];
    let greeted = tokio::select! {
        greeted = reading.read_exact(&mut header) => greeted,
        () = handshake.over() => return debug!(peer, "a client that said nothing"),
    };
    match greeted {
        Ok(_) if header == PROTOCOL_HEADER => {}
        Ok(_) => {
            debug!(peer, "a client that does not speak AMQP 0-9-1");
            drop(timeout(SHUTDOWN_TIMEOUT, writing.write_all(&PROTOCOL_HEADER)).await);
            return;
        }
        Err(_) => {
            debug!(peer, "a client that left");
            return;
        }
    }
    let outbox = Arc::new(Outbox::default());
    let (beat, heartbeat) = watch::channel(Duration::ZERO);
    let login = Login {
        users: Arc::clone(&shared.users),
        certificate,
    };
    let session = Session::new(
        shared.switch.clone(),
        login,
        Arc::clone(&outbox),
        peer.clone(),
    );
    let now = Instant::now();
    let mut reader = Reader {
        session,
        outbox: Arc::clone(&outbox),
        stall_after: shared.switch.with(|state| state.stall_after),
        shared,
        buffer: BytesMut::new(),
        beat,
        handshake: Some(handshake),
        last_read: now,
        partial: None,
        is_stalled: false,
        closing_since: None,
        was_open: false,
    };
    let write = write(&mut writing, &outbox, heartbeat);
    tokio::pin!(write);
    let can_write = tokio::select! {
        () = reader.run(&mut reading) => true,
        ended = &mut write => {
            debug!(peer, ?ended, "a worker's connection can't be written");
            false
        }
    };
    reader.session.end(ReturnCause::Lost, Instant::now());
    outbox.close();
    if can_write {
        drop(timeout(SHUTDOWN_TIMEOUT, &mut write).await);
    }
}

struct Reader {
    session: Session,
    outbox: Arc<Outbox>,
    shared: Shared,
    buffer: BytesMut,
    /// Tells the writing half the interval of heartbeats.
    beat: watch::Sender<Duration>,
    /// Held during the handshake.
    handshake: Option<Handshake>,
    /// When bytes last came.
    last_read: Instant,
    /// When the frame that has begun made its last progress, and its length then.
    partial: Option<(Instant, usize)>,
    /// Whether graces stand still for this connection.
    is_stalled: bool,
    /// How old an unfinished message must be before graces stand still for it.
    stall_after: Duration,
    closing_since: Option<Instant>,
    /// Whether the client has finished the handshake.
    was_open: bool,
}

impl Reader {
    /// Reads until the connection ends.
    async fn run(&mut self, reading: &mut (impl AsyncRead + Unpin)) {
        let mut closing = self.shared.closing.clone();
        loop {
            self.note_stall();
            self.make_room();
            let (deadline, stalls) = (self.deadline(), self.stalls_at());
            let handshake = self.handshake.as_ref();
            let in_time = async {
                match handshake {
                    Some(handshake) => handshake.over().await,
                    None => pending().await,
                }
            };
            let read = tokio::select! {
                read = reading.read_buf(&mut self.buffer) => read,
                _ = closing.wait_for(|closing| *closing), if !self.session.is_closing() => {
                    self.session.shut_down(Instant::now());
                    continue;
                }
                () = self.outbox.drained() => {
                    self.dispatch();
                    continue;
                }
                () = in_time => return,
                () = at(deadline) => return self.too_slow(),
                () = at(stalls) => continue,
            };
            match read {
                Ok(0) | Err(_) => return,
                Ok(_) => self.last_read = Instant::now(),
            }
            while !self.frames() && !*closing.borrow() {
                self.pause(&mut closing).await;
            }
            if self.session.is_closing() {
                // What still comes is read and dropped, or some clients report an error.
                self.buffer.clear();
            }
            // Other connections come first now, however much this one sends.
            yield_now().await;
        }
    }

    /// Makes room for the next bytes. The memory of a large frame is not kept.
    fn make_room(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * READ_SIZE {
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(READ_SIZE);
    }

    /// When the connection ends if nothing comes.
    fn deadline(&mut self) -> Option<Instant> {
        let Some((_, tuned)) = self.session.open() else {
            // The handshake has a deadline of its own.
            if !self.session.is_closing() {
                return None;
            }
            let since = *self.closing_since.get_or_insert_with(Instant::now);
            let limit = match self.was_open {
                _ if *self.shared.closing.borrow() => SHUTDOWN_TIMEOUT,
                true => CLOSE_TIMEOUT,
                false => REFUSED_TIMEOUT,
            };
            return Some(since + limit);
        };
        let silence = match tuned.heartbeat_secs {
            0 => None,
            secs => Some(self.last_read + Duration::from_secs(u64::from(secs) * 2)),
        };
        let message = self.message_since().map(|since| since + MESSAGE_TIMEOUT);
        silence.into_iter().chain(message).min()
    }

    /// When the unfinished frame or message that waits longest made its last progress.
    fn message_since(&self) -> Option<Instant> {
        let partial = self.partial.map(|(since, _)| since);
        partial
            .into_iter()
            .chain(self.session.oldest_progress())
            .min()
    }

    /// When graces begin to stand still for this connection, unless they do already.
    fn stalls_at(&self) -> Option<Instant> {
        let is_due = self.session.open().is_some() && !self.is_stalled;
        let since = self.message_since().filter(|_| is_due)?;
        Some(since + self.stall_after)
    }

    /// Tells the state whether graces stand still for this connection.
    fn note_stall(&mut self) {
        let now = Instant::now();
        let since = self.message_since();
        let is_stalled =
            since.is_some_and(|since| self.is_stalled || since + self.stall_after <= now);
        self.set_stalled(is_stalled, now);
    }

    fn set_stalled(&mut self, is_stalled: bool, now: Instant) {
        if is_stalled != self.is_stalled
            && let Some((id, _)) = self.session.open()
        {
            self.is_stalled = is_stalled;
            self.shared
                .switch
                .with(|state| state.set_stalled(id, is_stalled, now));
        }
    }

    fn too_slow(&mut self) {
        let what = match self.session.open() {
            Some(_) if self.message_since().is_some() => {
                "a message did not arrive as a whole in time"
            }
            Some(_) => "missed heartbeats from client",
            None => return,
        };
        let refusal = Refusal::connection(501, what);
        self.session.refuse(0, &refusal, (0, 0), Instant::now());
    }

    /// Takes the frames that are there. False if it stopped because the connection has to pause.
    fn frames(&mut self) -> bool {
        let now = Instant::now();
        while !self.session.is_closing() {
            if self.must_pause() {
                self.send_confirms();
                return false;
            }
            match frame::decode(&mut self.buffer, self.session.frame_max()) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    self.partial = None;
                    self.session.on_frame(frame, now);
                }
                Err(error) => {
                    let refusal = Refusal::connection(501, error);
                    self.session.refuse(0, &refusal, (0, 0), now);
                }
            }
            if self.handshake.is_some()
                && let Some((_, tuned)) = self.session.open()
            {
                self.handshake = None;
                self.was_open = true;
                let secs = u64::from(tuned.heartbeat_secs);
                self.beat.send_replace(Duration::from_secs(secs));
            }
        }
        self.send_confirms();
        if self.session.is_closing() {
            // A client that is refused may take its time to leave. Others have its place.
            self.handshake = None;
        }
        let length = self.buffer.len();
        self.partial = match self.partial {
            _ if length == 0 => None,
            Some((since, before)) if length < before + PROGRESS => Some((since, before)),
            _ => Some((now, length)),
        };
        true
    }

    /// Sends the confirms that were put together while frames were taken.
    fn send_confirms(&self) {
        if let Some((id, _)) = self.session.open() {
            self.shared.switch.with(|state| state.send_confirms(id));
        }
    }

    fn must_pause(&self) -> bool {
        let open = self.session.open();
        open.is_some_and(|(id, _)| self.shared.switch.with(|state| state.must_pause(id)))
    }

    /// Waits while too much of this connection is in the bridge's hands, but not at the end of the process. Meanwhile the client may not be able to send.
    async fn pause(&mut self, closing: &mut watch::Receiver<bool>) {
        self.set_stalled(true, Instant::now());
        let readable = self.session.readable();
        while self.must_pause() {
            tokio::select! {
                () = readable.notified() => {}
                () = self.outbox.drained() => self.dispatch(),
                // Nobody tells when the bridge has read its events.
                () = sleep(PAUSE_INTERVAL) => {}
                _ = closing.wait_for(|closing| *closing) => return,
            }
        }
        let now = Instant::now();
        self.last_read = now;
        self.partial = None;
        self.session.excuse(now);
    }

    /// Delivers what could not be delivered while too much waited for the socket.
    fn dispatch(&self) {
        if let Some((id, _)) = self.session.open() {
            self.shared
                .switch
                .with(|state| state.dispatch_for(id, Instant::now()));
        }
    }
}

/// Resolves at a time; never if there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// Writes what is in the outbox, and heartbeats, until the outbox is closed.
async fn write(
    writing: &mut (impl AsyncWrite + Unpin),
    outbox: &Outbox,
    mut heartbeat: watch::Receiver<Duration>,
) -> io::Result<()> {
    loop {
        let every = *heartbeat.borrow_and_update() / 2;
        let beat = async {
            match every.is_zero() {
                true => std::future::pending().await,
                false => sleep(every).await,
            }
        };
        let limit = match every.is_zero() {
            true => WRITE_TIMEOUT,
            false => every * 4,
        };
        tokio::select! {
            bytes = outbox.take() => {
                let Some(mut bytes) = bytes else {
                    return timeout(limit, writing.shutdown()).await?;
                };
                while !bytes.is_empty() {
                    timeout(limit, writing.write_buf(&mut bytes)).await??;
                }
                timeout(limit, writing.flush()).await??;
            }
            () = beat => {
                let mut bytes = BytesMut::new();
                drop(frame::encode(&mut bytes, Kind::Heartbeat, 0, &[]));
                timeout(limit, writing.write_all(&bytes)).await??;
            }
            _ = heartbeat.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests;
