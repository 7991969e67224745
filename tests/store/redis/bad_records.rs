//! Records in Redis that this version can't read: damaged ones, and those of a newer version. Each is left alone, and holds up no
//! other.

use super::{
    Kind::{self, Cluster, Redis},
    Replica, config, server,
};
use crate::{
    harness::{LEARNT, eventually, insert, insist},
    log,
};
use activity_bridge::{
    store::redis::{RedisConfig, read},
    store::{Claim, Forwarded, Note, Ownership, PeerEvent, Shared, Store, StoreError},
    task::{Outcome, Status, TaskId},
};
use rstest::rstest;

fn key(config: &RedisConfig, id: TaskId) -> String {
    format!("{}:task:{{{}}}", config.prefix, id.reveal())
}

/// Runs a script on the key of a task's record.
async fn change(kind: Kind, key: &str, script: &str) {
    let script = format!("local key = KEYS[1] {script}");
    server(kind).ask(&["EVAL", &script, "1", key]).await;
}

/// All that Redis has at a key, and until when. The order of fields may change by itself.
async fn dump(kind: Kind, key: &str) -> (Vec<Vec<Vec<u8>>>, redis::Value) {
    let server = server(kind);
    let expires = server.ask(&["PEXPIRETIME", key]).await;
    let script =
        "if redis.call('TYPE', KEYS[1]).ok == 'hash' then return redis.call('HGETALL', KEYS[1]) end
        return redis.call('LRANGE', KEYS[1], 0, -1)";
    let found = server.ask(&["EVAL", script, "1", key]).await;
    let found: Vec<Vec<u8>> = redis::from_redis_value(found).expect("bytes");
    let mut fields: Vec<_> = found.chunks(2).map(<[_]>::to_vec).collect();
    fields.sort();
    (fields, expires)
}

const NEWER: &str =
    "redis.call('HSET', key, 'schema', '2', 'new', 'x') redis.call('HDEL', key, 'token')";

#[rstest]
#[case::token_of_bytes("redis.call('HSET', key, 'token', '\\255')", Claim::Unreadable)]
#[case::no_token("redis.call('HDEL', key, 'token')", Claim::Unreadable)]
#[case::no_time("redis.call('HSET', key, 'polled_at', 'soon')", Claim::Unreadable)]
#[case::no_epoch("redis.call('HSET', key, 'turn', '1e99')", Claim::Unreadable)]
#[case::owner_of_bytes("redis.call('HSET', key, 'owner', '\\255')", Claim::Unreadable)]
#[case::activity_of_bytes("redis.call('HSET', key, 'activity', '\\255')", Claim::Unreadable)]
#[case::schema_of_bytes("redis.call('HSET', key, 'schema', 'x')", Claim::Unreadable)]
#[case::another_type(
    "redis.call('DEL', key) redis.call('RPUSH', key, 'x')",
    Claim::Unreadable
)]
#[case::newer(NEWER, Claim::OtherRoute)]
#[tokio::test]
async fn a_record_that_can_not_be_read_is_left_alone_and_its_neighbours_are_adopted(
    #[values(Redis, Cluster)] kind: Kind,
    #[case] script: &str,
    #[case] expected: Claim,
) {
    log::keep();
    let config = config(kind);
    let mut dying = Replica::start(&config).await;
    let tasks = insert(&*dying, 3).await;
    let (bad, good) = (tasks[0].id, [tasks[1].id, tasks[2].id]);
    dying.freeze().await;
    change(kind, &key(&config, bad), script).await;
    let before = dump(kind, &key(&config, bad)).await;

    let replica = Replica::start(&config).await;
    let adopted = replica.adopts(2).await;
    assert!(adopted.iter().all(|record| good.contains(&record.id)));
    for _ in 0..3 {
        assert!(insist(async || replica.adopt(10).await).await.is_empty());
        let claim = insist(async || replica.claim(bad).await).await;
        assert_eq!(format!("{claim:?}"), format!("{expected:?}"));
    }
    assert_eq!(dump(kind, &key(&config, bad)).await, before, "untouched");
    // Some later version finds it by its old owner's set.
    let set = |owner: &str| format!("{}:owner:{{{owner}}}:tasks", config.prefix);
    for (owner, is_member) in [(dying.owner(), 1), (replica.owner(), 0)] {
        let found = server(kind)
            .ask(&["SISMEMBER", &set(owner), &bad.reveal()])
            .await;
        assert_eq!(found, redis::Value::Int(is_member));
    }
    let owners = format!("{}:owners", config.prefix);
    let listed = server(kind)
        .ask(&["SISMEMBER", &owners, dying.owner()])
        .await;
    assert_eq!(listed, redis::Value::Int(1));

    let place = format!("{}:task:{{{bad}*}}", config.prefix);
    let named = log::lines(&place);
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(!named[0].contains(&bad.reveal()), "an id is a capability");
    assert_eq!(
        named[0].contains("a newer version"),
        script == NEWER,
        "{named:?}"
    );
    assert_eq!(replica.unreadable(), 1);
    let found = read(&config).await.expect("read");
    let is_found = script.contains("'turn'");
    // A reader needs no epoch, and finds what its owner has.
    let is_missing = script.contains("'owner'");
    let counts = (found.records.len(), found.unreadable);
    assert_eq!(
        counts,
        (
            2 + usize::from(is_found),
            usize::from(!is_found && !is_missing)
        )
    );
    assert_eq!(replica.unavailable(), None);
}

