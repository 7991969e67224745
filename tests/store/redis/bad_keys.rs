//! Keys in Redis that somebody has replaced, and what is among them that no process wrote. Nothing else stops.

use super::{
    Kind::{self, Cluster, Redis},
    Replica, Server, config, server,
};
use crate::{
    harness::{eventually, insert, insist, task},
    log,
};
use activity_bridge::{
    store::redis::{RedisConfig, read},
    store::{Ownership, PeerEvent, Shared, Store},
    task::TaskId,
};
use rstest::rstest;
use std::time::Duration;
use tokio::time::sleep;

/// Sends what may be no text: the last argument is written in Lua.
async fn add(server: &Server, command: &str, key: &str, bytes: &str) {
    let script = format!("return redis.call('{command}', KEYS[1], {bytes})");
    server.ask(&["EVAL", &script, "1", key]).await;
}

/// At once, so that no process makes it again in between.
async fn replace_by_list(server: &Server, key: &str) {
    let script = "redis.call('DEL', KEYS[1]) return redis.call('RPUSH', KEYS[1], 'kept')";
    server.ask(&["EVAL", script, "1", key]).await;
}

fn key(config: &RedisConfig, owner: &str, what: &str) -> String {
    format!("{}:owner:{{{owner}}}:{what}", config.prefix)
}

/// A process that has died, with so many tasks.
async fn dead(config: &RedisConfig, count: usize) -> Vec<TaskId> {
    let mut dying = Replica::start(config).await;
    let tasks = insert(&*dying, count).await;
    dying.freeze().await;
    tasks.iter().map(|task| task.id).collect()
}

/// Whether this process does all that it should.
async fn is_well(replica: &Replica) {
    let new = task();
    let record = replica.publishes(&new).await;
    let ours = insist(async || replica.reassert(&record).await).await;
    assert_eq!(ours, Ownership::Ours);
    insist(async || replica.count().await).await;
    eventually("nobody is silent", async || {
        matches!(replica.is_anyone_silent().await, Ok(false)).then_some(())
    })
    .await;
    insist(async || replica.remove(new.id).await).await;
    assert_eq!(replica.unavailable(), None);
}

#[rstest]
#[tokio::test]
async fn a_name_among_the_owners_that_is_none_holds_up_nobody(
    #[values(Redis, Cluster)] kind: Kind,
) {
    log::keep();
    let config = config(kind);
    let replica = Replica::start(&config).await;
    let owners = format!("{}:owners", config.prefix);
    for name in ["'\\255'", "''", "'{a}{b'", "'not an owner'"] {
        add(server(kind), "SADD", &owners, name).await;
    }
    let tasks = dead(&config, 3).await;
    let adopted = replica.adopts(3).await;
    assert!(adopted.iter().all(|record| tasks.contains(&record.id)));
    is_well(&replica).await;
    // A start waits until each process is known to be alive or dead.
    is_well(&Replica::start(&config).await).await;
    let found = read(&config).await.expect("read");
    assert_eq!((found.records.len(), found.unreadable), (3, 3));
    let named = log::lines(&format!("{owners}, member \"\\xff\""));
    assert_eq!(named.len(), 2, "once by each process: {named:?}");
    assert_eq!(replica.unreadable(), 3);
    add(server(kind), "SREM", &owners, "'\\255', '', '{a}{b'").await;
    insist(async || replica.count().await).await;
    assert_eq!(replica.unreadable(), 0);
}

/// All keys of a dead process at once, each of a wrong type or form.
#[rstest]
#[tokio::test]
async fn the_keys_of_a_process_that_is_none_hold_up_nobody(#[values(Redis, Cluster)] kind: Kind) {
    log::keep();
    let config = config(kind);
    let server = server(kind);
    let replica = Replica::start(&config).await;
    let owners = format!("{}:owners", config.prefix);
    let names: Vec<_> = (0..3).map(|_| TaskId::random().reveal()).collect();
    let [lists, bytes, forever] = &names[..] else {
        unreachable!()
    };
    for name in &names {
        server.ask(&["SADD", &owners, name]).await;
    }
    for what in ["lease", "tasks", "mail"] {
        server
            .ask(&["RPUSH", &key(&config, lists, what), "x"])
            .await;
    }
    add(server, "SADD", &key(&config, bytes, "tasks"), "'\\255'").await;
    server
        .ask(&["SET", &key(&config, forever, "lease"), "1"])
        .await;
    let tasks = dead(&config, 2).await;
    let adopted = replica.adopts(2).await;
    assert!(adopted.iter().all(|record| tasks.contains(&record.id)));
    is_well(&replica).await;
    eventually("the set is named", async || {
        insist(async || replica.adopt(10).await).await;
        (!log::lines(&key(&config, bytes, "tasks")).is_empty()).then_some(())
    })
    .await;
    sleep(Duration::from_millis(500)).await;
    insist(async || replica.adopt(10).await).await;
    for key in [
        key(&config, lists, "lease"),
        key(&config, lists, "tasks"),
        key(&config, bytes, "tasks"),
    ] {
        assert_eq!(log::lines(&key).len(), 1, "{key}");
    }
}

