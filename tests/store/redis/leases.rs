//! A lease that runs out: the tasks go to others, and each to one.

use super::{
    Kind::{self, Cluster, Redis},
    Replica, config,
    replica::record,
};
use crate::harness::{POLLED, eventually, ids, in_time, insert, insist, task};
use activity_bridge::{
    store::{Claim, Kept, News, Note, PassedOn, Record, Shared, Store},
    task::Status,
    task::TaskId,
};
use rstest::rstest;
use std::{cell::Cell, time::Duration};
use tokio::time::{Instant, sleep};

const LEASE: Duration = Duration::from_secs(5);
/// For so long a lease must be seen to be gone.
const CERTAIN: Duration = Duration::from_millis(900);
/// What took longer says that the machine stood still, and nothing of leases.
const STALL: Duration = Duration::from_secs(1);

#[rstest]
#[tokio::test]
async fn the_tasks_of_the_dead_are_adopted_when_the_lease_has_run_out_and_soon_after(
    #[values(Redis, Cluster)] kind: Kind,
) {
    in_time(async || {
        let config = config(kind);
        let (mut dying, heir) = (Replica::start(&config).await, Replica::start(&config).await);
        let tasks = insert(&*dying, 20).await;
        let last = dying.freeze().await;
        let adopted = heir.adopts(20).await;
        let after = last.elapsed();
        assert!(after >= LEASE, "after {after:?} it may be alive");
        assert_eq!(
            ids(&adopted, |record| record.id),
            ids(&tasks, |task| task.id)
        );
        assert!(adopted.iter().all(|record| !record.published));
        assert_eq!(insist(async || heir.count().await).await, 20);
        assert!(insist(async || heir.adopt(100).await).await.is_empty());
        (after < LEASE + Duration::from_secs(3)).then_some(())
    })
    .await;
}

/// All leases had run out, and a new process is the first that is back.
#[rstest]
#[tokio::test]
async fn a_process_that_starts_takes_nothing_from_those_that_are_not_back_yet(
    #[values(Redis, Cluster)] kind: Kind,
) {
    in_time(async || {
        let config = config(kind);
        let mut slow = Replica::start(&config).await;
        let task = task();
        slow.publishes(&task).await;
        slow.freeze().await;
        slow.loses_its_lease(kind, &config).await;
        // Its own lease is not older.
        let opening = Instant::now();
        let new = Replica::start(&config).await;
        if opening.elapsed() >= Duration::from_secs(3) {
            return None;
        }
        while opening.elapsed() < Duration::from_secs(3) {
            let adopted = insist(async || new.adopt(10).await).await;
            let told = new.pass_on(task.id, "").await;
            let claim = new.claim(TaskId::random()).await;
            let silent = insist(async || new.is_anyone_silent().await).await;
            if opening.elapsed() >= LEASE {
                return None;
            }
            assert!(adopted.is_empty() && silent);
            told.expect_err("who knows");
            claim.expect_err("who knows");
            sleep(Duration::from_millis(50)).await;
        }
        slow.thaw();
        slow.sees_a_lapse().await;
        if opening.elapsed() >= LEASE {
            return None;
        }
        while opening.elapsed() < Duration::from_secs(6) {
            assert!(insist(async || new.adopt(10).await).await.is_empty());
            sleep(Duration::from_millis(50)).await;
        }
        let silent = async || new.is_anyone_silent().await.ok();
        eventually("all are there", async || {
            silent().await.filter(|silent| !silent)
        })
        .await;
        let told = insist(async || new.pass_on(task.id, "").await).await;
        assert_eq!(told, PassedOn::To(Status::Alive));
        new.knows_no(TaskId::random()).await;
        Some(())
    })
    .await;
}

