//! The connection of the reader: its bytes in and out, its heartbeats, its end.

use super::{
    assembly::{Assembly, Message, Taken},
    consumer::Consumer,
    handshake::{self, Progress, Tuned},
    held::{ReaderBounds, Share},
    receipt::{CHANNEL, Unacknowledged, put},
    stream::{self, Stream},
};
use crate::{
    broker::{
        Inbound, Receipt,
        amqp::{
            frame::{self, Frame, Kind, PROTOCOL_HEADER},
            method,
            outbox::Outbox,
        },
        rabbitmq::{access::Target, options::Options},
    },
    util::crash_point::{CrashPoint, crash_point},
};
use amq_protocol::protocol::{AMQPClass, connection};
use bytes::BytesMut;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

/// Timeout for everything from the name look-up to the consumer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for writing what waits, and for the answer to a close.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a frame before it is negotiated.
const FIRST_FRAME_MAX: u32 = 131_072;

/// Number of bytes that are read at once.
const READ_SIZE: usize = 16 << 10;

/// A connection that consumes replies. It closes when this is dropped.
pub(crate) struct Reader {
    outbox: Arc<Outbox>,
    closing: watch::Sender<bool>,
    ended: watch::Receiver<Option<String>>,
}

impl Reader {
    /// Connects and begins to consume. The stream of replies ends with the connection.
    pub(crate) async fn open(
        target: &Target,
        options: &Options,
        bounds: &ReaderBounds,
    ) -> Result<(Self, mpsc::Receiver<Inbound>), String> {
        let opening = Connection::open(target, options, bounds.clone());
        let connection = timeout(HANDSHAKE_TIMEOUT, opening).await;
        let secs = HANDSHAKE_TIMEOUT.as_secs();
        let connection = connection.map_err(|_| format!("no connection within {secs} s"))??;
        let (closing, is_closing) = watch::channel(false);
        let (has_ended, ended) = watch::channel(None);
        let (inbound, replies) = mpsc::channel(usize::from(options.prefetch.max(1)));
        let outbox = Arc::clone(&connection.outbox);
        options
            .supervisor
            .spawn("the reader of replies", async move {
                let why = connection.run(inbound, is_closing).await;
                has_ended.send_replace(Some(why));
            });
        let reader = Self {
            outbox,
            closing,
            ended,
        };
        Ok((reader, replies))
    }

    /// Tells the broker a new token. If it refuses the token, it closes the connection.
    pub(crate) fn update_secret(&self, token: &str) {
        let update = connection::AMQPMethod::UpdateSecret(connection::UpdateSecret {
            new_secret: token.into(),
            reason: "the file of the token has changed".into(),
        });
        let update = AMQPClass::Connection(update);
        self.outbox.put(|out| put(&update, 0, out));
    }

    /// Why the connection has ended, once it has.
    pub(crate) async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        let why = ended.wait_for(Option::is_some).await;
        let why = why.ok().and_then(|why| why.clone());
        why.unwrap_or_else(|| "the connection ended".to_owned())
    }

    /// Closes the connection, and waits until the broker has answered.
    pub(crate) async fn close(&self) {
        self.closing.send_replace(true);
        self.ended().await;
    }
}

struct Connection {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    tuned: Tuned,
    outbox: Arc<Outbox>,
    consumer: Consumer,
    assembly: Assembly,
    bounds: ReaderBounds,
}

impl Connection {
    async fn open(
        target: &Target,
        options: &Options,
        bounds: ReaderBounds,
    ) -> Result<Self, String> {
        let stream = stream::connect(target).await;
        let stream = stream.map_err(|error| target.explain(&error))?;
        let uri = target.uri.inner();
        let outbox = Arc::<Outbox>::default();
        let mut connection = Self {
            stream,
            buffer: BytesMut::new(),
            tuned: Tuned {
                frame_max: FIRST_FRAME_MAX,
                heartbeat_secs: 0,
            },
            consumer: Consumer::started(options, Arc::clone(&outbox)),
            outbox,
            assembly: Assembly::default(),
            bounds,
        };
        let mut out = BytesMut::from(&PROTOCOL_HEADER[..]);
        loop {
            connection.write(&mut out).await?;
            let frame = connection.next_frame().await?;
            if frame.kind != Kind::Method {
                continue;
            }
            let method = method::decode(&frame.payload).map_err(|error| error.to_string())?;
            match handshake::take(method, &uri, options, &mut out)? {
                Progress::More => {}
                Progress::Tuned(tuned) => connection.tuned = tuned,
                Progress::Consumes => return Ok(connection),
            }
        }
    }

