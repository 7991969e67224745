//! A lease that runs out: the tasks go to others, and each to one.

use super::{
    Kind::{self, Cluster, Redis},
    Replica, config,
    replica::record,
};
use crate::harness::{POLLED, ids, insert, task};
use activity_bridge::{
    flights::Status,
    store::{Claim, Kept, Note, PassedOn, Record, Shared, Store},
    task::TaskId,
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
    assert!(after < LEASE + Duration::from_secs(3), "after {after:?}");
    assert_eq!(
        ids(&adopted, |record| record.id),
        ids(&tasks, |task| task.id)
    );
    assert!(adopted.iter().all(|record| !record.published));
    assert_eq!(heir.count().await.expect("counted"), 20);
    assert!(heir.adopt(100).await.expect("adopted").is_empty());
}

/// All leases had run out, and a new process is the first that is back.
#[rstest]
#[tokio::test]
async fn a_process_that_starts_takes_nothing_from_those_that_are_not_back_yet(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let mut slow = Replica::start(&config).await;
    let task = task();
    slow.publishes(&task).await;
    slow.freeze().await;
    slow.loses_its_lease(kind, &config).await;
    let new = Replica::start(&config).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert!(new.adopt(10).await.expect("adopted").is_empty());
        new.pass_on(task.id, "").await.expect_err("who knows");
        new.claim(TaskId::random()).await.expect_err("who knows");
        assert!(new.is_anyone_silent().await.expect("told"));
        sleep(Duration::from_millis(50)).await;
    }
    slow.thaw();
    slow.sees_a_lapse().await;
    while began.elapsed() < Duration::from_secs(6) {
        assert!(new.adopt(10).await.expect("adopted").is_empty());
        sleep(Duration::from_millis(50)).await;
    }
    assert!(!new.is_anyone_silent().await.expect("told"));
    let told = new.pass_on(task.id, "").await.expect("told");
    assert_eq!(told, PassedOn::To(Status::Alive));
    new.knows_no(TaskId::random()).await;
}

/// As with one shard of a Cluster: the leases of others run out together, and not this process's.
#[rstest]
#[tokio::test]
async fn who_has_just_lost_its_lease_may_still_be_back(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let (mut slow, quick) = (Replica::start(&config).await, Replica::start(&config).await);
    let task = task();
    slow.publishes(&task).await;
    quick.knows_no(TaskId::random()).await;
    slow.freeze().await;
    slow.loses_its_lease(kind, &config).await;
    let gone = Instant::now();
    while gone.elapsed() < Duration::from_millis(800) {
        assert!(quick.adopt(10).await.expect("adopted").is_empty());
        quick.pass_on(task.id, "").await.expect_err("who knows");
        sleep(Duration::from_millis(50)).await;
    }
    slow.thaw();
    slow.sees_a_lapse().await;
    let told = quick.pass_on(task.id, "").await.expect("told");
    assert_eq!(told, PassedOn::To(Status::Alive));
    sleep(Duration::from_millis(500)).await;
    assert!(quick.adopt(10).await.expect("adopted").is_empty());
    slow.freeze().await;
    assert_eq!(quick.adopts(1).await[0].id, task.id);
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
    other.finds_dead_who_has(left.id).await;
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

/// It lapsed while a task was being recorded.
#[rstest]
#[tokio::test]
async fn what_is_kept_before_it_was_inserted_gets_its_message_with_the_insert(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let owner = Replica::start_idle(&config(kind), "payments").await;
    let task = task();
    let record = Record {
        published: false,
        ..record(&task)
    };
    assert_eq!(owner.keep(&record).await.expect("kept"), Kept::Ours);
    owner.insert("payments", &task).await.expect("inserted");
    let message = owner.message(task.id).await.expect("read");
    let message = message.expect("it is still to be published");
    assert_eq!(message.activity, task.activity);
}
