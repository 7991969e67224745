//! The AMQP endpoint as a [`Broker`]: the bridge is the broker itself.

use super::{
    connection::Shared,
    custody_terms::{AckMode, Terms},
    files::{EndpointFiles, UserPassword},
    limits::Limits,
    listener,
    message::Message,
    properties::Properties,
    properties_builder::PropertiesBuilder,
    settings::EndpointConfig,
    state::State,
    switch::Switch,
    table_builder::TableBuilder,
    tasks::NewTask,
    tls,
    users::{User, Users},
};
use crate::{
    broker::{
        Announcement, Broker, Delivery, Destination, Durability, InboundStream, Link,
        ParkedMessage, PublishError, Readiness, ReadinessError, TaskMessage,
        names::{APP_ID, CONTROL_EXCHANGE, PARKED_BECAUSE, PARKING_QUEUE, REPLIES_EXCHANGE},
    },
    task::{HeaderValue, Status, TaskId},
    util::{
        crash_point::{CrashPoint, crash_point},
        supervise::Supervisor,
    },
};
use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

/// Capacity of the stream of events. Everything that can be open at once has room in it.
const EVENTS: usize = 1 << 20;

/// Time for the connections' answers to their close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Interval of the looks whether the bridge has taken all acknowledgements.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A queue of tasks, and what its route says about deliveries.
#[derive(Clone, Debug)]
pub struct TaskQueue {
    /// The name of the queue.
    pub name: String,
    /// The name of the route.
    pub route: String,
    /// Whether a bare acknowledgement completes its task.
    pub completes: bool,
    /// Whether the configuration says what an acknowledgement means.
    pub is_written: bool,
    /// How long a bare acknowledgement waits for a reply before it completes its task.
    pub ack_grace: Duration,
    /// Timeout for an acknowledgement.
    pub ack_timeout: Option<Duration>,
    /// Maximum number of failed deliveries of a task.
    pub delivery_limit: Option<u64>,
}

impl TaskQueue {
    fn terms(&self) -> Terms {
        let written = self.is_written;
        Terms {
            route: self.route.as_str().into(),
            ack: match self.completes {
                true => AckMode::Completes { written },
                false => AckMode::Releases,
            },
            ack_grace: self.ack_grace,
            ack_timeout: self.ack_timeout,
            delivery_limit: self
                .delivery_limit
                .map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
        }
    }
}

/// What the endpoint needs.
pub(crate) struct Options {
    /// The settings.
    pub(crate) config: EndpointConfig,
    /// The files that the settings name.
    pub(crate) files: EndpointFiles,
    /// The queues of the routes.
    pub(crate) queues: Vec<TaskQueue>,
    /// The id in the address of replies.
    pub(crate) id: String,
    /// Supervises the loops.
    pub(crate) supervisor: Supervisor,
}

/// See the module.
pub(crate) struct Endpoint {
    switch: Switch,
    reply_to: String,
    link: watch::Sender<Link>,
    closing: watch::Sender<bool>,
}

impl Endpoint {
    /// Starts the endpoint.
    ///
    /// # Errors
    ///
    /// The address can't be listened on, or a file for TLS can't be used.
    pub(crate) fn start(options: Options) -> anyhow::Result<(Self, InboundStream)> {
        let (config, files) = (options.config, options.files);
        let tls = files.tls.as_ref().map(tls::acceptor).transpose();
        let tls = tls.map_err(|problem| anyhow::anyhow!("{problem}"))?;
        let listener = listen(config.listen)?;
        let users = users(&config, files.passwords, &options.queues);
        let (events, inbound) = mpsc::channel(EVENTS);
        let now = Instant::now();
        let max_connections = config.max_connections;
        let mut state = State::new(limits(&config), events, now);
        for queue in &options.queues {
            state.add_task_queue(&queue.name, queue.terms(), now);
        }
        state.add_parking_queue(PARKING_QUEUE, now);
        state.set_delivers(true, now);
        let switch = Switch::new(state);
        let (closing, is_closing) = watch::channel(false);
        let shared = Shared {
            switch: switch.clone(),
            users: Arc::new(users),
            closing: is_closing,
        };
        let supervisor = options.supervisor;
        supervisor.spawn_loop("the endpoint's clock", switch.clone().run());
        let listening = listener::run(listener, shared, max_connections, tls, supervisor.clone());
        supervisor.spawn_loop("the endpoint's listener", listening);
        let endpoint = Self {
            switch,
            reply_to: format!("{REPLIES_EXCHANGE}.{}", options.id),
            link: watch::Sender::new(Link::Up),
            closing,
        };
        Ok((endpoint, inbound))
    }

