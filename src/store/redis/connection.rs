//! One connection to a Redis, or one to each node of a Cluster, shared by everything.

use super::limits::{ANSWER, tcp};
use super::{
    format::millis,
    probe::{Advice, is_final, probe_any},
    settings::RedisConfig,
    url::RedisUrl,
};
use crate::{
    store::StoreError,
    util::{Backoff, jittered},
};
use anyhow::bail;
use parking_lot::{Mutex, MutexGuard};
use redis::{
    Client, Cmd, FromRedisValue, Pipeline, RedisError, RedisFuture, ScriptInvocation, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

/// How long it may take to connect to the nodes of a Cluster.
const CLUSTER: Duration = Duration::from_secs(10);

/// What is said where there is none.
pub(crate) const NO_ANSWER: &str = "no answer";

/// Between a connection and the one that replaces it.
const REPLACE: Duration = Duration::from_secs(2);

/// A Cluster that has answered nothing for this time is connected to anew.
const RECONNECT_AFTER: Duration = Duration::from_secs(5);

/// Between attempts to connect. Short, so that all owners are back before one may take another's tasks.
const FIRST_WAIT: Duration = Duration::from_millis(50);

const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// So many commands may wait to be written.
const QUEUED: usize = 1_000;

/// See the module.
pub(crate) struct Connection {
    config: RedisConfig,
    link: Arc<Mutex<Dated>>,
    opened: Instant,
    /// Since when nothing was answered, in milliseconds after that; 0 where nothing waits.
    silent_since: AtomicU64,
    /// Whether anything was refused for which waiting does not help.
    refused: AtomicBool,
    /// What is unwise about how Redis is set up.
    pub(crate) advice: Advice,
}

struct Dated {
    link: Link,
    /// Not replaced before.
    stays_until: Instant,
}

/// Cheap to clone; all clones are one connection.
#[derive(Clone)]
enum Link {
    Server(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects, and looks whether the server is one that can be used.
    ///
    /// # Errors
    ///
    /// At once, where waiting would not help; otherwise when patience is at its end.
    pub(crate) async fn open(config: &RedisConfig, patience: Duration) -> anyhow::Result<Self> {
        let end = Instant::now() + patience;
        let secs = patience.as_secs();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let (advice, link) = loop {
            let (url, error) = match connect(config).await {
                Ok(connected) => break connected,
                Err(refused) => refused,
            };
            let why = describe(&error);
            if is_final(&error) {
                bail!("the token store {url} can't be used: {why}");
            }
            if Instant::now() >= end {
                bail!("the token store {url} was not to be reached for {secs} s: {why}");
            }
            if backoff.attempts() == 0 {
                warn!(%url, error = why, "Redis can't be reached; trying for {secs} s");
            }
            sleep(backoff.next_wait()).await;
        };
        let opened = Instant::now();
        let stays_until = opened;
        Ok(Self {
            config: config.clone(),
            link: Arc::new(Mutex::new(Dated { link, stays_until })),
            opened,
            silent_since: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            advice,
        })
    }

    /// Asks again until then, where waiting may help: what can be reached may be no primary yet, and of a Cluster one may
    /// be away.
    pub(crate) async fn patiently<T>(
        &self,
        end: Instant,
        ask: impl AsyncFn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let answer = ask().await;
            let Err(error) = &answer else {
                return answer;
            };
            if self.refused.load(Ordering::Relaxed) || Instant::now() >= end {
                return answer;
            }
            if backoff.attempts() == 0 {
                warn!(url = %self.url(), %error, "Redis can't be used yet; trying again");
            }
            sleep(backoff.next_wait()).await;
        }
    }

    /// Runs a script.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let mut link = self.link();
        self.answer(script.invoke_async(&mut link)).await
    }

    /// Sends a command.
    pub(crate) async fn send<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, StoreError> {
        let mut link = self.link();
        self.answer(cmd.query_async(&mut link)).await
    }

    /// Sends commands for keys of one slot.
    pub(crate) async fn send_all(&self, pipeline: &Pipeline) -> Result<(), StoreError> {
        let mut link = self.link();
        self.answer(pipeline.query_async(&mut link)).await
    }

    async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, StoreError> {
        let Ok(answer) = timeout(ANSWER, asked).await else {
            return Err(silent());
        };
        if !answer.as_ref().is_err_and(RedisError::is_timeout) {
            self.silent_since.store(0, Ordering::Relaxed);
        }
        answer.map_err(|error| {
            self.mend(&error);
            self.refused.fetch_or(is_final(&error), Ordering::Relaxed);
            StoreError::Unavailable(describe(&error))
        })
    }

    /// The client connects again by itself for as long as the server is not reached. Once it was refused, for its password
    /// say, it says so for ever. A Cluster's does not.
    fn mend(&self, error: &RedisError) {
        let mut dated = dated(&self.link);
        let now = Instant::now();
        if !error.is_io_error()
            && now >= dated.stays_until
            && matches!(dated.link, Link::Server(_))
            && let Ok(new) = server(self.url())
        {
            *dated = Dated {
                link: Link::Server(new),
                stays_until: now + jittered(REPLACE),
            };
        }
    }

    /// What something is to be asked by.
    fn link(&self) -> Link {
        let asked = millis(self.opened.elapsed()).max(1);
        let nothing_waits =
            self.silent_since
                .compare_exchange(0, asked, Ordering::Relaxed, Ordering::Relaxed);
        if let Err(since) = nothing_waits
            && asked.saturating_sub(since) >= millis(RECONNECT_AFTER)
        {
            self.connect_anew();
        }
        dated(&self.link).link.clone()
    }

    /// The client of a Cluster was seen to say nothing any more, for good, after a node had gone, while the other nodes
    /// answered a new one at once.
    fn connect_anew(&self) {
        let mut old = dated(&self.link);
        let now = Instant::now();
        if now < old.stays_until || matches!(old.link, Link::Server(_)) {
            return;
        }
        // One attempt at a time.
        old.stays_until = now + CLUSTER + REPLACE;
        let (config, link) = (self.config.clone(), Arc::clone(&self.link));
        tokio::spawn(async move {
            let new = timeout(CLUSTER, cluster(&config)).await;
            let mut old = dated(&link);
            old.stays_until = Instant::now() + jittered(REPLACE);
            let url = &config.urls[0];
            match new {
                Ok(Ok(new)) => {
                    warn!(%url, "no answer for a while: connected to the Redis Cluster anew");
                    old.link = Link::Cluster(new);
                }
                Ok(Err(error)) => {
                    debug!(%url, error = describe(&error), "could not connect to the Redis Cluster anew");
                }
                Err(_) => {
                    debug!(%url, "no answer to an attempt to connect to the Redis Cluster anew")
                }
            }
        });
    }

    /// The first of them: what a server's connection goes to.
    fn url(&self) -> &RedisUrl {
        &self.config.urls[0]
    }
}

