//! The simulator as a value in a Rust test.

use std::{
    error::Error,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};

use crate::{
    calls::FaultRule,
    clock::micros,
    conn::ConnOptions,
    decider::{self, NotScheduled},
    hub::Hub,
    model::{ActivityType, Schedule, Throttle, Timeouts},
    record::{CancelReport, ExecutionRecord, Rates, Summary, TaskRecord},
    server,
    tls::Tls,
    world::Rules,
};

/// The options of a simulator.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address on which it listens. Port 0 means a free port.
    pub listen: SocketAddr,
    /// How long a poll is held before it is answered empty. On the real service it is 60 s.
    pub hold: Duration,
    /// Domains that exist from the start.
    pub domains: Vec<String>,
    /// Names of the activities of Step Functions that exist from the start; see
    /// [`activity_arn`](crate::activity_arn).
    pub activities: Vec<String>,
    /// Maximum open polls for each task list or activity. A poll above it is answered with
    /// LimitExceededFault or ActivityWorkerLimitExceeded. On the real service it is 1,000.
    pub max_open_polls: usize,
    /// Number of threads that serve. They belong to the simulator, not to the caller's runtime.
    pub threads: usize,
    /// Whether it serves HTTPS, with the certificate that [`Sim::certificate`] returns.
    pub tls: bool,
    /// The time without a call after which a connection is closed; `None` for never.
    pub idle: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            hold: Duration::from_secs(60),
            domains: Vec::new(),
            activities: Vec::new(),
            max_open_polls: 1_000,
            threads: 2,
            tls: false,
            idle: None,
        }
    }
}

/// A running simulator. It stops when it is dropped: connections are closed, and held polls get no answer.
///
/// The simulator has its own threads and its own clock. A test on a single thread or on paused time does
/// not stop it and does not make it faster.
#[derive(Debug)]
pub struct Sim {
    hub: Arc<Hub>,
    addr: SocketAddr,
    tls: Option<Tls>,
    /// `None` after the simulator was stopped.
    runtime: Option<Runtime>,
}

/// The number of the next simulator. It makes activity ids unique in the process.
static STARTED: AtomicU64 = AtomicU64::new(1);

impl Sim {
    /// Binds the address and starts to serve.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, the threads cannot be started, or an activity's name is
    /// not valid.
    pub async fn start(options: Options) -> io::Result<Self> {
        let hub = Hub::new(Rules {
            hold: micros(options.hold),
            max_open_polls: options.max_open_polls,
            label: STARTED.fetch_add(1, Ordering::Relaxed),
        });
        for domain in &options.domains {
            decider::add_domain(&hub, domain);
        }
        for name in &options.activities {
            if decider::create_activity(&hub, name).is_none() {
                let error = format!("{name:?} is not a valid name for an activity");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
            }
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("activity-sim")
            .enable_all()
            .build()?;
        let tls = options.tls.then(|| Tls::new(options.listen.ip()));
        let bound = tls.transpose().and_then(|tls| {
            let _within = runtime.enter();
            let conn_options = ConnOptions {
                tls,
                idle: options.idle,
                connections: hub.connections.clone(),
            };
            let bound = server::bind(options.listen, conn_options)?;
            Ok((bound.tcp.local_addr()?, bound))
        });
        let (addr, listener) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let tls = listener.options.tls.clone();
        runtime.spawn(server::serve(listener, Arc::clone(&hub)));
        runtime.spawn(Arc::clone(&hub).run_timer());
        Ok(Self {
            hub,
            addr,
            tls,
            runtime: Some(runtime),
        })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The endpoint URL for an SDK, without a slash at the end.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// The certificate in PEM that a client must trust; `None` without TLS.
    pub fn certificate(&self) -> Option<&str> {
        self.tls.as_ref().map(|tls| &*tls.certificate)
    }

    /// Stops and waits until all connections are closed and the address is free again.
    pub async fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            let (stopped, wait) = oneshot::channel::<()>();
            // The shutdown blocks, which is not allowed on the caller's runtime.
            std::thread::spawn(move || {
                runtime.shutdown_timeout(Duration::from_secs(10));
                drop(stopped);
            });
            // Nothing is sent. The wait ends when the sender is dropped.
            let _ = wait.await;
        }
    }

    /// Adds a domain, unless it exists.
    pub fn add_domain(&self, name: impl AsRef<str>) {
        decider::add_domain(&self.hub, name.as_ref());
    }

