//! What processes that share a store know of messages that a durable broker has lost.

use crate::{
    harness::{
        Kind::{self, Cluster, Redis},
        Place, insert, insist,
    },
    lost_messages::{confirm, lose, message},
    redis::server,
};
use activity_bridge::store::{PeerEvent, Store};
use rstest::rstest;
use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// Workers' signs of life may come to another process, which writes to the record.
#[rstest]
#[tokio::test]
async fn a_sign_of_life_that_is_forwarded_deletes_the_message_too(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let owner = place.open().await;
    let other = place.open().await;
    let task = insert(&*owner, 1).await.remove(0);
    confirm(&*owner, task.id).await;
    let shared = other.shared().expect("shared");
    insist(async || shared.forward(task.id, "").await).await;
    lose(&*owner, task.id).await;
    assert!(message(&*owner, task.id).await.is_none());
}

/// Only the owner knows whether the task was published.
#[rstest]
#[tokio::test]
async fn a_process_that_does_not_own_a_task_can_not_lose_its_message(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let owner = place.open().await;
    let other = place.open().await;
    let task = insert(&*owner, 1).await.remove(0);
    confirm(&*owner, task.id).await;
    lose(&*other, task.id).await;
    assert!(message(&*owner, task.id).await.is_none());
}

#[rstest]
#[tokio::test]
async fn every_process_that_is_alive_hears_of_a_lost_queue_but_the_one_that_tells(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let stores = [place.open().await, place.open().await, place.open().await];
    let renew = async |store: &Arc<dyn Store>| {
        let shared = store.shared().expect("shared");
        insist(async || shared.renew().await).await.events
    };
    for store in &stores {
        renew(store).await;
    }
    let [teller, others @ ..] = &stores;
    let telling = teller.shared().expect("shared");
    let missing_at = UNIX_EPOCH + Duration::from_millis(1_792_000_000_123);
    for ready in [None, Some(7)] {
        let queue = "mail to €".to_owned();
        // A lease that has run out on a busy machine would let the teller repeat it.
        for store in &stores {
            renew(store).await;
        }
        insist(async || telling.tell_queue_lost(&queue, missing_at, ready).await).await;
        for other in others {
            let queue = queue.clone();
            let expected = PeerEvent::QueueLost {
                queue,
                missing_at,
                ready,
            };
            assert_eq!(renew(other).await, [expected]);
        }
    }
    assert!(renew(teller).await.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_process_knows_whether_any_has_tasks(#[values(Redis, Cluster)] kind: Kind) {
    let place = Place::new(kind);
    let asking = place.open().await;
    let other = place.open().await;
    let shared = asking.shared().expect("shared");
    let has_tasks = || insist(async || shared.has_tasks().await);
    assert!(!has_tasks().await);
    for store in [&asking, &other] {
        let task = insert(&**store, 1).await.remove(0);
        assert!(has_tasks().await);
        insist(async || store.remove(task.id).await).await;
        assert!(!has_tasks().await);
    }
}

/// A process whose lease has run out may come back with its tasks.
#[rstest]
#[tokio::test]
async fn that_a_queue_is_lost_must_be_told_again_where_a_process_may_come_back(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let teller = place.open().await;
    let other = place.open().await;
    let owner = format!("{}:owner:{{{}}}:lease", place.prefix(), other.owner());
    server(kind).ask(&["DEL", &owner]).await;
    let telling = teller.shared().expect("shared");
    let told = telling.tell_queue_lost("mail", UNIX_EPOCH, None).await;
    assert!(told.is_err(), "{told:?}");
    let returned = other.shared().expect("shared");
    insist(async || returned.renew().await).await;
    insist(async || telling.tell_queue_lost("mail", UNIX_EPOCH, None).await).await;
    let heard = insist(async || returned.renew().await).await.events;
    assert_eq!(heard.len(), 1, "{heard:?}");
}
