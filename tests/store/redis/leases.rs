//! A lease that runs out: the tasks go to others, and each to one.

use super::{
    Kind::{self, Cluster, Redis},
    Replica, config,
    replica::record,
};
use crate::harness::{POLLED, eventually, ids, insert, insist, own_route, payments, task};
use activity_bridge::{
    store::{Claim, Forwarded, Note, OwnRoute, Ownership, PeerEvent, Record, Shared, Store},
    task::{SourceKind, Status, TaskId},
};
use rstest::rstest;
use std::{cell::Cell, time::Duration};
use tokio::time::Instant;

const LEASE: Duration = Duration::from_secs(5);
/// For so long a lease must be seen to be gone.
const CERTAIN: Duration = Duration::from_millis(900);

#[rstest]
#[tokio::test]
async fn the_tasks_of_the_dead_are_adopted_when_the_lease_has_run_out(
    #[values(Redis, Cluster)] kind: Kind,
) {
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
}

/// All leases had run out, and a new process is the first that is back. One of the others comes back, another one is dead.
#[rstest]
#[tokio::test]
async fn a_process_that_starts_takes_nothing_until_its_own_lease_has_held(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let (mut slow, mut dead) = (Replica::start(&config).await, Replica::start(&config).await);
    let (kept, left) = (task(), task());
    slow.publishes(&kept).await;
    dead.publishes(&left).await;
    for replica in [&mut slow, &mut dead] {
        replica.freeze().await;
        replica.loses_its_lease(kind, &config).await;
    }
    // Its own lease is not older.
    let opening = Instant::now();
    let new = Replica::start(&config).await;
    slow.thaw();
    slow.sees_a_lapse().await;
    let adopts = async || {
        let page = new.adopt(10).await.ok();
        page.filter(|page| !page.is_empty())
    };
    let unknown = async || new.claim(TaskId::random()).await.ok();
    let silent = async || new.is_anyone_silent().await.ok();
    assert!(eventually("an answer", silent).await, "one is dead");
    let ((claim, after_claim), (adopted, after_adopt)) = tokio::join!(
        async { (eventually("it is sure", unknown).await, opening.elapsed()) },
        async { (eventually("the dead's", adopts).await, opening.elapsed()) },
    );
    assert!(matches!(claim, Claim::Unknown), "{claim:?}");
    assert_eq!(ids(&adopted, |record| record.id), [left.id]);
    assert!(after_claim >= LEASE, "{after_claim:?}");
    assert!(after_adopt >= LEASE, "{after_adopt:?}");
    assert!(insist(async || new.adopt(10).await).await.is_empty());
    eventually("all are there", async || {
        silent().await.filter(|silent| !silent)
    })
    .await;
    let told = insist(async || new.forward(kept.id, "").await).await;
    assert_eq!(told, Forwarded::To(Status::Alive));
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
    // The first that finds it gone: it may be back.
    let told = quick.forward(task.id, "").await;
    told.expect_err("who knows");
    slow.thaw();
    slow.sees_a_lapse().await;
    let back = Instant::now();
    let told = insist(async || quick.forward(task.id, "").await).await;
    assert_eq!(told, Forwarded::To(Status::Alive));
    // Also where it has been looked for since for longer than that takes.
    eventually("a second look", async || {
        assert!(insist(async || quick.adopt(10).await).await.is_empty());
        (back.elapsed() > CERTAIN).then_some(())
    })
    .await;
    slow.freeze().await;
    let gone = Instant::now();
    slow.loses_its_lease(kind, &config).await;
    assert_eq!(quick.adopts(1).await[0].id, task.id);
    let after = gone.elapsed();
    assert!(after >= CERTAIN, "after {after:?} it may be back");
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
    let config = config(kind);
    let (leaving, heir) = (Replica::start(&config).await, Replica::start(&config).await);
    insert(&*leaving, 3).await;
    let lease = format!("{}:owner:{{{}}}:lease", config.prefix, leaving.owner());
    let server = super::server(kind);
    eventually("its lease says that it has left", async || {
        leaving.close().await;
        let says = server.ask(&["GET", &lease]).await;
        (says == redis::Value::BulkString(b"left".to_vec())).then_some(())
    })
    .await;
    // Nobody can wait for the end of this lease.
    server.ask(&["PERSIST", &lease]).await;
    heir.adopts(3).await;
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
    let key = format!("{}:task:{{{}}}", config.prefix, lost.id.reveal());
    super::server(kind).ask(&["DEL", &key]).await;

    owner.thaw();
    owner.sees_a_lapse().await;
    let mut kept = Vec::new();
    for record in &records {
        kept.push(insist(async || owner.reassert(record).await).await);
    }
    assert_eq!(
        kept,
        [
            Ownership::Ours,
            Ownership::Theirs,
            Ownership::Ended,
            Ownership::Ours
        ]
    );
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
    assert!(!insist(async || owner.renew().await).await.lapsed);
    let key = format!("{}:task:{{{}}}", config.prefix, task.id.reveal());
    super::server(kind).ask(&["DEL", &key]).await;
    owner.note(task.id, Note::Heard(task.polled_at));
    let lapsed = async || owner.renew().await.ok().filter(|renew| renew.lapsed);
    eventually("ask for each", lapsed).await;
    assert_eq!(
        insist(async || owner.reassert(&record).await).await,
        Ownership::Ours
    );
    owner.note(task.id, Note::Heard(task.polled_at));
    assert!(!insist(async || owner.renew().await).await.lapsed);
}

