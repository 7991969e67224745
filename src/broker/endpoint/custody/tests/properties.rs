//! What holds in any order of events.

use super::{
    super::super::custody_terms::{ConnectionId, Entered, Place},
    AckMode, Acked, Arc, COMPLETES, DeliveryId, Duration, Recipient, ReturnCause, Returned, Said,
    WRITTEN, World, arrival,
    model::{Known, Model},
    task, terms,
};
use crate::task::{Death, TaskId};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Event {
    Enter(u128, Entry),
    Deliver(u128, ConnectionId, bool),
    /// The number picks one of all deliveries that ever were, mostly a late one.
    Ack(usize),
    Return(usize, ReturnCause),
    Said(u128, Said),
    Distrust(ConnectionId),
    EndConnection(ConnectionId, bool),
    End(u128),
    TakeOver(u128),
    Pause(ConnectionId),
    Resume(ConnectionId),
    Wait(u64),
}

#[derive(Clone, Debug)]
struct Entry {
    route: usize,
    limited: bool,
    ack_timeout: bool,
    expires: bool,
    failed: u32,
}

/// The routes and their modes.
const ROUTES: [(&str, AckMode); 3] = [
    ("payments", COMPLETES),
    ("mails", WRITTEN),
    ("logs", AckMode::Releases),
];

