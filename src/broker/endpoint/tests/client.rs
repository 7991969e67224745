//! A client of the state: it sends methods, and reads what the state has written.

use super::super::{
    content_header::ContentHeader,
    custody_terms::{AckMode, ConnectionId, ReturnCause, Terms},
    frame::{self, Frame, Kind},
    limits::Limits,
    message::Message,
    method,
    open_connection::Connection,
    open_replies::OpenReplies,
    outbox::Outbox,
    properties::Properties,
    publish::Published,
    refusal::Refusal,
    state::State,
    switch::Switch,
    tasks::NewTask,
};
use crate::{broker::Inbound, task::TaskId};
use amq_protocol::{
    protocol::{AMQPClass, basic, confirm, queue},
    types::{AMQPValue, FieldTable},
};
use bytes::Bytes;
use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

/// A message that a client got.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) properties: Properties,
    pub(super) body_size: u64,
}

/// A state that delivers, with a queue `tasks`.
pub(super) struct Broker {
    pub(super) switch: Switch,
    pub(super) events: mpsc::Receiver<Inbound>,
}

/// One connection with one open channel.
pub(super) struct Client {
    switch: Switch,
    outbox: Arc<Outbox>,
    pub(super) id: ConnectionId,
}

impl Broker {
    pub(super) fn new() -> Self {
        let (sender, events) = mpsc::channel(1_000);
        let now = Instant::now();
        let mut state = State::new(Limits::default(), sender, now);
        let terms = Terms {
            route: "tasks".into(),
            ack: AckMode::Completes { written: false },
            ack_grace: Duration::from_millis(100),
            ack_timeout: None,
            delivery_limit: None,
        };
        state.add_task_queue("tasks", terms, now);
        state.set_delivers(true, now);
        let switch = Switch::new(state);
        Self { switch, events }
    }

    pub(super) fn connect(&self, frame_max: u32) -> Client {
        let outbox = Arc::new(Outbox::default());
        let all_bytes = self.switch.with(|state| state.all_reply_bytes());
        let connection = Connection {
            outbox: Arc::clone(&outbox),
            channels: BTreeMap::new(),
            frame_max,
            wants_cancels: true,
            open_replies: OpenReplies::new(Arc::new(Notify::new()), all_bytes),
            own_queues: 0,
            confirming: BTreeSet::new(),
            allowed: None,
            sees_parked: true,
            unacked_bytes: 0,
        };
        let id = self.switch.with(|state| state.open_connection(connection));
        let id = id.expect("a connection");
        let opened = self.switch.with(|state| state.open_channel(id, 1));
        assert_eq!(opened, Ok(()));
        Client {
            switch: self.switch.clone(),
            outbox,
            id,
        }
    }

    /// Announces something about a task. Returns how many queues take it.
    pub(super) fn announce(&self) -> usize {
        let message = Message {
            exchange: "activity-bridge.control".into(),
            routing_key: "a-task".into(),
            properties: Properties::default(),
            body: Bytes::from_static(b"cancel"),
        };
        let now = Instant::now();
        self.switch.with(|state| state.send_own(message, now))
    }

    /// Lets the clock of a test on paused time go on, and does what is due.
    pub(super) async fn wait(&self, time: Duration) {
        tokio::time::advance(time).await;
        let now = Instant::now();
        self.switch.with(|state| state.do_due(now));
    }

    /// Adds a task whose message has these properties.
    pub(super) fn add_task(&self, properties: Properties) -> TaskId {
        let id = TaskId::random();
        let task = NewTask {
            id,
            message: Message {
                exchange: "".into(),
                routing_key: "tasks".into(),
                properties,
                body: Bytes::from_static(b"{}"),
            },
            failed_deliveries: 0,
            redelivered: false,
            expires: None,
        };
        let now = Instant::now();
        assert!(self.switch.with(|state| state.add_task("tasks", task, now)));
        id
    }
}

impl Client {
    pub(super) fn send(&self, method: AMQPClass) -> Result<(), Refusal> {
        self.send_on(1, method)
    }

    pub(super) fn send_on(&self, channel: u16, method: AMQPClass) -> Result<(), Refusal> {
        let now = Instant::now();
        self.switch
            .with(|state| state.on_method((self.id, channel), method, now))
    }

    /// Opens a channel that consumes the tasks.
    pub(super) fn open_consumer(&self, channel: u16) {
        let opened = self
            .switch
            .with(|state| state.open_channel(self.id, channel));
        assert_eq!(opened, Ok(()));
        let consume = basic::AMQPMethod::Consume(basic::Consume {
            queue: "tasks".into(),
            ..Default::default()
        });
        assert_eq!(self.send_on(channel, AMQPClass::Basic(consume)), Ok(()));
    }

    pub(super) fn most_open_replies(&self) -> usize {
        self.switch.with(|state| state.limits.open_replies)
    }

    /// Whether the connection must not be read.
    pub(super) fn must_pause(&self) -> bool {
        self.switch.with(|state| state.must_pause(self.id))
    }

