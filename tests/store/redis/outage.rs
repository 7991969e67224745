//! A Redis that is away for a while, or comes back with nothing: no task is lost, and none is had by two.

use super::{
    Kind::{self, Cluster, Redis},
    PATIENT_CLUSTER, Replica, Server, config, redis_config, server,
};
use crate::harness::{eventually, ids, insert, insist, payments, task, well};
use activity_bridge::{
    store::{Lifetime, Note, Ownership, PeerEvent, Record, Shared, Store, StoreError},
    task::TaskId,
};
use rstest::rstest;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The length of a lease.
const LEASE: Duration = Duration::from_secs(5);

/// Why the store is not available.
fn reason<T>(result: Result<T, StoreError>) -> Option<String> {
    result.err().map(|error| error.to_string())
}

#[rstest]
#[tokio::test]
async fn a_frozen_server_is_waited_for_briefly_and_each_task_is_there_once_when_it_thaws(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let server = Server::start_kind(kind, &[PATIENT_CLUSTER]);
    let config = redis_config(&server);
    let replica = Replica::start(&config).await;
    let before = insert(&*replica, 1).await.remove(0);
    well(&*replica).await;
    server.pause();
    let late = task();
    // Nothing comes from the server, so that the waits can be skipped.
    tokio::time::pause();
    let asked = Instant::now();
    let why = reason(replica.insert(&payments(), &late).await).expect("not recorded");
    assert!(why.ends_with("no answer"), "{why}");
    let waited = asked.elapsed();
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    let unavailable = eventually("trouble", async || replica.unavailable()).await;
    tokio::time::resume();
    let begins = format!("Redis {} for ", config.urls[0]);
    assert!(
        unavailable.starts_with(&begins) && unavailable.ends_with(" s: no answer"),
        "{unavailable}"
    );
    server.resume();
    insist(async || replica.insert(&payments(), &late).await).await;
    well(&*replica).await;
    assert_eq!(insist(async || replica.count().await).await, 2);
    replica.close().await;
    let adopted = Replica::start(&config).await.adopts(2).await;
    let expected = [before.id, late.id];
    assert_eq!(ids(&adopted, |r| r.id), ids(&expected, |id| *id));
}

