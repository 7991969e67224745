//! Channels for replies that are parked or put back. A channel carries one batch of messages at a time.
//!
//! lapin hands a return over with whichever confirm it handles next, and that confirm may be of another message. RabbitMQ sends a
//! return before the confirm of the same message. So once all confirms of a batch are there, all its returns are there too. If
//! there is one, the whole batch counts as returned: the queue is missing, and what it took before is gone with it.

use super::publish_channels::PublishChannel;
use crate::broker::PublishError;
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};
use tokio::{
    sync::{oneshot, watch},
    task::yield_now,
};

/// Number of channels. While the confirms of one batch are on their way, the next batch is sent.
const CHANNELS: usize = 4;

/// Maximum number of messages of a batch.
const MAX_MESSAGES: usize = 64;

/// Maximum number of bytes of a batch. A larger message is a batch by itself.
const MAX_BYTES: usize = 1 << 20;

/// The channels to one queue.
pub(super) struct Posts(Mutex<State>);

struct State {
    free: Vec<Arc<PublishChannel>>,
    /// Those that wait for a batch, in their order.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    bytes: usize,
    seat: oneshot::Sender<Seat>,
}

/// The place of a message in a batch. If it is dropped without the confirm, the fate of the whole batch is unknown.
pub(super) struct Seat {
    batch: Arc<Batch>,
    has_ended: bool,
}

struct Batch {
    posts: Arc<Posts>,
    channel: Arc<PublishChannel>,
    /// Receivers see the end of the batch.
    confirms: watch::Sender<Confirms>,
}

/// What came back from the broker for a batch.
#[derive(Default)]
struct Confirms {
    missing: usize,
    /// Whether a confirm will never be known.
    is_lost: bool,
    /// Why the broker returned messages.
    returned: Option<String>,
}

impl Posts {
    pub(super) fn new() -> Arc<Self> {
        let free = std::iter::repeat_with(Arc::default).take(CHANNELS);
        Arc::new(Self(Mutex::new(State {
            free: free.collect(),
            waiting: VecDeque::new(),
        })))
    }

    /// Waits for a place for a message of so many bytes. Those that wait while all channels are busy form the next batches.
    pub(super) async fn seat(self: &Arc<Self>, bytes: usize) -> Result<Seat, PublishError> {
        let (seat, granted) = oneshot::channel();
        self.0.lock().waiting.push_back(Waiting { bytes, seat });
        // Replies come in bursts. The others of a burst join the batch.
        yield_now().await;
        self.begin_batches();
        granted.await.map_err(|_| PublishError::Away)
    }

    fn begin_batches(self: &Arc<Self>) {
        while let Some((channel, seats)) = self.next_batch() {
            let batch = Arc::new(Batch {
                posts: Arc::clone(self),
                channel,
                confirms: watch::Sender::new(Confirms {
                    missing: seats.len(),
                    ..Confirms::default()
                }),
            });
            for seat in seats {
                let granted = seat.send(Seat {
                    batch: Arc::clone(&batch),
                    has_ended: false,
                });
                if let Err(mut unwanted) = granted {
                    unwanted.end(false, None);
                }
            }
        }
    }

    /// A free channel, and those that wait, as far as they fit into a batch.
    fn next_batch(&self) -> Option<(Arc<PublishChannel>, Vec<oneshot::Sender<Seat>>)> {
        let State { free, waiting } = &mut *self.0.lock();
        let channel = free.pop()?;
        let (mut seats, mut bytes) = (Vec::new(), 0_usize);
        while let Some(next) = waiting.pop_front() {
            if next.seat.is_closed() {
                continue;
            }
            bytes = bytes.saturating_add(next.bytes);
            let has_room = seats.len() < MAX_MESSAGES && bytes <= MAX_BYTES;
            if !has_room && !seats.is_empty() {
                waiting.push_front(next);
                break;
            }
            seats.push(next.seat);
        }
        if seats.is_empty() {
            free.push(channel);
            return None;
        }
        Some((channel, seats))
    }
}

