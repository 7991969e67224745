//! What holds after whatever clients have done.

use super::client::World;
use crate::broker::endpoint::{
    custody_terms::Place,
    limits::Limits,
    open_connection::Unacked,
    queue_state::{Location, QueueKind},
    state::State,
};
use crate::broker::names::PARKING_QUEUE;
use std::{collections::HashSet, sync::Arc};

/// Asserts that all parts of the state say the same, and that all bounds are kept.
pub(in crate::broker::endpoint) fn check(world: &World, limits: &Limits) {
    world.switch.with(|state| {
        check_queues(state, limits);
        check_consumers(state);
        check_connections(state, limits);
        check_parked(state, limits);
        check_tasks(state);
    });
}

fn check_queues(state: &State, limits: &Limits) {
    let (mut checked, mut kept) = (0, 0);
    for (name, queue) in &state.queues {
        let own = match &queue.kind {
            QueueKind::Own(own) => own,
            QueueKind::Tasks(_) | QueueKind::Parked => continue,
        };
        assert!(queue.waiting.len() <= 2 * limits.queue_messages, "{name}");
        let has_maker = state.connections.contains_key(&own.maker);
        let is_used = !queue.consumers.is_empty() && !own.is_exclusive;
        assert!(has_maker || is_used || own.is_kept(), "{name} has nobody");
        let may_end = own.is_kept() || own.arguments.expires.is_some();
        assert!(own.next_check.is_some() || !may_end, "{name} never ends");
        if let Some(check) = own.next_check {
            let checks = &state.unused.checks;
            assert!(checks.contains(&(check, Arc::clone(name))), "{name}");
            checked += 1;
        }
        kept += usize::from(own.is_kept());
    }
    assert_eq!(state.unused.checks.len(), checked);
    assert_eq!(state.unused.kept, kept);
    assert!(kept <= limits.kept_queues);
}

fn check_consumers(state: &State) {
    let mut listed = HashSet::new();
    for (name, queue) in &state.queues {
        for id in &queue.consumers {
            assert!(listed.insert(*id), "a consumer is in a queue twice");
            assert_eq!(&state.consumers[id].queue, name);
        }
    }
    let known: HashSet<u64> = state.consumers.keys().copied().collect();
    assert_eq!(listed, known);
    for (id, consumer) in &state.consumers {
        let channel = &state.connections[&consumer.connection].channels[&consumer.channel];
        assert_eq!(channel.consumers.get(&consumer.tag), Some(id));
        let of_consumer = |unacked: &&Unacked| unacked.consumer == Some(*id);
        let unacked = channel.unacked.values().filter(of_consumer).count();
        assert_eq!(unacked, consumer.unacked as usize);
    }
}

fn check_connections(state: &State, limits: &Limits) {
    for (id, connection) in &state.connections {
        assert!(connection.channels.len() <= usize::from(limits.channels));
        let unacked = connection.channels.values();
        let unacked = unacked.flat_map(|channel| channel.unacked.values());
        let entries = unacked.filter_map(|unacked| unacked.entry.as_ref());
        let own = entries.filter(|entry| entry.task.is_none());
        let bytes: usize = own.map(|entry| entry.message.bytes()).sum();
        assert_eq!(bytes, connection.unacked_bytes);
        let most = limits.queue_bytes + limits.message_bytes + 1_024;
        assert!(bytes <= most, "{bytes} unacknowledged bytes");
        let own = state.queues.values().filter(|queue| match &queue.kind {
            QueueKind::Own(own) => own.maker == *id,
            QueueKind::Tasks(_) | QueueKind::Parked => false,
        });
        assert_eq!(own.count(), connection.own_queues);
        let most = limits.outbox_bytes + 2 * limits.message_bytes;
        assert!(
            connection.outbox.bytes() <= most,
            "{}",
            connection.outbox.bytes()
        );
    }
}

/// A parked reply counts while it waits or a consumer has it.
fn check_parked(state: &State, limits: &Limits) {
    let waiting = &state.queues[PARKING_QUEUE].waiting;
    let channels = state.connections.values();
    let channels = channels.flat_map(|connection| connection.channels.values());
    let unacked = channels.flat_map(|channel| channel.unacked.values());
    let unacked = unacked.filter(|unacked| *unacked.queue == *PARKING_QUEUE);
    let unacked = unacked.filter_map(|unacked| unacked.entry.as_ref());
    let unacked: Vec<usize> = unacked.map(|entry| entry.message.bytes()).collect();
    let (messages, bytes) = state.parked.size();
    assert_eq!(messages, waiting.len() + unacked.len());
    assert_eq!(bytes, waiting.bytes() + unacked.iter().sum::<usize>());
    assert!(
        messages <= limits.queue_messages,
        "{messages} parked replies"
    );
    assert!(
        bytes <= limits.queue_bytes || messages == 1,
        "{bytes} parked bytes"
    );
}

/// A task that waits is in its queue, and one that a worker has is with that worker.
fn check_tasks(state: &mut State) {
    let queue = state.queues.get_mut("payments").expect("the route's queue");
    let mut in_queue = HashSet::new();
    let mut all = Vec::new();
    while let Some((position, entry)) = queue.waiting.pop() {
        let task = entry.task.expect("tasks alone");
        assert!(in_queue.insert(task), "{task} waits twice");
        let place = state.custody.place(task);
        assert_eq!(place, Some(Place::Waiting), "{task} is in the queue");
        assert!(matches!(&state.locations[&task], Location::Waiting(_, at) if *at == position));
        all.push((position, entry));
    }
    for (position, entry) in all {
        let bytes = entry.message.bytes();
        queue.waiting.put_back(position, entry, bytes);
    }
    for task in state.queue_of.keys() {
        match state.custody.place(*task) {
            Some(Place::Waiting) => assert!(in_queue.contains(task), "{task} is lost"),
            Some(Place::Out) => {
                let Some(Location::Out(connection, channel, tag)) = state.locations.get(task)
                else {
                    panic!("{task} is with nobody");
                };
                let channel = &state.connections[connection].channels[channel];
                assert!(channel.unacked[tag].entry.is_some(), "{task}");
            }
            Some(Place::Grace | Place::Released | Place::Over) => {}
            None => panic!("{task} has a queue and is unknown"),
        }
    }
}