    /// Loses the connection.
    pub(super) fn lose(&self) {
        let now = Instant::now();
        self.switch
            .with(|state| state.close_connection(self.id, ReturnCause::Lost, now));
    }

    pub(super) fn declare(&self, name: &str, exclusive: bool) -> Result<(), Refusal> {
        self.declare_queue(queue::Declare {
            queue: name.into(),
            exclusive,
            ..Default::default()
        })
    }

    pub(super) fn declare_queue(&self, declare: queue::Declare) -> Result<(), Refusal> {
        self.send(AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))
    }

    /// Declares a queue that is neither exclusive nor auto-delete, with these arguments.
    pub(super) fn declare_with(
        &self,
        name: &str,
        arguments: &[(&str, AMQPValue)],
    ) -> Result<(), Refusal> {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        self.declare_queue(queue::Declare {
            queue: name.into(),
            arguments: table,
            ..Default::default()
        })
    }

    /// Whether there is such a queue. Does not use it.
    pub(super) fn has_queue(&self, name: &str) -> bool {
        self.switch.with(|state| state.queues.contains_key(name))
    }

    pub(super) fn get(&self, queue: &str) -> Result<(), Refusal> {
        let get = basic::AMQPMethod::Get(basic::Get {
            queue: queue.into(),
            no_ack: true,
        });
        self.send(AMQPClass::Basic(get))
    }

    /// Gets a message that must be acknowledged.
    pub(super) fn get_for_ack(&self, queue: &str) -> Result<(), Refusal> {
        let get = basic::AMQPMethod::Get(basic::Get {
            queue: queue.into(),
            no_ack: false,
        });
        self.send(AMQPClass::Basic(get))
    }

    /// Deletes a queue.
    pub(super) fn delete(&self, queue: &str) {
        let delete = queue::AMQPMethod::Delete(queue::Delete {
            queue: queue.into(),
            ..Default::default()
        });
        assert_eq!(self.send(AMQPClass::Queue(delete)), Ok(()));
    }

    /// Sets the prefetch of the consumers that start afterwards.
    pub(super) fn set_prefetch(&self, prefetch_count: u16) {
        let qos = basic::AMQPMethod::Qos(basic::Qos {
            prefetch_count,
            global: false,
        });
        assert_eq!(self.send(AMQPClass::Basic(qos)), Ok(()));
    }

    /// Cancels the only consumer.
    pub(super) fn cancel(&self) {
        let consumers = self.switch.with(|state| {
            let channel = state.channel(self.id, 1).expect("a channel");
            channel.consumers.keys().cloned().collect::<Vec<_>>()
        });
        assert_eq!(consumers.len(), 1);
        let cancel = basic::AMQPMethod::Cancel(basic::Cancel {
            consumer_tag: (&*consumers[0]).into(),
            nowait: true,
        });
        assert_eq!(self.send(AMQPClass::Basic(cancel)), Ok(()));
    }

    pub(super) fn consume(&self, queue: &str, no_ack: bool) -> Result<(), Refusal> {
        self.send(AMQPClass::Basic(basic::AMQPMethod::Consume(
            basic::Consume {
                queue: queue.into(),
                no_ack,
                ..Default::default()
            },
        )))
    }

    pub(super) fn select_confirms(&self) {
        let select = confirm::AMQPMethod::Select(confirm::Select { nowait: true });
        assert_eq!(self.send(AMQPClass::Confirm(select)), Ok(()));
    }

    /// Publishes to the default exchange.
    pub(super) fn publish(&self, key: &str, properties: Properties) -> Result<(), Refusal> {
        let published = Published {
            publish: basic::Publish {
                routing_key: key.into(),
                ..Default::default()
            },
            properties,
            body: Bytes::from_static(b"body"),
        };
        let now = Instant::now();
        self.switch
            .with(|state| state.publish(&self.switch, (self.id, 1), published, now))
    }

    /// What the session does after all frames that were read at once.
    pub(super) fn end_of_read(&self) {
        self.switch.with(|state| state.send_confirms(self.id));
    }

    async fn frames(&self) -> Vec<Frame> {
        self.outbox.put(|out| {
            frame::encode(out, Kind::Heartbeat, 0, &[]).expect("a heartbeat");
        });
        let mut bytes = self.outbox.take().await.expect("bytes");
        std::iter::from_fn(|| frame::decode(&mut bytes, 131_072).expect("a frame")).collect()
    }

    /// All methods that were written since the last call.
    pub(super) async fn methods(&self) -> Vec<AMQPClass> {
        let frames = self.frames().await.into_iter();
        let methods = frames.filter(|frame| frame.kind == Kind::Method);
        methods
            .map(|frame| method::decode(&frame.payload).expect("a method"))
            .collect()
    }

    /// All messages that were written since the last call.
    pub(super) async fn messages(&self) -> Vec<Got> {
        let frames = self.frames().await.into_iter();
        let headers = frames.filter(|frame| frame.kind == Kind::Header);
        headers
            .map(|frame| {
                let header = ContentHeader::decode(&frame.payload).expect("a header");
                Got {
                    properties: header.properties,
                    body_size: header.body_size,
                }
            })
            .collect()
    }
}