    fn deliver_nothing(&self) {
        self.switch
            .with(|state| state.set_delivers(false, Instant::now()));
    }

    fn send(&self, message: Message) -> Result<usize, PublishError> {
        Ok(self
            .switch
            .with(|state| state.send_own(message, Instant::now())))
    }
}

#[async_trait]
impl Broker for Endpoint {
    async fn publish(&self, task: &TaskMessage<'_>) -> Result<(), PublishError> {
        let message = Message {
            exchange: "".into(),
            routing_key: task.routing_key.into(),
            properties: task_properties(task, &self.reply_to)?,
            body: Bytes::copy_from_slice(task.body),
        };
        let now = Instant::now();
        let new = NewTask {
            id: task.id,
            message,
            failed_deliveries: task.failed_deliveries,
            redelivered: task.redelivered,
            expires: task
                .expiration_ms
                .map(|left| now + Duration::from_millis(left)),
        };
        match self
            .switch
            .with(|state| state.add_task(task.routing_key, new, now))
        {
            true => {
                crash_point(CrashPoint::AfterPublish);
                Ok(())
            }
            false => Err(PublishError::Unroutable(format!(
                "no queue {}",
                task.routing_key
            ))),
        }
    }

    async fn withdraw(&self, task: TaskId) {
        self.switch.with(|state| state.end_task(task));
    }

    async fn taken_over(&self, task: TaskId) {
        self.switch.with(|state| state.task_taken_over(task));
    }

    async fn park(&self, parked: &ParkedMessage<'_>, because: &str) -> Result<(), PublishError> {
        let because = HeaderValue::Text(because.to_owned());
        let own = [(PARKED_BECAUSE, &because)];
        let theirs = parked.headers.iter().copied();
        let headers = own
            .into_iter()
            .chain(theirs.filter(|(name, _)| *name != PARKED_BECAUSE));
        let mut properties = PropertiesBuilder::new()
            .app_id(APP_ID)
            .delivery_mode(2)
            .headers(table(headers)?);
        if let Some(text) = parked.content_type {
            properties = properties.content_type(short(text));
        }
        if let Some(text) = parked.correlation_id {
            properties = properties.correlation_id(short(text));
        }
        if let Some(text) = parked.kind {
            properties = properties.kind(short(text));
        }
        if let Some(text) = parked.reply_to {
            properties = properties.reply_to(short(text));
        }
        let message = Message {
            exchange: "".into(),
            routing_key: PARKING_QUEUE.into(),
            properties: finish(properties)?,
            body: Bytes::copy_from_slice(parked.body),
        };
        self.send(message).map(|_| ())
    }

    async fn announce(&self, task: TaskId, what: Announcement) -> Result<(), PublishError> {
        let id = task.to_string();
        let reason = HeaderValue::Text(what.label().to_owned());
        let properties = PropertiesBuilder::new()
            .app_id(APP_ID)
            .correlation_id(&id)
            .kind("cancel")
            .headers(table([("reason", &reason)])?);
        let message = Message {
            exchange: CONTROL_EXCHANGE.into(),
            routing_key: id.into(),
            properties: finish(properties)?,
            body: Bytes::from_static(what.label().as_bytes()),
        };
        self.send(message).map(|_| ())
    }

    async fn answer(&self, sign: &Delivery, status: Status) -> Result<(), PublishError> {
        let Some(reply_to) = sign.reply_to.as_deref().filter(|to| *to != PARKING_QUEUE) else {
            return Ok(());
        };
        let label = HeaderValue::Text(status.label().to_owned());
        let mut properties = PropertiesBuilder::new()
            .app_id(APP_ID)
            .kind("status")
            .headers(table([("status", &label)])?);
        if let Some(id) = &sign.correlation_id {
            properties = properties.correlation_id(short(id));
        }
        let message = Message {
            exchange: "".into(),
            routing_key: short(reply_to).into(),
            properties: finish(properties)?,
            body: Bytes::from_static(status.label().as_bytes()),
        };
        self.send(message).map(|_| ())
    }

