//! A configuration that is read again while the process runs.

use super::{
    log::Did,
    store::Kind,
    world::{World, secs},
};
use activity_bridge::{
    admin::{Readiness, scale::works},
    app::reload::Reloader,
    config::Config,
    intake::gate::Gate,
    phase::Phase,
    process::reload::{ReloadRefusal, ReloadReport, Reloaded},
    task::OutcomeKind::Completed,
    util::Label,
};
use futures_util::FutureExt;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

const ONE: &str = "pollers = { min = 1, max = 1 }";

const REFUNDS: &str = "\n[[routes]]\nname = \"refunds\"\nqueue = \"refunds\"\npollers = { min = 1, max = 1 }\n\
                       swf = { domain = \"shop\", task_list = \"refunds\" }\n";

/// Reloads of a world's configuration.
struct Reloads {
    reloader: Reloader,
    text: Arc<Mutex<String>>,
}

impl Reloads {
    /// Of a world that polls.
    fn of(world: &mut World) -> Self {
        world.poll();
        let text = Arc::new(Mutex::new(String::new()));
        let read = Arc::clone(&text);
        let load = move || {
            let config = read.lock().parse::<Config>();
            let config = config.map_err(|error| ReloadRefusal::Invalid(format!("{error}")));
            async move { config }.boxed()
        };
        let reloader = Reloader::new(
            (
                Arc::clone(&world.bridge),
                world.loops.clone(),
                world.phase.subscribe(),
            ),
            world.maker.take().expect("one reloader"),
            Box::new(load),
            world.basics.clone(),
        );
        Self { reloader, text }
    }

    /// With these settings of the world's route, and further routes.
    async fn with(&mut self, world: &World, settings: &str) -> Reloaded {
        self.text_of(world.text(settings)).await
    }

