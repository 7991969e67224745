//! Dead letters that belong to no task of any process. Each is parked.

use super::{PARKED, Place, QUEUE, table, text};
use crate::harness::{Inbox, all_acknowledged};
use lapin::{
    BasicProperties,
    options::{BasicPublishOptions, BasicRejectOptions},
};

#[tokio::test]
async fn a_dead_letter_that_no_process_claims_is_parked_and_leaves_its_queue() {
    let place = Place::with("").await;
    let id = "0123456789abcdef0123456789abcdef";
    let headers = table([("reply-queue", text("activity-bridge.replies.long-gone"))]);
    let properties = BasicProperties::default()
        .with_correlation_id(id.into())
        .with_type("charge".into())
        .with_headers(headers);
    publish(&place.inbox, properties).await;
    place.reject().await;
    let parked = place.inbox.next(PARKED).await;
    assert_eq!((parked.id().as_str(), parked.body.as_str()), (id, "input"));
    assert_eq!(
        parked.header("x-first-death-reason").as_deref(),
        Some("rejected")
    );
    all_acknowledged(&place.world, &place.inbox, QUEUE).await;
}

async fn publish(inbox: &Inbox, properties: BasicProperties) {
    let options = BasicPublishOptions::default();
    let channel = inbox.channel();
    let sent = channel.basic_publish("".into(), QUEUE.into(), options, b"input", properties);
    sent.await.expect("sent").await.expect("confirmed");
}

#[tokio::test]
async fn a_dead_letter_of_a_task_that_is_not_ours_is_parked_with_the_reason() {
    let place = Place::with("").await;
    let open = place.schedule();
    let ours = place.take().await;
    let reply_to = ours.properties.reply_to().clone().expect("a reply_to");
    let rows = [
        (
            Some("0123456789abcdef0123456789abcdef"),
            "no task of this bridge has this correlation_id",
        ),
        (None, "it has no correlation_id"),
    ];
    for (id, because) in rows {
        let headers = table([("reply-queue", text(reply_to.as_str()))]);
        let mut properties = BasicProperties::default().with_headers(headers);
        if let Some(id) = id {
            properties = properties.with_correlation_id(id.into());
        }
        publish(&place.inbox, properties).await;
        let task = place.take().await;
        let options = BasicRejectOptions { requeue: false };
        task.reject(options).await.expect("rejected");
        let parked = place.inbox.next(PARKED).await;
        assert_eq!(parked.header("parked-because").as_deref(), Some(because));
        assert_eq!(parked.body, "input");
    }
    place.still_open(&open).await;
}
