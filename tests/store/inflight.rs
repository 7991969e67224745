//! What the table of flights tells the store, and keeps of what the store tells it.

use crate::harness::{insert, insist, task};
use activity_bridge::{
    broker::{
        Durability,
        rabbitmq::{Access, Options, RabbitMq, RabbitMqConfig},
    },
    config::Config,
    context::{Bridge, MAX_PARK_RETRIES},
    inflight::lifecycle::Event,
    inflight::{InflightTable, LostQueues, OwnershipCheck, Standing},
    intake::recovery,
    metrics::Metrics,
    route::{QueueCredits, Route, Routes},
    source::Sources,
    store::{FileStore, Store},
    task::TaskId,
    trace::{Span, Tracer},
    util::supervise::Supervisor,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Mutex, Semaphore};

async fn route() -> Arc<Route> {
    let config = r#"
        [amqp]
        uri = "amqp://127.0.0.1"
        [[routes]]
        name = "payments"
        queue = "payments"
        [routes.swf]
        domain = "shop"
        task_list = "payments"
    "#;
    let mut config: Config = config.parse().expect("valid");
    let config = config.routes.remove(0);
    let sources = Sources::load(Some("eu-west-1")).await.expect("a region");
    let metrics = Metrics::new()
        .expect("metrics")
        .for_route("payments", "swf");
    let source = sources.for_route(config.source_options());
    Arc::new(Route::new(
        config,
        source,
        metrics,
        &mut QueueCredits::default(),
    ))
}

/// Otherwise, a record that is made anew after a lapse would never get the message that is still to be published.
#[tokio::test]
async fn a_record_says_published_only_when_the_broker_has_confirmed_the_message() {
    let (inflight, route, task) = (InflightTable::new(1), route().await, task());
    let slot = route.slots.acquire().await;
    inflight.enter(&task, route, slot, Span::none());
    for (event, published) in [
        (None, false),
        (Some(Event::PublishFailed), false),
        (Some(Event::Confirmed), true),
    ] {
        if let Some(event) = event {
            inflight.on_publish(task.id, event);
        }
        let record = inflight
            .record(task.id, Durability::Durable)
            .expect("in flight");
        assert_eq!(record.published, published, "{event:?}");
    }
}

#[tokio::test]
async fn of_the_tasks_that_ended_before_a_start_the_last_is_forgotten_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileStore::open(&folder.path().join("tasks.redb")).expect("the store opens");
    let mut ended = Vec::new();
    for _ in 0..3 {
        // It writes down which had ended before; of those that are written down together nobody knows the order.
        let task = insert(&store, 1).await.remove(0);
        insist(async || store.remove(task.id).await).await;
        ended.push(task.id);
    }
    let uri = "amqp://127.0.0.1:1".parse().expect("a URI");
    let (broker, _replies) = RabbitMq::start(Options {
        access: Access::new(RabbitMqConfig::at(vec![uri])),
        identity: String::new(),
        reply_queue: "replies".to_owned(),
        replies_expire: Duration::from_secs(60),
        prefetch: 1,
        supervisor: Supervisor::default(),
    });
    let bridge = Arc::new(Bridge {
        broker: Arc::new(broker),
        store: Arc::new(store),
        routes: Routes::new(Vec::new()),
        inflight: InflightTable::new(3),
        lost_queues: LostQueues::default(),
        ownership: OwnershipCheck::default(),
        adopting: Mutex::default(),
        park_retries: Semaphore::new(MAX_PARK_RETRIES),
        unusable: activity_bridge::util::log_tally::LogTally::default(),
        metrics: Metrics::new().expect("metrics"),
        tracer: Tracer::default(),
        supervisor: Supervisor::default(),
    });
    assert!(recovery::restore_all(&bridge).await.is_empty());
    for forgotten in 0..=3 {
        let is_known = |id: &TaskId| matches!(bridge.inflight.standing(*id), Standing::Ended);
        let known: Vec<_> = ended.iter().map(is_known).collect();
        assert_eq!(known, [0, 1, 2].map(|nth| nth >= forgotten));
        // This one takes the place of the oldest.
        bridge.inflight.remember_ended([TaskId::random()]);
    }
}