    async fn next_frame(&mut self) -> Result<Frame, String> {
        loop {
            match frame::decode(&mut self.buffer, self.tuned.frame_max) {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(error) => return Err(error.to_string()),
            }
            self.buffer.reserve(READ_SIZE);
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err("the broker closed the socket".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    async fn write(&mut self, bytes: &mut BytesMut) -> Result<(), String> {
        let writing = async {
            self.stream.write_all_buf(bytes).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_TIMEOUT, writing).await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err("the broker reads nothing".to_owned()),
        }
    }

    /// Reads and writes until the connection ends. Returns the reason.
    async fn run(
        mut self,
        inbound: mpsc::Sender<Inbound>,
        closing: watch::Receiver<bool>,
    ) -> String {
        let served = self.serve(&inbound, closing).await;
        if served.is_ok() {
            drop(timeout(WRITE_TIMEOUT, self.say_goodbye()).await);
        }
        self.consumer.end();
        served.err().unwrap_or_else(|| "closed".to_owned())
    }

    /// An error is the reason for which the connection ends; without one, the bridge closes it.
    async fn serve(
        &mut self,
        inbound: &mpsc::Sender<Inbound>,
        mut closing: watch::Receiver<bool>,
    ) -> Result<(), String> {
        let beat = Duration::from_secs(u64::from(self.tuned.heartbeat_secs)) / 2;
        let far = Duration::from_secs(1 << 30);
        let every = if beat.is_zero() { far } else { beat };
        let (mut last_read, mut last_written) = (Instant::now(), Instant::now());
        let (outbox, mut bounds) = (Arc::clone(&self.outbox), self.bounds.clone());
        self.consumer.widen(*bounds.prefetch.borrow_and_update());
        self.frames(inbound).await?;
        loop {
            crash_point(CrashPoint::ReaderLoop);
            self.buffer.reserve(READ_SIZE);
            tokio::select! {
                read = self.stream.read_buf(&mut self.buffer) => {
                    match read {
                        Ok(0) => return Err("the broker closed the socket".to_owned()),
                        Ok(_) => last_read = Instant::now(),
                        Err(error) => return Err(error.to_string()),
                    }
                    self.frames(inbound).await?;
                }
                bytes = outbox.take() => {
                    let Some(mut bytes) = bytes else { return Ok(()) };
                    self.write(&mut bytes).await?;
                    last_written = Instant::now();
                }
                () = self.consumer.skipped_fits(&bounds.held), if self.consumer.has_skipped() => {
                    self.consumer.put_back(&bounds.held);
                }
                // An error means that the broker was closed, and that the connection is closed too.
                Ok(()) = bounds.prefetch.changed() => {
                    self.consumer.widen(*bounds.prefetch.borrow_and_update());
                }
                () = sleep_until(last_written + every) => {
                    let mut bytes = BytesMut::new();
                    drop(frame::encode(&mut bytes, Kind::Heartbeat, 0, &[]));
                    self.write(&mut bytes).await?;
                    last_written = Instant::now();
                }
                () = sleep_until(last_read + every * 4) => {
                    return Err("the broker sent no heartbeat".to_owned());
                }
                // An error means that nobody uses the connection any more.
                () = async { drop(closing.wait_for(|closing| *closing).await) } => return Ok(()),
            }
        }
    }

    /// Takes the frames that are there.
    async fn frames(&mut self, inbound: &mpsc::Sender<Inbound>) -> Result<(), String> {
        loop {
            let frame = frame::decode(&mut self.buffer, self.tuned.frame_max);
            let Some(frame) = frame.map_err(|error| error.to_string())? else {
                break;
            };
            if frame.channel != CHANNEL {
                self.of_connection(&frame)?;
                continue;
            }
            let held = &self.bounds.held;
            let taken = self.assembly.take(&frame, |need| held.take(need));
            let taken = taken?;
            if matches!(taken, Taken::Message(..) | Taken::NoRoom { .. }) {
                self.consumer.came();
            }
            match taken {
                Taken::Nothing => {}
                Taken::Message(message, share) => self.hand_over(message, share, inbound).await?,
                Taken::NoRoom { tag, need } => self.consumer.skip(tag, need),
                Taken::ChannelClosed { code, why } => self.consumer.reopen(code, &why)?,
                Taken::ChannelOpened => self.consumer.opened(),
            }
        }
        if self.buffer.is_empty() {
            // The memory of a large frame is not kept.
            self.buffer = BytesMut::new();
        }
        Ok(())
    }

    async fn hand_over(
        &self,
        message: Message,
        share: Share,
        inbound: &mpsc::Sender<Inbound>,
    ) -> Result<(), String> {
        let receipt = Receipt::new(Unacknowledged {
            tag: message.tag,
            outbox: Arc::clone(&self.outbox),
            is_usable: self.consumer.is_usable(),
            _share: share,
        });
        // This waits no longer than the bridge needs to begin with a reply.
        let sent = inbound
            .send(super::convert::inbound(message, receipt))
            .await;
        sent.map_err(|_| "the bridge stopped reading replies".to_owned())
    }

    fn of_connection(&self, frame: &Frame) -> Result<(), String> {
        if frame.kind != Kind::Method {
            return Ok(());
        }
        let method = method::decode(&frame.payload).map_err(|error| error.to_string())?;
        handshake::ended(&method).map_or(Ok(()), Err)
    }

    async fn say_goodbye(&mut self) -> Result<(), String> {
        let mut out = BytesMut::new();
        // What was acknowledged last is still written.
        self.outbox.close();
        while let Some(bytes) = self.outbox.take().await {
            out.unsplit(bytes);
        }
        let close = connection::AMQPMethod::Close(connection::Close {
            reply_code: 200,
            reply_text: "closing".into(),
            class_id: 0,
            method_id: 0,
        });
        put(&AMQPClass::Connection(close), 0, &mut out);
        self.write(&mut out).await?;
        loop {
            let frame = self.next_frame().await?;
            let is_answer = frame.channel == 0 && frame.payload.starts_with(&[0, 10, 0, 51]);
            if is_answer {
                return Ok(());
            }
        }
    }
}
