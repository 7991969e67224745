//! The rules that turn a bare acknowledgement into a release.

use super::{
    super::super::custody_terms::{EarlyAck, Heard, Place, ReleaseCause, Released},
    ANNA, AckMode, Acked, BERT, COMPLETES, Due, ReturnCause, Said, WRITTEN, World, arrival, task,
    terms,
};

#[test]
fn a_new_delivery_forgives_what_was_said_before_it() {
    let mut world = World::with(terms(COMPLETES));
    let id = world.deliver(1, ANNA).id;
    world.said(1, Said::Sign);
    world.custody.returned(id, ReturnCause::Lost, world.now);
    world.said(1, Said::Sign);
    world.deliver_and_ack(1, BERT);
    assert_eq!(world.after(100), [Due::Complete(task(1))]);
}

#[test]
fn anything_said_during_the_grace_ends_it() {
    for (said, released, place) in [
        (Said::Sign, true, Place::Released),
        (Said::Parked, true, Place::Released),
        (Said::Final, false, Place::Over),
    ] {
        for ended in [false, true] {
            let mut world = World::with(terms(COMPLETES));
            world.deliver_and_ack(1, ANNA);
            assert_eq!(world.after(99), []);
            if ended {
                world.custody.connection_ended(ANNA, world.now);
            }
            let heard = world.said(1, said);
            let expected = released.then_some(Released {
                task: task(1),
                abandoned: ended,
            });
            assert_eq!(heard.released, Vec::from_iter(expected), "{said:?}");
            assert_eq!(world.custody.place(task(1)), Some(place), "{said:?}");
            assert_eq!(world.after(60_000), [], "{said:?}");
        }
    }
}

#[test]
fn a_reply_with_an_unknown_id_makes_the_open_acks_of_its_connection_releases() {
    let mut world = World::new();
    for number in 1..=4 {
        world.enter(number, COMPLETES);
    }
    world.deliver_and_ack(1, ANNA);
    let open = world.deliver(2, ANNA).id;
    let other = world.deliver(3, BERT).id;
    let released = world.custody.distrust(ANNA);
    let in_grace = Released {
        task: task(1),
        abandoned: false,
    };
    assert_eq!(released, [in_grace]);
    assert_eq!(world.ack(open), Acked::Released(ReleaseCause::Distrust));
    assert_eq!(world.ack(other), Acked::Grace);
    world.deliver_and_ack(4, ANNA);
    let complete = [Due::Complete(task(3)), Due::Complete(task(4))];
    assert_eq!(world.after(100), complete, "later deliveries are trusted");
}

#[test]
fn an_early_acker_turns_the_route_unless_its_mode_is_written() {
    for (mode, turns) in [(COMPLETES, true), (WRITTEN, false)] {
        for said in [Said::Sign, Said::Final] {
            for ended in [false, true] {
                let mut world = World::with(terms(mode));
                world.enter(2, mode);
                world.enter(3, mode);
                world.deliver_and_ack(1, ANNA);
                world.after(100);
                if ended {
                    world.custody.ended(task(1));
                }
                let open = world.deliver(2, ANNA).id;
                world.deliver_and_ack(3, ANNA);
                let heard = world.said(1, said);
                let proof = EarlyAck {
                    route: "payments".into(),
                    releases: turns,
                    turned: turns,
                };
                assert_eq!(heard.early_ack, Some(proof), "{mode:?} {said:?}");
                let released = heard.released.iter().map(|released| released.task);
                let expected = turns.then_some(task(3));
                assert_eq!(Vec::from_iter(released), Vec::from_iter(expected));
                let acked = match turns {
                    true => Acked::Released(ReleaseCause::Mode),
                    false => Acked::Grace,
                };
                assert_eq!(world.ack(open), acked, "{mode:?} {said:?}");
                let again = world.said(1, said);
                assert_eq!(again.early_ack, None, "one task is one proof");
            }
        }
    }
}

#[test]
fn a_route_turns_once_and_alone() {
    let mut world = World::new();
    for number in [3, 4] {
        let mut other = terms(COMPLETES);
        other.route = "mails".into();
        world.custody.enter(task(number), arrival(other));
    }
    for number in [1, 2] {
        world.enter(number, COMPLETES);
        world.deliver_and_ack(number, ANNA);
    }
    world.after(100);
    world.deliver_and_ack(3, ANNA);
    let turned = [1, 2].map(|number| world.said(number, Said::Sign).early_ack.map(|p| p.turned));
    assert_eq!(turned, [Some(true), Some(false)]);
    assert_eq!(
        world.custody.ack_mode(&terms(COMPLETES)),
        AckMode::Releases,
        "a consumer needs no acknowledgements"
    );
    world.deliver_and_ack(4, ANNA);
    let complete = [3, 4].map(|number| Due::Complete(task(number)));
    assert_eq!(world.after(100), complete, "the other route has not turned");
}

#[test]
fn a_task_delivered_twice_or_a_parked_reply_proves_no_early_ack() {
    let mut world = World::with(terms(COMPLETES));
    let id = world.deliver(1, ANNA).id;
    world.custody.returned(id, ReturnCause::Closed, world.now);
    world.deliver_and_ack(1, BERT);
    let mut recovered = arrival(terms(COMPLETES));
    recovered.redelivered = true;
    world.custody.enter(task(2), recovered);
    world.deliver_and_ack(2, ANNA);
    world.enter(3, COMPLETES);
    world.deliver_and_ack(3, ANNA);
    assert_eq!(world.after(100).len(), 3);
    assert_eq!(world.said(1, Said::Final), Heard::default());
    assert_eq!(world.said(2, Said::Final), Heard::default());
    assert_eq!(world.said(3, Said::Parked), Heard::default());
}

#[test]
fn the_memory_of_completed_tasks_is_bounded() {
    let mut world = World::new();
    for number in 0..=10_000 {
        world.enter(number, WRITTEN);
        world.deliver_and_ack(number, ANNA);
        world.after(100);
        world.custody.ended(task(number));
    }
    assert_eq!(world.said(0, Said::Final).early_ack, None);
    assert!(world.said(1, Said::Final).early_ack.is_some());
    assert!(world.said(10_000, Said::Final).early_ack.is_some());
}
