//! Each task is one process's at a time, and whoever should know which knows.

use super::{
    Kind::{self, Cluster, Redis},
    Replica, config, server,
};
use crate::harness::{LEARNT, POLLED, eventually, insert, insist, payments, task};
use activity_bridge::{
    store::{Claim, Forwarded, Note, Ownership, PeerEvent, Shared, Store},
    task::Status,
    task::{TaskId, Timeout, Timeouts},
};
use rstest::rstest;
use std::time::Duration;

#[rstest]
#[tokio::test]
async fn a_claimed_task_is_the_claimers_and_its_old_owner_hears_of_it(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let (old, new) = (Replica::start(&config).await, Replica::start(&config).await);
    let task = task();
    old.publishes(&task).await;
    let record = new.claims_from(&old, task.id).await;
    for record in [record, new.claims(task.id).await] {
        assert_eq!(record.token.reveal(), task.token.reveal());
        assert!(record.published);
    }
    old.hears(&PeerEvent::Taken(task.id)).await;
    assert_eq!(insist(async || old.count().await).await, 1, "in one set");
    insist(async || new.remove(task.id).await).await;
    assert_eq!(insist(async || old.count().await).await, 0);
    assert!(matches!(old.claim(task.id).await, Ok(Claim::Ended)));
    old.knows_no(TaskId::random()).await;
    assert_eq!(insist(async || old.count().await).await, 0);
    assert_eq!(old.seen(|seen| seen.events.len()), 1, "heard once");
    assert_eq!(old.seen(|seen| seen.lapses), 0);
}

/// A reply may come to the old owner first, when the claimer has died before it took the task out of the old owner's set.
#[rstest]
#[tokio::test]
async fn a_claimed_task_that_its_old_owner_ends_is_in_nobodys_set(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let old = Replica::start_idle(&config, "payments").await;
    let claimer = Replica::start(&config).await;
    let task = task();
    old.publishes(&task).await;
    claimer.claims(task.id).await;
    let set = format!("{}:owner:{{{}}}:tasks", config.prefix, old.owner());
    let server = server(kind);
    server.ask(&["SADD", &set, &task.id.reveal()]).await;
    insist(async || old.remove(task.id).await).await;
    assert_eq!(insist(async || old.count().await).await, 0);
}

#[rstest]
#[tokio::test]
async fn news_from_before_a_task_came_back_is_not_heard(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let owner = Replica::start_idle(&config, "payments").await;
    let claimer = Replica::start(&config).await;
    let (back, gone) = (task(), task());
    for task in [&back, &gone] {
        owner.publishes(task).await;
        claimer.claims_from(&owner, task.id).await;
    }
    // Both letters are under way.
    owner.claims(back.id).await;
    let renew = insist(async || owner.renew().await).await;
    assert_eq!(renew.events, [PeerEvent::Taken(gone.id)]);
}

#[rstest]
#[tokio::test]
async fn an_owner_that_was_not_told_of_a_claim_learns_of_it_with_its_next_note(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let (owner, claimer) = (
        Replica::start_idle(&config, "payments").await,
        Replica::start(&config).await,
    );
    let (taken, ended) = (task(), task());
    for task in [&taken, &ended] {
        owner.publishes(task).await;
        claimer.claims(task.id).await;
    }
    insist(async || claimer.remove(ended.id).await).await;
    // The letters are lost.
    let server = super::server(kind);
    let key = format!("{}:owner:{{{}}}:mail", config.prefix, owner.owner());
    server.ask(&["DEL", &key]).await;
    for task in [&taken, &ended] {
        owner.note(task.id, Note::Heard(task.polled_at));
    }
    let mut events = Vec::new();
    eventually("both are known", async || {
        events.extend(owner.renew().await.ok()?.events);
        (events.len() >= 2).then_some(())
    })
    .await;
    events.sort_by_key(|events| format!("{events:?}"));
    let mut expected = [PeerEvent::Taken(taken.id), PeerEvent::Taken(ended.id)];
    expected.sort_by_key(|events| format!("{events:?}"));
    assert_eq!(events, expected);
}

#[rstest]
#[tokio::test]
async fn a_sign_of_life_reaches_the_owner_and_brings_back_how_the_task_fares(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let (mut owner, other) = (Replica::start(&config).await, Replica::start(&config).await);
    let task = task();
    let id = task.id;
    owner.publishes(&task).await;
    let told = insist(async || other.forward(id, "half: 50 %\n€").await).await;
    assert_eq!(told, Forwarded::To(Status::Alive));
    let details = "half: 50 %\n€".to_owned();
    owner.hears(&PeerEvent::Sign { id, details }).await;

    owner.note(id, Note::CancelRequested);
    eventually("the cancel request is known", async || {
        let told = other.forward(id, "").await.ok()?;
        (told == Forwarded::To(Status::CancelRequested)).then_some(())
    })
    .await;

    owner.freeze().await;
    other.finds_dead_who_has(id).await;
    assert!(other.claims(id).await.begun, "a worker works on it");
    insist(async || other.remove(id).await).await;
    let told = insist(async || other.forward(id, "").await).await;
    assert_eq!(told, Forwarded::Ended);
    let told = insist(async || other.forward(TaskId::random(), "").await).await;
    assert_eq!(told, Forwarded::Unknown);
}

