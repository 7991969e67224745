//! The worker of the latency: it sends every task's body back as its result, from a thread that does nothing else.
//!
//! The thread blocks in `read`, and a task is received when that `read` returns. No runtime, no channel and no library
//! between the socket and the clock is a part of what is measured. It does what the worker protocol says, as a careful
//! `Worker`: with a prefetch, replies are persistent and confirmed, and each task is acknowledged after its confirm.

use crate::{amqp_socket::AmqpSocket, worker::PREFETCH};
use activity_bridge::broker::endpoint::{
    content_header::ContentHeader, frame::Kind, method, properties::Properties,
    properties_builder::PropertiesBuilder, table::Value,
};
use anyhow::{Context, bail, ensure};
use bytes::BytesMut;
use lapin::protocol::{AMQPClass, basic, confirm};
use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, task::block_in_place, time::timeout};

/// Timeout for the end of the worker.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(15);
/// Maximum size of a task's body.
const MAX_BODY: u64 = 1_000_000;

/// The running worker.
pub(crate) struct SocketWorker {
    shared: Arc<Shared>,
    ended: oneshot::Receiver<anyhow::Result<()>>,
}

/// When the worker had a task.
#[derive(Debug)]
pub(crate) struct Sighting {
    pub(crate) activity_id: String,
    /// When the `read` returned that had the last of it.
    pub(crate) received: Instant,
    /// Just before the write of its reply.
    pub(crate) replied: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    /// `None` while nobody wants to know.
    sightings: Mutex<Option<Vec<Sighting>>>,
    is_closing: AtomicBool,
}

impl SocketWorker {
    /// Consumes from a queue that is there already.
    pub(crate) fn start(uri: &str, queue: &str) -> anyhow::Result<Self> {
        let socket = block_in_place(|| subscribe(uri, queue)).context("the worker")?;
        let shared = Arc::default();
        let (sender, ended) = oneshot::channel();
        let work = Work {
            socket,
            shared: Arc::clone(&shared),
            task: None,
            last_reply: 0,
            unconfirmed: BTreeMap::new(),
        };
        let thread = thread::Builder::new().name("worker".to_owned());
        thread.spawn(move || drop(sender.send(work.run())))?;
        Ok(Self { shared, ended })
    }

    /// Begins to note when it has tasks.
    pub(crate) fn watch(&self) {
        self.shared.set(Some(Vec::new()));
    }

    /// What it noted since it was told to; it notes no more.
    pub(crate) fn seen(&self) -> Vec<Sighting> {
        self.shared.set(None).unwrap_or_default()
    }

    /// Waits for the end of a worker that must not end.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match (&mut self.ended).await {
            Ok(Err(error)) => error.context("the worker"),
            Ok(Ok(())) | Err(_) => anyhow::anyhow!("the worker has ended"),
        }
    }

    /// Closes the connection after the last acknowledgement.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.shared.is_closing.store(true, Relaxed);
        let ended = timeout(CLOSE_TIMEOUT, self.ended).await;
        let ended = ended.context("the worker does not end")?;
        ended.context("the worker panicked")?.context("the worker")
    }
}

impl Shared {
    fn set(&self, to: Option<Vec<Sighting>>) -> Option<Vec<Sighting>> {
        let mut sightings = self
            .sightings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        mem::replace(&mut sightings, to)
    }

    fn note(&self, sighting: Sighting) {
        let sightings = self.sightings.lock();
        let mut sightings = sightings.unwrap_or_else(PoisonError::into_inner);
        if let Some(sightings) = &mut *sightings {
            sightings.push(sighting);
        }
    }
}

fn subscribe(uri: &str, queue: &str) -> anyhow::Result<AmqpSocket> {
    use basic::AMQPMethod::{Consume, ConsumeOk, Qos, QosOk};
    use confirm::AMQPMethod::{Select, SelectOk};
    let mut socket = AmqpSocket::connect(uri)?;
    let select = confirm::Select { nowait: false };
    let answer = socket.call(&AMQPClass::Confirm(Select(select)))?;
    let AMQPClass::Confirm(SelectOk(_)) = answer else {
        bail!("confirm.select was answered by {answer:?}");
    };
    let qos = basic::Qos {
        prefetch_count: PREFETCH,
        global: false,
    };
    let answer = socket.call(&AMQPClass::Basic(Qos(qos)))?;
    let AMQPClass::Basic(QosOk(_)) = answer else {
        bail!("basic.qos was answered by {answer:?}");
    };
    let consume = basic::Consume {
        queue: method::short_string(queue),
        ..Default::default()
    };
    let answer = socket.call(&AMQPClass::Basic(Consume(consume)))?;
    let AMQPClass::Basic(ConsumeOk(_)) = answer else {
        bail!("basic.consume was answered by {answer:?}");
    };
    Ok(socket)
}

