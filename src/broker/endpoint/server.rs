//! The AMQP endpoint as a [`Broker`]: the bridge is the broker itself.

use super::{
    admission::AdmissionFiles,
    connection::Shared,
    files::EndpointFiles,
    limits::Limits,
    listener,
    message::Message,
    own_messages,
    park::Written,
    parked_file::{Found, ParkedFile},
    parked_reader::ParkedMessages,
    parked_replies::{Ask, DISK_TIMEOUT, NoRoom, slow},
    parked_writer::ParkedWriter,
    settings::EndpointConfig,
    sockets::Sockets,
    state::State,
    switch::Switch,
    task_queue::acks,
    tasks::NewTask,
};
use crate::{
    broker::{
        Announcement, Broker, Delivery, Destination, Durability, InboundStream, Link, ParkError,
        ParkedMessage, ParkedReading, PublishError, Readiness, ReadinessError, TaskMessage,
        TaskQueue, WorkerLimits,
        names::{PARKING_QUEUE, REPLIES_EXCHANGE},
    },
    task::{Status, TaskId},
    util::{
        crash_point::{CrashPoint, crash_point},
        log_limiter::{LogLimiter, LogTopic},
        supervise::Supervisor,
    },
};
use anyhow::Context;
use async_trait::async_trait;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{error, info, warn};

/// Capacity of the stream of events. Everything that can be open at once has room in it.
const EVENTS: usize = 1 << 20;

/// Time for the connections' answers to their close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Interval between checks that the bridge has taken all acknowledgements.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

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
    /// The thread of the file of parked replies; `None` without a file.
    parked: Option<mpsc::Sender<Ask>>,
    admissions: Arc<AdmissionFiles>,
    sockets: Arc<Sockets>,
    log_limiter: LogLimiter,
}

impl Endpoint {
    /// Starts the endpoint.
    ///
    /// # Errors
    ///
    /// The address can't be listened on, or a file for TLS can't be used.
    pub(crate) fn start(options: Options) -> anyhow::Result<(Self, InboundStream)> {
        let config = options.config;
        let admissions = AdmissionFiles::new(&config, options.queues.clone(), options.files);
        let admissions = Arc::new(admissions.map_err(|problem| anyhow::anyhow!("{problem}"))?);
        let listener = listen(config.listen)?;
        let address = listener.local_addr().unwrap_or(config.listen);
        let ack = acks(&options.queues);
        info!(
            broker = "endpoint", %address, ack,
            "the bridge is the broker, because amqp.uri is not set; workers connect to it"
        );
        let (events, inbound) = mpsc::channel(EVENTS);
        let now = Instant::now();
        let sockets = Arc::new(Sockets::new(config.max_connections));
        let mut limits = Limits::default();
        limits.set(config.limits());
        let mut state = State::new(limits, events, now);
        state.set_task_queues(&options.queues, now);
        state.set_delivers(true, now);
        let switch = Switch::new(state);
        let parked = open_parked(config.parked_path.as_deref(), &switch)?;
        if let Some(asks) = parked.clone() {
            let running = async move { asks.closed().await };
            options.supervisor.spawn_loop("the parked replies", running);
        }
        let (closing, is_closing) = watch::channel(false);
        let shared = Shared {
            switch: switch.clone(),
            users: Arc::default(),
            closing: is_closing,
        };
        let supervisor = options.supervisor;
        supervisor.spawn_loop("the endpoint's clock", switch.clone().run());
        let reading = Arc::clone(&admissions).run();
        supervisor.spawn_loop("the endpoint's files", reading);
        let listening = (listener, Arc::clone(&sockets));
        let listening = listener::run(
            listening,
            shared,
            Arc::clone(&admissions),
            supervisor.clone(),
        );
        supervisor.spawn_loop("the endpoint's listener", listening);
        let endpoint = Self {
            switch,
            reply_to: format!("{REPLIES_EXCHANGE}.{}", options.id),
            link: watch::Sender::new(Link::Up),
            closing,
            parked,
            admissions,
            sockets,
            log_limiter: LogLimiter::default(),
        };
        Ok((endpoint, inbound))
    }

    fn deliver_nothing(&self) {
        self.switch
            .with(|state| state.set_delivers(false, Instant::now()));
    }

    fn send(&self, message: Message) {
        self.switch
            .with(|state| state.send_own(message, Instant::now()));
    }