/// Then a parked reply to it is not replayed here.
#[rstest]
#[tokio::test]
async fn a_task_is_elsewhere_as_long_as_another_process_may_have_it(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let (mut owner, other) = (Replica::start(&config).await, Replica::start(&config).await);
    let id = insert(&*owner, 1).await.remove(0).id;
    assert!(insist(async || other.is_elsewhere(id).await).await);
    let has_it = !insist(async || owner.is_elsewhere(id).await).await;
    assert!(has_it, "it has the task itself");
    owner.freeze().await;
    other.finds_dead_who_has(id).await;
    let is_nowhere = !insist(async || other.is_elsewhere(id).await).await;
    assert!(is_nowhere, "its owner is dead");
    let unknown = TaskId::random();
    assert!(!insist(async || other.is_elsewhere(unknown).await).await);
}

#[rstest]
#[tokio::test]
async fn a_task_that_ended_is_not_recorded_again(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let owner = Replica::start(&config).await;
    let task = task();
    let record = owner.publishes(&task).await;
    insist(async || owner.remove(task.id).await).await;
    insist(async || owner.insert(&payments(), &task).await).await;
    insist(async || owner.confirmed(task.id, POLLED).await).await;
    owner.note(task.id, Note::Begun);
    insist(async || owner.renew().await).await;
    assert_eq!(
        insist(async || owner.reassert(&record).await).await,
        Ownership::Ended
    );
    owner.close().await;
    let next = Replica::start(&config).await;
    assert!(insist(async || next.adopt(10).await).await.is_empty());
    assert_eq!(insist(async || next.count().await).await, 0);
}

#[rstest]
#[tokio::test]
async fn everything_expires_but_the_id_of_the_store_and_the_list_of_owners(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let (owner, other) = (Replica::start(&config).await, Replica::start(&config).await);
    let known = Timeouts {
        start_to_close: Timeout::After(Duration::from_secs(60)),
        ..LEARNT
    };
    let tasks = insert(&*owner, 8).await;
    insist(async || owner.confirmed(tasks[1].id, LEARNT).await).await;
    insist(async || owner.confirmed(tasks[2].id, known).await).await;
    insist(async || owner.remove(tasks[3].id).await).await;
    other.claims(tasks[4].id).await;
    insist(async || other.forward(tasks[5].id, "").await).await;
    owner.note(tasks[6].id, Note::Begun);
    let server = super::server(kind);
    let key = format!("{}:task:{{{}}}", config.prefix, tasks[7].id.reveal());
    server.ask(&["DEL", &key]).await;
    let mut lost = owner.publishes(&task()).await;
    lost.id = tasks[7].id;
    assert_eq!(
        insist(async || owner.reassert(&lost).await).await,
        Ownership::Ours
    );
    owner.close().await;
    let some = async || other.adopt(4).await.ok().filter(|some| some.len() == 4);
    eventually("some are adopted, and some left", some).await;
    let (all, lasting) = server.keys(&config.prefix).await;
    assert!(all > 10, "{all}");
    assert_eq!(lasting, ["instance", "owners"]);
}

#[rstest]
#[tokio::test]
async fn the_tasks_of_all_processes_can_be_read(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    // No other look is to have taken its note.
    let one = Replica::start_idle(&config, "payments").await;
    let two = Replica::start(&config).await;
    let mut expected = Vec::new();
    for (replica, count) in [(&one, 3), (&two, 2)] {
        let tasks = insert(&**replica, count).await;
        expected.extend(
            tasks
                .iter()
                .map(|task| (task.id, replica.owner().to_owned())),
        );
    }
    let heard = std::time::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    one.note(expected[0].0, Note::Heard(heard));
    let read = eventually("what was noted is there", async || {
        one.renew().await.ok()?;
        let read = activity_bridge::store::redis::read(&config)
            .await
            .ok()?
            .records;
        let of_first = read.iter().find(|(record, _)| record.id == expected[0].0);
        (of_first.expect("there").0.heard == Some(heard)).then_some(read)
    })
    .await;
    let mut found: Vec<_> = read
        .into_iter()
        .map(|(record, owner)| (record.id, owner))
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}
