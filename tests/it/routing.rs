//! Routes that publish to an exchange of the operator's, with a key for each task; and the priority of messages.

use crate::harness::{Answer, DOMAIN, HOLD, Inbox, Route, World, eventually};
use crate::permissions::limited;
use activity_sim::{ActivityType, Schedule, TaskState};
use lapin::{
    ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

const ORDERS: &str = "orders";

/// What makes a route publish to the exchange, by activity type.
const BY_TYPE: &str = "exchange = \"orders\"\nrouting_key = \"{task_list}.{activity_type}\"";

async fn declare_exchange(inbox: &Inbox) {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let channel = inbox.channel();
    let topic = ExchangeKind::Topic;
    let declared = channel.exchange_declare(ORDERS.into(), topic, options, FieldTable::default());
    declared.await.expect("declared");
}

/// Declares a queue and binds it to the exchange.
async fn bind(inbox: &Inbox, queue: &str, key: &str) {
    let durable = QueueDeclareOptions::durable();
    let channel = inbox.channel();
    let declared = channel.queue_declare(queue.into(), durable, FieldTable::default());
    declared.await.expect("declared");
    let bound = channel.queue_bind(
        queue.into(),
        ORDERS.into(),
        key.into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.expect("bound");
}

fn of_type(name: &str) -> Schedule {
    Schedule {
        activity_type: ActivityType {
            name: name.to_owned(),
            version: "2.1".to_owned(),
        },
        ..Schedule::new(DOMAIN, "shop")
    }
}

/// A route named `shop` that names no queue.
fn route(settings: &str) -> Route {
    let blind = Route::new("shop").without_queue();
    blind.with("poll_without_consumers = true").with(settings)
}

#[tokio::test]
async fn a_routing_key_is_made_of_the_tasks_words_and_brings_each_type_to_its_queue() {
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    declare_exchange(&inbox).await;
    bind(&inbox, "charges", "shop.charge.v2.1.order-7").await;
    bind(&inbox, "mails", "shop.mail.#").await;
    let key = "routing_key = \"{task_list}.{activity_type}.v{activity_version}.{workflow_id}\"";
    let to = format!("exchange = \"orders\"\n{key}");
    let bridge = world.bridge(&[route(&to)]).await;
    let _charges = world.worker("charges", |_| Answer::done("charged")).await;
    let _mails = world.worker("mails", |_| Answer::done("mailed")).await;
    for (name, result) in [("charge", "charged"), ("mail", "mailed")] {
        let schedule = Schedule {
            workflow_id: Some("order-7".to_owned()),
            ..of_type(name)
        };
        let id = world.sim.schedule(schedule).remove(0);
        let task = world.closed(&id).await;
        assert_eq!(task.result.as_deref(), Some(result));
    }
    bridge.idle().await;
    world.assert_each_completed_once(2);
}

#[tokio::test]
async fn with_a_queue_named_its_consumers_open_the_gate() {
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    declare_exchange(&inbox).await;
    bind(&inbox, "all", "#").await;
    let route = Route::new("shop")
        .queue("all")
        .with("declare = false")
        .with(BY_TYPE);
    let bridge = world.bridge(&[route]).await;
    bridge.route_is("shop", "waiting for a consumer").await;
    let _worker = world.worker("all", |_| Answer::done("ok")).await;
    bridge.route_is("shop", "polling").await;
    world.sim.schedule(of_type("charge"));
    world.until("completed", |s| s.completed == 1).await;
}

#[tokio::test]
async fn a_missing_exchange_is_said_and_nothing_is_polled_until_there_is_one() {
    let world = World::new().await;
    let bridge = world.bridge(&[route(BY_TYPE)]).await;
    world.sim.schedule(of_type("charge"));
    bridge
        .route_is("shop", "the exchange \"orders\" does not exist; create it")
        .await;
    assert_eq!(bridge.get("/readyz").await.0, 503);
    assert_eq!(world.sim.summary().polled, 0);
    let inbox = Inbox::connect(&world.amqp_uri).await;
    declare_exchange(&inbox).await;
    bind(&inbox, "all", "#").await;
    let _worker = world.worker("all", |_| Answer::done("ok")).await;
    world.until("completed", |s| s.completed == 1).await;
}

#[tokio::test]
async fn an_exchange_that_may_not_be_written_to_leaves_other_routes_and_the_connection_alone() {
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    declare_exchange(&inbox).await;
    let uri = limited(&world, ORDERS).await;
    let behind = World::at(uri, HOLD).await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let forbidden = route(BY_TYPE).with("publish_within_secs = 8");
    let bridge = behind.bridge(&[forbidden, Route::new("payments")]).await;
    let ids = behind.sim.schedule(Schedule {
        count: 3,
        ..of_type("charge")
    });
    bridge.logged("ACCESS_REFUSED").await;
    behind.schedule("payments", 300);
    behind
        .until("the other route's tasks completed", |s| s.completed == 300)
        .await;
    for id in ids {
        let task = behind.closed(&id).await;
        assert_eq!(task.state, TaskState::Failed);
        let reason = task.reason.unwrap_or_default();
        assert!(
            reason.contains("could not hand it to exchange orders within 8 s"),
            "{reason}"
        );
    }
    let refused = "publishes_total{outcome=\"refused\",route=\"shop\"";
    assert!(bridge.metric(refused).await >= 2.0);
    let confirmed = "publishes_total{outcome=\"confirmed\",route=\"payments\"";
    // A worker may be faster than the broker's confirm.
    eventually("300 confirms", || async {
        (bridge.metric(confirmed).await == 300.0).then_some(())
    })
    .await;
    for kind in ["refused", "unconfirmed"] {
        let series = format!("publishes_total{{outcome=\"{kind}\",route=\"payments\"");
        assert_eq!(bridge.metric(&series).await, 0.0, "{kind}");
    }
    assert!(!bridge.log().contains("no connection to the broker"));
}

#[tokio::test]
async fn a_task_without_a_queue_for_its_key_stops_no_other_and_is_failed_back() {
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    declare_exchange(&inbox).await;
    bind(&inbox, "charges", "shop.charge").await;
    let _worker = world.worker("charges", |_| Answer::done("ok")).await;
    let bridge = world
        .bridge(&[route(BY_TYPE).with("publish_within_secs = 14")])
        .await;
    let lost = world.sim.schedule(of_type("refund")).remove(0);
    bridge.logged("not published; trying again").await;
    assert_eq!(bridge.route("shop").await, (true, "polling".to_owned()));
    world.sim.schedule(Schedule {
        count: 50,
        ..of_type("charge")
    });
    world.until("completed", |s| s.completed == 50).await;
    let open = world.sim.task(&lost).expect("a record");
    assert_eq!(open.state, TaskState::Started, "the others waited for it");

    let task = world.closed(&lost).await;
    assert_eq!((task.state, task.settle_calls), (TaskState::Failed, 1));
    let reason = task.reason.unwrap_or_default();
    assert!(
        reason.contains("could not hand it to exchange orders within 14 s"),
        "{reason}"
    );
    assert!(task.details.unwrap_or_default().contains("NO_ROUTE"));
}

#[tokio::test]
async fn a_task_whose_queue_is_bound_in_time_is_published_again_with_its_id() {
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    declare_exchange(&inbox).await;
    let bridge = world.bridge(&[route(BY_TYPE)]).await;
    let id = world.sim.schedule(of_type("refund")).remove(0);
    let said = bridge.logged("not published; trying again").await;
    bind(&inbox, "refunds", "shop.refund").await;
    let task = inbox.next("refunds").await;
    assert!(said.contains(&task.id()[..8]), "another id than in {said}");
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn a_routing_key_that_amqp_does_not_take_fails_the_task_and_is_never_cut() {
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    declare_exchange(&inbox).await;
    bind(&inbox, "all", "#").await;
    let to = "exchange = \"orders\"\nrouting_key = \"{workflow_id}\"";
    let bridge = world.bridge(&[route(to)]).await;
    let of_workflow = |id: String| Schedule {
        workflow_id: Some(id),
        ..of_type("charge")
    };
    // Of two bytes each: SWF counts characters.
    let too_long = "ö".repeat(128);
    let id = world.sim.schedule(of_workflow(too_long.clone())).remove(0);
    let task = world.closed(&id).await;
    assert_eq!((task.state, task.settle_calls), (TaskState::Failed, 1));
    let reason = "its routing key has 256 bytes, and AMQP takes 255";
    assert_eq!(task.reason.as_deref(), Some(reason));
    assert_eq!(task.details, Some(too_long));
    bridge.logged(reason).await;

    world.sim.schedule(of_workflow("w".repeat(255)));
    let task = inbox.next("all").await;
    assert_eq!(task.header("workflow-id"), Some("w".repeat(255)));
    assert!(inbox.get("all").await.is_none(), "the other was published");
}

#[tokio::test]
async fn a_message_of_a_higher_priority_overtakes_in_a_queue_that_has_priorities() {
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-priority".into(), AMQPValue::LongLongInt(9));
    let durable = QueueDeclareOptions::durable();
    let channel = inbox.channel();
    let declared = channel.queue_declare("all".into(), durable, arguments);
    declared.await.expect("declared");
    let with = |name: &str, priority: u8| {
        let route = Route::new(name).queue("all").with("declare = false");
        let route = route.with("poll_without_consumers = true");
        route.with(&format!("priority = {priority}"))
    };
    let bridge = world.bridge(&[with("slow", 1), with("fast", 7)]).await;
    for (route, count) in [("slow", 2), ("fast", 2)] {
        world.schedule(route, count);
        let series = format!("publishes_total{{outcome=\"confirmed\",route=\"{route}\"");
        eventually("both published", || async {
            (bridge.metric(&series).await == 2.0).then_some(())
        })
        .await;
    }
    for (route, priority) in [("fast", 7), ("fast", 7), ("slow", 1), ("slow", 1)] {
        let task = inbox.next("all").await;
        assert_eq!(task.header("route").as_deref(), Some(route));
        assert_eq!(*task.properties.priority(), Some(priority));
    }
}