#[rstest]
#[tokio::test]
async fn who_adopts_for_longer_than_a_lease_lasts_is_alive(#[values(Redis, Cluster)] kind: Kind) {
    let config = config(kind);
    let dead = Replica::start(&config).await;
    insert(&*dead, 500).await;
    dead.close().await;
    let heir = Replica::start_idle(&config, "payments").await;
    let other = Replica::start(&config).await;
    let server = super::server(kind);
    let lease = format!("{}:owner:{{{}}}:lease", config.prefix, heir.owner());
    let adopts = async || heir.adopt(1).await.ok().filter(|some| some.len() == 1);
    let first = eventually("one of them", adopts).await.remove(0);
    // A lease that does not run out shows when it is renewed: then it has an end again.
    for _ in 0..2 {
        server.ask(&["PERSIST", &lease]).await;
        eventually("a renewal", async || {
            eventually("another one", adopts).await;
            let left = server.ask(&["PTTL", &lease]).await;
            (left != redis::Value::Int(-1)).then_some(())
        })
        .await;
    }
    server.ask(&["PERSIST", &lease]).await;
    let told = insist(async || other.forward(first.id, "").await).await;
    assert_eq!(told, Forwarded::To(Status::Alive));
    let renew = insist(async || heir.renew().await).await;
    let (id, details) = (first.id, String::new());
    let sign = PeerEvent::Sign { id, details };
    // Where an answer was lost, it was passed on again.
    assert!(renew.events.contains(&sign), "messages wait for a renewal");
    assert!(renew.events.iter().all(|event| *event == sign));
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
    for (id, expected) in [(tasks[0].id, Some("payments")), (TaskId::random(), None)] {
        let route = insist(async || other.route_of(id).await).await;
        assert_eq!(route.as_deref(), expected);
    }
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

#[rstest]
#[tokio::test]
async fn a_process_that_gets_a_route_while_it_runs_adopts_its_tasks_at_once(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let owner = Replica::start(&config).await;
    let tasks = insert(&*owner, 5).await;
    let other = Replica::start_idle(&config, "thumbnails").await;
    owner.close().await;
    // From here on the owner is skipped for a while.
    assert!(insist(async || other.adopt(10).await).await.is_empty());
    let routes = ["thumbnails", "payments"].map(own_route);
    other.set_routes(routes.into());
    other.adopts(5).await;
    other.set_routes(vec![own_route("thumbnails")]);
    let claim = insist(async || other.claim(tasks[0].id).await).await;
    assert!(
        matches!(claim, Claim::Ours(_)),
        "it goes on with those that it has"
    );
}

/// A restart gave the route of this name to the other service, and the processes were restarted one after the other.
#[rstest]
#[tokio::test]
async fn a_process_whose_route_polls_another_service_leaves_the_tasks_to_others(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let owner = Replica::start(&config).await;
    let tasks = insert(&*owner, 2).await;
    let other = Replica::start_idle(&config, "thumbnails").await;
    other.set_routes(vec![OwnRoute {
        source: SourceKind::StepFunctions,
        ..payments()
    }]);
    let claim = insist(async || other.claim(tasks[0].id).await).await;
    assert!(
        matches!(claim, Claim::OtherRoute),
        "AWS would not know the token"
    );
    owner.close().await;
    assert!(insist(async || other.adopt(10).await).await.is_empty());
    other.set_routes(vec![payments()]);
    other.adopts(2).await;
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
    assert_eq!(
        insist(async || owner.reassert(&record).await).await,
        Ownership::Ours
    );
    insist(async || owner.insert(&payments(), &task).await).await;
    let message = insist(async || owner.message(task.id).await).await;
    let message = message.expect("it is still to be published");
    assert_eq!(message.activity, task.activity);
}
