//! The bytes of one client, as they come from a socket.

use super::{client::World, invariants::check, sequence::limits};
use crate::broker::endpoint::{
    custody_terms::ReturnCause, frame::PROTOCOL_HEADER, handshake::FRAME_MAX,
};
use std::time::Duration;

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The codes of all refusals.
    pub refusals: Vec<u16>,
    /// The number of replies that the bridge read.
    pub replies: usize,
}

/// Number of bytes that come at once. No frame of a client fits exactly.
const PART: usize = 1_021;

/// A client sends these bytes; three tasks wait for it. With the protocol's header before them they are a whole session.
/// Without it, the handshake is over and a channel is open.
///
/// All bounds and all relations between the parts of the state hold after each part, and all that the endpoint answers
/// is whole methods and messages. Bytes that are no frame end the connection with the code 501, a malformed method with
/// 502.
///
/// # Panics
///
/// When something does not hold.
pub fn stream(bytes: &[u8]) -> Outcome {
    let mut world = World::new(limits());
    for task in 1..=3 {
        world.add_task(task, None);
    }
    let (mut client, bytes) = match bytes.strip_prefix(&PROTOCOL_HEADER) {
        Some(bytes) => (world.stranger(), bytes),
        None => (world.client(), bytes),
    };
    for part in bytes.chunks(PART) {
        client.bytes(&world, part);
        client.read(&world);
        check(&world, &limits());
        drop(world.events());
        client.resume(&world);
        world.wait(Duration::from_millis(60));
        assert!(client.untaken() <= FRAME_MAX as usize + PART);
    }
    client.leave(&world, ReturnCause::Lost);
    check(&world, &limits());
    world.wait(limits().unused);
    check(&world, &limits());
    world.switch.with(|state| {
        assert!(state.connections.is_empty() && state.consumers.is_empty());
        assert_eq!(state.queues.len(), 2, "only the bridge's own queues stay");
    });
    Outcome {
        refusals: client.refusals().to_vec(),
        replies: world.replies,
    }
}
