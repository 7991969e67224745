//! What the metrics tell of a route and of its tasks.

use super::{
    log::Did,
    store::Kind,
    world::{INTERVAL, T, World, secs},
};
use activity_bridge::{
    admin::{Admin, Readiness, scrape},
    broker::{Delivery, Inbound},
    intake::{gate::Gate, loops::RouteLoops, recovery},
    phase::Phase,
    process::reload::ReloadSwitch,
    store::Record,
    task::{DeadLetter, Death, Timeout, Timeouts},
    util::Label,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{sync::watch, time::Instant};

impl World {
    /// What `/metrics` answers, with a gate that says this.
    fn scrape(&self, gate: &Gate) -> String {
        let text = scrape::text(&self.admin(gate)).expect("encodes");
        String::from_utf8(text).expect("UTF-8")
    }

    /// What the admin endpoint reads, with a gate of the route that says this.
    pub fn admin(&self, gate: &Gate) -> Admin {
        let loops = RouteLoops::default();
        loops.add(self.route.name());
        loops.set_gate(self.route.name(), gate.clone());
        Admin {
            bridge: Arc::clone(&self.bridge),
            loops,
            phase: self.phase.subscribe(),
            broker: "scripted".into(),
            store: "memory".into(),
            since: Instant::now(),
            started: watch::channel(true).1,
            switch: self.switch.clone(),
            reload: ReloadSwitch::new().0,
        }
    }

    /// The value of the series of the route that begins like this.
    #[track_caller]
    fn series(&self, begins: &str) -> f64 {
        let text = self.scrape(&Gate::Open);
        let line = text.lines().find(|line| line.starts_with(begins));
        let line = line.unwrap_or_else(|| panic!("no {begins} in\n{text}"));
        line.rsplit(' ')
            .next()
            .expect("a value")
            .parse()
            .expect("a number")
    }

    /// The number of measured legs of each kind, but for those of which there is none, and their time in seconds.
    fn legs(&self) -> BTreeMap<String, (f64, f64)> {
        let text = self.scrape(&Gate::Open);
        let of = |what: &str| -> BTreeMap<String, f64> {
            let name = format!("activity_bridge_task_leg_duration_seconds_{what}{{leg=\"");
            let lines = text.lines().filter_map(|line| line.strip_prefix(&name));
            let pairs = lines.map(|line| {
                let value = line.rsplit(' ').next().expect("a value");
                let leg = line.split('"').next().expect("a leg");
                (leg.to_owned(), value.parse().expect("a number"))
            });
            pairs.collect()
        };
        let sums = of("sum");
        assert_eq!(sums.len(), 5, "{text}");
        let counts = of("count").into_iter().filter(|(_, count)| *count > 0.0);
        counts
            .map(|(leg, count)| {
                let sum = (sums[&leg] * 10.0).round() / 10.0;
                (leg, (count, sum))
            })
            .collect()
    }
}

fn expected<const N: usize>(legs: [(&str, f64, f64); N]) -> BTreeMap<String, (f64, f64)> {
    let legs = legs.map(|(leg, count, secs)| (leg.to_owned(), (count, secs)));
    legs.into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn each_leg_of_a_task_is_measured() {
    let world = World::new();
    let told = world.dispatch().await;
    let untold = world.dispatch().await;
    world.at(secs(4.0)).await;
    world.reply(told, "started", "").await;
    world.at(secs(5.0)).await;
    world.reply(told, "heartbeat", "half").await;
    world.at(secs(9.0)).await;
    world.reply(told, "completed", "ok").await;
    world.reply(untold, "completed", "ok").await;
    world.all_ended().await;
    world.log.wait_for(Did::Removed).await;
    world.settle_down().await;
    let expected = expected([
        ("publish", 2.0, 0.0),
        ("wait", 1.0, 4.0),
        ("work", 1.0, 5.0),
        ("wait-and-work", 1.0, 9.0),
        ("settle", 2.0, 0.0),
    ]);
    assert_eq!(world.legs(), expected);
}

#[tokio::test(start_paused = true)]
async fn where_the_broker_tells_of_deliveries_the_wait_ends_with_the_delivery() {
    let world = World::forgetful(Kind::File, "");
    let id = world.submit(world.task()).await;
    world.log.wait_for(Did::Publish).await;
    world.at(secs(3.0)).await;
    world.redeliver(id, 0).await;
    world.at(secs(5.0)).await;
    world.come_back(id, 1).await;
    world.at(secs(6.0)).await;
    world.redeliver(id, 1).await;
    world.at(secs(10.0)).await;
    world.send(Inbound::Acknowledged(id)).await;
    world.all_ended().await;
    world.settle_down().await;
    let expected = expected([
        ("publish", 1.0, 0.0),
        ("wait", 2.0, 4.0),
        ("work", 1.0, 4.0),
        ("settle", 1.0, 0.0),
    ]);
    assert_eq!(world.legs(), expected);
}

#[tokio::test(start_paused = true)]
async fn no_leg_is_measured_of_a_task_of_before_the_start_nor_of_its_first_heartbeat() {
    for published in [false, true] {
        let world = World::before_the_start(Kind::File, "");
        let task = world.task();
        let id = task.id;
        let orphan = Record {
            polled_at: task.polled_at - secs(600.0),
            heard: Some(task.polled_at - secs(590.0)),
            ..world.record(&task, published)
        };
        world.store.orphans.lock().push_back(orphan);
        world.store.open.lock().insert(id);
        world.store.messages.lock().insert(id, task);
        let unpublished = recovery::restore_all(&world.bridge).await;
        recovery::republish(&world.bridge, unpublished).await;
        world.run_heartbeats();
        // The reply may have waited while nobody read it.
        world.reply(id, "started", "").await;
        world.at(secs(2.0)).await;
        assert_eq!(world.log.beats().len(), 1);
        let used = "activity_bridge_heartbeat_timeout_used_ratio_count";
        assert_eq!(world.series(used), 0.0);
        world.at(secs(2.0) + INTERVAL).await;
        world.reply(id, "heartbeat", "half").await;
        world.settle_down().await;
        assert_eq!(world.series(used), 1.0);
        world.reply(id, "completed", "ok").await;
        world.all_ended().await;
        world.settle_down().await;
        assert_eq!(world.legs(), BTreeMap::new(), "{published}");
        // From the poll to the end is certain all the same: the record has the time of the poll.
        let ended = "activity_bridge_task_duration_seconds_sum{outcome=\"accepted\"";
        assert!(world.series(ended) >= 600.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_no_reply_and_ends_no_leg() {
    let world = World::forgetful(Kind::File, "");
    let id = world.submit(world.task()).await;
    world.log.wait_for(Did::Publish).await;
    world.at(secs(3.0)).await;
    let dead = DeadLetter {
        death: Death::Expired,
        queue: "payments".to_owned(),
    };
    let dead = Inbound::DeadLetter(dead, Delivery::about(id));
    world.send(dead).await;
    world.all_ended().await;
    world.settle_down().await;
    assert_eq!(world.legs(), expected([("publish", 1.0, 0.0)]));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_tell_how_near_to_their_deadline_aws_accepted_them() {
    let world = World::new();
    world.dispatch().await;
    *world.source.beat_takes.lock() = secs(6.0);
    world.at(secs(600.0)).await;
    let beats = world.log.beats();
    let name = "activity_bridge_heartbeat_timeout_used_ratio";
    let count = world.series(&format!("{name}_count"));
    assert!(
        count >= beats.len() as f64 - 1.0,
        "{count} of {}",
        beats.len()
    );
    let sum = world.series(&format!("{name}_sum"));
    // Each is sent after at most an interval and answered 6 s later.
    let mean = sum / count * T.as_secs_f64();
    assert!((6.0 + 6.6..=6.0 + 10.1).contains(&mean), "{mean}");
    assert_eq!(
        world.series(&format!(
            "{name}_bucket{{route=\"payments\",source=\"swf\",le=\"1\"}}"
        )),
        count
    );
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_without_a_known_timeout_has_no_deadline_to_be_near_to() {
    let world = World::new();
    let mut task = world.task();
    task.timeouts = Timeouts {
        heartbeat: Timeout::Unknown,
        start_to_close: Timeout::Unknown,
    };
    world.submit(task).await;
    world.at(secs(300.0)).await;
    assert!(!world.log.beats().is_empty());
    let name = "activity_bridge_heartbeat_timeout_used_ratio_count";
    assert_eq!(world.series(name), 0.0);
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_a_route_are_counted_by_state_and_the_oldest_tells_its_age() {
    let world = World::with(Kind::Memory, "max_in_flight = 3");
    assert_eq!(world.series("activity_bridge_oldest_task_age_seconds"), 0.0);
    let mut old = world.task();
    old.polled_at -= secs(50.0);
    world.submit(old).await;
    world.log.wait_for(Did::NotedConfirm).await;
    let begun = world.dispatch().await;
    world.reply(begun, "started", "").await;
    world.settle_down().await;
    for (series, value) in [
        ("activity_bridge_tasks_in_flight ", 2.0),
        ("activity_bridge_slots{", 3.0),
        ("activity_bridge_slots_taken{", 2.0),
    ] {
        assert_eq!(world.series(series), value, "{series}");
    }
    for (state, tasks) in [
        ("publishing", 0.0),
        ("waiting", 1.0),
        ("working", 1.0),
        ("settling", 0.0),
    ] {
        let series = format!(
            "activity_bridge_route_tasks_in_flight{{route=\"payments\",source=\"swf\",state=\"{state}\"}}"
        );
        assert_eq!(world.series(&series), tasks, "{state}");
    }
    // The age is that of the wall's clock, which does not stand still.
    let age = world.series("activity_bridge_oldest_task_age_seconds");
    assert!((50.0..70.0).contains(&age), "{age}");
}

#[tokio::test(start_paused = true)]
async fn the_reason_of_a_route_and_its_readiness_are_those_of_readyz() {
    let world = World::new();
    let why = || "why".to_owned();
    let gates = [
        (Gate::Open, "polling"),
        (Gate::Starting, "starting"),
        (Gate::StoreAway(why()), "store-away"),
        (Gate::BrokerAway(why()), "broker-away"),
        (Gate::BrokerBlocked(why()), "broker-blocked"),
        (Gate::QueueUnusable(why()), "queue-unusable"),
        (Gate::ParkingUnusable(why()), "parking-unusable"),
        (Gate::Paused, "paused"),
        (Gate::NoConsumers, "no-consumers"),
        (Gate::NoCredit, "no-credit"),
        (Gate::QueueFull(7), "queue-full"),
        (Gate::Undelivered(7), "undelivered"),
    ];
    for phase in [Phase::Running, Phase::Draining, Phase::Drained] {
        world.phase.send_replace(phase);
        for (gate, reason) in &gates {
            // Workers may be stopped in a drain: that nobody consumes is then no fault.
            let drains = phase != Phase::Running && gate.is_healthy();
            tells(&world, gate, if drains { "draining" } else { reason });
        }
    }
    world.route.set_refused(why());
    for (gate, _) in &gates {
        tells(&world, gate, "refused");
    }
}

/// Holds `/metrics` against `/readyz`.
#[track_caller]
fn tells(world: &World, gate: &Gate, reason: &str) {
    let readiness = Readiness::of(&world.admin(gate));
    let route = &readiness.routes[0];
    assert_eq!(route.reason.label(), reason, "{gate}");
    let text = world.scrape(gate);
    let states = text
        .lines()
        .filter(|line| line.starts_with("activity_bridge_route_state{"));
    let ones: Vec<_> = states.filter(|line| line.ends_with(" 1")).collect();
    let expected = format!(
        "activity_bridge_route_state{{reason=\"{reason}\",route=\"payments\",source=\"swf\"}} 1"
    );
    assert_eq!(ones, [expected], "{gate}");
    let ready = u8::from(route.ready);
    let series =
        format!("\nactivity_bridge_route_ready{{route=\"payments\",source=\"swf\"}} {ready}\n");
    assert!(text.contains(&series), "{gate}: {text}");
    let all = u8::from(readiness.ready);
    assert!(text.contains(&format!("\nactivity_bridge_ready {all}\n")));
}
