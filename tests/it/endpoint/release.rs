//! The command `release` where the bridge is the broker, and what it refuses with either broker.

use crate::{
    cli::release::{Releasing, assert_said},
    harness::{Answer, HOLD, Inbox, Route, World, command, eventually, http},
};
use activity_sim::TaskState;
use std::path::Path;

const PAYMENTS: &str = "payments";

/// Waits until the bridge has published so many tasks.
async fn has_published(scene: &Releasing<'_>, count: f64) {
    eventually("the confirms", || async {
        let confirmed = scene
            .bridge
            .metric("publishes_total{outcome=\"confirmed\",route=\"payments\"")
            .await;
        (confirmed == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn tasks_stay_in_the_bridge_s_own_queue_once_and_a_person_can_take_one_out_and_fail_it() {
    let world = World::of_the_endpoint(HOLD).await;
    let scene = Releasing::start(&world).await;
    world.schedule(PAYMENTS, 3);
    has_published(&scene, 3.0).await;
    let released = scene.release(&["--route", PAYMENTS]).await;
    assert_said(
        &released,
        0,
        &["\n3 tasks left in the queue: the bridge is"],
    );
    let results = scene.results(&["--route", PAYMENTS]).await;
    assert!(results.iter().all(|(_, result)| result == "queued"));
    assert_eq!(results.len(), 3);

    let id = &results[1].0;
    let fail = ["--task", &id[..8], "--fail", "--reason", "purged"];
    let failed = scene.release(&fail).await;
    assert_said(
        &failed,
        0,
        &[id, "payments  failed", "1 task failed back to AWS"],
    );
    world.until("failed", |s| s.failed == 1).await;
    let tasks = world.sim.tasks();
    let task = tasks.iter().find(|task| task.state == TaskState::Failed);
    let reason = task.and_then(|task| task.reason.as_deref());
    let expected = "an operator failed it before a worker had begun: purged";
    assert_eq!(reason, Some(expected));
    let again = scene.release(&fail).await;
    assert_said(&again, 1, &["this bridge has no task", "it has ended"]);

    let worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    world.until("completed", |s| s.completed == 2).await;
    scene.bridge.idle().await;
    let mut seen: Vec<_> = worker.seen().iter().map(|task| task.id()).collect();
    seen.sort_unstable();
    let mut expected = [results[0].0.clone(), results[2].0.clone()];
    expected.sort_unstable();
    assert_eq!(seen, expected, "each once, and not the failed one");
    let none = scene.release(&["--route", PAYMENTS]).await;
    assert_eq!(
        (none.code, none.out.as_str()),
        (Some(0), "no task of route payments waits for a worker\n")
    );
}

#[tokio::test]
async fn a_task_that_a_worker_has_is_left_alone_and_the_command_says_so() {
    let world = World::of_the_endpoint(HOLD).await;
    let scene = Releasing::start(&world).await;
    let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
    world.schedule(PAYMENTS, 1);
    let task = worker.has_seen(1).await.remove(0);
    let id = task.id();
    for fail in [&[][..], &["--fail"]] {
        let arguments = [&["--task", &id], fail].concat();
        let one = scene.release(&arguments).await;
        assert_said(&one, 1, &["payments  begun", "may still answer"]);
        let arguments = [&["--route", PAYMENTS], fail].concat();
        let all = scene.release(&arguments).await;
        assert_said(&all, 0, &["no task of route payments waits", "1 task left"]);
    }
    let inbox = Inbox::connect(&world.amqp_uri).await;
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    world.until("completed", |s| s.completed == 1).await;
    world.assert_each_settled_once(1);
}

#[tokio::test]
async fn what_the_bridge_does_not_know_is_refused_with_words_that_help() {
    let world = World::of_the_endpoint(HOLD).await;
    let scene = Releasing::start(&world).await;
    for (arguments, words) in [
        (
            ["--route", "paymnts"],
            &["no route \"paymnts\"", "payments, mail"][..],
        ),
        (
            ["--task", "0f8e"],
            &["\"0f8e\" is no task", "first 8 digits"],
        ),
        (
            ["--task", "0f8e1c7b"],
            &["no task 0f8e1c7b", "activity-bridge tasks"],
        ),
    ] {
        let refused = scene.release(&arguments).await;
        assert_said(&refused, 1, words);
        assert_said(&refused, 1, &["admin.socket"]);
        assert_eq!(refused.out, "");
    }
    for arguments in [
        &["--fail"][..],
        &["--route", PAYMENTS, "--task", "0f8e1c7b"],
        &["--route", PAYMENTS, "--reason", "purged"],
    ] {
        let refused = scene.release(arguments).await;
        assert_said(&refused, 2, &["Usage: activity-bridge release"]);
    }
}

/// A release changes something, so the system must say who asks.
#[tokio::test]
async fn a_release_is_taken_by_post_on_the_local_socket_and_nowhere_else() {
    let world = World::of_the_endpoint(HOLD).await;
    let scene = Releasing::start(&world).await;
    let url = format!("http://{}/release", scene.bridge.admin_addr());
    let body =
        serde_json::json!({"store": "memory", "target": {"route": PAYMENTS}, "remedy": "publish"});
    let on_address = http().post(&url).json(&body).send().await;
    assert_eq!(on_address.expect("an answer").status().as_u16(), 404);
    let got = scene.ask("GET").await;
    assert!(got.starts_with("HTTP/1.1 405"), "{got}");
    // It has no body.
    let posted = scene.ask("POST").await;
    assert!(posted.starts_with("HTTP/1.1 415"), "{posted}");
}

/// How the command ends with this configuration, and this socket in its environment.
async fn release(config: &Path, socket: Option<&Path>) -> crate::cli::Ended {
    let mut command = command();
    command.args(["release", "--route", PAYMENTS, "--config"]);
    command.arg(config);
    if let Some(socket) = socket {
        command.env("ACTIVITY_BRIDGE_ADMIN__SOCKET", socket);
    }
    crate::cli::ended(command).await
}

#[tokio::test]
async fn where_the_bridge_can_not_be_asked_the_command_says_how_to_mend_it() {
    let world = World::of_the_endpoint(HOLD).await;
    let config = world.write_config("", &[Route::new(PAYMENTS)]);
    let nowhere = release(&config, None).await;
    let words = [
        "there is no local socket",
        "set admin.socket",
        "start the bridge again",
    ];
    assert_said(&nowhere, 1, &words);
    let socket = world.dir().join("none.sock");
    let nobody = release(&config, Some(&socket)).await;
    let words = ["none.sock", "no bridge listens there", "start the bridge"];
    assert_said(&nobody, 1, &words);

    let scene = Releasing::start(&world).await;
    let other = world.dir().join("other");
    std::fs::create_dir(&other).expect("a folder");
    let text = std::fs::read_to_string(&config).expect("readable");
    let of_file = format!("kind = \"file\"\npath = {:?}", other.join("tasks.redb"));
    std::fs::write(&config, text.replace("kind = \"memory\"", &of_file)).expect("written");
    let running = world.dir().join("run/admin.sock");
    let refused = release(&config, Some(&running)).await;
    let words = [
        "has the token store memory, not file",
        "give the configuration",
    ];
    assert_said(&refused, 1, &words);
    drop(scene);
}
