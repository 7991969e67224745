//! One connection: its bytes in and out, its heartbeats, its time limits. What the bytes mean is in `session`.

use super::{
    custody_terms::ReturnCause,
    frame::{self, Kind, PROTOCOL_HEADER},
    outbox::Outbox,
    refusal::Refusal,
    session::Session,
    switch::Switch,
    users::Users,
};
use bytes::BytesMut;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep, timeout},
};
use tracing::debug;

/// Timeout for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for the next part of a message that has begun.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for the end of a connection after both sides have closed it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout for progress in writing, if the client has no heartbeats.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Time for the client's answer to the close at the end of the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

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

/// Serves a connection until it ends.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite>(
    stream: S,
    peer: String,
    shared: Shared,
    handshaking: OwnedSemaphorePermit,
) {
    let (mut reading, mut writing) = split(stream);
    let mut header = [0; 8];
    let greeted = timeout(HANDSHAKE_TIMEOUT, reading.read_exact(&mut header)).await;
    match greeted {
        Ok(Ok(_)) if header == PROTOCOL_HEADER => {}
        Ok(Ok(_)) => {
            debug!(peer, "a client that does not speak AMQP 0-9-1");
            drop(timeout(HANDSHAKE_TIMEOUT, writing.write_all(&PROTOCOL_HEADER)).await);
            return;
        }
        Ok(Err(_)) | Err(_) => {
            debug!(peer, "a client that said nothing");
            return;
        }
    }
    let outbox = Arc::new(Outbox::default());
    let (beat, heartbeat) = watch::channel(Duration::ZERO);
    let session = Session::new(
        shared.switch.clone(),
        Arc::clone(&shared.users),
        Arc::clone(&outbox),
        peer.clone(),
    );
    let mut reader = Reader {
        session,
        outbox: Arc::clone(&outbox),
        shared,
        buffer: BytesMut::new(),
        beat,
        handshaking: Some(handshaking),
    };
    let write = write(&mut writing, &outbox, heartbeat);
    tokio::pin!(write);
    tokio::select! {
        () = reader.run(&mut reading) => {}
        ended = &mut write => debug!(peer, ?ended, "a worker's connection can't be written"),
    }
    reader.session.end(ReturnCause::Lost, Instant::now());
    outbox.close();
    drop(timeout(SHUTDOWN_TIMEOUT, &mut write).await);
}

struct Reader {
    session: Session,
    outbox: Arc<Outbox>,
    shared: Shared,
    buffer: BytesMut,
    /// Tells the writing half the interval of heartbeats.
    beat: watch::Sender<Duration>,
    /// Held during the handshake.
    handshaking: Option<OwnedSemaphorePermit>,
}

impl Reader {
    /// Reads until the connection ends.
    async fn run(&mut self, reading: &mut (impl AsyncRead + Unpin)) {
        let mut closing = self.shared.closing.clone();
        let began = Instant::now();
        loop {
            let limit = self.limit(began);
            self.buffer.reserve(READ_SIZE);
            let read = tokio::select! {
                read = timeout(limit, reading.read_buf(&mut self.buffer)) => read,
                _ = closing.wait_for(|closing| *closing), if !self.session.is_closing() => {
                    self.session.shut_down(Instant::now());
                    continue;
                }
                () = self.outbox.drained() => {
                    self.dispatch();
                    continue;
                }
            };
            match read {
                Ok(Ok(0) | Err(_)) => return,
                Err(_) => return self.too_slow(),
                Ok(Ok(_)) => {}
            }
            self.frames();
            if self.session.is_closing() {
                // What still comes is read and dropped, or some clients report an error.
                self.buffer.clear();
            }
            self.pause(&mut closing).await;
        }
    }

    /// How long the next bytes may take.
    fn limit(&self, began: Instant) -> Duration {
        let Some((_, tuned)) = self.session.open() else {
            return match self.session.is_closing() {
                true if *self.shared.closing.borrow() => SHUTDOWN_TIMEOUT,
                true => CLOSE_TIMEOUT,
                false => HANDSHAKE_TIMEOUT.saturating_sub(began.elapsed()),
            };
        };
        let silence = match tuned.heartbeat_secs {
            0 => Duration::MAX,
            secs => Duration::from_secs(u64::from(secs) * 2),
        };
        match self.is_in_message() {
            true => silence.min(MESSAGE_TIMEOUT),
            false => silence,
        }
    }

    fn is_in_message(&self) -> bool {
        !self.buffer.is_empty() || self.session.is_in_message()
    }

    fn too_slow(&mut self) {
        let what = match self.session.open() {
            Some(_) if self.is_in_message() => "a message did not arrive as a whole in time",
            Some(_) => "missed heartbeats from client",
            None => return,
        };
        let refusal = Refusal::connection(501, what);
        self.session.refuse(0, &refusal, (0, 0), Instant::now());
    }

    /// Takes all frames that are there.
    fn frames(&mut self) {
        let now = Instant::now();
        while !self.session.is_closing() {
            match frame::decode(&mut self.buffer, self.session.frame_max()) {
                Ok(None) => break,
                Ok(Some(frame)) => self.session.on_frame(frame, now),
                Err(error) => {
                    let refusal = Refusal::connection(501, error);
                    self.session.refuse(0, &refusal, (0, 0), now);
                }
            }
            if self.handshaking.is_some()
                && let Some((_, tuned)) = self.session.open()
            {
                self.handshaking = None;
                let secs = u64::from(tuned.heartbeat_secs);
                self.beat.send_replace(Duration::from_secs(secs));
            }
        }
        if let Some((id, _)) = self.session.open() {
            let stalled = self.is_in_message();
            self.shared.switch.with(|state| {
                state.send_confirms(id);
                state.set_stalled(id, stalled, now);
            });
        }
    }

    /// Waits while too much of this connection is in the bridge's hands, but not at the end of the process.
    async fn pause(&mut self, closing: &mut watch::Receiver<bool>) {
        let readable = self.session.readable();
        while let Some((id, _)) = self.session.open() {
            let paused = self.shared.switch.with(|state| {
                let paused = state.must_pause(id);
                if paused {
                    state.set_stalled(id, true, Instant::now());
                }
                paused
            });
            if !paused {
                let stalled = self.is_in_message();
                self.shared
                    .switch
                    .with(|state| state.set_stalled(id, stalled, Instant::now()));
                return;
            }
            tokio::select! {
                () = readable.notified() => {}
                () = self.outbox.drained() => self.dispatch(),
                _ = closing.wait_for(|closing| *closing) => return,
            }
        }
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