    /// Waits until a parked message is on the disk.
    async fn written(&self, written: Written) -> Result<(), NoRoom> {
        match timeout(DISK_TIMEOUT, written).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(failure))) => Err(NoRoom::Unwritable(failure)),
            Ok(Err(_)) => Err(NoRoom::Unwritable(
                "the file of parked replies is closed".to_owned(),
            )),
            Err(_) => Err(NoRoom::Unwritable(slow(DISK_TIMEOUT))),
        }
    }

    fn no_room(&self, no_room: &NoRoom) -> ParkError {
        let (topic, why) = match no_room {
            NoRoom::Full(why) => (LogTopic::ParkingFull, why),
            NoRoom::Unwritable(why) => (LogTopic::ParkingUnwritable, why),
        };
        if self.log_limiter.allows(topic) {
            error!(
                why,
                "a reply could not be parked; it is lost unless its worker keeps it"
            );
        }
        ParkError::NoRoom(why.clone())
    }
}

#[async_trait]
impl Broker for Endpoint {
    async fn publish(&self, task: &TaskMessage<'_>) -> Result<(), PublishError> {
        let message = own_messages::task(task, &self.reply_to)?;
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

    async fn park(&self, parked: &ParkedMessage<'_>, because: &str) -> Result<(), ParkError> {
        let message = own_messages::parked(parked, because)?;
        let parked = match self
            .switch
            .with(|state| state.park(message, Instant::now()))
        {
            Ok(None) => Ok(()),
            Ok(Some(written)) => self.written(written).await,
            Err(no_room) => Err(no_room),
        };
        parked.map_err(|no_room| self.no_room(&no_room))
    }

    fn parking_problem(&self) -> Option<String> {
        self.switch
            .with(|state| state.parked.problem(Instant::now()))
    }

    async fn read_parked(&self, most: u16) -> Result<ParkedReading, String> {
        let reader = ParkedMessages {
            switch: self.switch.clone(),
            after: None,
            left: most,
        };
        Ok(ParkedReading {
            count: self.switch.with(|state| state.parked_waiting()),
            reader: Box::new(reader),
        })
    }

    async fn announce(&self, task: TaskId, what: Announcement) -> Result<(), PublishError> {
        self.send(own_messages::announcement(task, what)?);
        Ok(())
    }

    async fn answer(&self, sign: &Delivery, status: Status) -> Result<(), PublishError> {
        if let Some(reply_to) = sign.reply_to.as_deref().filter(|to| *to != PARKING_QUEUE) {
            let id = sign.correlation_id.as_deref();
            self.send(own_messages::answer(reply_to, id, status)?);
        }
        Ok(())
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

    fn connections(&self) -> Option<usize> {
        Some(self.switch.with(|state| state.connections.len()))
    }

    fn unacknowledged(&self, destination: &Destination) -> Option<usize> {
        let queue = destination.queue()?;
        Some(self.switch.with(|state| state.unacknowledged(&queue.name)))
    }

    fn set_queues(&self, queues: Vec<TaskQueue>) {
        let now = Instant::now();
        self.switch
            .with(|state| state.set_task_queues(&queues, now));
        self.admissions.set_queues(queues);
    }

    fn set_limits(&self, limits: WorkerLimits) {
        self.switch.with(|state| state.limits.set(limits));
        self.sockets.resize(limits.connections);
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
        if let Some(asks) = &self.parked {
            let (closed, is_closed) = oneshot::channel();
            // What could not be written is delivered once more after the next start.
            let closing =
                async { asks.send(Ask::Close(closed)).await.is_ok() && is_closed.await.is_ok() };
            drop(timeout(CLOSE_TIMEOUT, closing).await);
        }
    }
}

/// Opens the file of the parked replies, and makes their queue. Without a path they are kept in memory.
fn open_parked(path: Option<&Path>, switch: &Switch) -> anyhow::Result<Option<mpsc::Sender<Ask>>> {
    let now = Instant::now();
    let Some(path) = path else {
        switch.with(|state| state.add_parking_queue(Found::default(), now));
        warn!(
            "parked replies are kept in memory, and are lost with the process; set amqp.parked_path to keep them"
        );
        return Ok(None);
    };
    let (file, found) = ParkedFile::open(path)?;
    let (asks, asked) = switch.with(|state| {
        state.add_parking_queue(found, now);
        state.parked.keep_in_file()
    });
    ParkedWriter::start(file, switch.clone(), asked)?;
    Ok(Some(asks))
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