    /// With this configuration.
    async fn text_of(&mut self, text: String) -> Reloaded {
        *self.text.lock() = text;
        self.reloader.reload().await
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn route_names(world: &World) -> Vec<String> {
    let routes = world.bridge.routes.all();
    routes.iter().map(|route| route.name().to_owned()).collect()
}

fn polls(world: &World) -> usize {
    world.log.count(&Did::Poll)
}

fn metrics(world: &World) -> String {
    let text = world.bridge.metrics.render(&[]).expect("encodes");
    String::from_utf8(text).expect("UTF-8")
}

fn metric(world: &World, name: &str) -> String {
    let text = metrics(world);
    let line = text.lines().find(|line| line.starts_with(name));
    line.expect("a series").to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_added_route_polls_and_the_others_go_on() {
    let mut world = World::with(Kind::Memory, ONE);
    let mut reloads = Reloads::of(&mut world);
    let id = world.dispatch().await;
    let before = Arc::clone(&world.route);
    let report = reloads.with(&world, &format!("{ONE}{REFUNDS}")).await;
    let expected = ReloadReport {
        added: names(&["refunds"]),
        ..ReloadReport::default()
    };
    assert_eq!(report, Ok(expected));
    world.settle_down().await;
    assert_eq!(polls(&world), 2);
    assert_eq!(*world.loops.gate("refunds").borrow(), Gate::Open);
    let same = world.bridge.route("payments").expect("it is there");
    assert!(Arc::ptr_eq(&same, &before), "nothing of it has changed");
    assert!(metrics(&world).contains("route=\"refunds\""));
    assert!(world.broker.queues().contains(&"refunds".to_owned()));
    world.reply(id, "completed", "{}").await;
    world.log.wait_for(Did::Accepted(Completed)).await;
}

/// A poll before that would hand a worker's answer to a task of the store to nobody.
#[tokio::test(start_paused = true)]
async fn an_added_route_adopts_its_tasks_before_it_polls() {
    let mut world = World::with(Kind::File, ONE);
    let mut reloads = Reloads::of(&mut world);
    world.settle_down().await;
    let before = polls(&world);
    // Its tasks have been in the store since before the start.
    let mut record = world.record(&world.task(), true);
    record.route = "refunds".to_owned();
    let id = record.id;
    world.store.strange.lock().push(record);
    world.store.adoptions.after(secs(7.0), Ok(()));
    let reloaded = reloads.with(&world, &format!("{ONE}{REFUNDS}")).await;
    assert_eq!(reloaded.expect("valid").added, ["refunds"]);
    world.at(secs(6.9)).await;
    assert_eq!(polls(&world), before, "it polled before it had its tasks");
    assert_eq!(*world.loops.gate("refunds").borrow(), Gate::Starting);
    world.at(secs(7.1)).await;
    assert_eq!(polls(&world), before + 1);
    assert_eq!(world.bridge.inflight.ids(), [id]);
}

#[tokio::test(start_paused = true)]
async fn a_removed_route_ends_with_its_last_poll_and_its_last_task() {
    let mut world = World::with(Kind::Memory, &format!("{ONE}{REFUNDS}"));
    let mut reloads = Reloads::of(&mut world);
    world.settle_down().await;
    let id = world.dispatch().await;
    assert_eq!(polls(&world), 2);
    let only_refunds = reloads
        .text_of(world.text(&format!("{ONE}{REFUNDS}")).replacen(
            "name = \"payments\"\n        queue = \"payments\"",
            "name = \"mail\"\n        queue = \"mail\"",
            1,
        ))
        .await;
    let report = only_refunds.expect("valid");
    assert_eq!(
        (report.added, report.removed),
        (names(&["mail"]), names(&["payments"]))
    );
    // It does not poll again, and its task goes on.
    world.at(secs(61.0)).await;
    assert_eq!(route_names(&world), ["mail", "refunds", "payments"]);
    let payments = world.bridge.route("payments").expect("a task is in flight");
    assert!(payments.is_leaving() && payments.open_polls.number() == 0);
    payments.set_refused("refused".to_owned());
    let readiness = Readiness::of(&world.admin(&Gate::QueueUnusable("gone".to_owned())));
    let seen = readiness.routes.last().expect("the one that leaves");
    assert_eq!((seen.ready, seen.reason.label()), (true, "leaving"));
    let work = works(&world.bridge, |_| true);
    let work = work.last().expect("the one that leaves");
    assert_eq!((work.route.as_str(), work.work), ("payments", Some(1)));
    assert!(
        world.log.count(&Did::Beat(String::new())) > 0,
        "its heartbeats go on"
    );
    assert!(world.broker.queues().contains(&"payments".to_owned()));
    world.reply(id, "completed", "{}").await;
    world.log.wait_for(Did::Accepted(Completed)).await;
    world.settle_down().await;
    assert_eq!(route_names(&world), ["mail", "refunds"]);
    assert!(!metrics(&world).contains("route=\"payments\""));
    assert!(!world.broker.queues().contains(&"payments".to_owned()));
    assert_eq!(*world.broker.left.lock(), ["payments"]);
}

#[tokio::test(start_paused = true)]
async fn a_removed_route_that_is_configured_again_goes_on() {
    let mut world = World::with(Kind::Memory, &format!("{ONE}{REFUNDS}"));
    let mut reloads = Reloads::of(&mut world);
    world.settle_down().await;
    let both = world.text(&format!("{ONE}{REFUNDS}"));
    let one = world.text(ONE);
    assert_eq!(
        reloads.text_of(one.clone()).await.expect("valid").removed,
        ["refunds"]
    );
    assert!(
        world
            .bridge
            .route("refunds")
            .expect("its poll is open")
            .is_leaving()
    );
    assert_eq!(
        reloads.text_of(both.clone()).await.expect("valid").added,
        ["refunds"]
    );
    // Both polls have come back with nothing, and each route polls again.
    world.at(secs(61.0)).await;
    assert_eq!(polls(&world), 4);
    assert!(
        !world
            .bridge
            .route("refunds")
            .expect("it is there")
            .is_leaving()
    );
    // Gone, and then there again.
    reloads.text_of(one).await.expect("valid");
    world.at(secs(122.0)).await;
    assert_eq!(route_names(&world), ["payments"]);
    assert_eq!(
        reloads.text_of(both).await.expect("valid").added,
        ["refunds"]
    );
    world.settle_down().await;
    assert_eq!(*world.loops.gate("refunds").borrow(), Gate::Open);
}

#[tokio::test(start_paused = true)]
async fn a_changed_route_has_its_new_bounds_at_once_and_its_tasks_keep_their_settings() {
    let mut world = World::with(
        Kind::Memory,
        "max_in_flight = 2\npollers = { min = 1, max = 1 }\n",
    );
    let mut reloads = Reloads::of(&mut world);
    let id = world.dispatch().await;
    world.settle_down().await;
    let more = "max_in_flight = 5\npollers = { min = 4, max = 4 }\noversize_result = \"park\"\n";
    let report = reloads.with(&world, more).await.expect("valid");
    assert_eq!(report.changed, ["payments"]);
    world.settle_down().await;
    assert_eq!(polls(&world), 4, "one slot of five has the task");
    let now = world.bridge.route("payments").expect("it is there");
    assert_eq!((now.slots.in_use(), now.open_polls.number()), (5, 4));
    // The task has the route with which it was polled.
    let listed = world.bridge.inflight.list();
    assert!(Arc::ptr_eq(&listed[0].route, &world.route));
    // With fewer slots no poll begins before the surplus is free.
    let fewer = "max_in_flight = 1\npollers = { min = 1, max = 1 }\n";
    reloads.with(&world, fewer).await.expect("valid");
    world.at(secs(200.0)).await;
    assert_eq!((now.slots.in_use(), polls(&world)), (1, 4));
    world.reply(id, "completed", "{}").await;
    world.log.wait_for(Did::Accepted(Completed)).await;
    world.settle_down().await;
    assert_eq!(polls(&world), 5);
}

#[tokio::test(start_paused = true)]
async fn a_paused_route_stays_paused_over_a_reload() {
    let mut world = World::with(Kind::Memory, ONE);
    let mut reloads = Reloads::of(&mut world);
    world.settle_down().await;
    assert!(world.route.set_paused(true));
    let more = "pollers = { min = 2, max = 2 }\n";
    let report = reloads.with(&world, more).await.expect("valid");
    assert_eq!(report.changed, ["payments"]);
    world.at(secs(61.0)).await;
    assert_eq!((&*world.gate.borrow(), polls(&world)), (&Gate::Paused, 1));
    let now = world.bridge.route("payments").expect("it is there");
    assert!(now.set_paused(false), "it was paused");
    world.settle_down().await;
    assert_eq!(polls(&world), 3);
}

#[tokio::test(start_paused = true)]
async fn a_route_with_another_queue_keeps_the_one_before_until_its_tasks_have_ended() {
    let mut world = World::with(Kind::Memory, ONE);
    let mut reloads = Reloads::of(&mut world);
    let id = world.dispatch().await;
    world.settle_down().await;
    world.broker.observations.after(secs(1.0), ());
    let other = world
        .text(ONE)
        .replacen("queue = \"payments\"", "queue = \"new\"", 1);
    assert_eq!(
        reloads.text_of(other).await.expect("valid").changed,
        ["payments"]
    );
    assert_eq!(
        *world.gate.borrow(),
        Gate::Starting,
        "the other queue was not looked at"
    );
    world.at(secs(2.0)).await;
    assert_eq!(*world.gate.borrow(), Gate::Open);
    let queues = world.broker.queues();
    assert_eq!(queues, ["new", "payments"]);
    // It may be lost while a task waits there, and a broker tells that to who looks.
    world.broker.looked_at.lock().clear();
    world.at(secs(12.0)).await;
    let looked_at = world.broker.looked_at.lock().clone();
    assert_eq!(
        looked_at.into_iter().collect::<Vec<_>>(),
        ["new", "payments"]
    );
    assert!(world.broker.left.lock().is_empty());
    // The world has the route as it was, too.
    world.route = world.bridge.route("payments").expect("it is there");
    world.reply(id, "completed", "{}").await;
    world.log.wait_for(Did::Accepted(Completed)).await;
    // The poll that was open then may bring a task to the queue before.
    world.at(secs(61.0)).await;
    assert_eq!(world.broker.queues(), ["new"]);
    assert_eq!(*world.broker.left.lock(), ["payments"]);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_no_route_has_is_let_go_with_its_last_task_and_the_queue_stays() {
    let mut world = World::with(Kind::Memory, ONE);
    let mut reloads = Reloads::of(&mut world);
    let by = |world: &World, exchange: &str| {
        let queue = "queue = \"payments\"";
        let by = format!("{queue}\nexchange = \"{exchange}\"\nrouting_key = \"k\"");
        world.text(ONE).replacen(queue, &by, 1)
    };
    let orders = by(&world, "orders");
    reloads.text_of(orders).await.expect("valid");
    world.settle_down().await;
    let other = by(&world, "other");
    reloads.text_of(other).await.expect("valid");
    world.settle_down().await;
    assert!(world.broker.left.lock().is_empty(), "a poll is open");
    world.route = world.bridge.route("payments").expect("it is there");
    world.at(secs(61.0)).await;
    assert_eq!(*world.broker.left.lock(), ["orders"]);
    assert_eq!(world.broker.queues(), ["payments"]);
}

/// A task of the first settings may wait there as well.
#[tokio::test(start_paused = true)]
async fn a_queue_whose_settings_changed_before_it_was_left_is_kept_for_the_tasks_of_all_its_settings()
 {
    let mut world = World::with(Kind::Memory, ONE);
    let mut reloads = Reloads::of(&mut world);
    let id = world.dispatch().await;
    world.settle_down().await;
    let limited = format!("delivery_limit = 7\n{ONE}");
    let reloaded = reloads.with(&world, &limited).await.expect("valid");
    assert_eq!(reloaded.changed, ["payments"]);
    // The poll of the first settings ends.
    world.at(secs(61.0)).await;
    let other = world
        .text(&limited)
        .replacen("queue = \"payments\"", "queue = \"new\"", 1);
    reloads.text_of(other).await.expect("valid");
    world.at(secs(200.0)).await;
    assert_eq!(world.broker.queues(), ["new", "payments"]);
    world.route = world.bridge.route("payments").expect("it is there");
    world.reply(id, "completed", "{}").await;
    world.log.wait_for(Did::Accepted(Completed)).await;
    world.settle_down().await;
    assert_eq!(world.broker.queues(), ["new"]);
    assert_eq!(*world.broker.left.lock(), ["payments"]);
}

#[tokio::test(start_paused = true)]
async fn a_route_with_another_source_polls_it_at_once() {
    let mut world = World::with(Kind::Memory, ONE);
    let mut reloads = Reloads::of(&mut world);
    world.settle_down().await;
    assert_eq!(polls(&world), 1);
    let other = world
        .text(ONE)
        .replacen("task_list = \"payments\"", "task_list = \"new\"", 1);
    reloads.text_of(other).await.expect("valid");
    world.settle_down().await;
    assert_eq!(
        polls(&world),
        2,
        "the open poll of the list before does not count"
    );
    world.at(secs(61.0)).await;
    assert_eq!(polls(&world), 3, "the list before is not polled again");
}

/// A worker of one route must not get the tasks of another.
#[tokio::test(start_paused = true)]
async fn the_queue_of_a_route_that_leaves_is_given_to_no_other_before_its_last_task_has_ended() {
    let mut world = World::with(Kind::Memory, ONE);
    let mut reloads = Reloads::of(&mut world);
    world.settle_down().await;
    let renamed = world
        .text(ONE)
        .replacen("name = \"payments\"", "name = \"renamed\"", 1);
    let refused = reloads.text_of(renamed).await;
    let Err(ReloadRefusal::NotNow(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("\"renamed\""), "{why}");
    assert!(world.bridge.route("renamed").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_invalid_configuration_changes_nothing_and_is_counted() {
    let mut world = World::with(Kind::Memory, ONE);
    let mut reloads = Reloads::of(&mut world);
    reloads.with(&world, ONE).await.expect("valid");
    world.settle_down().await;
    let before = world.bridge.routes.all();
    let successful = "activity_bridge_config_last_reload_successful";
    assert_eq!(metric(&world, successful), format!("{successful} 1"));
    let broken = format!("max_in_flight = 7\n{ONE}{REFUNDS}colour = \"red\"\n");
    let refused = reloads.with(&world, &broken).await;
    let Err(ReloadRefusal::Invalid(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("colour"), "{why}");
    assert!(Arc::ptr_eq(&before, &world.bridge.routes.all()));
    assert_eq!(metric(&world, successful), format!("{successful} 0"));
    let counter = "activity_bridge_config_reloads_refused_total";
    assert_eq!(metric(&world, counter), format!("{counter} 1"));
    world.at(secs(61.0)).await;
    assert_eq!(polls(&world), 2);
    reloads.with(&world, ONE).await.expect("valid");
    assert_eq!(metric(&world, successful), format!("{successful} 1"));
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_restart_is_named_and_the_rest_is_applied() {
    let mut world = World::with(Kind::Memory, ONE);
    let mut reloads = Reloads::of(&mut world);
    let text = world.text(&format!("{ONE}{REFUNDS}"));
    let text = text.replacen("grace_secs = 90", "grace_secs = 80", 1);
    for added in [names(&["refunds"]), Vec::new()] {
        let report = reloads.text_of(text.clone()).await.expect("valid");
        assert_eq!(report.added, added);
        assert_eq!(
            report.needs_restart,
            ["shutdown.grace_secs"],
            "as long as it differs"
        );
    }
}

/// The settings of a route are read for one kind of broker.
#[tokio::test(start_paused = true)]
async fn another_broker_is_refused_with_all_else() {
    let mut world = World::with(Kind::Memory, ONE);
    let mut reloads = Reloads::of(&mut world);
    let text = world.text(&format!("{ONE}{REFUNDS}"));
    let text = text.replacen("uri = \"amqp://127.0.0.1\"", "", 1);
    let refused = reloads.text_of(text).await.expect_err("another broker");
    assert!(
        refused.to_string().starts_with("needs a restart: amqp.uri"),
        "{refused}"
    );
    assert_eq!(route_names(&world), ["payments"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_refused_before_the_start_is_over_and_during_a_drain() {
    let mut world = World::with(Kind::Memory, ONE);
    let mut reloads = Reloads::of(&mut world);
    for phase in [
        Phase::Recovering,
        Phase::Quiescing,
        Phase::Drained,
        Phase::Flushing,
    ] {
        world.phase.send_replace(phase);
        let refused = reloads.with(&world, &format!("{ONE}{REFUNDS}")).await;
        let why = refused.expect_err("not running").to_string();
        assert!(why.contains(phase.name()), "{why}");
    }
    world.phase.send_replace(Phase::Running);
    reloads
        .with(&world, &format!("{ONE}{REFUNDS}"))
        .await
        .expect("valid");
}

/// Nobody sees the answer to a signal, so nobody would send it again.
#[tokio::test(start_paused = true)]
async fn a_hangup_during_the_start_is_obeyed_when_the_start_is_over() {
    let mut world = World::with(Kind::Memory, ONE);
    let reloads = Reloads::of(&mut world);
    *reloads.text.lock() = world.text(&format!("{ONE}{REFUNDS}"));
    world.phase.send_replace(Phase::Recovering);
    let (hangups, hung_up) = watch::channel(());
    let (_requests, requested) = mpsc::channel(1);
    tokio::spawn(reloads.reloader.run(hung_up, requested));
    hangups.send_replace(());
    world.at(secs(30.0)).await;
    assert_eq!(route_names(&world), ["payments"]);
    assert!(!metrics(&world).contains("reloads_refused_total 1"));
    world.phase.send_replace(Phase::Running);
    world.settle_down().await;
    assert_eq!(route_names(&world), ["payments", "refunds"]);
}

#[tokio::test(start_paused = true)]
async fn the_work_of_an_added_route_is_not_known_before_it_has_its_tasks() {
    let mut world = World::with(Kind::File, ONE);
    let mut reloads = Reloads::of(&mut world);
    world.settle_down().await;
    world.store.adoptions.after(secs(7.0), Ok(()));
    let reloaded = reloads.with(&world, &format!("{ONE}{REFUNDS}")).await;
    assert_eq!(reloaded.expect("valid").added, ["refunds"]);
    let known = |world: &World| {
        let works = works(&world.bridge, |route| world.loops.has_begun(route.name()));
        let unknown = works.into_iter().map(|work| work.unknown);
        unknown
            .map(|why| why.as_deref() != Some("the route starts"))
            .collect::<Vec<_>>()
    };
    assert_eq!(known(&world), [true, false]);
    world.at(secs(7.1)).await;
    assert_eq!(known(&world), [true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_a_new_route_changes_nothing() {
    let mut world = World::with(Kind::Memory, ONE);
    let mut reloads = Reloads::of(&mut world);
    world.settle_down().await;
    let before = world.bridge.routes.all();
    world.source.panics_for.lock().replace("refunds".to_owned());
    let changed = format!("max_in_flight = 7\n{ONE}{REFUNDS}");
    let refused = reloads
        .with(&world, &changed)
        .await
        .expect_err("it panicked");
    assert!(
        refused.to_string().contains("a bug of activity-bridge"),
        "{refused}"
    );
    assert!(Arc::ptr_eq(&before, &world.bridge.routes.all()));
    world.source.panics_for.lock().take();
    let report = reloads.with(&world, &changed).await.expect("valid");
    assert_eq!(
        (report.added, report.changed),
        (names(&["refunds"]), names(&["payments"]))
    );
}