    /// Creates an activity of Step Functions, unless it exists, and returns its ARN.
    ///
    /// # Panics
    ///
    /// When the name is not valid for an activity.
    pub fn create_activity(&self, name: impl AsRef<str>) -> String {
        let name = name.as_ref();
        decider::create_activity(&self.hub, name)
            .unwrap_or_else(|| panic!("{name:?} is not a valid name for an activity"))
    }

    /// Refuses all calls for the domain with OperationNotPermittedFault from now on.
    ///
    /// # Panics
    ///
    /// When the domain does not exist.
    pub fn forbid(&self, domain: impl AsRef<str>) {
        self.set_forbidden(domain.as_ref(), true);
    }

    /// Ends the effect of [`Sim::forbid`].
    ///
    /// # Panics
    ///
    /// When the domain does not exist.
    pub fn permit(&self, domain: impl AsRef<str>) {
        self.set_forbidden(domain.as_ref(), false);
    }

    fn set_forbidden(&self, domain: &str, forbidden: bool) {
        let known = self
            .hub
            .act(|state, _| state.domains.forbid(domain, forbidden));
        assert!(
            known,
            "the simulator has no domain {domain:?}; add_domain first"
        );
    }

    /// Refuses all calls for the activity of this ARN with AccessDeniedException from now on.
    ///
    /// # Panics
    ///
    /// When the activity does not exist.
    pub fn forbid_activity(&self, arn: impl AsRef<str>) {
        self.set_activity_forbidden(arn.as_ref(), true);
    }

    /// Ends the effect of [`Sim::forbid_activity`].
    ///
    /// # Panics
    ///
    /// When the activity does not exist.
    pub fn permit_activity(&self, arn: impl AsRef<str>) {
        self.set_activity_forbidden(arn.as_ref(), false);
    }

    fn set_activity_forbidden(&self, arn: &str, forbidden: bool) {
        let known = self
            .hub
            .act(|state, _| state.activities.forbid(arn, forbidden));
        assert!(
            known,
            "the simulator has no activity {arn:?}; create_activity first"
        );
    }

    /// Registers an activity type, unless it exists. Its time-outs are cut to whole seconds, because the
    /// service has no fractions.
    ///
    /// # Panics
    ///
    /// When the domain does not exist or is forbidden.
    pub fn register_activity_type(
        &self,
        domain: impl AsRef<str>,
        activity_type: ActivityType,
        defaults: Timeouts,
    ) {
        let domain = domain.as_ref();
        let registered = decider::register_type(&self.hub, domain, activity_type, defaults);
        assert!(
            registered.is_ok(),
            "the domain {domain:?} is unknown or forbidden"
        );
    }

    /// Schedules activities and returns their ids in order. For executions of Step Functions they are the
    /// ids of the first attempts.
    ///
    /// # Panics
    ///
    /// When the domain or the activity does not exist, or the service does not have what is asked for.
    pub fn schedule(&self, schedule: Schedule) -> Vec<String> {
        let (domain, task_list) = (schedule.domain.clone(), schedule.task_list.clone());
        decider::schedule(&self.hub, schedule).unwrap_or_else(|why| match why {
            NotScheduled::NoDomain => {
                panic!("the simulator has no domain {domain:?}; add_domain first")
            }
            NotScheduled::NoActivity => {
                panic!("the simulator has no activity {task_list:?}; create_activity first")
            }
            NotScheduled::Refused(why) => panic!("not scheduled: {why}"),
        })
    }

    /// Requests to cancel activities. For Step Functions it stops their executions.
    pub fn cancel<I: Into<String>>(&self, ids: impl IntoIterator<Item = I>) -> CancelReport {
        decider::cancel(&self.hub, ids.into_iter().map(Into::into))
    }