impl Seat {
    pub(super) fn channel(&self) -> &PublishChannel {
        &self.batch.channel
    }

    /// Notes the confirm of the message, and the return that came with it. Waits for the end of the batch.
    pub(super) async fn confirmed(mut self, returned: Option<String>) -> Result<(), PublishError> {
        let mut confirms = self.batch.confirms.subscribe();
        self.end(false, returned);
        let ended = confirms.wait_for(|confirms| confirms.missing == 0 || confirms.is_lost);
        match ended.await.as_deref() {
            Ok(Confirms {
                is_lost: false,
                returned: None,
                ..
            }) => Ok(()),
            Ok(Confirms {
                is_lost: false,
                returned: Some(why),
                ..
            }) => Err(PublishError::Unroutable(why.clone())),
            Ok(Confirms { is_lost: true, .. }) | Err(_) => {
                let why = "the confirm of another message on the same channel is missing";
                Err(PublishError::Unconfirmed(why.to_owned()))
            }
        }
    }

    fn end(&mut self, is_lost: bool, returned: Option<String>) {
        self.has_ended = true;
        let Batch {
            posts,
            channel,
            confirms,
        } = &*self.batch;
        let mut channel_is_free = false;
        let mut may_be_used = true;
        confirms.send_if_modified(|confirms| {
            confirms.missing = confirms.missing.saturating_sub(1);
            confirms.is_lost |= is_lost;
            confirms.returned = confirms.returned.take().or(returned);
            channel_is_free = confirms.missing == 0;
            may_be_used = !confirms.is_lost;
            channel_is_free || is_lost
        });
        if channel_is_free {
            // A confirm that is missing may still come, with a return that belongs to no message of the next batch.
            let next = match may_be_used {
                true => Arc::clone(channel),
                false => Arc::default(),
            };
            posts.0.lock().free.push(next);
            posts.begin_batches();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(true, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, future::join_all, poll};
    use std::pin::pin;

    /// All channels are taken, each by one message.
    async fn busy() -> (Arc<Posts>, Vec<Seat>) {
        let posts = Posts::new();
        let mut taken = Vec::new();
        for _ in 0..CHANNELS {
            taken.push(posts.seat(1).await.expect("a free channel"));
        }
        (posts, taken)
    }

    /// Of messages with these sizes that wait together, those that get a place when one channel is free. The other channels
    /// stay taken.
    async fn next_batch(sizes: &[usize]) -> (Vec<Seat>, Vec<Seat>) {
        let (posts, mut taken) = busy().await;
        let mut waiting: Vec<_> = (sizes.iter())
            .map(|bytes| Box::pin(posts.seat(*bytes)))
            .collect();
        for seat in &mut waiting {
            assert!(poll!(seat.as_mut()).is_pending());
            assert!(poll!(seat.as_mut()).is_pending(), "no channel is free");
        }
        let seat = taken.pop().expect("a channel");
        assert_eq!(seat.confirmed(None).await, Ok(()));
        let seats = waiting.into_iter().filter_map(FutureExt::now_or_never);
        let seats = seats.map(|seat| seat.expect("a place"));
        (seats.collect(), taken)
    }

    async fn batch<const N: usize>() -> ([Seat; N], Vec<Seat>) {
        let (seats, taken) = next_batch(&[1; N]).await;
        (
            seats.try_into().map_err(|_| ()).expect("all of them"),
            taken,
        )
    }

    fn unroutable() -> Result<(), PublishError> {
        Err(PublishError::Unroutable("NO_ROUTE".to_owned()))
    }

    fn no_route() -> Option<String> {
        Some("NO_ROUTE".to_owned())
    }

    #[tokio::test]
    async fn messages_that_come_together_are_one_batch() {
        let posts = Posts::new();
        let seats = join_all((0..5).map(|_| posts.seat(1))).await;
        let seats: Vec<_> = seats.into_iter().flatten().collect();
        let [first, others @ ..] = &seats[..] else {
            panic!("no place");
        };
        assert_eq!(others.len(), 4);
        for other in others {
            assert!(Arc::ptr_eq(&first.batch, &other.batch));
        }
    }

    #[tokio::test]
    async fn a_message_is_taken_when_its_whole_batch_is_confirmed() {
        let ([first, second, third], _taken) = batch().await;
        let mut first = pin!(first.confirmed(None));
        let mut third = pin!(third.confirmed(None));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut third).is_pending());
        assert_eq!(second.confirmed(None).await, Ok(()));
        assert_eq!((first.await, third.await), (Ok(()), Ok(())));
    }

