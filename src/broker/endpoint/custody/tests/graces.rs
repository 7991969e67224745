//! The grace of a bare acknowledgement.

use super::{
    super::super::{custody_terms::ConnectionId, grace_clock::GraceClock},
    ANNA, BERT, COMPLETES, Due, Duration, GRACE, Instant, World, task, terms,
};
use proptest::prelude::*;

#[test]
fn a_bare_ack_completes_after_the_grace() {
    let mut world = World::with(terms(COMPLETES));
    world.deliver_and_ack(1, ANNA);
    assert_eq!(world.next_due(), Some(GRACE));
    assert_eq!(world.after(99), []);
    assert_eq!(world.after(1), [Due::Complete(task(1))]);
    assert_eq!(world.after(60_000), []);
}

#[test]
fn the_end_of_the_connection_does_not_undo_an_ack() {
    let mut world = World::with(terms(COMPLETES));
    world.deliver_and_ack(1, ANNA);
    assert_eq!(world.custody.connection_ended(ANNA, world.now), []);
    assert_eq!(world.after(100), [Due::Complete(task(1))]);
}

#[test]
fn a_grace_stands_still_while_any_connection_is_paused() {
    let mut world = World::with(terms(COMPLETES));
    world.deliver_and_ack(1, ANNA);
    world.after(60);
    world.custody.pause(BERT, world.now);
    world.custody.pause(3, world.now);
    assert_eq!(world.after(3_000), []);
    world.custody.resume(BERT, world.now);
    assert_eq!(world.after(3_000), []);
    world.custody.resume(3, world.now);
    assert_eq!(world.next_due(), Some(Duration::from_millis(40)));
    assert_eq!(world.after(39), []);
    assert_eq!(world.after(1), [Due::Complete(task(1))]);
}

#[test]
fn pauses_prolong_a_grace_by_ten_seconds_at_most() {
    let mut world = World::with(terms(COMPLETES));
    world.enter(2, COMPLETES);
    world.deliver_and_ack(1, ANNA);
    world.custody.pause(BERT, world.now);
    assert_eq!(world.after(6_000), []);
    world.deliver_and_ack(2, ANNA);
    assert_eq!(world.next_due(), Some(Duration::from_millis(4_100)));
    world.custody.resume(BERT, world.now);
    world.custody.pause(BERT, world.now);
    assert_eq!(world.after(4_099), []);
    assert_eq!(world.after(1), [Due::Complete(task(1))]);
    assert_eq!(world.after(5_999), [], "each grace has its own ten seconds");
    assert_eq!(world.after(1), [Due::Complete(task(2))]);
}

#[test]
fn a_pause_does_not_hold_what_was_over_before_it() {
    let mut world = World::with(terms(COMPLETES));
    world.deliver_and_ack(1, ANNA);
    world.now += GRACE;
    world.custody.pause(BERT, world.now);
    assert_eq!(world.next_due(), Some(Duration::ZERO));
    assert_eq!(world.after(0), [Due::Complete(task(1))]);
}

#[test]
fn a_connection_that_ends_pauses_nothing() {
    let mut world = World::with(terms(COMPLETES));
    world.deliver_and_ack(1, ANNA);
    world.custody.pause(BERT, world.now);
    world.after(1_000);
    world.custody.connection_ended(BERT, world.now);
    assert_eq!(world.next_due(), Some(GRACE));
    assert_eq!(world.after(100), [Due::Complete(task(1))]);
}

#[test]
fn a_drain_sees_how_many_graces_run() {
    let mut world = World::new();
    for number in 1..=3 {
        world.enter(number, COMPLETES);
        world.deliver_and_ack(number, ANNA);
    }
    assert_eq!(world.custody.graces(), 3);
    world.said(1, super::Said::Final);
    assert_eq!(world.custody.graces(), 2);
    world.custody.ended(task(2));
    assert_eq!(world.custody.graces(), 1);
    world.after(100);
    assert_eq!(world.custody.graces(), 0);
    assert_eq!(world.custody.next_due(), None);
}

/// A step of time or a change.
#[derive(Clone, Debug)]
enum Step {
    Start(u64),
    Stop,
    Pause(ConnectionId),
    Resume(ConnectionId),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::sample::select(vec![0, 1, 100, 5_000]).prop_map(Step::Start),
        1 => Just(Step::Stop),
        2 => (0..3_u64).prop_map(Step::Pause),
        3 => (0..3_u64).prop_map(Step::Resume),
        5 => prop::sample::select(vec![1, 50, 99, 100, 4_000, 9_999]).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// The model counts down each grace on its own.
    #[test]
    fn each_grace_ends_when_its_own_count_says(steps in prop::collection::vec(step(), 1..80)) {
        let origin = Instant::now();
        let (mut now, mut clock) = (origin, GraceClock::new(origin));
        let mut paused = std::collections::BTreeSet::new();
        // The grace, what remains of it, and what remains of its pauses.
        let mut model = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Start(length) => {
                    let id = task(number as u128);
                    let grace = clock.start(id, Duration::from_millis(length), now);
                    model.push((id, grace, length, 10_000));
                }
                Step::Stop => if let Some((id, grace, ..)) = model.pop() {
                    clock.stop(id, grace);
                }
                Step::Pause(id) => {
                    paused.insert(id);
                    clock.pause(id, now);
                }
                Step::Resume(id) => {
                    paused.remove(&id);
                    clock.resume(id, now);
                }
                Step::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    for (_, _, remains, pauses) in &mut model {
                        let stands = if paused.is_empty() || *remains == 0 { 0 } else { millis.min(*pauses) };
                        *pauses -= stands;
                        *remains = remains.saturating_sub(millis - stands);
                    }
                }
            }
            let over = |grace: &mut (_, _, u64, u64)| grace.2 == 0;
            let mut expected: Vec<_> = model.extract_if(.., over).map(|grace| grace.0).collect();
            let mut popped: Vec<_> = std::iter::from_fn(|| clock.pop_over(now)).collect();
            expected.sort();
            popped.sort();
            prop_assert_eq!(popped, expected);
            prop_assert_eq!(clock.len(), model.len());
            let pauses = |pauses: u64| if paused.is_empty() { 0 } else { pauses };
            let next = model.iter().map(|grace| grace.2 + pauses(grace.3)).min();
            prop_assert_eq!(clock.next_end(), next.map(|millis| now + Duration::from_millis(millis)));
        }
    }
}
