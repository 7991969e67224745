//! The connection to a Redis, or to each node of a Cluster. All calls share it.
//!
//! It has a timeout for each answer, and it connects again where the client library does not.

use super::{
    access::Access,
    error_text::{describe_content, explain, no_answer},
    format::millis,
    limits::{ANSWER_TIMEOUT, MAX_RETRY_INTERVAL, MIN_RETRY_INTERVAL},
    link::{CLUSTER_TIMEOUT, Link},
    probe::{Advice, check_access, is_about_content, is_final, probe_any},
    settings::RedisConfig,
    url::RedisUrl,
};
use crate::{
    store::StoreError,
    util::{Backoff, FileReads, jittered},
};
use anyhow::bail;
use parking_lot::{Mutex, MutexGuard};
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, ScriptInvocation};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

/// Minimum interval between two replacements of the connection.
const REPLACE_INTERVAL: Duration = Duration::from_secs(2);

/// Time without any answer of a Cluster after which its connection is replaced.
const UNANSWERED_TIME: Duration = Duration::from_secs(5);

/// Interval of reads of the files that the settings name.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Connection {
    config: Arc<RedisConfig>,
    reads: FileReads,
    link: Arc<Mutex<ReplaceableLink>>,
    opened: Instant,
    /// Since when no command was answered, in milliseconds after `opened`; 0 if no command waits for an answer.
    unanswered_since: AtomicU64,
    /// Whether Redis refused a command in a way that another attempt can't change.
    refused: AtomicBool,
    /// Advice about the configuration of Redis.
    pub(crate) advice: Advice,
}

struct ReplaceableLink {
    link: Link,
    /// The earliest time at which the link may be replaced.
    replace_after: Instant,
    /// What the link was made with.
    access: Access,
    /// The earliest time at which the files are read again.
    read_after: Instant,
    /// What was wrong with the files at the last read, and is in the log.
    problem: Option<String>,
}

impl ReplaceableLink {
    /// Notes why the files can't be used. The log says it once.
    fn note_problem(&mut self, why: String) {
        if self.problem.as_ref() != Some(&why) {
            warn!(
                why,
                "a file for Redis can't be used; the bridge goes on with what it said before"
            );
        }
        self.problem = Some(why);
    }
}

/// Why the link is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The server refused a command.
    Refused,
    /// The Cluster answers nothing.
    Unanswered,
    /// The files may say something else.
    Files,
}

/// Why an attempt to connect failed.
struct Refusal {
    url: String,
    why: String,
    /// Whether another attempt can't succeed.
    is_final: bool,
}

