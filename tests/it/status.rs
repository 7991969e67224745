//! The status page and `/status.json`: what they tell, and to whom.

use crate::harness::{Answer, BridgeProcess, HOLD, Route, Scene, World, eventually, http};
use reqwest::{Response, header::HOST};
use serde_json::Value;

/// What would be a script, were it not escaped. AWS says it back, so it is in a state, and in a line of the log.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

async fn status(bridge: &BridgeProcess) -> Value {
    let answer = bridge.answer("/status.json").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer.json().await.expect("JSON")
}

#[tokio::test]
async fn the_status_tells_of_a_task_from_its_poll_to_its_end() {
    let scene = Scene::with("max_in_flight = 3\npollers = { min = 1, max = 1 }").await;
    scene.bridge.route_is("payments", "polling").await;
    let (id, task) = scene.task(scene.plain()).await;
    scene
        .inbox
        .reply(&task, Answer::of("heartbeat", "half"))
        .await;
    // Between one poll and the next the second slot is free for a moment.
    let told = eventually("a status that tells of the task and of a poll", || async {
        let told = status(&scene.bridge).await;
        let route = &told["routes"][0];
        let is_it = route["in_flight"]["working"] == 1 && route["open_polls"] == 1;
        is_it.then_some(told)
    })
    .await;
    assert_eq!(told["ready"], true, "{told}");
    assert_eq!(told["phase"], "running", "{told}");
    assert_eq!(told["tasks_in_flight"], 1, "{told}");
    assert_eq!(told["store"]["state"], "ok", "{told}");
    assert_eq!(told["broker"]["state"], "connected", "{told}");
    let route = &told["routes"][0];
    for (field, value) in [
        ("name", Value::from("payments")),
        ("source", "swf".into()),
        ("destination", "queue payments".into()),
        ("ready", true.into()),
        ("state", "polling".into()),
        ("slots_taken", 2.into()),
        ("slots", 3.into()),
    ] {
        assert_eq!(route[field], value, "{field} of {route}");
    }
    assert!(route["oldest_task_secs"].is_u64(), "{route}");
    assert_eq!(route["totals"]["polled"], 1, "{route}");
    let text = told.to_string();
    assert!(!text.contains(&task.id()), "the whole id in {text}");

    scene.inbox.reply(&task, Answer::done("ok").remove(0)).await;
    scene.world.closed(&id).await;
    scene.bridge.idle().await;
    let told = status(&scene.bridge).await;
    let totals = &told["routes"][0]["totals"];
    assert_eq!(
        (&totals["completed"], &totals["ended"]),
        (&1.into(), &1.into()),
        "{told}"
    );
    assert!(totals["duration_secs"].as_f64() > Some(0.0), "{told}");
    assert_eq!(told["routes"][0]["oldest_task_secs"], Value::Null, "{told}");
}

#[tokio::test]
async fn the_page_escapes_what_others_say_and_runs_its_own_script_alone() {
    let world = World::of_the_endpoint(HOLD).await;
    let route = Route::new("payments").domain(HOSTILE);
    let bridge = world
        .bridge(&[route.with("poll_without_consumers = true")])
        .await;
    bridge.route_is("payments", HOSTILE).await;
    let told = status(&bridge).await;
    let state = told["routes"][0]["state"].as_str().expect("a state");
    assert!(state.contains(HOSTILE), "{told}");
    let problems = told["problems"].to_string();
    assert!(problems.contains("onerror"), "{told}");
    assert!(
        told["routes"][0]["advice"]["text"]
            .as_str()
            .is_some_and(|text| text.contains("create the domain")),
        "{told}"
    );

    let page = bridge.answer("/").await;
    assert_eq!(page.status(), 200);
    let header = |name: &str| page.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    for source in ["unsafe-inline", "unsafe-eval", "*", "http"] {
        assert!(!policy.contains(source), "{policy}");
    }
    let nonce = policy
        .split("'nonce-")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    let nonce = nonce.expect("a nonce").to_owned();
    let html = page.text().await.expect("text");
    assert!(
        html.contains(&format!("<script nonce=\"{nonce}\">")),
        "{html}"
    );
    assert_eq!(html.matches("<script").count(), 1, "{html}");
    assert!(!html.contains("<img"), "{html}");
    assert_eq!(
        html.matches("&lt;img src=x").count(),
        2,
        "the state and the line of the log: {html}"
    );
    let again = bridge.answer("/").await;
    let again = again.headers()["content-security-policy"]
        .to_str()
        .expect("text")
        .to_owned();
    assert_ne!(again, policy, "a nonce is for one answer");
}

#[tokio::test]
async fn a_name_that_a_stranger_may_own_is_shown_nothing_and_probes_go_on() {
    let world = World::of_the_endpoint(HOLD).await;
    let bridge = world.bridge(&[Route::new("payments")]).await;
    let asked = |path: &str, host: &str| {
        let url = format!("http://{}{path}", bridge.admin_addr());
        let request = http().get(url).header(HOST, host);
        async move { request.send().await.expect("an answer") }
    };
    for path in ["/", "/status.json", "/tasks"] {
        let refused: Response = asked(path, "rebound.example:9464").await;
        assert_eq!(refused.status(), 421, "{path}");
        let why = refused.text().await.expect("text");
        assert!(
            why.contains("Host: localhost") && !why.contains("payments"),
            "{why}"
        );
        for host in [
            "localhost:9464",
            "10.1.2.3",
            "bridge",
            "bridge.shop.svc.cluster.local",
        ] {
            assert_eq!(asked(path, host).await.status(), 200, "{path} {host}");
        }
    }
    for path in ["/livez", "/readyz", "/started", "/metrics"] {
        let status = asked(path, "rebound.example").await.status();
        assert_ne!(status, 421, "{path}");
    }
}