    fn reply_to(&self) -> &str {
        &self.reply_to
    }

    async fn readiness(&self, destination: &Destination) -> Result<Readiness, ReadinessError> {
        let Some(queue) = destination.queue() else {
            return Ok(Readiness::default());
        };
        let readiness = self
            .switch
            .with(|state| state.readiness(&queue.name, Instant::now()));
        readiness.ok_or_else(|| ReadinessError::Unusable(format!("no queue {}", queue.name)))
    }

    async fn readiness_changed(&self, destination: &Destination) {
        let queue = destination.queue();
        let changed =
            queue.and_then(|queue| self.switch.with(|state| state.changes_of(&queue.name)));
        match changed {
            Some(changed) => changed.notified().await,
            None => std::future::pending().await,
        }
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    fn durability(&self) -> Durability {
        Durability::Process
    }

    async fn stop_deliveries(&self) {
        self.deliver_nothing();
        while !self.switch.with(|state| state.has_told_all()) {
            sleep(LOOK_INTERVAL).await;
        }
    }

    async fn close(&self, _expects_replies: bool) {
        // What one connection had goes to no other that is about to be closed.
        self.deliver_nothing();
        self.closing.send_replace(true);
        // The listener and each connection hold a receiver until they have ended.
        drop(timeout(CLOSE_TIMEOUT, self.closing.closed()).await);
    }
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    listener.with_context(|| {
        format!("amqp.listen = \"{address}\": the address can't be listened on; choose another, or set amqp.uri for a RabbitMQ")
    })
}

fn limits(config: &EndpointConfig) -> Limits {
    Limits {
        connections: config.max_connections,
        channels: config.max_channels,
        consumers: config.max_consumers,
        own_queues: config.max_own_queues,
        message_bytes: usize::try_from(config.max_message_bytes).unwrap_or(usize::MAX),
        default_prefetch: u32::from(config.default_prefetch),
        ..Limits::default()
    }
}

fn users(
    config: &EndpointConfig,
    passwords: Vec<Option<UserPassword>>,
    queues: &[TaskQueue],
) -> Users {
    let users = config.users.iter().zip(passwords);
    let users = users.map(|(user, password)| {
        let of_user = user.routes.as_ref().map(|routes| {
            let queues = queues.iter().filter(|queue| routes.contains(&queue.route));
            Arc::new(queues.map(|queue| queue.name.as_str().into()).collect())
        });
        User {
            name: user.name.clone(),
            password: password.map(|password| password.0),
            certificate_name: user.certificate_name.clone(),
            queues: of_user,
            parked: user.parked,
        }
    });
    Users {
        all: users.collect(),
        anyone: config.users.is_empty(),
    }
}

/// The properties of a task's message.
fn task_properties(task: &TaskMessage<'_>, reply_to: &str) -> Result<Properties, PublishError> {
    let id = task.id.to_string();
    let headers = table(task.headers.iter().copied())?;
    let mut properties = PropertiesBuilder::new()
        .app_id(APP_ID)
        .delivery_mode(2)
        .content_type(task.content_type)
        .content_encoding("utf-8")
        .message_id(&id)
        .correlation_id(&id)
        .kind(short(task.activity))
        .reply_to(reply_to)
        .headers(headers);
    if let Some(seconds) = task.timestamp_secs {
        properties = properties.timestamp(seconds);
    }
    if let Some(milliseconds) = task.expiration_ms {
        properties = properties.expiration_ms(milliseconds);
    }
    finish(properties)
}

/// A text that fits a short string.
fn short(text: &str) -> &str {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn table<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a HeaderValue)>,
) -> Result<Bytes, PublishError> {
    let mut table = TableBuilder::new();
    for (name, value) in headers {
        table = match value {
            HeaderValue::Text(text) => table.text(short(name), text),
            HeaderValue::Integer(number) => table.integer(short(name), *number),
        };
    }
    table.finish().map_err(refused)
}

fn finish(properties: PropertiesBuilder) -> Result<Properties, PublishError> {
    properties.finish().map_err(refused)
}

fn refused(error: impl ToString) -> PublishError {
    PublishError::Refused(error.to_string())
}