fn dated(link: &Mutex<Dated>) -> MutexGuard<'_, Dated> {
    link.lock()
}

/// What is said of a Redis without an answer.
pub(crate) fn silent() -> StoreError {
    StoreError::Unavailable(NO_ANSWER.to_owned())
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Looks whether one of them can be used, and connects.
async fn connect(config: &RedisConfig) -> Result<(Advice, Link), (&RedisUrl, RedisError)> {
    let advice = probe_any(config).await?;
    let url = &config.urls[0];
    let link = match config.cluster {
        true => timeout(CLUSTER, cluster(config))
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
            .map(Link::Cluster),
        false => server(url).map(Link::Server),
    };
    Ok((advice, link.map_err(|error| (url, error))?))
}

fn server(url: &RedisUrl) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(ANSWER))
        .set_response_timeout(Some(ANSWER))
        .set_min_delay(FIRST_WAIT)
        .set_max_delay(LONGEST_WAIT)
        .set_pipeline_buffer_size(QUEUED);
    let client = Client::open(url.inner().set_tcp_settings(tcp()))?;
    ConnectionManager::new_lazy_with_config(client, config)
}

async fn cluster(config: &RedisConfig) -> Result<ClusterConnection, RedisError> {
    let client = ClusterClientBuilder::new(config.urls.iter().map(RedisUrl::inner))
        .connection_timeout(ANSWER)
        .response_timeout(ANSWER)
        .min_retry_wait(millis(FIRST_WAIT))
        .max_retry_wait(millis(LONGEST_WAIT))
        .tcp_settings(tcp())
        .build()?;
    client.get_async_connection().await
}

/// What went wrong, without the client's own names for it.
fn describe(error: &RedisError) -> String {
    if error.is_timeout() {
        return NO_ANSWER.to_owned();
    }
    let text = error.to_string();
    text.replace(&format!(" - {:?}", error.kind()), "")
}
