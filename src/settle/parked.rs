//! The parked messages for a person: lists, shows, replays and deletes them, the oldest first.
//!
//! One reading looks at [`MAX_READ`] messages at most, one after the other, for [`READ_TIMEOUT`] at most. Of all bodies only one is in
//! memory.

use super::{
    parked_as,
    replay::{self, ParkedResult},
};
use crate::{
    broker::{
        Delivery, ParkedReader,
        names::{PARKED_BECAUSE, PARKED_ROUTE},
    },
    context::Bridge,
    task::HeaderValue,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

/// Maximum number of messages that one reading looks at.
pub const MAX_READ: u16 = 1_000;

/// Timeout for a reading.
pub const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Maximum time for which AWS's answer to one replayed reply is awaited.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(10);

/// A message that was not found may be there all the same.
const ENDED_EARLY: &str = "the reading of the parked messages ended early: they are read for 20 s at most, and the connection to \
     RabbitMQ may be lost. Whether it is parked is not known; try again";

/// Number of bytes of a body that a list shows.
const FIRST_BYTES: usize = 80;

/// Maximum number of bytes of a body that is shown as a text.
const MAX_SHOWN: usize = 1 << 20;

/// Maximum number of headers that make the id of a message.
const MAX_HEADERS: usize = 200;

/// Headers that change whenever somebody looks at a message.
const COUNTS: [&str; 3] = ["x-delivery-count", "x-acquired-count", "x-acquired-time"];

/// The messages that a person names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// The first one with this id. Others with the id are copies of it.
    One(String),
    /// All, or those whose reason contains this text.
    All(Option<String>),
}

/// What a list shows of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedEntry {
    /// Names the message: 12 hexadecimal digits that its content makes. A copy has the same.
    pub id: String,
    /// The time since it was parked; `None` if an older version parked it, or the broker did.
    pub age_secs: Option<u64>,
    /// The route of its task; `None` if the task was not in flight.
    pub route: Option<String>,
    /// Its `correlation_id`: the id of the task, if it was right.
    pub task: Option<String>,
    /// Its `type`.
    pub kind: Option<String>,
    /// Why it was parked; `None` if the broker parked it.
    pub because: Option<String>,
    /// The length of its body, in bytes.
    pub size: usize,
    /// The beginning of its body. What is not UTF-8 is U+FFFD.
    pub begins: String,
}

/// Parked messages, the oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct ParkedListing {
    /// The number of messages that are parked, but for those that a consumer has.
    pub parked: usize,
    /// Those that are listed.
    pub messages: Vec<ParkedEntry>,
    /// Whether the reading ended before all were looked at that were to be.
    pub ended_early: bool,
}

/// A whole parked message.
#[derive(Debug, Serialize, Deserialize)]
pub struct ParkedContent {
    /// What a list shows of it.
    #[serde(flatten)]
    pub entry: ParkedEntry,
    /// The MIME type that the worker set.
    pub content_type: Option<String>,
    /// Where the worker wanted the answer.
    pub reply_to: Option<String>,
    /// Its headers that are texts or numbers.
    pub headers: BTreeMap<String, serde_json::Value>,
    /// The body, at most 1 MiB of it. What is not UTF-8 is U+FFFD.
    pub body: String,
    /// Whether `body` is the whole body, byte for byte.
    pub is_whole: bool,
}

/// What became of messages.
#[derive(Debug, Serialize, Deserialize)]
pub struct ParkedResults {
    /// The messages, each with its result.
    pub messages: Vec<ParkedOutcome>,
    /// The number of messages that were not looked at although all are meant.
    pub unread: usize,
    /// Whether the reading ended before all were looked at that were to be.
    pub ended_early: bool,
}

/// What became of a message.
#[derive(Debug, Serialize, Deserialize)]
pub struct ParkedOutcome {
    /// The message.
    #[serde(flatten)]
    pub entry: ParkedEntry,
    /// What became of it.
    pub result: ParkedResult,
    /// Why it can't be used, or why AWS did not take it.
    pub why: Option<String>,
}

/// Lists `most` parked messages whose reason contains a text.
///
/// # Errors
///
/// Why they can't be read.
pub async fn list(
    bridge: &Bridge,
    most: u16,
    because: Option<&str>,
) -> Result<ParkedListing, String> {
    let read = if because.is_some() { MAX_READ } else { most };
    let mut reading = Reading::begin(bridge, read.min(MAX_READ)).await?;
    let mut messages = Vec::new();
    while messages.len() < usize::from(most)
        && let Some(message) = reading.next().await
    {
        if is_because(&message, because) {
            messages.push(entry(&message));
        }
    }
    let (parked, ended_early) = (reading.count, reading.ended_early);
    reading.close().await;
    Ok(ParkedListing {
        parked,
        messages,
        ended_early,
    })
}

