//! RabbitMQ: replies that are held until AWS accepts them keep no sign of life from being read.

use crate::harness::{
    Answer, Inbox, Route, StepFunctions, Swf, TEST_TIMEOUT, World, all_acknowledged,
};
use activity_sim::{FaultRule, TaskRecord, TaskState};

/// More than the memory for replies.
const RESULTS: u32 = 80;

/// A result that is as long as Step Functions takes it, but for the quotes.
const RESULT_BYTES: usize = 262_142;

/// More than the prefetch.
const GARBAGE: u32 = 250;

#[tokio::test]
async fn results_that_aws_refuses_and_replies_without_room_keep_no_heartbeat_of_another_route_from_aws()
 {
    let world = World::new().await.of(StepFunctions);
    let worker = world.worker("mails", |_| Vec::new()).await;
    let result = "x".repeat(RESULT_BYTES);
    let _results = world
        .worker("payments", move |_| Answer::done(&result))
        .await;
    let mails = Route::new("mails").of(Swf).with("max_in_flight = 10");
    let payments = Route::new("payments").with("max_in_flight = 100");
    let bridge = world.bridge(&[payments, mails.clone()]).await;
    let id = world.sim.schedule(world.task_for(&mails)).remove(0);
    let task = worker.has_seen(1).await.remove(0);
    let refusal = FaultRule::error(StepFunctions.complete(), 400, "KmsAccessDeniedException");
    let list = StepFunctions.list("payments");
    world.sim.fault(refusal.task_list(list));
    world.schedule("payments", RESULTS);
    bridge.logged("no memory for more replies").await;

    // None of these is small.
    let garbage = Answer {
        correlation_id: Some(String::new()),
        body: vec![b'x'; 300_000],
        ..Answer::default()
    };
    let inbox = Inbox::connect(&world.amqp_uri).await;
    for _ in 0..GARBAGE {
        inbox.reply(&task, garbage.clone()).await;
    }
    for details in ["half", "more"] {
        let sign = Answer::of("heartbeat", details);
        inbox.reply(&task, sign).await;
        let is_newest = |task: &TaskRecord| {
            let newest = task.heartbeats.back();
            newest.is_some_and(|beat| beat.details.as_deref() == Some(details))
        };
        let heard = world.sim.wait_for_task(&id, TEST_TIMEOUT, is_newest).await;
        heard.expect("the heartbeat reaches AWS");
    }
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);

    world.sim.clear_faults();
    let all = u64::from(RESULTS) + 1;
    world.until("all completed", |s| s.completed == all).await;
    all_acknowledged(&world, &inbox, &task.reply_to()).await;
    let parked = crate::isolation::parked(&inbox).await;
    assert_eq!(parked, Some(GARBAGE), "each once");
    assert!(!bridge.log().contains("no connection to the broker"));
}