    /// Closes the started ones of these activities by their heartbeat time-out, without waiting for it. A
    /// test uses it when no heartbeat can come any more.
    pub fn time_out<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        self.hub.act(|state, now| {
            for id in ids {
                if let Some(task) = state.world.task_of(id) {
                    state.world.time_out(now, task);
                }
            }
        });
    }

    /// The records of all tasks, in order of scheduling.
    pub fn tasks(&self) -> Vec<TaskRecord> {
        self.hub.records(|_| true)
    }

    /// The record of one task.
    pub fn task(&self, activity_id: &str) -> Option<TaskRecord> {
        self.hub
            .read(|state| state.world.record(state.world.task_of(activity_id)?))
    }

    /// The records of all executions of Step Functions, in order of their start.
    pub fn executions(&self) -> Vec<ExecutionRecord> {
        self.hub.executions()
    }

    /// The time of the simulator's clock at this instant, in Unix microseconds. The records show the times of
    /// this clock. It does not follow later changes of the system's time.
    pub fn unix_micros(&self, at: Instant) -> u64 {
        self.hub.time_at(at)
    }

    /// The totals.
    pub fn summary(&self) -> Summary {
        self.hub.summary(None)
    }

    /// The totals of the task lists of this name. The counts of calls are those of the whole simulator.
    pub fn summary_of(&self, task_list: &str) -> Summary {
        self.hub.summary(Some(task_list))
    }

    /// How many calls of the action, or of all actions (`*`), arrived in each second.
    ///
    /// # Panics
    ///
    /// When the action is unknown.
    pub fn rates(&self, action: &str) -> Rates {
        decider::rates(&self.hub, action).unwrap_or_else(|problem| panic!("no rates: {problem}"))
    }

    /// Adds a fault.
    ///
    /// # Panics
    ///
    /// When the action is unknown, or the probability or the status is out of range.
    pub fn fault(&self, rule: FaultRule) {
        if let Err(problem) = decider::add_faults(&self.hub, vec![rule]) {
            panic!("not a fault: {problem}");
        }
    }

    /// All faults; `times` is the number of hits that are left.
    pub fn faults(&self) -> Vec<FaultRule> {
        self.hub.faults.rules()
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.hub.faults.clear();
    }

    /// Sets the token bucket of an action. It begins full.
    ///
    /// # Panics
    ///
    /// When the action is unknown or a number is negative.
    pub fn throttle(&self, throttle: Throttle) {
        if let Err(problem) = decider::set_throttles(&self.hub, &[throttle]) {
            panic!("not a throttle: {problem}");
        }
    }

    /// Removes all throttles.
    pub fn clear_throttles(&self) {
        self.hub.throttles.clear();
    }

    /// Removes tasks, totals, rates, faults and throttles. Domains, types and held polls stay.
    pub fn reset(&self) {
        self.hub.reset();
    }

    /// Waits until the totals satisfy the condition. It checks them after each change.
    ///
    /// # Errors
    ///
    /// When they do not satisfy it within `limit`. The error has the totals of that moment.
    pub async fn wait_until(
        &self,
        limit: Duration,
        mut condition: impl FnMut(&Summary) -> bool,
    ) -> Result<Summary, WaitError<Summary>> {
        self.wait(limit, || self.summary(), |summary| condition(summary))
            .await
    }

    /// Waits until the record of one task satisfies the condition. It checks it after each change.
    ///
    /// # Errors
    ///
    /// When it does not satisfy it within `limit`. The error has the record of that moment, if the task exists.
    pub async fn wait_for_task(
        &self,
        activity_id: &str,
        limit: Duration,
        mut condition: impl FnMut(&TaskRecord) -> bool,
    ) -> Result<TaskRecord, WaitError<Option<TaskRecord>>> {
        let satisfied = |record: &Option<TaskRecord>| record.as_ref().is_some_and(&mut condition);
        let found = self
            .wait(limit, || self.task(activity_id), satisfied)
            .await?;
        found.ok_or(WaitError { limit, last: None })
    }

    async fn wait<T>(
        &self,
        limit: Duration,
        read: impl Fn() -> T,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Result<T, WaitError<T>> {
        let mut over = self.after(limit);
        loop {
            let mut change = pin!(self.hub.next_change());
            // From here on, every change is noticed.
            change.as_mut().enable();
            let seen = read();
            if condition(&seen) {
                return Ok(seen);
            }
            tokio::select! {
                () = change => {}
                _ = &mut over => return Err(WaitError { limit, last: read() }),
            }
        }
    }

    /// Ends after `limit` on the simulator's clock, because the caller's clock may be paused.
    fn after(&self, limit: Duration) -> oneshot::Receiver<()> {
        let (end, over) = oneshot::channel();
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                tokio::time::sleep(limit).await;
                drop(end);
            });
        }
        over
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A condition was not satisfied in time.
#[derive(Clone, Debug)]
pub struct WaitError<T> {
    /// How long the call waited.
    pub limit: Duration,
    /// The last value.
    pub last: T,
}

impl<T: fmt::Debug> fmt::Display for WaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not within {:?}; last seen: {:#?}",
            self.limit, self.last
        )
    }
}

impl<T: fmt::Debug> Error for WaitError<T> {}
