//! A Redis that is away for a while, or comes back with nothing: no task is lost, and none is had by two.

use super::{
    Kind::{self, Cluster, Redis},
    Replica, Server, config, redis_config, server,
};
use crate::harness::{eventually, ids, insert, task};
use activity_bridge::store::{Kept, Life, News, Note, Record, Shared, Store, StoreError};
use rstest::rstest;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Why the store is not available.
fn reason<T>(result: Result<T, StoreError>) -> Option<String> {
    result.err().map(|error| error.to_string())
}

#[rstest]
#[tokio::test]
async fn a_frozen_server_is_waited_for_briefly_and_each_task_is_there_once_when_it_thaws(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let server = Server::start_kind(kind, &[]);
    let config = redis_config(&server);
    let replica = Replica::start(&config).await;
    let before = insert(&*replica, 1).await.remove(0);
    assert_eq!(replica.trouble(), None);
    server.pause();
    let asked = Instant::now();
    let late = task();
    let why = reason(replica.insert("payments", &late).await).expect("not recorded");
    assert!(why.ends_with("no answer"), "{why}");
    assert!(asked.elapsed() < Duration::from_secs(3));
    let trouble = eventually("trouble", async || replica.trouble()).await;
    let begins = format!("Redis {} for ", config.urls[0]);
    assert!(
        trouble.starts_with(&begins) && trouble.ends_with(" s: no answer"),
        "{trouble}"
    );
    server.resume();
    eventually("it is recorded", async || {
        replica.insert("payments", &late).await.ok()
    })
    .await;
    eventually("no trouble", async || {
        replica.trouble().is_none().then_some(())
    })
    .await;
    assert_eq!(replica.count().await.expect("counted"), 2);
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
    let server = Server::start_kind(kind, &[]);
    let config = redis_config(&server);
    let (mut slow, quick) = (Replica::start(&config).await, Replica::start(&config).await);
    let tasks = insert(&*slow, 3).await;
    server.pause();
    sleep(Duration::from_secs(6)).await;
    slow.freeze().await;
    server.resume();
    quick.sees_a_lapse().await;
    let back = Instant::now();
    while back.elapsed() < Duration::from_secs(3) {
        assert!(quick.adopt(10).await.unwrap_or_default().is_empty());
        sleep(Duration::from_millis(50)).await;
    }
    slow.thaw();
    slow.sees_a_lapse().await;
    while back.elapsed() < Duration::from_secs(6) {
        assert!(quick.adopt(10).await.expect("adopted").is_empty());
        sleep(Duration::from_millis(50)).await;
    }
    // The dead are dead again by now.
    slow.freeze().await;
    let adopted = quick.adopts(3).await;
    assert_eq!(ids(&adopted, |r| r.id), ids(&tasks, |task| task.id));
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
    let adopted = async || claimer.adopt(10).await.ok();
    assert!(eventually("it is back", adopted).await.is_empty());
    // Only now is the command carried out, long after the answer was waited for.
    let key = format!("{}:task:{{{}}}", config.prefix, task.id);
    let set = format!("{}:owner:{{{}}}:tasks", config.prefix, claimer.owner());
    let id = task.id.to_string();
    server.ask(&["SADD", &set, &id]).await;
    server
        .ask(&["HSET", &key, "owner", claimer.owner(), "turn", "1"])
        .await;

    assert_eq!(claimer.adopts(1).await[0].id, task.id);
    assert!(claimer.adopt(10).await.expect("adopted").is_empty());
    owner.note(task.id, Note::Begun);
    owner.hears(&News::Taken(task.id)).await;
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
    assert_eq!(replica.keep(&record).await.expect("kept"), Kept::Ours);
    replica.remove(ended.id).await.expect("no error");
    assert_eq!(replica.count().await.expect("counted"), 1);
    insert(&*replica, 1).await;
    replica.close().await;
    let next = Replica::start(&config).await;
    assert_eq!(next.life(), replica.life(), "the same queue of replies");
    let adopted = next.adopts(2).await;
    assert!(adopted.iter().any(|r| r.id == published.id && r.published));
}

/// Redis has lost everything, and the living have not seen it yet.
#[rstest]
#[tokio::test]
async fn a_process_that_starts_takes_the_name_of_the_queue_of_replies_from_the_living(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let mut old = Replica::start(&config).await;
    old.freeze().await;
    let key = format!("{}:instance", config.prefix);
    let server = server(kind);
    server.ask(&["DEL", &key]).await;
    let new = Replica::start(&config);
    let thaws = async {
        sleep(Duration::from_secs(1)).await;
        old.thaw();
    };
    let (new, ()) = tokio::join!(new, thaws);
    assert_eq!(new.life(), old.life());

    server.ask(&["SET", &key, "another"]).await;
    let trouble = eventually("trouble", async || old.trouble()).await;
    assert!(trouble.contains("another queue of replies"), "{trouble}");
    let Life::Beyond(id) = old.life() else {
        panic!("{:?}", old.life());
    };
    server.ask(&["SET", &key, &id]).await;
    let none = async || old.trouble().is_none().then_some(());
    eventually("no trouble", none).await;
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
        let key = format!("{}:task:{{{}}}", config.prefix, task.id);
        if server.node_of(&key).await != lost {
            healthy.push(task.id);
        }
    }
    assert!((1..60).contains(&healthy.len()));
    sleep(Duration::from_secs(5)).await;
    dead.freeze().await;
    on_lost.close().await;
    server.kill_one(&lost);
    let mut adopted: Vec<Record> = Vec::new();
    let began = Instant::now();
    while adopted.len() < healthy.len() {
        adopted.extend(heir.adopt(100).await.unwrap_or_default());
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{}",
            adopted.len()
        );
        sleep(Duration::from_millis(100)).await;
    }
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
    let life = replica.life();
    let tasks = insert(&*replica, 5).await;
    server.kill();
    server.restart();
    eventually("it is back", async || replica.count().await.ok()).await;
    drop(replica);
    let next = Replica::start(&config).await;
    assert_eq!(next.life(), life);
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
        true => " for 4 s: No connections found",
        false => " for 4 s: Password authentication failed",
    };
    let said = async || replica.trouble().filter(|trouble| trouble.contains(why));
    let trouble = eventually("it is told why", said).await;
    let begins = format!("Redis {} for ", config.urls[0]);
    assert!(
        trouble.starts_with(&begins) && !trouble.contains("right"),
        "{trouble}"
    );

    server
        .tell_each(&["ACL", "SETUSER", "bridge", "resetpass", ">right"])
        .await;
    let back = Instant::now();
    eventually("no trouble", async || {
        replica.trouble().is_none().then_some(())
    })
    .await;
    assert!(back.elapsed() < Duration::from_secs(8));
    assert_eq!(replica.count().await.expect("counted"), 1);
}
