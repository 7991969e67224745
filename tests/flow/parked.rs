//! The parked messages of the scripted broker.

use super::log::{Did, Log};
use activity_bridge::{
    broker::{
        Acknowledge, Delivery, ParkedMessage, ParkedReader, ParkedReading, Receipt,
        names::PARKED_BECAUSE,
    },
    task::{HeaderValue, TaskId},
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// See the module.
pub struct ParkedCopies {
    log: Arc<Log>,
    copies: Mutex<BTreeMap<usize, ParkedCopy>>,
    /// A reading tells no more than so many.
    pub most_told: AtomicUsize,
}

#[derive(Clone)]
struct ParkedCopy {
    correlation_id: Option<String>,
    kind: Option<String>,
    headers: Vec<(String, HeaderValue)>,
    body: Vec<u8>,
}

impl ParkedCopies {
    pub fn new(log: Arc<Log>) -> Self {
        Self {
            log,
            copies: Mutex::default(),
            most_told: AtomicUsize::new(usize::MAX),
        }
    }

    pub fn add(&self, message: &ParkedMessage<'_>, because: &str) {
        let because = HeaderValue::Text(because.to_owned());
        let own = message.own_headers.iter();
        let own = own.map(|(name, value)| (*name, value));
        let headers = [(PARKED_BECAUSE, &because)].into_iter().chain(own);
        let headers = headers.chain(message.headers.iter().copied());
        let copy = ParkedCopy {
            correlation_id: message.correlation_id.map(str::to_owned),
            kind: message.kind.map(str::to_owned),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect(),
            body: message.body.to_vec(),
        };
        let mut copies = self.copies.lock();
        let number = copies.keys().last().map_or(1, |last| last + 1);
        copies.insert(number, copy);
    }

    pub fn number(&self) -> usize {
        self.copies.lock().len()
    }

    pub fn read(this: &Arc<Self>, most: u16) -> ParkedReading {
        let copies = this.copies.lock().clone();
        let most = usize::from(most).min(this.most_told.load(Relaxed));
        ParkedReading {
            count: copies.len(),
            reader: Box::new(Reader {
                copies: copies.into_iter().take(most).collect(),
                of: Arc::clone(this),
            }),
        }
    }
}

struct Reader {
    copies: BTreeMap<usize, ParkedCopy>,
    of: Arc<ParkedCopies>,
}

#[async_trait]
impl ParkedReader for Reader {
    async fn next(&mut self) -> Option<Delivery> {
        let (number, copy) = self.copies.pop_first()?;
        let of = Arc::clone(&self.of);
        Some(Delivery {
            correlation_id: copy.correlation_id,
            kind: copy.kind,
            headers: copy.headers,
            body: copy.body,
            may_be_copied: true,
            receipt: Receipt::new(Deletes { number, of }),
            ..Delivery::about(TaskId::random())
        })
    }

    async fn close(self: Box<Self>) {}
}

struct Deletes {
    number: usize,
    of: Arc<ParkedCopies>,
}

#[async_trait]
impl Acknowledge for Deletes {
    fn is_usable(&self) -> bool {
        true
    }

    async fn ack(&self) -> bool {
        self.of.log.note(Did::Unpark);
        self.of.copies.lock().remove(&self.number).is_some()
    }

    async fn requeue(&self) {}
}
