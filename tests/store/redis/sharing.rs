//! Each task is one process's at a time, and no task is without one for long.

use super::{
    Kind::{self, Cluster, Redis},
    Replica, config,
};
use crate::harness::{LEARNT, POLLED, eventually, ids, insert, task};
use activity_bridge::{
    flights::Status,
    store::{Claim, Kept, News, Note, PassedOn, Record, Shared, Store},
    task::{TaskId, Timeout, Timeouts},
};
use rstest::rstest;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const LEASE: Duration = Duration::from_secs(5);

#[rstest]
#[tokio::test]
async fn the_tasks_of_the_dead_are_adopted_when_the_lease_has_run_out_and_soon_after(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let (mut dying, heir) = (Replica::start(&config).await, Replica::start(&config).await);
    let tasks = insert(&*dying, 20).await;
    let last = dying.freeze().await;
    let adopted = heir.adopts(20).await;
    let after = last.elapsed();
    assert!(after >= LEASE, "after {after:?} it may be alive");
    assert!(after < LEASE + Duration::from_secs(2), "after {after:?}");
    assert_eq!(
        ids(&adopted, |record| record.id),
        ids(&tasks, |task| task.id)
    );
    assert!(adopted.iter().all(|record| !record.published));
    assert_eq!(heir.count().await.expect("counted"), 20);
    assert!(heir.adopt(100).await.expect("adopted").is_empty());
}