/// The parked message with this id; `None` if it is not among those that were looked at.
///
/// # Errors
///
/// Why they can't be read, or not all that may be it.
pub async fn find(bridge: &Bridge, id: &str) -> Result<Option<Delivery>, String> {
    let mut reading = Reading::begin(bridge, MAX_READ).await?;
    let mut found = None;
    while let Some(message) = reading.next().await {
        if id_of(&message) == id {
            found = Some(message);
            break;
        }
    }
    let ended_early = reading.ended_early;
    reading.close().await;
    match ended_early {
        true => Err(ENDED_EARLY.to_owned()),
        false => Ok(found),
    }
}

/// The whole of a parked message, for a person.
#[must_use]
pub fn content(message: &Delivery) -> ParkedContent {
    let shown = message.body.get(..MAX_SHOWN);
    let text = String::from_utf8_lossy(shown.unwrap_or(&message.body));
    let is_whole = shown.is_none() && std::str::from_utf8(&message.body).is_ok();
    let headers = message.headers.iter().map(|(name, value)| {
        let value = match value {
            HeaderValue::Text(text) => text.as_str().into(),
            HeaderValue::Integer(number) => (*number).into(),
        };
        (name.clone(), value)
    });
    ParkedContent {
        entry: entry(message),
        content_type: message.content_type.clone(),
        reply_to: message.reply_to.clone(),
        headers: headers.collect(),
        body: text.into_owned(),
        is_whole,
    }
}

/// Replays parked replies, one after the other. A message that was not replayed stays parked. It ends early when AWS takes nothing.
///
/// # Errors
///
/// Why they can't be read.
pub async fn replay(bridge: &Arc<Bridge>, which: &Which) -> Result<ParkedResults, String> {
    let mut reading = Reading::begin(bridge, MAX_READ).await?;
    let mut messages = Vec::new();
    while let Some(message) = reading.next_of(which).await {
        let entry = entry(&message);
        let wait = reading.time_left().min(REPLAY_TIMEOUT);
        let (mut result, why, receipt) = replay::replay(bridge, message, wait).await;
        // It is deleted when AWS has it, and not before. If the bridge dies here, it is late when it is replayed again.
        if result == ParkedResult::Replayed && !receipt.ack().await {
            result = ParkedResult::Taken;
        }
        debug!(id = entry.id, ?result, "replayed a parked reply");
        messages.push(ParkedOutcome { entry, result, why });
        if result == ParkedResult::Waiting || matches!(which, Which::One(_)) {
            break;
        }
    }
    reading.results(which, messages).await
}

/// Deletes parked messages.
///
/// # Errors
///
/// Why they can't be read.
pub async fn delete(bridge: &Bridge, which: &Which) -> Result<ParkedResults, String> {
    let mut reading = Reading::begin(bridge, MAX_READ).await?;
    let mut messages = Vec::new();
    while let Some(message) = reading.next_of(which).await {
        let entry = entry(&message);
        let result = match message.receipt.ack().await {
            true => ParkedResult::Dropped,
            false => ParkedResult::Taken,
        };
        messages.push(ParkedOutcome {
            entry,
            result,
            why: None,
        });
        if matches!(which, Which::One(_)) {
            break;
        }
    }
    reading.results(which, messages).await
}

/// A reading that is under way.
struct Reading {
    reader: Box<dyn ParkedReader>,
    count: usize,
    most: usize,
    read: usize,
    ended_early: bool,
    end: Instant,
}

impl Reading {
    async fn begin(bridge: &Bridge, most: u16) -> Result<Self, String> {
        let end = Instant::now() + READ_TIMEOUT;
        let begun = timeout_at(end, bridge.broker.read_parked(most)).await;
        let begun = begun.map_err(|_| "the broker does not answer".to_owned())?;
        let begun = begun.map_err(|why| format!("the parked messages can't be read: {why}"))?;
        Ok(Self {
            reader: begun.reader,
            count: begun.count,
            most: begun.count.min(most.into()),
            read: 0,
            ended_early: false,
            end,
        })
    }