    #[tokio::test]
    async fn a_return_that_comes_with_the_confirm_of_another_message_fails_its_own_message_too() {
        let ([returned, other], _taken) = batch().await;
        let mut returned = pin!(returned.confirmed(None));
        assert!(poll!(&mut returned).is_pending(), "its return may come yet");
        assert_eq!(other.confirmed(no_route()).await, unroutable());
        assert_eq!(returned.await, unroutable());
    }

    #[tokio::test]
    async fn a_return_fails_no_later_batch_of_its_channel() {
        let (posts, mut taken) = busy().await;
        let mut next = pin!(posts.seat(1));
        assert!(poll!(&mut next).is_pending());
        let seat = taken.pop().expect("a channel");
        let channel = Arc::clone(&seat.batch.channel);
        assert_eq!(seat.confirmed(no_route()).await, unroutable());
        let next = next.await.expect("a place");
        assert!(Arc::ptr_eq(&next.batch.channel, &channel));
        assert_eq!(next.confirmed(None).await, Ok(()));
    }

    #[tokio::test]
    async fn without_one_confirm_a_batch_fails_at_once_and_its_channel_is_used_no_more() {
        let ([first, lost, last], _taken) = batch().await;
        let posts = Arc::clone(&last.batch.posts);
        let channel = Arc::clone(&last.batch.channel);
        let mut first = pin!(first.confirmed(None));
        assert!(poll!(&mut first).is_pending());
        drop(lost);
        let failed = first.await;
        assert!(
            matches!(failed, Err(PublishError::Unconfirmed(_))),
            "{failed:?}"
        );
        let mut next = pin!(posts.seat(1));
        for _ in 0..2 {
            assert!(poll!(&mut next).is_pending(), "the last one is on its way");
        }
        let failed = last.confirmed(None).await;
        assert!(
            matches!(failed, Err(PublishError::Unconfirmed(_))),
            "{failed:?}"
        );
        let next = next.await.expect("a place");
        assert!(!Arc::ptr_eq(&next.batch.channel, &channel));
    }

    #[tokio::test]
    async fn a_batch_is_bounded_in_messages_and_in_bytes_and_a_large_message_is_one_by_itself() {
        let half = MAX_BYTES / 2;
        for (sizes, expected) in [
            (&[1; MAX_MESSAGES + 10][..], MAX_MESSAGES),
            (&[half, half, 1], 2),
            (&[half, MAX_BYTES, 1], 1),
            (&[usize::MAX, 0, 1], 1),
        ] {
            let (seats, _taken) = next_batch(sizes).await;
            assert_eq!(seats.len(), expected, "{:?}", &sizes[..3]);
        }
    }

    #[tokio::test]
    async fn a_message_that_waits_no_more_holds_nobody_up() {
        let (posts, mut taken) = busy().await;
        let mut given_up = Box::pin(posts.seat(1));
        let mut other = pin!(posts.seat(1));
        assert!(poll!(&mut given_up).is_pending());
        assert!(poll!(&mut other).is_pending());
        drop(given_up);
        let seat = taken.pop().expect("a channel");
        assert_eq!(seat.confirmed(None).await, Ok(()));
        assert_eq!(other.await.expect("a place").confirmed(None).await, Ok(()));
    }
}
