//! Many replies that can't be used, from a worker that has lost its mind or from somebody who means harm.

use crate::harness::{Answer, Inbox, Scene, eventually};
use activity_sim::TaskState;
use futures_util::future::join_all;
use lapin::{BasicProperties, options::BasicPublishOptions};
use std::time::Instant;

/// Number of replies. A line for each would fill a log, and to park them takes a while.
const REPLIES: usize = 3_000;

const UNKNOWN: &str = "no task of this bridge has this correlation_id";

#[tokio::test]
async fn a_flood_of_replies_that_can_not_be_used_costs_few_lines_and_holds_up_no_other_reply() {
    let scene = Scene::new().await;
    let (id, task) = scene.task(scene.plain()).await;
    let flood = Inbox::connect(&scene.world.amqp_uri).await;
    let began = Instant::now();
    let mut confirms = Vec::new();
    for number in 0..REPLIES {
        let nobody = format!("{number:032x}");
        let published = flood.channel().basic_publish(
            "".into(),
            task.reply_to().as_str().into(),
            BasicPublishOptions::default(),
            b"",
            BasicProperties::default().with_correlation_id(nobody.as_str().into()),
        );
        confirms.push(published.await.expect("sent"));
    }
    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(scene.world.closed(&id).await.state, TaskState::Completed);
    join_all(confirms).await;
    eventually("all of them being parked", || async {
        let parked = scene.bridge.metric("parked_replies_total").await;
        (parked == REPLIES as f64).then_some(())
    })
    .await;
    scene.bridge.logged("left_out=").await;
    let log = scene.bridge.log();
    let lines = log.lines().filter(|line| line.contains(UNKNOWN)).count();
    let intervals = usize::try_from(began.elapsed().as_secs() / 10).expect("few");
    assert!(lines <= intervals + 2, "{lines} lines");
}
