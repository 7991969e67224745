//! A reply of any bytes is used or parked, and holds up nothing.

use crate::{
    endpoint::hostile::{
        garbage::nested,
        raw::{Raw, long, short},
    },
    harness::{Inbox, Route, World, eventually},
    isolation::{Other, PARKED, parked, reply},
};
use activity_sim::TaskState;

const LATIN_1: &[u8] = b"Soci\xe9t\xe9";

#[tokio::test]
async fn a_reply_of_any_bytes_is_used_or_parked_and_other_routes_go_on() {
    let world = World::new().await;
    let worker = world.worker("payments", |_| Vec::new()).await;
    let bridge = world
        .bridge(&[Route::new("payments"), Route::new("mails")])
        .await;
    let other = Other::in_world(&world).await;
    let ids = world.schedule("payments", 2);
    let tasks = worker.has_seen(2).await;
    let queue = tasks[0].reply_to();
    let table = [&short(LATIN_1)[..], b"S", &long(LATIN_1)].concat();
    let deep = long(nested(2_000));
    let mut raw = Raw::at(&world.amqp_uri).await;
    for properties in [
        // A header's name, and a type.
        [&[0x20, 0][..], &long(&table)].concat(),
        [&[0, 0x20][..], &short(LATIN_1)].concat(),
        // A correlation_id.
        [&[4, 0][..], &short(LATIN_1)].concat(),
        [&[0x20, 0][..], &deep].concat(),
    ] {
        raw.send(&reply(&queue, &properties)).await;
    }
    let inbox = Inbox::connect(&world.amqp_uri).await;
    eventually("four parked replies", || async {
        (parked(&inbox).await == Some(4)).then_some(())
    })
    .await;
    for _ in 0..4 {
        let message = inbox.next(PARKED).await;
        let because = message.header("parked-because").expect("a reason");
        assert!(because.contains("correlation_id"), "{because}");
    }
    other.goes_on().await;
    // An app_id takes nothing from a reply that can be used, and headers that nobody reads take nothing. Both go through the
    // connection of the others.
    let [one, another] = [&tasks[0], &tasks[1]].map(|task| short(task.id()));
    for properties in [
        [&[4, 8][..], &one, &short(LATIN_1)].concat(),
        [&[0x24, 0][..], &deep, &another].concat(),
    ] {
        raw.send(&reply(&queue, &properties)).await;
    }
    for id in &ids {
        assert_eq!(world.closed(id).await.state, TaskState::Completed);
    }
    assert!(!bridge.log().contains("no connection to the broker"));
}
