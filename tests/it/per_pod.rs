//! One configuration for all pods: a task list and a queue for each.

use crate::harness::{Answer, BridgeProcess, Route, World};

#[tokio::test]
async fn a_route_of_each_pod_brings_the_tasks_of_its_list_to_its_queue() {
    let world = World::new().await;
    let config = world.write_config("", &[Route::new("payments")]);
    let text = std::fs::read_to_string(&config).expect("readable");
    let text = ["queue", "task_list"].iter().fold(text, |text, key| {
        let of_pod = format!("{key} = \"payments.${{HOSTNAME}}\"");
        text.replace(&format!("{key} = \"payments\""), &of_pod)
    });
    assert_eq!(text.matches("payments.${HOSTNAME}").count(), 2, "{text}");
    std::fs::write(&config, text).expect("written");

    let pods = ["web-0", "web-1"];
    let list = |pod: &str| format!("payments.{pod}");
    let ids = pods.map(|pod| world.schedule(&list(pod), 1).remove(0));
    for (pod, id) in pods.iter().zip(&ids) {
        let env = [("HOSTNAME", *pod)];
        let mut bridge = BridgeProcess::start(&config, &world.sim.url(), &env).await;
        let worker = world.worker(&list(pod), |_| Answer::done("ok")).await;
        world.closed(id).await;
        let seen = worker.has_seen(1).await.remove(0);
        assert_eq!(seen.header("task-list"), Some(list(pod)));
        // The route has one name for all pods, so their metrics do too.
        assert!(
            bridge
                .metric("polls_total{outcome=\"task\",route=\"payments\"")
                .await
                >= 1.0
        );
        bridge.terminate().await;
    }
    world.assert_each_completed_once(pods.len());
}