impl Connection {
    /// Connects, and checks that the server can be used.
    ///
    /// # Errors
    ///
    /// At once if another attempt can't succeed; otherwise after `limit`.
    pub(crate) async fn open(config: &RedisConfig, limit: Duration) -> anyhow::Result<Self> {
        let end = Instant::now() + limit;
        let secs = limit.as_secs();
        let mut backoff = Backoff::new(MIN_RETRY_INTERVAL, MAX_RETRY_INTERVAL);
        let reads = FileReads::default();
        let (advice, link, access) = loop {
            let Refusal { url, why, is_final } = match connect(config, &reads).await {
                Ok(connected) => break connected,
                Err(refused) => refused,
            };
            if is_final {
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
        let replace_after = opened;
        Ok(Self {
            config: Arc::new(config.clone()),
            reads,
            link: Arc::new(Mutex::new(ReplaceableLink {
                link,
                replace_after,
                access,
                read_after: opened + CHECK_INTERVAL,
                problem: None,
            })),
            opened,
            unanswered_since: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            advice,
        })
    }

    /// Repeats a call until it succeeds, until another attempt can't succeed, or until `end`. A server may not be a primary
    /// yet, and a shard of a Cluster may be unavailable.
    pub(crate) async fn retry_until<T>(
        &self,
        end: Instant,
        ask: impl AsyncFn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut backoff = Backoff::new(MIN_RETRY_INTERVAL, MAX_RETRY_INTERVAL);
        loop {
            let answer = ask().await;
            let Err(error) = &answer else {
                return answer;
            };
            let is_final = matches!(error, StoreError::Unreadable(_));
            if is_final || self.refused.load(Ordering::Relaxed) || Instant::now() >= end {
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

    /// Sends several commands for keys of one slot of a Cluster.
    pub(crate) async fn send_all(&self, pipeline: &Pipeline) -> Result<(), StoreError> {
        let mut link = self.link();
        self.answer(pipeline.query_async(&mut link)).await
    }

    async fn answer<T>(
        &self,
        call: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, StoreError> {
        let Ok(answer) = timeout(ANSWER_TIMEOUT, call).await else {
            return Err(no_answer());
        };
        if !answer.as_ref().is_err_and(RedisError::is_timeout) {
            self.unanswered_since.store(0, Ordering::Relaxed);
        }
        answer.map_err(|error| {
            if is_about_content(&error) {
                return StoreError::Unreadable(describe_content(&error));
            }
            self.replace_after_refusal(&error);
            self.refused.fetch_or(is_final(&error), Ordering::Relaxed);
            StoreError::Unavailable(explain(&error, self.url()))
        })
    }

    /// Replaces a server's connection after a refusal. The client library connects again by itself while the server can't be
    /// reached. After a refusal, of the password for example, it repeats the error for ever. The client for a Cluster does
    /// not.
    fn replace_after_refusal(&self, error: &RedisError) {
        let mut old = locked(&self.link);
        let now = Instant::now();
        if error.is_io_error() || now < old.replace_after || matches!(old.link, Link::Cluster(_)) {
            return;
        }
        old.replace_after = now + jittered(REPLACE_INTERVAL);
        if self.config.has_files() {
            drop(old);
            self.renew(Cause::Refused);
        } else if let Ok(new) = Link::server(&old.access) {
            old.link = new;
        }
    }

    /// Reads the files again if it is time. If they say something else, the connection is replaced.
    fn follow_files(&self) {
        if !self.config.has_files() {
            return;
        }
        let mut old = locked(&self.link);
        let now = Instant::now();
        if now >= old.read_after {
            old.read_after = now + CHECK_INTERVAL;
            drop(old);
            self.renew(Cause::Files);
        }
    }

    /// Replaces the connection in the background by one with what the files say now.
    fn renew(&self, cause: Cause) {
        let (config, reads) = (Arc::clone(&self.config), self.reads.clone());
        let link = Arc::clone(&self.link);
        tokio::spawn(async move { renew(&config, &reads, &link, cause).await });
    }

    /// The connection for the next command.
    fn link(&self) -> Link {
        self.follow_files();
        let now_ms = millis(self.opened.elapsed()).max(1);
        let nothing_waits =
            self.unanswered_since
                .compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        if let Err(since) = nothing_waits
            && now_ms.saturating_sub(since) >= millis(UNANSWERED_TIME)
        {
            self.replace_cluster_link();
        }
        locked(&self.link).link.clone()
    }

    /// Replaces the connection to a Cluster. After the loss of a node the client for a Cluster was seen to answer nothing any
    /// more, while a new client got answers from the other nodes at once.
    fn replace_cluster_link(&self) {
        let mut old = locked(&self.link);
        let now = Instant::now();
        if now < old.replace_after || matches!(old.link, Link::Server(_)) {
            return;
        }
        // No second attempt begins before this one has ended.
        old.replace_after = now + CLUSTER_TIMEOUT + REPLACE_INTERVAL;
        drop(old);
        self.renew(Cause::Unanswered);
    }

    /// The first configured URL. A connection to a single server uses it.
    fn url(&self) -> &RedisUrl {
        &self.config.urls[0]
    }
}

fn locked(link: &Mutex<ReplaceableLink>) -> MutexGuard<'_, ReplaceableLink> {
    link.lock()
}

/// Replaces a connection by one with what the files say now.
async fn renew(
    config: &RedisConfig,
    reads: &FileReads,
    link: &Mutex<ReplaceableLink>,
    cause: Cause,
) {
    let read = Access::read(config, reads).await;
    let (access, known) = {
        let mut old = locked(link);
        let known = old.access.clone();
        match read {
            Ok(access) => {
                if access == known {
                    old.problem = None;
                }
                (access, known)
            }
            Err(why) => {
                old.note_problem(why);
                (known.clone(), known)
            }
        }
    };
    // What works is not given up for a password that Redis does not know yet.
    let is_new = access != known
        && match check_access(&access, config.cluster).await {
            Ok(()) => true,
            Err(why) => {
                locked(link).note_problem(why);
                false
            }
        };
    if cause == Cause::Files && !is_new {
        return;
    }
    let access = if is_new { access } else { known };
    let url = &config.urls[0];
    let new = Link::open(&access, config.cluster).await;
    let mut old = locked(link);
    old.replace_after = Instant::now() + jittered(REPLACE_INTERVAL);
    match new {
        Ok(new) => {
            match cause {
                Cause::Refused => debug!(%url, "connecting to Redis anew after a refusal"),
                Cause::Unanswered => {
                    warn!(%url, "no answer for a while: connected to the Redis Cluster anew");
                }
                Cause::Files => {
                    info!(%url, "a file for Redis has changed; the bridge connects anew with what it says");
                }
            }
            old.link = new;
            if is_new {
                old.problem = None;
            }
            old.access = access;
        }
        Err(error) => {
            debug!(%url, error = explain(&error, url), "could not connect to Redis anew");
        }
    }
}

/// Checks that one of the configured servers can be used, and connects.
async fn connect(
    config: &RedisConfig,
    reads: &FileReads,
) -> Result<(Advice, Link, Access), Refusal> {
    let access = Access::read(config, reads).await;
    let access = access.map_err(|why| Refusal {
        url: config.urls[0].to_string(),
        why,
        is_final: true,
    })?;
    let refusal = |url: &RedisUrl, error: RedisError| Refusal {
        url: url.to_string(),
        why: explain(&error, url),
        is_final: is_final(&error),
    };
    let probed = probe_any(&access, config.cluster).await;
    let advice = probed.map_err(|(url, error)| refusal(url, error))?;
    let link = Link::open(&access, config.cluster).await;
    let link = link.map_err(|error| refusal(&access.urls[0], error))?;
    Ok((advice, link, access))
}
