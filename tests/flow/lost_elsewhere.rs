//! A lost queue where several processes share the store.

use super::{
    log::Did,
    lost_queue::{dispatch, lose, lose_all_but},
    store::Kind,
    world::{World, secs},
};
use activity_bridge::{
    broker::Inbound,
    intake::recovery,
    store::{PeerEvent, Record, Renewal, StoreError},
    task::Task,
};
use std::{sync::atomic::Ordering, time::SystemTime};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn other_processes_are_told_of_a_lost_queue_once_and_one_that_hears_of_it_tells_nobody() {
    let world = World::with(Kind::Redis, "");
    let told = Did::ToldQueueLost("payments".to_owned());
    let id = dispatch(&world).await;
    world
        .store
        .renewals
        .then(Ok(lost_elsewhere(SystemTime::now())));
    world.at(secs(1.0)).await;
    assert_eq!(*world.broker.published.lock(), [id, id]);
    assert_eq!(world.log.count(&told), 0);

    let world = World::with(Kind::Redis, "");
    let id = dispatch(&world).await;
    let before = SystemTime::now();
    lose_all_but(&world, "payments", Some(0)).await;
    world.at(secs(5.0)).await;
    assert_eq!(*world.broker.published.lock(), [id, id]);
    assert_eq!(world.log.count(&told), 1);
    let (missing_at, ready) = world.store.told.lock()[0];
    assert!((before..=SystemTime::now()).contains(&missing_at));
    assert_eq!(ready, Some(0));
}

/// With a shared store, the lease of the process before runs out after the start.
#[tokio::test(start_paused = true)]
async fn tasks_that_are_adopted_soon_after_the_loss_are_published_again_too() {
    for (polled_before, late, begun, expected) in [
        (secs(60.0), secs(6.0), false, 2),
        (secs(60.0), secs(6.0), true, 0),
        (secs(60.0), secs(100.0), false, 0),
    ] {
        let world = World::with(Kind::Redis, "");
        lose(&world, "payments").await;
        world.at(late).await;
        let records: Vec<_> = (0..2).map(|_| world.task()).collect();
        for task in records {
            world.store.messages.lock().insert(task.id, task.clone());
            let record = Record {
                polled_at: task.polled_at - polled_before,
                begun,
                ..world.record(&task, true)
            };
            world.store.orphans.lock().push_back(record);
        }
        recovery::adopt(&world.bridge, &mut Vec::new())
            .await
            .expect("adopted");
        world.settle_down().await;
        assert_eq!(world.log.count(&Did::Publish), expected, "{late:?}");
        assert_eq!(world.route.slots.in_use(), 2);
    }
}

/// A task that was polled after the loss is in the new queue. The clocks of two processes may be some seconds apart.
#[tokio::test(start_paused = true)]
async fn an_adopted_task_that_was_polled_after_the_loss_is_left_alone() {
    for (later, expected) in [(secs(60.0), 0), (secs(1.0), 1)] {
        let world = World::with(Kind::Redis, "");
        lose(&world, "payments").await;
        let task = world.task();
        world.store.messages.lock().insert(task.id, task.clone());
        let record = Record {
            polled_at: task.polled_at + later,
            ..world.record(&task, true)
        };
        world.store.orphans.lock().push_back(record);
        recovery::adopt(&world.bridge, &mut Vec::new())
            .await
            .expect("adopted");
        world.settle_down().await;
        assert_eq!(world.log.count(&Did::Publish), expected);
    }
}

/// So it is where nobody has used the queue before. The clocks of processes that have just started may be some seconds apart too.
#[tokio::test(start_paused = true)]
async fn where_nobody_had_a_task_when_the_queue_was_missing_nothing_that_is_adopted_is_published_again()
 {
    for (is_empty, has_own, expected) in [(true, false, 0), (false, false, 1), (true, true, 2)] {
        let world = World::with(Kind::Redis, "");
        world.store.is_empty.store(is_empty, Ordering::Relaxed);
        if has_own {
            let id = dispatch(&world).await;
            let message = Task { id, ..world.task() };
            world.store.messages.lock().insert(id, message);
        }
        let before = world.log.count(&Did::Publish);
        lose(&world, "payments").await;
        let task = world.task();
        world.store.messages.lock().insert(task.id, task.clone());
        let record = Record {
            polled_at: task.polled_at + secs(1.0),
            ..world.record(&task, true)
        };
        world.store.orphans.lock().push_back(record);
        recovery::adopt(&world.bridge, &mut Vec::new())
            .await
            .expect("adopted");
        world.settle_down().await;
        assert_eq!(world.log.count(&Did::Publish) - before, expected);
    }
}

