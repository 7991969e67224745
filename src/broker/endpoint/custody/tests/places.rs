//! Who has a task, and who may have it next.

use super::{
    super::super::custody_terms::{Entered, Place, Withdrawn},
    ANNA, AckMode, Acked, BERT, COMPLETES, DeliveryId, Due, Duration, Heard, Recipient,
    ReturnCause, Returned, Said, World, arrival, task, terms, waits_with,
};
use crate::task::Death;

/// A task in each place, and the delivery if there was one.
fn in_each_place() -> Vec<(World, Place, Option<DeliveryId>)> {
    let new = || World::with(terms(COMPLETES));
    let mut places = vec![(new(), Place::Waiting, None)];
    let mut out = new();
    let id = out.deliver(1, ANNA).id;
    places.push((out, Place::Out, Some(id)));
    let mut grace = new();
    let id = grace.deliver_and_ack(1, ANNA);
    places.push((grace, Place::Grace, Some(id)));
    let mut released = World::with(terms(AckMode::Releases));
    let id = released.deliver(1, ANNA).id;
    released.ack(id);
    places.push((released, Place::Released, Some(id)));
    let mut over = new();
    let id = over.deliver(1, ANNA).id;
    over.said(1, Said::Final);
    places.push((over, Place::Over, Some(id)));
    for (world, place, _) in &places {
        assert_eq!(world.custody.place(task(1)), Some(*place));
    }
    places
}

#[test]
fn a_task_that_enters_twice_stays_where_it_is_and_has_one_holder() {
    for (mut world, place, _) in in_each_place() {
        let entered = world.custody.enter(task(1), arrival(terms(COMPLETES)));
        assert_eq!(entered, Entered::Known);
        assert_eq!(world.custody.place(task(1)), Some(place));
        let to = Recipient {
            connection: BERT,
            consumer: Some(BERT),
            no_ack: false,
        };
        let delivered = world.custody.deliver(task(1), to, world.now);
        assert_eq!(delivered.is_some(), place == Place::Waiting, "{place:?}");
    }
}

#[test]
fn an_ended_task_is_nowhere_and_its_delivery_stays_harmless() {
    for (mut world, place, id) in in_each_place() {
        let expected = match place {
            Place::Waiting => Withdrawn::FromQueue,
            Place::Out => Withdrawn::FromWorker,
            Place::Grace | Place::Released | Place::Over => Withdrawn::Nothing,
        };
        assert_eq!(world.custody.ended(task(1)), expected, "{place:?}");
        assert_eq!(world.custody.ended(task(1)), Withdrawn::Nothing);
        assert_eq!(world.custody.place(task(1)), None);
        if let Some(id) = id {
            assert_eq!(world.ack(id), Acked::Nothing, "{place:?}");
            let returned = world.custody.returned(id, ReturnCause::Requeued, world.now);
            assert_eq!(returned, Returned::Nothing, "{place:?}");
        }
        assert_eq!(world.said(1, Said::Final), Heard::default());
        assert_eq!(world.custody.connection_ended(ANNA, world.now), []);
        assert_eq!(world.after(60_000), []);
        assert_eq!(world.custody.next_due(), None);
    }
}

#[test]
fn the_delivery_of_an_earlier_holder_says_nothing_about_a_later_one() {
    let mut world = World::with(terms(COMPLETES));
    let first = world.deliver(1, ANNA).id;
    world.custody.returned(first, ReturnCause::Lost, world.now);
    let second = world.deliver(1, BERT).id;
    assert_eq!(world.ack(first), Acked::Nothing);
    for cause in [ReturnCause::Rejected, ReturnCause::Requeued] {
        let returned = world.custody.returned(first, cause, world.now);
        assert_eq!(returned, Returned::Nothing);
    }
    assert_eq!(world.custody.place(task(1)), Some(Place::Out));
    assert_eq!(world.ack(second), Acked::Grace);
}

