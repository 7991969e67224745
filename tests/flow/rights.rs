//! Replies of users that may not settle every task.

use super::{
    log::Did,
    store::Kind,
    world::{INTERVAL, T, World},
};
use activity_bridge::{
    store::{Claim, Forwarded, StoreError},
    task::{OutcomeKind::Completed, Status, TaskId},
};

#[tokio::test(start_paused = true)]
async fn a_final_reply_of_a_user_without_the_task_s_route_is_parked_and_refused_and_the_task_stays_open()
 {
    for kind in ["completed", "failed", "canceled", "nonsense"] {
        let world = World::forgetful(Kind::File, "");
        let id = world.deliver().await;
        world.reply_of("refunds", id, kind).await;
        world.log.wait_for(Did::Requeue(1)).await;
        assert_eq!((world.log.settles(), world.log.parked()), (0, 1), "{kind}");
        assert_eq!(world.log.count(&Did::Ack(1)), 0, "{kind}");
        world.reply_of("payments", id, "completed").await;
        world.all_ended().await;
        world
            .log
            .assert_order(&[Did::Accepted(Completed), Did::Ack(2), Did::Removed]);
        assert_eq!((world.log.settles(), world.log.parked()), (1, 1), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_of_a_user_without_the_task_s_route_is_no_sign_of_life() {
    for kind in ["started", "heartbeat"] {
        let world = World::forgetful(Kind::File, "");
        world.run_heartbeats();
        let id = world.deliver().await;
        world.reply_of("refunds", id, kind).await;
        world.log.wait_for(Did::Requeue(1)).await;
        assert_eq!(world.log.parked(), 1, "{kind}");
        // Nothing was said, so the bridge goes on speaking for the worker that has the task.
        world.at(T * 3).await;
        let beats = world.log.beats().len();
        assert!(beats >= 3, "{kind}: {beats} in {:?} of {INTERVAL:?}", T * 3);
        assert!(
            world
                .store
                .notes
                .lock()
                .iter()
                .all(|(_, note)| !matches!(note, activity_bridge::store::Note::Begun))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_another_process_has_is_not_claimed_by_a_user_without_its_route() {
    for (kind, route) in [
        ("completed", "payments"),
        ("heartbeat", "payments"),
        ("completed", "not-configured-here"),
    ] {
        let world = World::forgetful(Kind::Redis, "");
        let away = StoreError::Unavailable("no answer".to_owned());
        world.store.routes.then(Err(away));
        world.store.routes.then(Ok(Some(route.to_owned())));
        world.reply_of("refunds", TaskId::random(), kind).await;
        world.log.wait_for(Did::Requeue(1)).await;
        assert_eq!((world.log.settles(), world.log.parked()), (0, 1), "{kind}");
        assert_eq!(world.log.count(&Did::Claim), 0, "{kind}");
        let forwarded = |did: &Did| matches!(did, Did::Forward(_));
        assert!(world.log.times(forwarded).is_empty(), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_another_process_has_is_settled_by_a_user_with_its_route() {
    let world = World::forgetful(Kind::Redis, "");
    let task = world.task();
    let route = || Ok(Some("payments".to_owned()));
    world.store.routes.then(route());
    world.store.forwards.then(Ok(Forwarded::To(Status::Alive)));
    world.reply_of("payments", task.id, "heartbeat").await;
    world.log.wait_for(Did::Ack(1)).await;
    let claim = Claim::Ours(world.record(&task, false));
    world.store.routes.then(route());
    world.store.claims.then(Ok(claim));
    world.reply_of("payments", task.id, "completed").await;
    world.log.wait_for(Did::Removed).await;
    world
        .log
        .assert_order(&[Did::Claim, Did::Accepted(Completed), Did::Ack(2)]);
    assert_eq!(world.log.parked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_nobody_knows_is_parked_for_every_user_alike() {
    for kind in [Kind::File, Kind::Redis] {
        let world = World::forgetful(kind, "");
        world
            .reply_of("refunds", TaskId::random(), "completed")
            .await;
        world.log.wait_for(Did::Ack(1)).await;
        assert_eq!((world.log.settles(), world.log.parked()), (0, 1));
    }
}