#[rstest]
#[tokio::test]
async fn the_set_of_owners_may_be_no_set(#[values(Redis, Cluster)] kind: Kind) {
    log::keep();
    let config = config(kind);
    let replica = Replica::start_idle(&config, "payments").await;
    let owners = format!("{}:owners", config.prefix);
    server(kind).ask(&["SET", &owners, "\\xff"]).await;
    for _ in 0..3 {
        assert!(!insist(async || replica.renew().await).await.lapsed);
    }
    is_well(&replica).await;
    assert!(insist(async || replica.adopt(10).await).await.is_empty());
    assert_eq!(log::lines(&owners).len(), 1);
    assert_eq!(replica.unreadable(), 1);
    is_well(&Replica::start(&config).await).await;
    server(kind).ask(&["DEL", &owners]).await;
    insist(async || replica.renew().await).await;
    assert_eq!(replica.unreadable(), 0);
}

#[rstest]
#[case::bytes("SET", "'\\255'")]
#[case::another_type("RPUSH", "'x'")]
#[tokio::test]
async fn the_id_of_the_store_may_be_unreadable_until_the_next_start(
    #[values(Redis, Cluster)] kind: Kind,
    #[case] command: &str,
    #[case] bytes: &str,
) {
    log::keep();
    let config = config(kind);
    let replica = Replica::start_idle(&config, "payments").await;
    let instance = format!("{}:instance", config.prefix);
    server(kind).ask(&["DEL", &instance]).await;
    add(server(kind), command, &instance, bytes).await;
    for _ in 0..3 {
        assert!(!insist(async || replica.renew().await).await.lapsed);
    }
    is_well(&replica).await;
    assert_eq!(log::lines(&instance).len(), 1);
    // Without it nobody knows the queue of the replies.
    let opened = activity_bridge::store::RedisStore::open(&config, Vec::new()).await;
    let refused = format!("{:#}", opened.err().expect("refused"));
    assert!(refused.contains(&instance), "{refused}");
}

/// The lease is renewed, the process goes on, and what was there is kept.
#[rstest]
#[tokio::test]
async fn the_own_keys_of_a_process_may_be_replaced(
    #[values(Redis, Cluster)] kind: Kind,
    #[values("tasks", "mail", "lease")] what: &str,
) {
    log::keep();
    let config = config(kind);
    let (replica, other) = (Replica::start(&config).await, Replica::start(&config).await);
    let before = task();
    let record = replica.publishes(&before).await;
    let key = key(&config, replica.owner(), what);
    replace_by_list(server(kind), &key).await;
    let aside = format!("{key}:unreadable");
    if what == "tasks" {
        insert(&*replica, 1).await;
    }
    if what != "lease" {
        eventually("it is renamed", async || {
            let exists = server(kind).ask(&["EXISTS", &aside]).await;
            (exists == redis::Value::Int(1)).then_some(())
        })
        .await;
    }
    is_well(&replica).await;
    // Messages reach it.
    eventually("a sign of life", async || {
        let details = "half".to_owned();
        other.forward(before.id, &details).await.ok()?;
        let sign = PeerEvent::Sign {
            id: before.id,
            details,
        };
        replica
            .seen(|seen| seen.events.contains(&sign))
            .then_some(())
    })
    .await;
    // Each of its tasks is in its set, once it was asked for.
    if what == "tasks" {
        replica.sees_a_lapse().await;
    }
    let ours = insist(async || replica.reassert(&record).await).await;
    assert_eq!(ours, Ownership::Ours);
    let set = self::key(&config, replica.owner(), "tasks");
    let found = server(kind)
        .ask(&["SISMEMBER", &set, &before.id.reveal()])
        .await;
    assert_eq!(found, redis::Value::Int(1));
    if what != "lease" {
        let kept = server(kind).ask(&["LRANGE", &aside, "0", "-1"]).await;
        let kept: Vec<String> = redis::from_redis_value(kept).expect("a list");
        assert_eq!(kept, ["kept"]);
        assert_eq!(log::lines(&key).len(), 1);
    }
}

#[rstest]
#[tokio::test]
async fn a_message_that_can_not_be_read_holds_up_no_other_and_costs_no_lease(
    #[values(Redis, Cluster)] kind: Kind,
) {
    log::keep();
    let config = config(kind);
    let replica = Replica::start_idle(&config, "payments").await;
    let other = Replica::start(&config).await;
    let task = task();
    replica.publishes(&task).await;
    let inbox = key(&config, replica.owner(), "mail");
    for message in [
        "'*', 'sign', '\\255'",
        "'*', '\\255', 'x'",
        "'*', 'sign', 'short'",
        "'*', 'taken', 'a:b c'",
        "'*', 'queue-lost', 'x'",
        "'*', 'a', 'b', 'c', 'd'",
        "'*', 'of a later version', 'x'",
    ] {
        add(server(kind), "XADD", &inbox, message).await;
    }
    insist(async || other.forward(task.id, "half").await).await;
    let renewal = insist(async || replica.renew().await).await;
    let (id, details) = (task.id, "half".to_owned());
    assert_eq!(renewal.events, [PeerEvent::Sign { id, details }]);
    assert!(!renewal.lapsed);
    let renewal = insist(async || replica.renew().await).await;
    assert!(renewal.events.is_empty() && !renewal.lapsed);
    assert_eq!(replica.unavailable(), None);
    assert_eq!(log::lines(&inbox).len(), 1);
}