/// The process that found it does not know whether its first attempt was read.
#[tokio::test(start_paused = true)]
async fn a_loss_that_is_heard_of_twice_counts_once_and_a_clock_may_be_some_seconds_off() {
    let world = World::with(Kind::Redis, "");
    let missing_at = SystemTime::now() - secs(2.0);
    let id = dispatch(&world).await;
    for _ in 0..2 {
        let message = Task { id, ..world.task() };
        world.store.messages.lock().insert(id, message);
        let heard = Ok(lost_elsewhere(missing_at));
        world.store.renewals.then(heard);
        world.at(world.log.now() + secs(1.0)).await;
        assert_eq!(*world.broker.published.lock(), [id, id]);
    }
}

/// Both look at the queue each second. The margin for their clocks must not count what was published again.
#[tokio::test(start_paused = true)]
async fn a_loss_that_two_processes_have_found_counts_once() {
    let world = World::with(Kind::Redis, "");
    let id = dispatch(&world).await;
    world.at(secs(5.0)).await;
    let own_finding = Inbound::QueueLost {
        queue: "payments".to_owned(),
        missing_at: Instant::now() - secs(3.0),
        ready: None,
        noted: None,
    };
    world.send(own_finding).await;
    world.settle_down().await;
    let found_later = SystemTime::now() - secs(2.0);
    world.store.renewals.then(Ok(lost_elsewhere(found_later)));
    world.at(secs(6.0)).await;
    assert_eq!(*world.broker.published.lock(), [id, id]);
}

#[tokio::test(start_paused = true)]
async fn other_processes_are_told_again_until_all_of_them_have_heard() {
    let away = || Err(StoreError::Unavailable("no answer".to_owned()));
    let told = Did::ToldQueueLost("payments".to_owned());
    for (failures, times) in [(6, 1), (999, 0)] {
        let world = World::with(Kind::Redis, "");
        let id = dispatch(&world).await;
        for _ in 0..failures {
            world.store.tells.then(away());
        }
        lose(&world, "payments").await;
        assert_eq!(
            *world.broker.published.lock(),
            [id, id],
            "it is not awaited"
        );
        world.at(secs(80.0)).await;
        assert_eq!(world.log.count(&told), times);
        // A loss long ago is no news.
        world.store.tells.clear();
        world.at(secs(300.0)).await;
        assert_eq!(world.log.count(&told), times);
    }
}

/// The messages in the queue may be those of another process's tasks.
#[tokio::test(start_paused = true)]
async fn the_number_of_messages_in_the_queue_says_nothing_where_others_publish_into_it() {
    let world = World::with(Kind::Redis, "");
    let id = dispatch(&world).await;
    lose_all_but(&world, "payments", Some(9)).await;
    assert_eq!(*world.broker.published.lock(), [id, id]);

    let world = World::with(Kind::Redis, "");
    let id = dispatch(&world).await;
    let mut heard = lost_elsewhere(SystemTime::now());
    if let Some(PeerEvent::QueueLost { ready, .. }) = heard.events.first_mut() {
        *ready = Some(9);
    }
    world.store.renewals.then(Ok(heard));
    world.at(secs(1.0)).await;
    assert_eq!(*world.broker.published.lock(), [id, id]);
}

fn lost_elsewhere(missing_at: SystemTime) -> Renewal {
    Renewal {
        lapsed: false,
        events: vec![PeerEvent::QueueLost {
            queue: "payments".to_owned(),
            missing_at,
            ready: None,
        }],
    }
}