/// As with one shard of a Cluster: the leases of others run out together, and not this process's.
#[rstest]
#[tokio::test]
async fn who_has_just_lost_its_lease_may_still_be_back(#[values(Redis, Cluster)] kind: Kind) {
    in_time(async || {
        let config = config(kind);
        let (mut slow, quick) = (Replica::start(&config).await, Replica::start(&config).await);
        let task = task();
        slow.publishes(&task).await;
        quick.knows_no(TaskId::random()).await;
        slow.freeze().await;
        let gone = Instant::now();
        slow.loses_its_lease(kind, &config).await;
        loop {
            let adopted = quick.adopt(10).await;
            let told = quick.pass_on(task.id, "").await;
            if gone.elapsed() >= CERTAIN {
                return None;
            }
            assert!(adopted.unwrap_or_default().is_empty());
            told.expect_err("who knows");
            if gone.elapsed() >= Duration::from_millis(750) {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        slow.thaw();
        slow.sees_a_lapse().await;
        let told = insist(async || quick.pass_on(task.id, "").await).await;
        assert_eq!(told, PassedOn::To(Status::Alive));
        sleep(Duration::from_millis(500)).await;
        assert!(insist(async || quick.adopt(10).await).await.is_empty());
        slow.freeze().await;
        assert_eq!(quick.adopts(1).await[0].id, task.id);
        Some(())
    })
    .await;
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
    let had = Cell::new(0);
    let all = async |replica: &Replica| {
        let mut all: Vec<Record> = Vec::new();
        loop {
            let next = async || {
                let page = replica.adopt(20).await.ok()?;
                (!page.is_empty() || had.get() >= tasks.len()).then_some(page)
            };
            let page = eventually("all are adopted", next).await;
            if page.is_empty() {
                return all;
            }
            had.set(had.get() + page.len());
            all.extend(page);
        }
    };
    let adopted = tokio::join!(all(&one), all(&two), all(&two));
    let adopted = [adopted.0, adopted.1, adopted.2].concat();
    assert_eq!(
        ids(&adopted, |record| record.id),
        ids(&tasks, |task| task.id)
    );
    assert_eq!(insist(async || one.count().await).await, 300);
}

#[rstest]
#[tokio::test]
async fn who_closes_leaves_its_tasks_to_the_others_at_once(#[values(Redis, Cluster)] kind: Kind) {
    in_time(async || {
        let config = config(kind);
        let (leaving, heir) = (Replica::start(&config).await, Replica::start(&config).await);
        insert(&*leaving, 3).await;
        let asked = Instant::now();
        leaving.close().await;
        if asked.elapsed() > STALL {
            return None;
        }
        let closed = Instant::now();
        heir.adopts(3).await;
        // When the lease runs out by itself, it must be seen to be gone for a while as well.
        assert!(closed.elapsed() < LEASE);
        Some(())
    })
    .await;
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
    insist(async || other.remove(ended.id).await).await;
    let key = format!("{}:task:{{{}}}", config.prefix, lost.id);
    super::server(kind).ask(&["DEL", &key]).await;

    owner.thaw();
    owner.sees_a_lapse().await;
    let mut kept = Vec::new();
    for record in &records {
        kept.push(insist(async || owner.keep(record).await).await);
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
    assert!(!insist(async || owner.look().await).await.lapsed);
    let key = format!("{}:task:{{{}}}", config.prefix, task.id);
    super::server(kind).ask(&["DEL", &key]).await;
    owner.note(task.id, Note::Heard(task.polled_at));
    let lapsed = async || owner.look().await.ok().filter(|look| look.lapsed);
    eventually("ask for each", lapsed).await;
    assert_eq!(insist(async || owner.keep(&record).await).await, Kept::Ours);
    owner.note(task.id, Note::Heard(task.polled_at));
    assert!(!insist(async || owner.look().await).await.lapsed);
}

#[rstest]
#[tokio::test]
async fn who_adopts_for_longer_than_a_lease_lasts_is_alive(#[values(Redis, Cluster)] kind: Kind) {
    in_time(async || {
        let config = config(kind);
        let dead = Replica::start(&config).await;
        insert(&*dead, 100).await;
        dead.close().await;
        let heir = Replica::start_idle(&config, "payments").await;
        let other = Replica::start(&config).await;
        let began = Instant::now();
        let adopts = async || heir.adopt(1).await.ok().filter(|some| some.len() == 1);
        let first = eventually("one of them", adopts).await.remove(0);
        while began.elapsed() < LEASE + Duration::from_secs(1) {
            let begun = Instant::now();
            sleep(Duration::from_millis(100)).await;
            eventually("another one", adopts).await;
            if begun.elapsed() > STALL {
                return None;
            }
        }
        let asked = Instant::now();
        let told = insist(async || other.pass_on(first.id, "").await).await;
        let look = insist(async || heir.look().await).await;
        if asked.elapsed() > STALL {
            return None;
        }
        assert!(!look.lapsed);
        assert_eq!(told, PassedOn::To(Status::Alive));
        let (id, details) = (first.id, String::new());
        let sign = News::Sign { id, details };
        // Where an answer was lost, it was passed on again.
        assert!(look.news.contains(&sign), "letters wait for a look");
        assert!(look.news.iter().all(|news| *news == sign));
        Some(())
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn a_process_has_only_tasks_of_its_routes(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let owner = Replica::start(&config).await;
    let tasks = insert(&*owner, 5).await;
    let other = Replica::start_idle(&config, "thumbnails").await;
    let claim = insist(async || other.claim(tasks[0].id).await).await;
    assert!(matches!(claim, Claim::OtherRoute));
    owner.close().await;
    for _ in 0..2 {
        assert!(insist(async || other.adopt(10).await).await.is_empty());
    }
    let next = Replica::start(&config).await;
    next.adopts(5).await;
    assert_eq!(
        insist(async || next.count().await).await,
        5,
        "in one set each"
    );
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
    assert_eq!(insist(async || owner.keep(&record).await).await, Kept::Ours);
    insist(async || owner.insert("payments", &task).await).await;
    let message = insist(async || owner.message(task.id).await).await;
    let message = message.expect("it is still to be published");
    assert_eq!(message.activity, task.activity);
}
