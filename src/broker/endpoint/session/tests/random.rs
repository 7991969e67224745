//! Random sequences of frames of several clients at once, and those that once failed.

use super::{
    World,
    invariants::check,
    operations::{Choices, operate},
};
use crate::broker::endpoint::{custody_terms::ReturnCause, limits::Limits};
use proptest::prelude::*;
use std::time::Duration;

/// Bounds that random clients reach.
fn limits() -> Limits {
    Limits {
        connections: 10,
        channels: 3,
        consumers: 4,
        own_queues: 3,
        kept_queues: 4,
        unused: Duration::from_secs(600),
        bindings: 5,
        message_bytes: 150_000,
        default_prefetch: 2,
        open_replies: 3,
        outbox_bytes: 200_000,
        queue_messages: 5,
        queue_bytes: 300_000,
    }
}

fn run(bytes: &[u8]) {
    let mut world = World::new(limits());
    let mut clients: Vec<_> = (0..3).map(|_| world.client()).collect();
    let mut choices = Choices(bytes);
    while !choices.0.is_empty() {
        operate(&mut choices, &mut world, &mut clients);
        check(&world, &limits());
    }
    for mut client in clients {
        client.leave(&world, ReturnCause::Lost);
    }
    check(&world, &limits());
    world.wait(limits().unused);
    check(&world, &limits());
    world.switch.with(|state| {
        assert!(state.connections.is_empty() && state.consumers.is_empty());
        assert_eq!(state.queues.len(), 2, "only the bridge's own queues stay");
    });
}

/// Each line of the corpus is a sequence of choices in hexadecimal digits, followed by what it once broke.
#[test]
fn every_sequence_of_the_corpus_keeps_all_promises() {
    let lines = include_str!("corpus.txt").lines();
    let lines: Vec<_> = lines.filter(|line| !line.starts_with('#')).collect();
    assert!(!lines.is_empty());
    for line in lines {
        let digits = line.split_whitespace().next().unwrap_or_default();
        let bytes: Vec<u8> = digits
            .as_bytes()
            .chunks(2)
            .map(|two| {
                let two = str::from_utf8(two).expect("digits");
                u8::from_str_radix(two, 16).expect("hexadecimal digits")
            })
            .collect();
        run(&bytes);
    }
}

/// Shows a failed sequence as a line of the corpus.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("for the corpus: {digits}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn no_sequence_of_frames_breaks_a_promise(bytes in prop::collection::vec(any::<u8>(), 1..3_000)) {
        let _shown = Shown(&bytes);
        run(&bytes);
    }
}