/// What the thread has.
struct Work {
    socket: AmqpSocket,
    shared: Arc<Shared>,
    /// The task whose frames are coming.
    task: Option<Task>,
    /// The number of the last reply; that of the first is 1.
    last_reply: u64,
    /// The delivery tags of the tasks whose reply is not confirmed, by the number of the reply.
    unconfirmed: BTreeMap<u64, u64>,
}

/// A task of which not all frames have come.
struct Task {
    delivery_tag: u64,
    body_size: u64,
    properties: Properties,
    body: BytesMut,
}

impl Work {
    fn run(mut self) -> anyhow::Result<()> {
        loop {
            if self.socket.read()? {
                self.take_frames()?;
            } else if self.shared.is_closing.load(Relaxed) && self.unconfirmed.is_empty() {
                return self.socket.close();
            }
        }
    }

    fn take_frames(&mut self) -> anyhow::Result<()> {
        while let Some(frame) = self.socket.next_frame()? {
            match frame.kind {
                Kind::Method => self.take_method(method::decode(&frame.payload)?)?,
                Kind::Header => {
                    let header = ContentHeader::decode(&frame.payload)?;
                    let size = header.body_size;
                    ensure!(size <= MAX_BODY, "a task of {size} bytes");
                    let task = self.task.as_mut().context("a header without a task")?;
                    task.body_size = size;
                    task.properties = header.properties;
                    self.reply_if_complete()?;
                }
                Kind::Body => {
                    let task = self.task.as_mut().context("a body without a task")?;
                    task.body.extend_from_slice(&frame.payload);
                    self.reply_if_complete()?;
                }
                Kind::Heartbeat => {}
            }
        }
        self.socket.flush()
    }

    fn take_method(&mut self, method: AMQPClass) -> anyhow::Result<()> {
        match method {
            AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver)) => {
                self.task = Some(Task {
                    delivery_tag: deliver.delivery_tag,
                    body_size: 0,
                    properties: Properties::default(),
                    body: BytesMut::new(),
                });
                Ok(())
            }
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => self.confirmed(&ack),
            other => bail!("the broker sent {other:?}"),
        }
    }

    /// Replies to the task if all of it has come.
    fn reply_if_complete(&mut self) -> anyhow::Result<()> {
        let is_complete = |task: &mut Task| task.body.len() as u64 >= task.body_size;
        let Some(task) = self.task.take_if(is_complete) else {
            return Ok(());
        };
        let reply_to = task
            .properties
            .reply_to()
            .context("a task without reply_to")?;
        let publish = basic::Publish {
            routing_key: method::short_string(std::str::from_utf8(reply_to)?),
            ..Default::default()
        };
        let mut properties = PropertiesBuilder::new().delivery_mode(2);
        if let Some(id) = task.properties.correlation_id() {
            properties = properties.correlation_id(id);
        }
        let header = ContentHeader::new(task.body.len() as u64, properties.finish()?);
        self.socket
            .put(&AMQPClass::Basic(basic::AMQPMethod::Publish(publish)))?;
        self.socket.put_content(&header, &task.body)?;
        ensure!(
            self.unconfirmed.len() < usize::from(PREFETCH),
            "the broker exceeds the prefetch"
        );
        self.last_reply += 1;
        self.unconfirmed.insert(self.last_reply, task.delivery_tag);
        if let Some(Value::Text(id)) = task.properties.header(b"activity-id") {
            self.shared.note(Sighting {
                activity_id: String::from_utf8_lossy(id).into_owned(),
                received: self.socket.read_at(),
                replied: Instant::now(),
            });
        }
        self.socket.flush()
    }

    /// Acknowledges the tasks whose replies the broker has confirmed.
    fn confirmed(&mut self, ack: &basic::Ack) -> anyhow::Result<()> {
        let confirmed = if ack.multiple {
            let next = ack.delivery_tag.saturating_add(1);
            let later = self.unconfirmed.split_off(&next);
            mem::replace(&mut self.unconfirmed, later)
        } else {
            self.unconfirmed
                .remove_entry(&ack.delivery_tag)
                .into_iter()
                .collect()
        };
        ensure!(
            !confirmed.is_empty(),
            "the broker confirmed no reply by {ack:?}"
        );
        for delivery_tag in confirmed.into_values() {
            let ack = basic::Ack {
                delivery_tag,
                multiple: false,
            };
            self.socket
                .put(&AMQPClass::Basic(basic::AMQPMethod::Ack(ack)))?;
        }
        Ok(())
    }
}