#[test]
fn a_returned_task_goes_to_other_consumers_first() {
    for cause in [ReturnCause::Requeued, ReturnCause::Recovered] {
        let mut world = World::with(terms(COMPLETES));
        let id = world.deliver(1, ANNA).id;
        world.custody.returned(id, cause, world.now);
        let may = |world: &World, consumer| {
            let now = world.now;
            world.custody.may_deliver(task(1), consumer, now)
        };
        assert!(!may(&world, Some(ANNA)));
        assert!(may(&world, Some(BERT)));
        assert!(may(&world, None), "basic.get");
        assert_eq!(world.next_due(), Some(Duration::from_millis(100)));
        assert_eq!(world.after(99), []);
        assert!(!may(&world, Some(ANNA)));
        assert_eq!(world.after(1), [Due::AnyConsumer(task(1))]);
        assert!(may(&world, Some(ANNA)));
    }
}

#[test]
fn a_task_with_a_deadline_that_was_returned_still_expires() {
    let mut world = World::new();
    let mut arrival = arrival(terms(COMPLETES));
    arrival.expires = Some(world.now + Duration::from_secs(1));
    world.custody.enter(task(1), arrival);
    let id = world.deliver(1, ANNA).id;
    world.custody.returned(id, ReturnCause::Requeued, world.now);
    assert_eq!(world.after(100), [Due::AnyConsumer(task(1))]);
    assert_eq!(world.after(900), [Due::DeadLetter(task(1), Death::Expired)]);
}

fn with_ack_timeout(delivery_limit: Option<u32>) -> World {
    let mut terms = terms(COMPLETES);
    terms.ack_timeout = Some(Duration::from_secs(60));
    terms.delivery_limit = delivery_limit;
    World::with(terms)
}

#[test]
fn a_task_is_taken_back_from_a_worker_that_hangs() {
    let mut world = with_ack_timeout(Some(1));
    let first = world.deliver(1, ANNA).id;
    assert_eq!(world.after(59_999), []);
    let taken = Due::TakenBack {
        task: task(1),
        count: 1,
    };
    assert_eq!(world.after(1), [taken]);
    assert!(!world.custody.may_deliver(task(1), Some(ANNA), world.now));
    let second = world.deliver(1, BERT);
    assert_eq!(waits_with(second.count), waits_with(1));
    assert_eq!(world.ack(first), Acked::Nothing);
    let dead = Due::DeadLetter(task(1), Death::DeliveryLimit);
    assert_eq!(world.after(60_000), [dead]);
    assert_eq!(world.ack(second.id), Acked::Nothing);
}

#[test]
fn whatever_a_worker_says_starts_its_ack_timeout_again() {
    for said in [Said::Sign, Said::Parked] {
        let mut world = with_ack_timeout(None);
        world.deliver(1, ANNA);
        world.after(59_000);
        world.said(1, said);
        assert_eq!(world.after(59_999), []);
        assert_eq!(world.after(1).len(), 1);
    }
}

#[test]
fn no_ack_timeout_runs_after_the_ack_or_the_final_reply() {
    let mut acked = with_ack_timeout(None);
    acked.deliver_and_ack(1, ANNA);
    assert_eq!(acked.after(60_000), [Due::Complete(task(1))]);
    let mut replied = with_ack_timeout(None);
    replied.deliver(1, ANNA);
    replied.said(1, Said::Final);
    assert_eq!(replied.after(60_000), []);
}

#[test]
fn a_released_task_is_abandoned_with_its_connection_if_nobody_has_spoken() {
    for (before, after, abandoned) in [
        (None, None, true),
        (Some(Said::Parked), None, true),
        (None, Some(Said::Parked), true),
        (None, Some(Said::Sign), false),
        (None, Some(Said::Final), false),
    ] {
        let mut world = World::with(terms(AckMode::Releases));
        let id = world.deliver(1, ANNA).id;
        before.map(|said| world.said(1, said));
        world.ack(id);
        after.map(|said| world.said(1, said));
        assert_eq!(world.custody.connection_ended(BERT, world.now), []);
        let ended = world.custody.connection_ended(ANNA, world.now);
        assert_eq!(ended.len(), usize::from(abandoned), "{before:?} {after:?}");
        assert_eq!(world.custody.connection_ended(ANNA, world.now), []);
    }
}