/// The task is in the memory of its owner, which goes on.
#[rstest]
#[case::another_type("redis.call('DEL', key) redis.call('RPUSH', key, 'x')")]
#[case::no_time("redis.call('HSET', key, 'polled_at', 'soon', 'heard', 'late', 'turn', 'x')")]
#[case::newer(NEWER)]
#[tokio::test]
async fn the_owner_of_a_record_that_can_not_be_read_any_more_goes_on(
    #[values(Redis, Cluster)] kind: Kind,
    #[case] script: &str,
) {
    let config = config(kind);
    let owner = Replica::start_idle(&config, "payments").await;
    let task = insert(&*owner, 1).await.remove(0);
    let record = owner.publishes(&task).await;
    change(kind, &key(&config, task.id), script).await;
    let before = dump(kind, &key(&config, task.id)).await;
    for note in [
        Note::Begun,
        Note::Heard(task.polled_at),
        Note::Learnt(LEARNT),
    ] {
        owner.note(task.id, note);
    }
    let renewal = insist(async || owner.renew().await).await;
    assert!(!renewal.lapsed && renewal.events.is_empty());
    // An error would be asked again and again, and no heartbeat would be sent meanwhile.
    let ours = insist(async || owner.reassert(&record).await).await;
    assert_eq!(ours, Ownership::Ours);
    insist(async || owner.confirmed(task.id, LEARNT).await).await;
    let outcome = Outcome::Completed { result: "1".into() };
    insist(async || owner.keep_outcome(task.id, &outcome).await).await;
    if script == NEWER {
        assert_eq!(
            dump(kind, &key(&config, task.id)).await,
            before,
            "untouched"
        );
    }
    insist(async || owner.kept_outcome(task.id).await).await;
    insist(async || owner.remove(task.id).await).await;
    assert_eq!(insist(async || owner.count().await).await, 0);
    assert_eq!(owner.unavailable(), None);
}

/// A newer process has the task. It may run beside an older one while they are replaced.
#[rstest]
#[tokio::test]
async fn a_sign_of_life_for_a_task_of_a_newer_version_reaches_its_owner(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let (newer, other) = (Replica::start(&config).await, Replica::start(&config).await);
    let task = insert(&*newer, 1).await.remove(0);
    newer.publishes(&task).await;
    change(kind, &key(&config, task.id), NEWER).await;
    let before = dump(kind, &key(&config, task.id)).await;
    let told = insist(async || other.forward(task.id, "half").await).await;
    assert_eq!(told, Forwarded::To(Status::Alive));
    let (id, details) = (task.id, "half".to_owned());
    newer.hears(&PeerEvent::Sign { id, details }).await;
    let claim = insist(async || other.claim(id).await).await;
    assert!(matches!(claim, Claim::OtherRoute), "{claim:?}");
    assert_eq!(dump(kind, &key(&config, id)).await, before, "untouched");
}

/// Its owner lives and has the task in memory.
#[rstest]
#[tokio::test]
async fn a_reply_to_a_task_with_a_damaged_record_is_left_to_its_owner_while_that_lives(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let (mut owner, other) = (Replica::start(&config).await, Replica::start(&config).await);
    let task = insert(&*owner, 1).await.remove(0);
    change(
        kind,
        &key(&config, task.id),
        "redis.call('HDEL', key, 'token')",
    )
    .await;
    let claim = insist(async || other.claim(task.id).await).await;
    assert!(matches!(claim, Claim::OtherRoute), "{claim:?}");
    owner.freeze().await;
    eventually("it counts as dead", async || {
        let claim = other.claim(task.id).await.ok()?;
        matches!(claim, Claim::Unreadable).then_some(())
    })
    .await;
    assert_eq!(
        insist(async || other.route_of(task.id).await)
            .await
            .as_deref(),
        Some("payments")
    );
    let told = insist(async || other.forward(TaskId::random(), "").await).await;
    assert_eq!(told, Forwarded::Unknown);
}

#[rstest]
#[case::another_form("redis.call('HSET', key, 'message', '{')")]
#[case::bytes("redis.call('HSET', key, 'message', '\\255')")]
#[case::another_type("redis.call('DEL', key) redis.call('RPUSH', key, 'x')")]
#[tokio::test]
async fn a_message_that_can_not_be_read_is_known_not_to_come(
    #[values(Redis, Cluster)] kind: Kind,
    #[case] script: &str,
) {
    let config = config(kind);
    let owner = Replica::start(&config).await;
    let task = insert(&*owner, 1).await.remove(0);
    change(kind, &key(&config, task.id), script).await;
    let message = eventually("an answer", async || match owner.message(task.id).await {
        Err(StoreError::Unavailable(_)) => None,
        message => Some(message),
    })
    .await;
    assert!(
        matches!(message, Err(StoreError::Unreadable(_))),
        "{message:?}"
    );
    assert_eq!(owner.unavailable(), None);
}
