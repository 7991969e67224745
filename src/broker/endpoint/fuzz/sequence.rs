//! Sequences of operations of three clients, chosen by bytes.

use super::{
    client::World,
    invariants::check,
    operations::{Choices, operate},
};
use crate::broker::endpoint::{custody_terms::ReturnCause, limits::Limits};
use std::time::Duration;

/// Bounds that random clients reach.
pub(super) fn limits() -> Limits {
    Limits {
        connections: 10,
        channels: 4,
        consumers: 4,
        own_queues: 3,
        kept_queues: 4,
        unused: Duration::from_secs(600),
        bindings: 5,
        message_bytes: 150_000,
        default_prefetch: 2,
        open_replies: 3,
        open_reply_bytes: 300_000,
        all_open_reply_bytes: 500_000,
        outbox_bytes: 200_000,
        queue_messages: 5,
        queue_bytes: 300_000,
    }
}

/// Three clients do what the bytes choose. All bounds and all relations between the parts of the state hold after each
/// operation, and nothing of the clients stays when they have left.
///
/// # Panics
///
/// When something does not hold.
pub fn sequence(bytes: &[u8]) {
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
