//! The table of what each event means.

use super::{
    super::super::custody_terms::{Entered, Heard, Place, ReleaseCause},
    ANNA, AckMode, Acked, Arc, BERT, COMPLETES, Due, Duration, Recipient, ReturnCause, Returned,
    Said, WRITTEN, World, arrival, task, terms, waits_with,
};
use crate::task::Death;

const MODES: [AckMode; 3] = [COMPLETES, WRITTEN, AckMode::Releases];

#[test]
fn an_ack_means_what_the_mode_and_the_replies_before_it_say() {
    use {Acked::*, ReleaseCause::*};
    let spoke = [Said::Sign, Said::Parked].map(Some);
    let mut rows = Vec::new();
    for mode in [COMPLETES, WRITTEN] {
        rows.push((mode, None, Grace));
        rows.extend(spoke.map(|said| (mode, said, Released(Spoken))));
    }
    rows.push((AckMode::Releases, None, Released(Mode)));
    rows.extend(spoke.map(|said| (AckMode::Releases, said, Released(Mode))));
    rows.extend(MODES.map(|mode| (mode, Some(Said::Final), Nothing)));
    for (mode, said, expected) in rows {
        let mut world = World::with(terms(mode));
        let id = world.deliver(1, ANNA).id;
        if let Some(said) = said {
            assert_eq!(world.said(1, said), Heard::default());
        }
        assert_eq!(world.ack(id), expected, "{mode:?} {said:?}");
        let completes = expected == Grace;
        let due = world.after(100);
        assert_eq!(
            due.contains(&Due::Complete(task(1))),
            completes,
            "{mode:?} {said:?}"
        );
        assert_eq!(world.after(60_000), [], "{mode:?} {said:?}");
        assert_eq!(world.ack(id), Nothing, "a second ack");
    }
}

#[test]
fn a_return_means_the_same_in_each_mode_and_nothing_after_a_final_reply() {
    use ReturnCause::*;
    for mode in MODES {
        for said in [None, Some(Said::Sign), Some(Said::Parked)] {
            for (cause, expected) in [
                (Rejected, Returned::DeadLetter(Death::Rejected)),
                (Requeued, waits_with(1)),
                (Recovered, waits_with(1)),
                (Lost, waits_with(1)),
                (Closed, waits_with(0)),
            ] {
                let context = format!("{mode:?} {said:?} {cause:?}");
                let mut world = World::with(terms(mode));
                let id = world.deliver(1, ANNA).id;
                said.map(|said| world.said(1, said));
                let returned = world.custody.returned(id, cause, world.now);
                assert_eq!(returned, expected, "{context}");
                assert_eq!(world.waits(1), cause != Rejected, "{context}");
                let again = world.custody.returned(id, cause, world.now);
                assert_eq!(again, Returned::Nothing, "{context}");
                if cause != Rejected {
                    let next = world.deliver(1, BERT);
                    assert!(next.redelivered, "{context}");
                    assert_eq!(waits_with(next.count), expected, "{context}");
                }
            }
        }
        for cause in [Rejected, Requeued, Recovered, Lost, Closed] {
            let mut world = World::with(terms(mode));
            let id = world.deliver(1, ANNA).id;
            world.said(1, Said::Final);
            let returned = world.custody.returned(id, cause, world.now);
            assert_eq!(returned, Returned::Nothing, "{mode:?} {cause:?}");
            assert_eq!(world.custody.place(task(1)), Some(Place::Over));
        }
    }
}

#[test]
fn a_delivery_without_acknowledgement_is_a_release() {
    let mut world = World::with(terms(AckMode::Releases));
    let to = Recipient {
        connection: ANNA,
        consumer: Some(ANNA),
        no_ack: true,
    };
    let delivered = world.custody.deliver(task(1), to, world.now);
    let delivered = delivered.expect("the task waits");
    assert!(delivered.released);
    assert_eq!(world.custody.place(task(1)), Some(Place::Released));
    assert_eq!(world.ack(delivered.id), Acked::Nothing);
    let abandoned = world.custody.connection_ended(ANNA, world.now);
    assert_eq!(abandoned, [task(1)]);
}

#[test]
fn a_task_past_its_delivery_limit_is_a_dead_letter_whichever_process_counted() {
    for (before, deliveries) in [(0, 3), (1, 2), (2, 1)] {
        let mut world = World::new();
        let mut arrival = arrival(terms(COMPLETES));
        Arc::make_mut(&mut arrival.terms).delivery_limit = Some(2);
        arrival.failed_deliveries = before;
        world.custody.enter(task(1), arrival);
        for n in 1..=deliveries {
            let delivered = world.deliver(1, ANNA);
            assert_eq!(delivered.count, before + n - 1);
            assert_eq!(delivered.redelivered, before + n > 1);
            let returned = world
                .custody
                .returned(delivered.id, ReturnCause::Lost, world.now);
            let expected = match n == deliveries {
                true => Returned::DeadLetter(Death::DeliveryLimit),
                false => waits_with(before + n),
            };
            assert_eq!(returned, expected, "{before} before, delivery {n}");
        }
        assert!(!world.waits(1));
    }
    let mut world = World::new();
    let mut late = arrival(terms(COMPLETES));
    Arc::make_mut(&mut late.terms).delivery_limit = Some(2);
    late.failed_deliveries = 3;
    let entered = world.custody.enter(task(1), late);
    assert_eq!(entered, Entered::DeadLetter(Death::DeliveryLimit));
    assert!(!world.waits(1));
}

#[test]
fn a_clean_close_is_no_failed_delivery() {
    let mut terms = terms(COMPLETES);
    terms.delivery_limit = Some(1);
    let mut world = World::with(terms);
    for _ in 0..5 {
        let id = world.deliver(1, ANNA).id;
        let returned = world.custody.returned(id, ReturnCause::Closed, world.now);
        assert_eq!(returned, waits_with(0));
    }
}

#[test]
fn a_task_expires_only_while_it_waits() {
    let mut world = World::new();
    for number in [1, 2] {
        let mut arrival = arrival(terms(COMPLETES));
        arrival.expires = Some(world.now + Duration::from_secs(1));
        world.custody.enter(task(number), arrival);
    }
    let out = world.deliver(2, ANNA).id;
    assert_eq!(world.next_due(), Some(Duration::from_secs(1)));
    assert_eq!(world.after(999), []);
    world.now += Duration::from_millis(1);
    assert!(
        !world.waits(1),
        "no worker gets an expired task before due() runs"
    );
    assert_eq!(world.after(0), [Due::DeadLetter(task(1), Death::Expired)]);
    world.custody.returned(out, ReturnCause::Lost, world.now);
    assert_eq!(world.after(0), [Due::DeadLetter(task(2), Death::Expired)]);
}

#[test]
fn a_final_reply_for_a_waiting_task_takes_it_out_of_its_queue() {
    let mut world = World::with(terms(COMPLETES));
    let id = world.deliver(1, ANNA).id;
    world.custody.returned(id, ReturnCause::Lost, world.now);
    let heard = world.said(1, Said::Final);
    assert!(heard.leaves_queue);
    assert!(!world.waits(1));
}
