//! Several routes in one process: the failure of one does not affect the others.

use crate::harness::{Answer, Route, Source, StepFunctions, Swf, World, eventually};
use activity_sim::{FaultRule, Schedule, TaskState};
use rstest::rstest;
use serde_json::Value;
use std::time::Duration;

/// What is refused, in the words of the service.
fn refusals(source: Source) -> (&'static str, &'static str) {
    match source {
        Swf => (
            "OperationNotPermittedFault",
            "UnknownResourceFault: Unknown domain: vault",
        ),
        StepFunctions => ("AccessDeniedException", "ActivityDoesNotExist: "),
    }
}

fn secrets() -> Route {
    Route::new("secrets").domain("vault")
}

#[rstest]
#[tokio::test]
async fn a_forbidden_route_is_said_and_unready_while_the_other_works_until_it_is_permitted(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let world = World::new().await.of(source);
    world.create(&secrets());
    world.forbid(&secrets());
    let (forbidden, _) = refusals(source);
    one_route_is_refused(&world, forbidden, || world.permit(&secrets())).await;
}

#[rstest]
#[tokio::test]
async fn a_route_of_an_unknown_place_is_said_and_unready_while_the_other_works_until_there_is_one(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let world = World::new().await.of(source);
    let (_, unknown) = refusals(source);
    one_route_is_refused(&world, unknown, || world.create(&secrets())).await;
}

async fn one_route_is_refused(world: &World, fault: &str, mend: impl FnOnce()) {
    let _payments = world.worker("payments", |_| Answer::done("ok")).await;
    let _secrets = world.worker("secrets", |_| Answer::done("ok")).await;
    let routes = [Route::new("payments"), secrets()];
    let bridge = world.bridge(&routes).await;
    bridge.route_is("secrets", fault).await;
    world.schedule("payments", 100);
    world
        .until("the other route's tasks completed", |s| s.completed == 100)
        .await;

    let (status, body) = bridge.get("/readyz").await;
    assert_eq!(status, 503, "{body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["ready"], false);
    let (ready, state) = bridge.route("secrets").await;
    assert!(
        !ready && state.starts_with("refused: ") && state.contains(fault),
        "{state}"
    );
    assert_eq!(bridge.route("payments").await, (true, "polling".to_owned()));
    let said = bridge
        .logged("AWS refuses to be polled for this route")
        .await;
    assert!(
        said.contains("route=\"secrets\"") && said.contains(fault),
        "{said}"
    );
    assert_eq!(bridge.get("/livez").await.0, 200, "alive all the same");

    mend();
    let id = world.sim.schedule(world.task_for(&secrets())).remove(0);
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    eventually("readiness", || async {
        (bridge.get("/readyz").await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(bridge.route("secrets").await, (true, "polling".to_owned()));
}

/// A poll that was held since before the refusal says nothing of it when it ends.
#[tokio::test]
async fn a_refusal_lasts_until_a_poll_that_was_begun_after_it_is_let_in() {
    let world = World::with_hold(Duration::from_secs(10)).await.of(Swf);
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    let route = Route::new("payments").with("pollers = { min = 5, max = 5 }");
    let bridge = world.bridge(&[route]).await;
    world.until("five open polls", |s| s.open_polls == 5).await;
    let (forbidden, _) = refusals(Swf);
    world
        .sim
        .fault(FaultRule::error(Swf.poll(), 400, forbidden));
    // One poll ends with it, and the next is refused while four are still open.
    world.schedule("payments", 1);
    bridge.route_is("payments", forbidden).await;
    assert_eq!(world.sim.summary().open_polls, 4);

    eventually("four empty polls, and a second refusal", || async {
        let (status, body) = bridge.get("/readyz").await;
        assert_eq!(status, 503, "{body}");
        let empty = bridge.metric("polls_total{outcome=\"empty\"").await;
        let refused = bridge.metric("polls_total{outcome=\"refused\"").await;
        (empty == 4.0 && refused >= 2.0).then_some(())
    })
    .await;
    assert_eq!(bridge.get("/readyz").await.0, 503);
    let log = bridge.log();
    let said = log.matches("AWS refuses to be polled for this route");
    assert_eq!(said.count(), 1, "said once");

    world.sim.clear_faults();
    eventually("readiness", || async {
        (bridge.get("/readyz").await.0 == 200).then_some(())
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn ten_routes_in_one_process_each_bring_their_own_tasks_to_their_own_queue(
    #[values(Swf, StepFunctions)] source: Source,
) {
    let world = World::new().await.of(source);
    let names: Vec<_> = (0..10).map(|n| format!("route-{n}")).collect();
    let mut workers = Vec::new();
    for name in &names {
        let result = format!("by {name}");
        workers.push(world.worker(name, move |_| Answer::done(&result)).await);
    }
    let routes: Vec<_> = names.iter().map(|name| Route::new(name)).collect();
    let bridge = world.bridge(&routes).await;
    for name in &names {
        world.sim.schedule(Schedule {
            count: 30,
            ..world.plain(name)
        });
    }
    world.until("all completed", |s| s.completed == 300).await;
    world.assert_each_completed_once(300);
    for task in world.sim.tasks() {
        let of_route = |name: &&String| source.list(name) == task.task_list;
        let name = names.iter().find(of_route).expect("a route");
        assert_eq!(task.result, Some(source.result(&format!("by {name}"))));
    }
    bridge.idle().await;
    for (name, worker) in names.iter().zip(&workers) {
        assert_eq!(worker.seen().len(), 30, "{name}");
        assert_eq!(bridge.route(name).await, (true, "polling".to_owned()));
        let series =
            format!("settlements_total{{kind=\"completed\",outcome=\"accepted\",route=\"{name}\"");
        assert_eq!(bridge.metric(&series).await, 30.0, "{name}");
    }
    assert_eq!(bridge.get("/readyz").await.0, 200);
}