#[rstest]
#[tokio::test]
async fn of_those_that_adopt_at_once_each_task_goes_to_exactly_one(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let dead = Replica::start(&config).await;
    let tasks = insert(&*dead, 300).await;
    let (one, two) = (Replica::start(&config).await, Replica::start(&config).await);
    dead.close().await;
    let all = async |replica: &Replica| {
        let mut all: Vec<Record> = Vec::new();
        loop {
            let page = replica.adopt(20).await.expect("adopted");
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    };
    let adopted = tokio::join!(all(&one), all(&two), all(&two));
    let adopted = [adopted.0, adopted.1, adopted.2].concat();
    assert_eq!(
        ids(&adopted, |record| record.id),
        ids(&tasks, |task| task.id)
    );
    assert_eq!(one.count().await.expect("counted"), 300);
}

#[rstest]
#[tokio::test]
async fn who_closes_leaves_its_tasks_to_the_others_at_once(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let (leaving, heir) = (Replica::start(&config).await, Replica::start(&config).await);
    insert(&*leaving, 3).await;
    leaving.close().await;
    let closed = Instant::now();
    assert_eq!(heir.adopt(10).await.expect("adopted").len(), 3);
    assert!(closed.elapsed() < Duration::from_secs(2));
}

#[rstest]
#[tokio::test]
async fn a_claimed_task_is_the_claimers_and_its_old_owner_hears_of_it(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let (old, new) = (Replica::start(&config).await, Replica::start(&config).await);
    let task = task();
    old.publishes(&task).await;
    for _ in 0..2 {
        let record = new.claims(task.id).await;
        assert_eq!(record.token.reveal(), task.token.reveal());
        assert!(record.published);
    }
    old.hears(&News::Taken(task.id)).await;
    assert_eq!(old.count().await.expect("counted"), 1, "in one set");
    new.remove(task.id).await.expect("removed");
    assert_eq!(old.count().await.expect("counted"), 0);
    assert!(matches!(old.claim(task.id).await, Ok(Claim::Ended)));
    let nobody = TaskId::random();
    assert!(matches!(old.claim(nobody).await, Ok(Claim::Unknown)));
    assert_eq!(old.count().await.expect("counted"), 0);
    assert_eq!(old.seen(|seen| seen.news.len()), 1, "heard once");
    assert_eq!(old.seen(|seen| seen.lapses), 0);
}

#[rstest]
#[tokio::test]
async fn news_from_before_a_task_came_back_is_not_heard(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let owner = Replica::start_idle(&config, "payments").await;
    let claimer = Replica::start(&config).await;
    let (back, gone) = (task(), task());
    owner.publishes(&back).await;
    owner.publishes(&gone).await;
    claimer.claims(back.id).await;
    claimer.claims(gone.id).await;
    // Both letters are under way.
    owner.claims(back.id).await;
    let look = owner.look().await.expect("looked");
    assert_eq!(look.news, [News::Taken(gone.id)]);
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
    claimer.remove(ended.id).await.expect("removed");
    // The letters are lost.
    let server = super::server(kind);
    let key = format!("{}:owner:{{{}}}:mail", config.prefix, owner.owner());
    server.ask(&["DEL", &key]).await;
    for task in [&taken, &ended] {
        owner.note(task.id, Note::Heard(task.polled_at));
    }
    let mut news = owner.look().await.expect("looked").news;
    news.sort_by_key(|news| format!("{news:?}"));
    let mut expected = [News::Taken(taken.id), News::Taken(ended.id)];
    expected.sort_by_key(|news| format!("{news:?}"));
    assert_eq!(news, expected);
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
    let told = other.pass_on(id, "half: 50 %\n€").await.expect("told");
    assert_eq!(told, PassedOn::To(Status::Alive));
    let details = "half: 50 %\n€".to_owned();
    owner.hears(&News::Sign { id, details }).await;

    owner.note(id, Note::CancelRequested);
    eventually("the cancel request is known", async || {
        let told = other.pass_on(id, "").await.expect("told");
        (told == PassedOn::To(Status::CancelRequested)).then_some(())
    })
    .await;

    owner.freeze().await;
    is_dead(&other, id).await;
    assert!(other.claims(id).await.begun, "a worker works on it");
    other.remove(id).await.expect("removed");
    let told = other.pass_on(id, "").await.expect("told");
    assert_eq!(told, PassedOn::Ended);
    let told = other.pass_on(TaskId::random(), "").await.expect("told");
    assert_eq!(told, PassedOn::Unknown);
}

#[rstest]
#[tokio::test]
async fn after_a_lapse_an_owner_keeps_what_nobody_took(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let mut owner = Replica::start(&config).await;
    let (left, taken, ended, lost) = (task(), task(), task(), task());
    let mut records = Vec::new();
    for task in [&left, &taken, &ended, &lost] {
        records.push(owner.publishes(task).await);
    }
    owner.freeze().await;
    let mut other = Replica::start(&config).await;
    is_dead(&other, left.id).await;
    other.claims(taken.id).await;
    other.remove(ended.id).await.expect("removed");
    let key = format!("{}:task:{{{}}}", config.prefix, lost.id);
    super::server(kind).ask(&["DEL", &key]).await;

    owner.thaw();
    owner.sees_a_lapse().await;
    let mut kept = Vec::new();
    for record in &records {
        kept.push(owner.keep(record).await.expect("kept"));
    }
    assert_eq!(kept, [Kept::Ours, Kept::Theirs, Kept::Ended, Kept::Ours]);
    // What was kept is found again, the lost one as it was.
    owner.freeze().await;
    let adopted = other.adopts(2).await;
    assert_eq!(
        ids(&adopted, |record| record.id),
        ids(&[left.id, lost.id], |id| *id)
    );
    let again = adopted.iter().find(|record| record.id == lost.id);
    let again = again.expect("adopted");
    assert_eq!(again.token.reveal(), lost.token.reveal());
    assert_eq!(
        (&*again.route, again.polled_at),
        ("payments", lost.polled_at)
    );
    assert_eq!(again.timeouts, POLLED);
    assert!(again.published);
    other.freeze().await;
}

/// Waits until the lease of whoever has this task has run out.
async fn is_dead(other: &Replica, id: TaskId) {
    eventually("the owner is dead", async || {
        let told = other.pass_on(id, "").await.expect("told");
        (told == PassedOn::Orphan).then_some(())
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn a_record_that_is_missing_shows_with_the_next_note(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let owner = Replica::start_idle(&config, "payments").await;
    let task = task();
    let record = owner.publishes(&task).await;
    owner.note(task.id, Note::Heard(task.polled_at));
    owner.note(TaskId::random(), Note::Begun);
    assert!(!owner.look().await.expect("looked").lapsed);
    let key = format!("{}:task:{{{}}}", config.prefix, task.id);
    super::server(kind).ask(&["DEL", &key]).await;
    owner.note(task.id, Note::Heard(task.polled_at));
    assert!(owner.look().await.expect("looked").lapsed, "ask for each");
    assert_eq!(owner.keep(&record).await.expect("kept"), Kept::Ours);
    owner.note(task.id, Note::Heard(task.polled_at));
    assert!(!owner.look().await.expect("looked").lapsed);
}

#[rstest]
#[tokio::test]
async fn who_adopts_for_longer_than_a_lease_lasts_is_alive(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let dead = Replica::start(&config).await;
    insert(&*dead, 100).await;
    dead.close().await;
    let heir = Replica::start_idle(&config, "payments").await;
    let other = Replica::start(&config).await;
    let began = Instant::now();
    let first = heir.adopt(1).await.expect("adopted").remove(0);
    while began.elapsed() < LEASE + Duration::from_secs(1) {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(heir.adopt(1).await.expect("adopted").len(), 1);
    }
    let told = other.pass_on(first.id, "").await.expect("told");
    assert_eq!(told, PassedOn::To(Status::Alive));
    let look = heir.look().await.expect("looked");
    assert!(!look.lapsed);
    assert_eq!(look.news.len(), 1, "letters wait for a look");
}

#[rstest]
#[tokio::test]
async fn a_task_that_ended_is_not_recorded_again(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let owner = Replica::start(&config).await;
    let task = task();
    let record = owner.publishes(&task).await;
    owner.remove(task.id).await.expect("removed");
    owner.insert("payments", &task).await.expect("no error");
    owner.confirmed(task.id, POLLED).await.expect("no error");
    owner.note(task.id, Note::Begun);
    owner.look().await.expect("looked");
    assert_eq!(owner.keep(&record).await.expect("told"), Kept::Ended);
    owner.close().await;
    let next = Replica::start(&config).await;
    assert!(next.adopt(10).await.expect("adopted").is_empty());
    assert_eq!(next.count().await.expect("counted"), 0);
}

#[rstest]
#[tokio::test]
async fn a_process_has_only_tasks_of_its_routes(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let owner = Replica::start(&config).await;
    let tasks = insert(&*owner, 5).await;
    let other = Replica::start_idle(&config, "thumbnails").await;
    assert!(matches!(
        other.claim(tasks[0].id).await,
        Ok(Claim::OtherRoute)
    ));
    owner.close().await;
    for _ in 0..2 {
        assert!(other.adopt(10).await.expect("adopted").is_empty());
    }
    let next = Replica::start(&config).await;
    assert_eq!(next.adopt(10).await.expect("adopted").len(), 5);
    assert_eq!(next.count().await.expect("counted"), 5, "in one set each");
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
    owner
        .confirmed(tasks[1].id, LEARNT)
        .await
        .expect("confirmed");
    owner
        .confirmed(tasks[2].id, known)
        .await
        .expect("confirmed");
    owner.remove(tasks[3].id).await.expect("removed");
    other.claims(tasks[4].id).await;
    other.pass_on(tasks[5].id, "").await.expect("told");
    owner.note(tasks[6].id, Note::Begun);
    let server = super::server(kind);
    let key = format!("{}:task:{{{}}}", config.prefix, tasks[7].id);
    server.ask(&["DEL", &key]).await;
    let mut lost = owner.publishes(&task()).await;
    lost.id = tasks[7].id;
    assert_eq!(owner.keep(&lost).await.expect("told"), Kept::Ours);
    owner.close().await;
    assert_eq!(other.adopt(4).await.expect("adopted").len(), 4);
    let (all, lasting) = server.keys(&config.prefix).await;
    assert!(all > 10, "{all}");
    assert_eq!(lasting, ["instance", "owners"]);
}

#[rstest]
#[tokio::test]
async fn the_tasks_of_all_processes_can_be_read(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let (one, two) = (Replica::start(&config).await, Replica::start(&config).await);
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
    one.look().await.expect("looked");
    let read = activity_bridge::store::redis::read(&config).await;
    let read = read.expect("read");
    let of_first = read.iter().find(|(record, _)| record.id == expected[0].0);
    assert_eq!(of_first.expect("there").0.heard, Some(heard));
    let mut found: Vec<_> = read
        .into_iter()
        .map(|(record, owner)| (record.id, owner))
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}
