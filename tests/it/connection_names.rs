//! How the bridge's connections are listed by RabbitMQ.

use crate::harness::{Route, World, eventually, http};
use serde_json::Value;
use std::collections::BTreeSet;

#[tokio::test]
async fn connections_are_listed_with_their_purpose_the_process_and_its_routes() {
    let world = World::new().await;
    let bridge = world
        .bridge(&[Route::new("payments"), Route::new("mails")])
        .await;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
    let process = format!("{}:{} payments,mails", host.trim(), bridge.pid());
    let expected = ["publishing", "asking", "replies"]
        .map(|purpose| format!("activity-bridge {purpose} {process}"));
    let expected = BTreeSet::from(expected);

    let api = std::env::var("RABBITMQ_API").expect("the tests' broker");
    let list = format!("{api}/api/vhosts/{}/connections", world.vhost());
    // The management API knows of a connection after a while.
    let listed = eventually("three connections", || async {
        let answer = http().get(&list).send().await.expect("an answer");
        let listed: Vec<Value> = answer.json().await.expect("a list");
        let are_told = listed.iter().all(|c| c["client_properties"].is_object());
        (listed.len() == 3 && are_told).then_some(listed)
    })
    .await;
    let name = |c: &Value| c["user_provided_name"].as_str().map(str::to_owned);
    let names: BTreeSet<_> = listed.iter().filter_map(name).collect();
    assert_eq!(names, expected);
    for connection in &listed {
        let properties = &connection["client_properties"];
        assert_eq!(properties["product"], "activity-bridge", "{connection}");
        assert_eq!(properties["version"], env!("CARGO_PKG_VERSION"));
    }
}
