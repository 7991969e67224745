//! Records of the first version that had stores. The files were written by that version: one task that a worker has begun, one that
//! waits in its queue, and one whose message the broker had not confirmed. The process was killed.

use crate::{
    harness::{
        Kind::{self, Cluster, Redis},
        LEARNT, adopt_all, eventually, insist, own_route, remembered,
    },
    redis::{config, server},
};
use activity_bridge::{
    store::{FileStore, Lifetime, Note, Record, RedisStore, Store},
    task::{HeaderValue, TaskId, Timeout},
};
use rstest::rstest;
use serde_json::{Map, Value};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/store/fixtures")
        .join(name)
}

/// What is in a fixture of each store.
struct Expected {
    instance: &'static str,
    begun: &'static str,
    waiting: &'static str,
    unconfirmed: &'static str,
}

const IN_FILE: Expected = Expected {
    instance: "642b66d3c191e17d89c2f82ed7849757",
    begun: "02f6cf43b623c118c4dc8c52d1f6488f",
    waiting: "ea18f8e5144c7651a75a6340295e98f2",
    unconfirmed: "53886f9b5c70d2462ee64729e2480112",
};

const IN_REDIS: Expected = Expected {
    instance: "075fd1e470c2a468db6d8976b2967fc4",
    begun: "c3bb49ada506d587a5c8ec61e814b67d",
    waiting: "18fb30430e1509804b7ec2806775b295",
    unconfirmed: "6cd15a839a87db646cc3d8b0e5c174da",
};

fn id(text: &str) -> TaskId {
    text.parse().expect("an id")
}

/// Goes on with the tasks to their ends, as a process does that was started on this store.
async fn goes_on(store: &dyn Store, expected: &Expected) {
    assert_eq!(
        store.lifetime(),
        Lifetime::Beyond(expected.instance.to_owned())
    );
    let records = adopt_all(store, 10, 3).await;
    let find = |text| -> &Record {
        let id = id(text);
        records
            .iter()
            .find(|record| record.id == id)
            .expect("adopted")
    };
    let (begun, waiting) = (find(expected.begun), find(expected.waiting));
    let unconfirmed = find(expected.unconfirmed);
    for (record, number, route) in [
        (begun, 1, "payments"),
        (waiting, 2, "payments"),
        (unconfirmed, 3, "parcels"),
    ] {
        assert_eq!(record.route, route);
        assert!(record.token.reveal().starts_with("AAAAKgAAAAIAAAAAAAAA"));
        assert_eq!(record.published, number != 3);
        assert_eq!(record.begun, number == 1);
        assert_eq!(&*record.activity, "", "that version did not note it");
        assert!(record.durable && !record.has_outcome && record.failed_deliveries == 0);
    }
    let heartbeat = Timeout::After(Duration::from_secs(15));
    assert_eq!(begun.timeouts.heartbeat, heartbeat);
    let start_to_close = Timeout::After(Duration::from_secs(3_600));
    assert_eq!(unconfirmed.timeouts.start_to_close, start_to_close);
    assert_eq!(store.unreadable(), 0);

    let task = insist(async || store.message(unconfirmed.id).await).await;
    let task = task.expect("to be published");
    assert_eq!(task.activity, "charge «card»");
    assert_eq!(task.input.text(), r#"{"n": 3, "text": "\u00e9 \" \\"}"#);
    let names = task.headers.iter().map(|(name, _)| name.as_ref());
    let names: Vec<_> = names.collect();
    let expected_names = [
        "workflow-id",
        "run-id",
        "activity-id",
        "activity-type",
        "activity-version",
        "started-event-id",
    ];
    assert_eq!(names, expected_names);
    assert_eq!(task.headers[5].1, HeaderValue::Integer(6));
    for published in [begun, waiting] {
        assert!(
            insist(async || store.message(published.id).await)
                .await
                .is_none()
        );
    }

    insist(async || store.confirmed(unconfirmed.id, LEARNT).await).await;
    store.note(unconfirmed.id, Note::Begun);
    let all = [begun.id, waiting.id, unconfirmed.id];
    for id in all {
        insist(async || store.remove(id).await).await;
    }
    eventually("all have ended", async || {
        (store.count().await.ok()? == 0).then_some(())
    })
    .await;
    let mut all = all;
    all.sort_unstable();
    assert_eq!(remembered(store, &all).await, all);
}

#[tokio::test]
async fn a_file_of_the_first_version_is_read_and_its_tasks_go_on_to_their_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tasks.redb");
    fs::copy(fixture("first-version.redb"), &path).expect("copied");
    let store = FileStore::open(&path).expect("it opens");
    goes_on(&store, &IN_FILE).await;
    store.close().await;
}

/// Records in Redis expire, so the time of the poll is the present one.
#[rstest]
#[tokio::test]
async fn a_redis_of_the_first_version_is_read_and_its_tasks_go_on_to_their_ends(
    #[values(Redis, Cluster)] kind: Kind,
) {
    let config = config(kind);
    let text = fs::read_to_string(fixture("first-version-redis.json")).expect("read");
    let keys: Map<String, Value> = serde_json::from_str(&text).expect("JSON");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let now = now.as_millis().to_string();
    for (key, value) in &keys {
        let key = key.replacen("activity-bridge", &config.prefix, 1);
        let mut words = Vec::new();
        match value {
            // The lease has run out.
            _ if key.ends_with(":lease") => continue,
            Value::String(text) => words.extend(["SET", &key, text]),
            Value::Array(members) => {
                words.extend(["SADD", &key]);
                words.extend(members.iter().filter_map(Value::as_str));
            }
            Value::Object(fields) => {
                words.extend(["HSET", &key]);
                for (name, value) in fields {
                    let value = value.as_str().expect("text");
                    let is_time = name == "polled_at" || name == "heard";
                    words.extend([name.as_str(), if is_time { &now } else { value }]);
                }
            }
            other => panic!("{other}"),
        }
        server(kind).ask(&words).await;
    }
    let routes = ["payments", "parcels"].map(own_route);
    let store = RedisStore::open(&config, routes.to_vec()).await;
    goes_on(&store.expect("it opens"), &IN_REDIS).await;
}