#[rstest]
#[tokio::test]
async fn after_an_outage_nobody_takes_from_those_that_are_not_back_yet(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let server = Server::start_kind(kind, &[PATIENT_CLUSTER]);
    let config = redis_config(&server);
    let (mut slow, mut dead) = (Replica::start(&config).await, Replica::start(&config).await);
    let quick = Replica::start(&config).await;
    insert(&*slow, 3).await;
    let left = insert(&*dead, 3).await;
    slow.freeze().await;
    dead.freeze().await;
    server.pause();
    // All leases run out meanwhile.
    sleep(LEASE + Duration::from_secs(1)).await;
    // Its own lease can't be back before.
    let back = Instant::now();
    server.resume();
    quick.sees_a_lapse().await;
    slow.thaw();
    slow.sees_a_lapse().await;
    let adopted = quick.adopts(3).await;
    let after = back.elapsed();
    assert!(after >= LEASE, "after {after:?} it may be back");
    assert_eq!(ids(&adopted, |r| r.id), ids(&left, |task| task.id));
    assert!(insist(async || quick.adopt(10).await).await.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_claim_that_is_carried_out_after_its_caller_gave_up_leaves_no_task_without_a_process(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let server = Server::start_kind(kind, &[]);
    let config = redis_config(&server);
    let (owner, claimer) = (Replica::start(&config).await, Replica::start(&config).await);
    let task = task();
    owner.publishes(&task).await;
    server.pause();
    let claim = claimer.claim(task.id).await;
    let why = reason(claim).expect("no answer");
    assert!(why.ends_with("no answer"), "{why}");
    server.resume();
    assert!(insist(async || claimer.adopt(10).await).await.is_empty());
    // Only now is the command carried out, long after the answer was waited for.
    let key = format!("{}:task:{{{}}}", config.prefix, task.id.reveal());
    let set = format!("{}:owner:{{{}}}:tasks", config.prefix, claimer.owner());
    let id = task.id.reveal();
    server.ask(&["SADD", &set, &id]).await;
    server
        .ask(&["HSET", &key, "owner", claimer.owner(), "turn", "1"])
        .await;

    assert_eq!(claimer.adopts(1).await[0].id, task.id);
    assert!(insist(async || claimer.adopt(10).await).await.is_empty());
    owner.note(task.id, Note::Begun);
    owner.hears(&PeerEvent::Taken(task.id)).await;
}

#[rstest]
#[tokio::test]
async fn a_server_that_lost_everything_gets_it_back_from_those_that_have_it(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let server = Server::start_kind(kind, &[]);
    let config = redis_config(&server);
    let replica = Replica::start(&config).await;
    let other = Replica::start(&config).await;
    let (published, ended) = (task(), task());
    let record = replica.publishes(&published).await;
    replica.publishes(&ended).await;
    server.kill();
    reason(replica.remove(ended.id).await).expect("it is away");
    server.restart();
    // Until its process has recorded it again, nobody says that there is no such task.
    let unsure = async || match other.claim(published.id).await {
        Ok(claim) => panic!("{claim:?}"),
        Err(error) => error.to_string().contains("may have run out").then_some(()),
    };
    eventually("the other sees what happened", unsure).await;
    replica.sees_a_lapse().await;
    assert_eq!(
        insist(async || replica.reassert(&record).await).await,
        Ownership::Ours
    );
    insist(async || replica.remove(ended.id).await).await;
    assert_eq!(insist(async || replica.count().await).await, 1);
    insert(&*replica, 1).await;
    replica.close().await;
    let next = Replica::start(&config).await;
    assert_eq!(
        next.lifetime(),
        replica.lifetime(),
        "the same queue of replies"
    );
    let adopted = next.adopts(2).await;
    assert!(adopted.iter().any(|r| r.id == published.id && r.published));
}

/// Redis has lost everything, and the living have not seen it yet.
#[rstest]
#[tokio::test]
async fn a_process_that_starts_takes_the_name_of_the_queue_of_replies_from_the_living(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let server = server(kind);
    let config = config(kind);
    let mut old = Replica::start(&config).await;
    old.freeze().await;
    let key = format!("{}:instance", config.prefix);
    server.ask(&["DEL", &key]).await;
    let began = Instant::now();
    let new = Replica::start(&config);
    let put_back = async {
        sleep(Duration::from_secs(1)).await;
        old.thaw();
        eventually("a name", async || {
            let there = server.ask(&["EXISTS", &key]).await;
            (there == redis::Value::Int(1)).then_some(began.elapsed())
        })
        .await
    };
    let (new, put_back) = tokio::join!(new, put_back);
    // Two seconds after it began to look for the name, it makes one unless there is one.
    if put_back < Duration::from_secs(2) {
        assert_eq!(new.lifetime(), old.lifetime());
    }

    server.ask(&["SET", &key, "another"]).await;
    let replaced = |unavailable: &String| unavailable.contains("another queue of replies");
    eventually("trouble", async || old.unavailable().filter(replaced)).await;
    let Lifetime::Beyond(id) = old.lifetime() else {
        panic!("{:?}", old.lifetime());
    };
    server.ask(&["SET", &key, &id]).await;
    well(&*old).await;
}

#[tokio::test]
async fn while_a_shard_is_away_what_is_on_the_others_is_adopted_and_the_rest_afterwards() {
    let server = Server::start_kind(
        Cluster,
        &["cluster-require-full-coverage no", "appendonly yes"],
    );
    let config = redis_config(&server);
    let of = |owner: &str| format!("{}:owner:{{{owner}}}:lease", config.prefix);
    let starts = async |there: &[&str], elsewhere: &[&str]| {
        loop {
            let replica = Replica::start(&config).await;
            let node = server.node_of(&of(replica.owner())).await;
            if elsewhere.contains(&&*node) {
                replica.close().await;
            } else if there.is_empty() || there.contains(&&*node) {
                return (replica, node);
            } else {
                replica.close().await;
            }
        }
    };
    let owners = server.node_of(&format!("{}:owners", config.prefix)).await;
    // The one that is lost has neither the list of owners, nor what is this process's own.
    let (heir, hers) = starts(&[], &[]).await;
    let (on_lost, lost) = starts(&[], &[&owners, &hers]).await;
    let (mut dead, _) = starts(&[], &[&lost]).await;
    let tasks = insert(&*dead, 60).await;
    let late = insert(&*on_lost, 1).await;
    let mut healthy = Vec::new();
    for task in &tasks {
        let key = format!("{}:task:{{{}}}", config.prefix, task.id.reveal());
        if server.node_of(&key).await != lost {
            healthy.push(task.id);
        }
    }
    assert!((1..60).contains(&healthy.len()));
    // From then on it may believe that others are dead.
    heir.knows_no(TaskId::random()).await;
    dead.freeze().await;
    on_lost.close().await;
    server.kill_one(&lost);
    let mut adopted: Vec<Record> = Vec::new();
    eventually("what is on the others", async || {
        adopted.extend(heir.adopt(100).await.unwrap_or_default());
        (adopted.len() >= healthy.len()).then_some(())
    })
    .await;
    assert_eq!(ids(&adopted, |r| r.id), ids(&healthy, |id| *id));
    server.restart_one(&lost);
    let all = tasks.len() + late.len();
    eventually("the rest", async || {
        adopted.extend(heir.adopt(100).await.unwrap_or_default());
        (adopted.len() >= all).then_some(())
    })
    .await;
    let tasks = tasks.iter().chain(&late);
    assert_eq!(ids(&adopted, |r| r.id), ids(tasks, |task| task.id));
}

#[rstest]
#[tokio::test]
async fn a_server_that_wrote_it_down_has_it_after_a_crash(#[values(Redis, Cluster)] kind: Kind) {
    let server = Server::start_kind(kind, &["appendonly yes", "appendfsync always"]);
    let config = redis_config(&server);
    let replica = Replica::start(&config).await;
    let lifetime = replica.lifetime();
    let tasks = insert(&*replica, 5).await;
    server.kill();
    server.restart();
    insist(async || replica.count().await).await;
    drop(replica);
    let next = Replica::start(&config).await;
    assert_eq!(next.lifetime(), lifetime);
    let adopted = next.adopts(5).await;
    assert_eq!(ids(&adopted, |r| r.id), ids(&tasks, |task| task.id));
}

#[rstest]
#[tokio::test]
async fn a_server_that_refuses_the_password_for_a_while_is_used_again_soon_after(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let server = Server::start_kind(kind, &[]);
    let may = ["ACL", "SETUSER", "bridge", "on", ">right", "~*", "+@all"];
    server.tell_each(&may).await;
    let mut config = redis_config(&server);
    for (url, plain) in config.urls.iter_mut().zip(&server.urls) {
        let with_password = plain.replace("redis://", "redis://bridge:right@");
        *url = with_password.parse().expect("a URL");
    }
    let replica = Replica::start(&config).await;
    insert(&*replica, 1).await;
    server
        .tell_each(&["ACL", "SETUSER", "bridge", "resetpass", ">wrong"])
        .await;
    server
        .tell_each(&["CLIENT", "KILL", "USER", "bridge"])
        .await;
    let why = match server.cluster {
        true => "No connections found",
        false => "Password authentication failed",
    };
    let begins = format!("Redis {} for ", config.urls[0]);
    eventually("it is told why", async || {
        let unavailable = replica.unavailable()?;
        assert!(!unavailable.contains("right"), "{unavailable}");
        let (secs, said) = unavailable.strip_prefix(&begins)?.split_once(" s: ")?;
        let secs: u64 = secs.parse().ok()?;
        (secs >= 4 && said.starts_with(why)).then_some(())
    })
    .await;

    server
        .tell_each(&["ACL", "SETUSER", "bridge", "resetpass", ">right"])
        .await;
    well(&*replica).await;
    assert_eq!(insist(async || replica.count().await).await, 1);
}