    async fn next(&mut self) -> Option<Delivery> {
        let next = timeout_at(self.end, self.reader.next()).await;
        let next = next.ok().flatten();
        match next {
            Some(_) => self.read += 1,
            None => self.ended_early = self.read < self.most,
        }
        next
    }

    /// The next message that a person means.
    async fn next_of(&mut self, which: &Which) -> Option<Delivery> {
        loop {
            let message = self.next().await?;
            let is_meant = match which {
                Which::One(id) => id_of(&message) == *id,
                Which::All(because) => is_because(&message, because.as_deref()),
            };
            if is_meant {
                return Some(message);
            }
        }
    }

    fn time_left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    async fn results(
        self,
        which: &Which,
        messages: Vec<ParkedOutcome>,
    ) -> Result<ParkedResults, String> {
        let ended_early = self.ended_early;
        let unread = match which {
            Which::One(_) => 0,
            Which::All(_) => self.count.saturating_sub(self.read),
        };
        self.close().await;
        match which {
            Which::One(_) if ended_early => Err(ENDED_EARLY.to_owned()),
            Which::One(_) | Which::All(_) => Ok(ParkedResults {
                messages,
                unread,
                ended_early,
            }),
        }
    }

    async fn close(self) {
        self.reader.close().await;
    }
}

fn entry(message: &Delivery) -> ParkedEntry {
    let owned = |name| parked_as::text_of(message, name).map(str::to_owned);
    let since = |at| SystemTime::now().duration_since(at).unwrap_or_default();
    let first = message.body.get(..FIRST_BYTES).unwrap_or(&message.body);
    ParkedEntry {
        id: id_of(message),
        age_secs: parked_as::at(message).map(|at| since(at).as_secs()),
        route: owned(PARKED_ROUTE),
        task: message.correlation_id.clone(),
        kind: message.kind.clone(),
        because: owned(PARKED_BECAUSE),
        size: message.body.len(),
        begins: String::from_utf8_lossy(first).into_owned(),
    }
}

fn is_because(message: &Delivery, text: Option<&str>) -> bool {
    let because = || parked_as::text_of(message, PARKED_BECAUSE).unwrap_or_default();
    text.is_none_or(|text| because().contains(text))
}

/// The name of a message: a digest of its content, because RabbitMQ has no name for it. It stays the same for a build of the bridge.
fn id_of(message: &Delivery) -> String {
    let mut digest = DefaultHasher::new();
    let properties = [
        &message.correlation_id,
        &message.kind,
        &message.reply_to,
        &message.content_type,
    ];
    properties.hash(&mut digest);
    let counts = |name: &str| COUNTS.contains(&name);
    // Of too many headers not all are read, and those counts may come before the others.
    let headers = message.headers.iter().filter(|(name, _)| !counts(name));
    for (name, value) in headers.take(MAX_HEADERS) {
        name.hash(&mut digest);
        match value {
            HeaderValue::Text(text) => text.hash(&mut digest),
            HeaderValue::Integer(number) => number.hash(&mut digest),
        }
    }
    message.body.hash(&mut digest);
    format!("{:012x}", digest.finish() >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &[(&str, i64)]) -> Delivery {
        let headers = headers.iter().map(|(name, value)| {
            let value = HeaderValue::Integer(*value);
            ((*name).to_owned(), value)
        });
        Delivery {
            headers: headers.collect(),
            body: b"4711".to_vec(),
            ..Delivery::empty()
        }
    }

    #[test]
    fn a_message_keeps_its_id_however_often_it_is_looked_at_and_another_has_another() {
        let first = id_of(&message(&[("parked-at", 1)]));
        assert_eq!(first.len(), 12);
        let again = message(&[
            ("parked-at", 1),
            ("x-delivery-count", 3),
            ("x-acquired-count", 4),
        ]);
        assert_eq!(id_of(&again), first);
        assert_ne!(id_of(&message(&[("parked-at", 2)])), first);
    }

    #[test]
    fn a_body_is_whole_if_all_of_it_is_shown_as_it_is() {
        let mut message = message(&[]);
        assert!(content(&message).is_whole);
        message.body = b"\xff".to_vec();
        let shown = content(&message);
        assert_eq!((shown.is_whole, &*shown.body), (false, "\u{fffd}"));
        message.body = vec![b'a'; MAX_SHOWN + 1];
        let shown = content(&message);
        assert_eq!((shown.is_whole, shown.body.len()), (false, MAX_SHOWN));
        assert_eq!(shown.entry.size, MAX_SHOWN + 1);
    }
}
