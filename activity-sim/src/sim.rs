//! The simulator as a value: started, asked, dropped.

use std::{
    error::Error,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};

use crate::{
    ActivityType, CancelReport, ExecutionRecord, FaultRule, Rates, Schedule, Summary, TaskRecord,
    Throttle, Timeouts,
    clock::micros,
    decider::{self, NotScheduled},
    hub::Hub,
    server,
    world::Rules,
};

/// How a simulator is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long a poll is held before it is answered empty; 60 s on the real service.
    pub hold: Duration,
    /// Domains that exist from the start.
    pub domains: Vec<String>,
    /// Names of the activities of Step Functions that exist from the start; see
    /// [`activity_arn`](crate::activity_arn).
    pub activities: Vec<String>,
    /// Open polls per task list or activity before LimitExceededFault or
    /// ActivityWorkerLimitExceeded; 1,000 on the real service.
    pub max_open_polls: usize,
    /// Threads that serve. They are the simulator's own, whatever runtime it is started from.
    pub threads: usize,
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
        }
    }
}

/// A running simulator. Dropping it stops it: connections are closed, held polls get no answer.
///
/// It runs on threads and a clock of its own: a test on paused time or on a single thread neither
/// stops nor hurries it.
#[derive(Debug)]
pub struct Sim {
    hub: Arc<Hub>,
    addr: SocketAddr,
    /// Taken when the simulator is stopped.
    runtime: Option<Runtime>,
}

/// Distinguishes the activity ids of the simulators in a process.
static STARTED: AtomicU64 = AtomicU64::new(1);

impl Sim {
    /// Binds the address and begins to serve.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, the threads cannot be started, or an activity's name is
    /// none.
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
                let error = format!("{name:?} is no name for an activity");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
            }
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("activity-sim")
            .enable_all()
            .build()?;
        let bound = {
            let _within = runtime.enter();
            server::bind(options.listen).and_then(|bound| Ok((bound.0.local_addr()?, bound)))
        };
        let (addr, listener) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        runtime.spawn(server::serve(listener, Arc::clone(&hub)));
        runtime.spawn(Arc::clone(&hub).keep_time());
        Ok(Self {
            hub,
            addr,
            runtime: Some(runtime),
        })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The endpoint URL for an SDK, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Stops and waits until all connections are closed and the address is free again.
    pub async fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            let (stopped, wait) = oneshot::channel::<()>();
            // It blocks, which the caller's runtime must not.
            std::thread::spawn(move || {
                runtime.shutdown_timeout(Duration::from_secs(10));
                drop(stopped);
            });
            // It never sends: that the other end is gone is the news.
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
    /// When that is no name for an activity.
    pub fn create_activity(&self, name: impl AsRef<str>) -> String {
        let name = name.as_ref();
        decider::create_activity(&self.hub, name)
            .unwrap_or_else(|| panic!("{name:?} is no name for an activity"))
    }

    /// Answers OperationNotPermittedFault to all calls about the domain from now on.
    ///
    /// # Panics
    ///
    /// When there is no such domain.
    pub fn forbid(&self, domain: impl AsRef<str>) {
        self.set_forbidden(domain.as_ref(), true);
    }

    /// Takes [`Sim::forbid`] back.
    ///
    /// # Panics
    ///
    /// When there is no such domain.
    pub fn permit(&self, domain: impl AsRef<str>) {
        self.set_forbidden(domain.as_ref(), false);
    }

    fn set_forbidden(&self, domain: &str, forbidden: bool) {
        let known = self
            .hub
            .act(|state, _| state.registry.forbid(domain, forbidden));
        assert!(
            known,
            "the simulator has no domain {domain:?}; add_domain first"
        );
    }

    /// Answers AccessDeniedException to all calls about the activity of this ARN from now on.
    ///
    /// # Panics
    ///
    /// When there is no such activity.
    pub fn forbid_activity(&self, arn: impl AsRef<str>) {
        self.set_activity_forbidden(arn.as_ref(), true);
    }

    /// Takes [`Sim::forbid_activity`] back.
    ///
    /// # Panics
    ///
    /// When there is no such activity.
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

    /// Registers an activity type, unless it exists. Time-outs are cut to whole seconds, as the
    /// service knows no others.
    ///
    /// # Panics
    ///
    /// When the domain is unknown or forbidden.
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

    /// Schedules activities and returns their ids in order, of executions of Step Functions those of
    /// their first attempts.
    ///
    /// # Panics
    ///
    /// When there is no such domain or activity, or it does not have what is asked for.
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

    /// Requests that activities be canceled; of Step Functions, stops their executions.
    pub fn cancel<I: Into<String>>(&self, ids: impl IntoIterator<Item = I>) -> CancelReport {
        decider::cancel(&self.hub, ids.into_iter().map(Into::into))
    }

    /// Times out those of these activities that somebody has, for their heartbeats. For a test that knows that nobody will
    /// speak for them any more, and need not wait.
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
            .look(|state| state.world.record(state.world.task_of(activity_id)?))
    }

    /// The records of all executions of Step Functions, in order of their start.
    pub fn executions(&self) -> Vec<ExecutionRecord> {
        self.hub.executions()
    }

    /// The totals.
    pub fn summary(&self) -> Summary {
        self.hub.summary(None)
    }

    /// The totals of the task lists of this name; the calls are those of all.
    pub fn summary_of(&self, task_list: &str) -> Summary {
        self.hub.summary(Some(task_list))
    }

    /// How many calls of the action, or of all (`*`), arrived in each second.
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
    /// When the rule could never hit: an unknown action, a probability or status out of range.
    pub fn fault(&self, rule: FaultRule) {
        if let Err(problem) = decider::add_faults(&self.hub, vec![rule]) {
            panic!("not a fault: {problem}");
        }
    }

    /// The faults in force; `times` says how many hits are left.
    pub fn faults(&self) -> Vec<FaultRule> {
        self.hub.faults.rules()
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.hub.faults.clear();
    }

    /// Sets the bucket of an action, full.
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

    /// Forgets tasks, totals, rates, faults and throttles. Domains, types and held polls stay.
    pub fn reset(&self) {
        self.hub.reset();
    }

    /// Waits until the totals satisfy the condition, looking at each change.
    ///
    /// # Errors
    ///
    /// When they do not within `limit`, with the totals of that moment.
    pub async fn wait_until(
        &self,
        limit: Duration,
        mut condition: impl FnMut(&Summary) -> bool,
    ) -> Result<Summary, WaitError<Summary>> {
        self.wait(limit, || self.summary(), |summary| condition(summary))
            .await
    }

    /// Waits until the record of one task satisfies the condition, looking at each change.
    ///
    /// # Errors
    ///
    /// When it does not within `limit`, with the record of that moment, if there is the task.
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
        look: impl Fn() -> T,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Result<T, WaitError<T>> {
        let mut over = self.after(limit);
        loop {
            let mut change = pin!(self.hub.next_change());
            // From here on no change goes unnoticed.
            change.as_mut().enable();
            let seen = look();
            if condition(&seen) {
                return Ok(seen);
            }
            tokio::select! {
                () = change => {}
                _ = &mut over => return Err(WaitError { limit, last: look() }),
            }
        }
    }

    /// Ends after `limit` on the simulator's clock: the caller's may be paused.
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

/// What was waited for did not come about.
#[derive(Clone, Debug)]
pub struct WaitError<T> {
    /// How long was waited.
    pub limit: Duration,
    /// What was there in the end.
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