fn entry() -> impl Strategy<Value = Entry> {
    let route = prop::sample::select(vec![0, 0, 0, 1, 1, 2]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (route, flags, 0..4_u32).prop_map(|(route, flags, failed)| Entry {
        route,
        limited: flags.0,
        ack_timeout: flags.1,
        expires: flags.2,
        failed: failed.saturating_sub(1),
    })
}

fn event() -> impl Strategy<Value = Event> {
    use ReturnCause::*;
    let (tasks, connections) = (|| 0..4_u128, || 0..3_u64);
    let cause = prop::sample::select(vec![Rejected, Requeued, Recovered, Lost, Closed]);
    let said = prop::sample::select(vec![Said::Sign, Said::Final, Said::Parked]);
    let waits = prop::sample::select(vec![1, 50, 100, 1_000, 11_000]);
    prop_oneof![
        6 => (tasks(), entry()).prop_map(|(task, entry)| Event::Enter(task, entry)),
        9 => (tasks(), connections(), prop::bool::weighted(0.1))
            .prop_map(|(task, connection, no_ack)| Event::Deliver(task, connection, no_ack)),
        7 => prop_oneof![3 => 0..2_usize, 1 => 0..50_usize].prop_map(Event::Ack),
        3 => (0..4_usize, cause).prop_map(|(which, cause)| Event::Return(which, cause)),
        4 => (tasks(), said).prop_map(|(task, said)| Event::Said(task, said)),
        1 => connections().prop_map(Event::Distrust),
        1 => (connections(), any::<bool>()).prop_map(|(id, first)| Event::EndConnection(id, first)),
        1 => tasks().prop_map(Event::End),
        1 => tasks().prop_map(Event::TakeOver),
        2 => connections().prop_map(Event::Pause),
        2 => connections().prop_map(Event::Resume),
        6 => waits.prop_map(Event::Wait),
    ]
}

/// The tasks and the connections of the moment. No number is used again.
struct Slots {
    tasks: [u128; 4],
    connections: [ConnectionId; 3],
}

/// Carries out one event and compares the answer with the model.
fn apply(world: &mut World, model: &mut Model, slots: &mut Slots, event: Event) {
    let now = world.now;
    let id = |slot: u128| task(slots.tasks[slot as usize]);
    let connection_of = |slot: u64| slots.connections[slot as usize];
    match event {
        Event::Enter(slot, entry) => enter(world, model, id(slot), entry),
        Event::Deliver(slot, connection, no_ack) => {
            let connection = connection_of(connection);
            let to = Recipient {
                connection,
                consumer: Some(connection),
                no_ack,
            };
            let delivered = world.custody.deliver(id(slot), to, now);
            let waits = |known: &Known| {
                known.place == Place::Waiting && known.expires.is_none_or(|at| now < at)
            };
            assert_eq!(
                delivered.is_some(),
                model.known.get(&id(slot)).is_some_and(waits)
            );
            if let (Some(delivered), Some(known)) = (delivered, model.known.get_mut(&id(slot))) {
                assert_eq!(delivered.count, known.failed);
                known.place = if no_ack { Place::Released } else { Place::Out };
                known.delivery = Some((delivered.id, connection));
                (known.spoken, known.distrusted) = (false, false);
                model.deliveries.push(delivered.id);
            }
        }
        Event::Ack(which) => {
            if let Some(delivery) = model.pick(which) {
                ack(world, model, delivery);
            }
        }
        Event::Return(which, cause) => {
            if let Some(delivery) = model.pick(which) {
                give_back(world, model, delivery, cause);
            }
        }
        Event::Said(slot, what) => said(world, model, id(slot), what),
        Event::Distrust(connection) => {
            let connection = connection_of(connection);
            for known in model.known.values_mut() {
                let on_it = known.delivery.is_some_and(|(_, on)| on == connection);
                known.distrusted |= on_it && !model.ended.contains(&connection);
            }
            let released = world.custody.distrust(connection);
            model.released(&released);
            model.known.retain(|_, known| {
                !(known.foreign && known.distrusted && known.place == Place::Grace)
            });
        }
        Event::EndConnection(slot, first) => {
            let connection = connection_of(slot);
            slots.connections[slot as usize] += 3;
            let open: Vec<_> = model
                .known
                .values()
                .filter(|known| known.place == Place::Out)
                .filter_map(|known| known.delivery.filter(|(_, on)| *on == connection))
                .collect();
            let mut abandoned = Vec::new();
            if first {
                abandoned = world.custody.connection_ended(connection, now);
            }
            for (delivery, _) in open {
                give_back(world, model, delivery, ReturnCause::Lost);
            }
            if !first {
                abandoned = world.custody.connection_ended(connection, now);
            }
            for task in abandoned {
                let known = &model.known[&task];
                assert_eq!(known.place, Place::Released);
                assert!(known.delivery.is_some_and(|(_, on)| on == connection));
            }
            model.ended.insert(connection);
        }
        Event::End(slot) => {
            world.custody.ended(id(slot));
            model.known.remove(&id(slot));
            slots.tasks[slot as usize] += 4;
        }
        Event::TakeOver(slot) => {
            world.custody.taken_over(id(slot));
            if let Some(known) = model.known.get_mut(&id(slot)) {
                known.foreign = true;
            }
            model.drop_foreign();
        }
        Event::Pause(connection) => world.custody.pause(connection_of(connection), now),
        Event::Resume(connection) => world.custody.resume(connection_of(connection), now),
        Event::Wait(millis) => {
            // A timeout may take back what another process owns, without a word.
            for due in world.after(millis) {
                model.due(due);
            }
            model.known.retain(|task, known| {
                !known.foreign || world.custody.place(*task) == Some(known.place)
            });
            model.drop_foreign();
        }
    }
}

fn enter(world: &mut World, model: &mut Model, id: TaskId, entry: Entry) {
    let mut terms = terms(ROUTES[entry.route].1);
    terms.route = ROUTES[entry.route].0.into();
    terms.delivery_limit = entry.limited.then_some(1);
    terms.ack_timeout = entry.ack_timeout.then_some(Duration::from_secs(1));
    let mut arrival = arrival(terms);
    arrival.failed_deliveries = entry.failed;
    arrival.expires = entry.expires.then_some(world.now + Duration::from_secs(5));
    let terms = Arc::clone(&arrival.terms);
    let expires = arrival.expires;
    let new = model.known.get(&id).is_none_or(|known| known.foreign);
    let entered = world.custody.enter(id, arrival);
    let past = entry.limited && entry.failed > 1;
    let expected = match (new, past) {
        (false, _) => Entered::Known,
        (true, true) => Entered::DeadLetter(Death::DeliveryLimit),
        (true, false) => Entered::Waits,
    };
    assert_eq!(entered, expected);
    if new {
        model.known.insert(
            id,
            Known {
                place: if past { Place::Over } else { Place::Waiting },
                terms,
                delivery: None,
                spoken: false,
                distrusted: false,
                foreign: false,
                failed: entry.failed,
                expires,
                ends: past.into(),
            },
        );
    }
}

fn ack(world: &mut World, model: &mut Model, delivery: DeliveryId) {
    let acked = world.ack(delivery);
    let turned = model.turned.clone();
    let Some(known) = model.holder(delivery) else {
        assert_eq!(acked, Acked::Nothing, "the delivery is over");
        return;
    };
    let turned = turned.contains(&known.terms.route) && known.terms.ack != WRITTEN;
    let releases = known.terms.ack == AckMode::Releases || turned;
    let completes = !releases && !known.spoken && !known.distrusted;
    assert_eq!(acked == Acked::Grace, completes, "{known:?}");
    assert_eq!(acked == Acked::Nothing, !completes && known.foreign);
    known.place = if completes {
        Place::Grace
    } else {
        Place::Released
    };
    model.drop_foreign();
}

fn give_back(world: &mut World, model: &mut Model, delivery: DeliveryId, cause: ReturnCause) {
    let returned = world.custody.returned(delivery, cause, world.now);
    match model.holder(delivery) {
        None => assert_eq!(returned, Returned::Nothing, "the delivery is over"),
        Some(known) if known.foreign => {
            assert_eq!(returned, Returned::Nothing);
            model.known.remove(&delivery.task);
        }
        Some(_) if cause == ReturnCause::Rejected => {
            assert_eq!(returned, Returned::DeadLetter(Death::Rejected));
            model.end(delivery.task);
        }
        Some(_) => model.returned(delivery.task, returned, cause != ReturnCause::Closed),
    }
}

fn said(world: &mut World, model: &mut Model, id: TaskId, what: Said) {
    let heard = world.custody.said(id, what, world.now);
    if let Some(proof) = &heard.early_ack
        && proof.turned
    {
        assert!(model.turned.insert(Arc::clone(&proof.route)));
    }
    model.released(&heard.released);
    let Some(known) = model.known.get_mut(&id) else {
        model
            .known
            .retain(|task, _| world.custody.place(*task).is_some());
        return;
    };
    known.spoken = true;
    assert_eq!(
        heard.leaves_queue,
        what == Said::Final && known.place == Place::Waiting
    );
    if what == Said::Final {
        known.place = Place::Over;
    } else if known.foreign && known.place == Place::Grace {
        known.place = Place::Released;
    }
    model.drop_foreign();
    // A turned route also lets go of other processes' graces.
    model
        .known
        .retain(|task, known| !known.foreign || world.custody.place(*task).is_some());
}

/// What must hold between any two events.
fn check(world: &World, model: &Model) {
    for (task, known) in &model.known {
        let place = world.custody.place(*task);
        assert_eq!(place, Some(known.place), "no task is lost: {known:?}");
    }
    assert_eq!(
        world.custody.tasks.table.len(),
        model.known.len(),
        "nothing is left behind"
    );
    let in_grace = model
        .known
        .values()
        .filter(|known| known.place == Place::Grace);
    assert_eq!(world.custody.graces(), in_grace.count());
    let acknowledged = |known: &&Known| matches!(known.place, Place::Grace | Place::Released);
    let hang = model.known.values().filter(acknowledged).count();
    assert!(world.custody.tasks.connections.len() <= hang);
    assert!(world.custody.graces() == 0 || world.custody.next_due().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn no_order_of_events_loses_a_task_or_completes_one_wrongly(
        events in prop::collection::vec(event(), 1..150)
    ) {
        let (mut world, mut model) = (World::new(), Model::default());
        let mut slots = Slots { tasks: [0, 1, 2, 3], connections: [0, 1, 2] };
        for event in events {
            apply(&mut world, &mut model, &mut slots, event);
            check(&world, &model);
        }
        // Whatever is paused, no grace outlives its limit.
        apply(&mut world, &mut model, &mut slots, Event::Wait(10_100));
        check(&world, &model);
        prop_assert_eq!(world.custody.graces(), 0);
    }
}