#[test]
fn only_the_ack_of_a_task_that_was_taken_over_counts() {
    for (place, withdrawn, left) in [
        (Place::Waiting, Withdrawn::FromQueue, None),
        (Place::Out, Withdrawn::FromWorker, Some(Place::Out)),
        (Place::Grace, Withdrawn::Nothing, Some(Place::Grace)),
        (Place::Released, Withdrawn::Nothing, None),
        (Place::Over, Withdrawn::Nothing, None),
    ] {
        for (mut world, at, id) in in_each_place() {
            if at != place {
                continue;
            }
            assert_eq!(world.custody.taken_over(task(1)), withdrawn, "{place:?}");
            assert_eq!(world.custody.place(task(1)), left, "{place:?}");
            let acked = id.map(|id| world.ack(id));
            assert_eq!(acked == Some(Acked::Grace), place == Place::Out);
            let complete = left.map(|_| Due::Complete(task(1)));
            assert_eq!(world.after(100), Vec::from_iter(complete), "{place:?}");
            assert_eq!(world.custody.place(task(1)), None, "{place:?}");
        }
    }
}

#[test]
fn a_task_that_was_taken_over_goes_nowhere_when_it_returns_or_is_released() {
    use ReturnCause::*;
    for cause in [Rejected, Requeued, Recovered, Lost, Closed] {
        let mut world = World::with(terms(COMPLETES));
        let id = world.deliver(1, ANNA).id;
        world.custody.taken_over(task(1));
        let returned = world.custody.returned(id, cause, world.now);
        assert_eq!(returned, Returned::Nothing, "{cause:?}");
        assert_eq!(world.custody.place(task(1)), None, "{cause:?}");
    }
    let mut spoken = World::with(terms(COMPLETES));
    let id = spoken.deliver(1, ANNA).id;
    spoken.custody.taken_over(task(1));
    spoken.said(1, Said::Sign);
    assert_eq!(spoken.ack(id), Acked::Nothing);
    assert_eq!(spoken.custody.place(task(1)), None);
    let mut hanging = with_ack_timeout(None);
    hanging.deliver(1, ANNA);
    hanging.custody.taken_over(task(1));
    assert_eq!(hanging.after(60_000), []);
    assert_eq!(hanging.custody.place(task(1)), None);
    let mut distrusted = World::with(terms(COMPLETES));
    distrusted.deliver_and_ack(1, ANNA);
    distrusted.custody.taken_over(task(1));
    assert_eq!(distrusted.custody.distrust(ANNA), []);
    assert_eq!(distrusted.custody.place(task(1)), None);
}

#[test]
fn a_task_that_comes_back_from_another_process_waits_anew() {
    let mut world = World::with(terms(COMPLETES));
    let old = world.deliver(1, ANNA).id;
    world.custody.taken_over(task(1));
    let mut back = arrival(terms(COMPLETES));
    back.redelivered = true;
    assert_eq!(world.custody.enter(task(1), back), Entered::Waits);
    assert_eq!(world.ack(old), Acked::Nothing);
    assert!(world.deliver(1, BERT).redelivered);
}

#[test]
fn tasks_with_no_end_in_sight_need_no_timer() {
    let mut endless = terms(COMPLETES);
    endless.ack_timeout = Some(Duration::MAX);
    endless.ack_grace = Duration::MAX;
    let mut world = World::new();
    world.custody.enter(task(1), arrival(endless));
    let id = world.deliver(1, ANNA).id;
    assert_eq!(world.custody.next_due(), None);
    world.ack(id);
    assert_eq!(world.custody.next_due(), None);
    assert_eq!(world.custody.graces(), 1);
}
