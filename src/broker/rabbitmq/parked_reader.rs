//! The parking queue as a person reads it: on a connection of its own, with the reader of replies, so that nothing in a message and no
//! size of one concerns anything else.
//!
//! What was read and not acknowledged returns to the queue with the end of the connection. RabbitMQ counts that as a delivery.

use super::{
    access::Target,
    options::Options,
    reader::{Reader, ReaderBounds},
};
use crate::broker::{Delivery, Inbound, ParkedReader, ParkedReading, names::PARKING_QUEUE};
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// Timeout for the next message. Somebody else may have taken it.
const NEXT_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout for the closing handshake, which follows the acknowledgements.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// See the module.
struct ParkedMessages {
    reader: Reader,
    messages: mpsc::Receiver<Inbound>,
    /// The number of messages that may still come.
    left: usize,
}

/// Begins to read the parking queue, which has `count` messages; `most` of them at most.
pub(super) async fn open(
    target: &Target,
    options: &Options,
    (count, most): (u64, u16),
) -> Result<ParkedReading, String> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let left = count.min(most.into());
    // No room for more than one message that nobody has read yet. The broker sends all the same.
    let one_by_one = Options {
        reply_queue: PARKING_QUEUE.to_owned(),
        prefetch: 1,
        ..options.clone()
    };
    let prefetch = u16::try_from(left).unwrap_or(u16::MAX).max(1);
    let bounds = ReaderBounds {
        held: Arc::default(),
        prefetch: watch::channel(prefetch).1,
    };
    let (reader, messages) = Reader::open(target, &one_by_one, &bounds).await?;
    let reader = Box::new(ParkedMessages {
        reader,
        messages,
        left,
    });
    Ok(ParkedReading { count, reader })
}

#[async_trait]
impl ParkedReader for ParkedMessages {
    async fn next(&mut self) -> Option<Delivery> {
        self.left = self.left.checked_sub(1)?;
        let message = timeout(NEXT_TIMEOUT, self.messages.recv()).await;
        match message.ok().flatten() {
            Some(
                Inbound::Reply(delivery)
                | Inbound::DeadLetter(_, delivery)
                | Inbound::Unreadable(delivery),
            ) => Some(delivery),
            _ => {
                self.left = 0;
                None
            }
        }
    }

    async fn close(self: Box<Self>) {
        let Self {
            reader,
            mut messages,
            ..
        } = *self;
        let closing = async {
            // A message that is on its way here must not hold up the close.
            let draining = async { while messages.recv().await.is_some() {} };
            tokio::join!(reader.close(), draining)
        };
        drop(timeout(CLOSE_TIMEOUT, closing).await);
    }
}
