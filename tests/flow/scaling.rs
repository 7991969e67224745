//! The work that there is for a route's workers: when AWS is asked, and that no task is counted twice or forgotten.

use super::{
    log::Did,
    store::Kind,
    world::{World, secs},
};
use activity_bridge::{
    admin::scale::{RouteWork, works},
    route::PendingAtAws,
    source::{PendingTasks, SourceError},
};
use std::time::Duration;

/// What a request for `/scale` answers for the one route, without a question to AWS.
fn known(world: &World) -> RouteWork {
    works(&world.bridge, |_| true).remove(0)
}

/// What a request for `/scale` answers.
async fn asked(world: &World) -> RouteWork {
    world.route.ask_for_pending().await;
    known(world)
}

/// Lets time pass.
async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}

fn questions(world: &World) -> usize {
    world.log.count(&Did::CountPending)
}

#[tokio::test(start_paused = true)]
async fn aws_is_asked_at_most_once_in_15_s_and_not_at_all_while_nobody_wants_to_know() {
    let world = World::new();
    for _ in 0..600 {
        asked(&world).await;
        wait(secs(0.1)).await;
    }
    // In a minute, and the interval has up to 5 s of jitter.
    let asked_in_a_minute = questions(&world);
    assert!((3..=4).contains(&asked_in_a_minute), "{asked_in_a_minute}");
    wait(secs(3_600.0)).await;
    assert_eq!(questions(&world), asked_in_a_minute);
}

/// A sidecar's pod is not scaled by it, and each of many would ask.
#[tokio::test(start_paused = true)]
async fn aws_is_never_asked_where_the_settings_say_so() {
    let world = World::with(Kind::Memory, "count_pending = false");
    *world.source.waiting.lock() = 3;
    world.dispatch().await;
    let work = asked(&world).await;
    assert_eq!(questions(&world), 0);
    assert_eq!(
        (work.work, work.pending_at_aws, work.in_flight),
        (None, None, 1)
    );
    assert_eq!(work.unknown.as_deref(), Some("count_pending is false"));
}

#[tokio::test(start_paused = true)]
async fn callers_at_the_same_time_share_one_question() {
    let world = World::new();
    let answer = world.source.pendings.hold();
    let (first, second, ()) = tokio::join!(asked(&world), asked(&world), async {
        world.settle_down().await;
        let tasks = PendingTasks {
            count: 7,
            truncated: true,
        };
        answer.send(Ok(Some(tasks))).expect("somebody waits");
    });
    assert_eq!(questions(&world), 1);
    for work in [first, second] {
        assert_eq!((work.work, work.pending_is_truncated), (Some(7), true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_leaves_aws_is_counted_once_until_it_is_settled() {
    let mut world = World::with(Kind::Memory, "max_in_flight = 10");
    *world.source.waiting.lock() = 3;
    assert_eq!(asked(&world).await.work, Some(3));
    // AWS is not asked again meanwhile, so its answer is old.
    for _ in 0..2 {
        world.source.polls.then(Ok(Some(world.task())));
    }
    world.broker.tell(1, 10, 0);
    world.poll();
    wait(secs(1.0)).await;
    let work = asked(&world).await;
    assert_eq!(questions(&world), 1);
    assert_eq!(
        (work.pending_at_aws, work.in_flight, work.waiting),
        (Some(1), 2, 2)
    );
    assert_eq!(work.work, Some(3));

    let ids = world.bridge.inflight.ids();
    world.reply(ids[0], "started", "").await;
    world.settle_down().await;
    let work = known(&world);
    assert_eq!((work.working, work.waiting, work.work), (1, 1, Some(3)));
    let settling = world.source.settles.hold();
    world.reply(ids[0], "completed", "done").await;
    world.settle_down().await;
    let work = known(&world);
    assert_eq!((work.settling, work.waiting, work.work), (1, 1, Some(3)));
    settling.send(Ok(())).expect("it waits");
    world.settle_down().await;
    assert_eq!(known(&world).work, Some(2));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_is_never_told_as_nothing() {
    let world = World::new();
    assert_eq!(known(&world).work, None);
    let away = || Err(SourceError::Unavailable("away".to_owned()));
    *world.source.waiting.lock() = 2;
    assert_eq!(asked(&world).await.work, Some(2));
    for _ in 0..20 {
        world.source.pendings.then(away());
    }
    // The last answer counts for 90 s.
    for _ in 0..9 {
        wait(secs(9.0)).await;
        assert_eq!(asked(&world).await.work, Some(2));
    }
    wait(secs(10.0)).await;
    let work = asked(&world).await;
    assert_eq!((work.work, work.pending_at_aws), (None, None));
    let why = PendingAtAws::Unknown("not available: away".to_owned());
    assert_eq!(world.route.pending_at_aws(), why);
    // It is known again when AWS answers again, within 8 min.
    world.source.pendings.clear();
    wait(secs(480.0)).await;
    assert_eq!(asked(&world).await.work, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_takes_2_s_and_failed_ones_are_repeated_ever_more_seldom() {
    let world = World::new();
    let held: Vec<_> = (0..60).map(|_| world.source.pendings.hold()).collect();
    let begun = tokio::time::Instant::now();
    assert_eq!(asked(&world).await.work, None);
    assert_eq!(begun.elapsed(), secs(2.0));
    for _ in 0..360 {
        wait(secs(10.0)).await;
        asked(&world).await;
    }
    // In an hour: some while the wait doubles up to 8 min, then one in 4 to 8 min.
    let number = questions(&world);
    assert!((9..=22).contains(&number), "{number}");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_service_without_such_a_number_says_so_and_its_tasks_in_flight_are_told() {
    let world = World::new();
    world.source.pendings.then(Ok(None));
    world.dispatch().await;
    let work = asked(&world).await;
    assert_eq!((work.work, work.in_flight), (None, 1));
    assert_eq!(
        work.unknown.as_deref(),
        Some("AWS has no call that tells it")
    );
}

#[tokio::test(start_paused = true)]
async fn during_the_start_the_work_is_not_known() {
    let world = World::new();
    asked(&world).await;
    let work = works(&world.bridge, |_| false).remove(0);
    assert_eq!(work.work, None);
    assert_eq!(work.unknown.as_deref(), Some("the route starts"));
}
