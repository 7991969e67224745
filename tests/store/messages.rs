//! What every store that outlives the process promises of what is to be published, and of any text
//! (`activity_bridge::store::Store`).

use crate::harness::{
    Kind::{self, Cluster, File, Redis},
    LEARNT, Place, adopt_all, insert, insist, payments, task,
};
use activity_bridge::task::{Task, TaskToken};
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn tokens_are_of_any_text_and_length(#[values(File, Redis, Cluster)] kind: Kind) {
    let place = Place::new(kind);
    let store = place.open().await;
    let tokens = [
        "\u{1}\"\\\u{10ffff}".to_owned(),
        "=".to_owned(),
        "€".repeat(2048),
    ];
    for token in &tokens {
        let token = TaskToken::new(token).expect("not empty");
        let task = Task { token, ..task() };
        insist(async || store.insert(&payments(), &task).await).await;
    }
    let store = place.reopen(store).await;
    let adopted = adopt_all(&*store, 10, tokens.len()).await;
    let mut found: Vec<_> = adopted.iter().map(|record| record.token.reveal()).collect();
    found.sort_unstable();
    assert_eq!(found, tokens);
}

#[rstest]
#[tokio::test]
async fn what_was_not_confirmed_can_be_published(#[values(File, Redis, Cluster)] kind: Kind) {
    let place = Place::new(kind);
    let store = place.open().await;
    let task = insert(&*store, 1).await.remove(0);
    let store = place.reopen(store).await;
    let message = insist(async || store.message(task.id).await).await;
    let message = message.expect("not confirmed");
    assert_eq!(message.id, task.id);
    assert_eq!(message.token.reveal(), task.token.reveal());
    assert_eq!(message.activity, task.activity);
    assert_eq!(message.input.text(), task.input.text());
    assert_eq!(message.input.is_json(), task.input.is_json());
    assert_eq!(message.headers, task.headers);
    assert_eq!(message.polled_at, task.polled_at);
    assert_eq!(message.timeouts, task.timeouts);
}

#[rstest]
#[tokio::test]
async fn an_input_comes_back_byte_for_byte(
    #[values(File, Redis, Cluster)] kind: Kind,
    #[values("", " {\"a\" : 1}\r\n", "no JSON \"\\ \u{0}\u{10ffff}")] input: &str,
    #[values(1, 2_000)] times: usize,
) {
    let place = Place::new(kind);
    let store = place.open().await;
    let input = input.repeat(times);
    let task = Task {
        input: input.clone().into(),
        ..task()
    };
    insist(async || store.insert(&payments(), &task).await).await;
    let store = place.reopen(store).await;
    let message = insist(async || store.message(task.id).await).await;
    assert_eq!(message.expect("not confirmed").input.text(), input);
}

#[rstest]
#[tokio::test]
async fn what_was_confirmed_or_has_ended_is_not_published_again(
    #[values(File, Redis, Cluster)] kind: Kind,
) {
    let place = Place::new(kind);
    let mut store = place.open().await;
    let tasks = insert(&*store, 2).await;
    insist(async || store.confirmed(tasks[0].id, LEARNT).await).await;
    insist(async || store.remove(tasks[1].id).await).await;
    for _ in 0..2 {
        for task in &tasks {
            assert!(
                insist(async || store.message(task.id).await)
                    .await
                    .is_none()
            );
        }
        store = place.reopen(store).await;
    }
}
