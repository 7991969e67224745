//! `check --online`: a row for each thing that a configuration names, and what is wrong with it.

use super::{AWS_SECRET, Ended, NOBODY, PASSWORD, check, ended, user_of};
use crate::harness::{Answer, Inbox, Route, StepFunctions, Swf, World, arguments_of_the_bridge};
use activity_sim::FaultRule;
use lapin::{options::QueueDeclareOptions, types::FieldTable};
use std::path::Path;

async fn check_online(world: &World, config: &Path) -> Ended {
    let mut command = check(config);
    command
        .arg("--online")
        .env("AWS_ENDPOINT_URL_SWF", world.sim.url())
        .env("AWS_ENDPOINT_URL_SFN", world.sim.url());
    ended(command).await
}

#[tokio::test]
async fn an_online_check_of_what_works_ends_with_0() {
    let world = World::new().await;
    let _worker = world.worker("payments", |_| Answer::done("ok")).await;
    world.schedule("payments", 3);
    let config = world.write_config("", &[Route::new("payments"), Route::new("new")]);
    let ended = check_online(&world, &config).await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    ended.assert_row("configuration", "ok", "valid, routes: 2");
    ended.assert_row("AWS credentials", "ok", "found");
    ended.assert_row("route payments: task list", "ok", "tasks waiting: 3");
    ended.assert_row("route new: task list", "ok", "tasks waiting: 0");
    ended.assert_row("broker amqp://", "ok", "logged in");
    ended.assert_row("permission to publish", "ok", "granted");
    ended.assert_row("permission to have a reply queue", "ok", "granted");
    ended.assert_row("queue payments", "ok", "consumers: 1, ready: 0");
    ended.assert_row("queue new", "note", "the bridge declares it, if it may");
    // It has only looked.
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let passive = QueueDeclareOptions::durable().passive();
    let found = inbox
        .channel()
        .queue_declare("new".into(), passive, FieldTable::default());
    assert!(found.await.is_err(), "the check declared a queue");
    assert_eq!(world.sim.summary().polled, 0, "the check took a task");
}

#[tokio::test]
async fn an_online_check_says_which_route_aws_does_not_know_or_permit() {
    let world = World::new().await;
    world.sim.add_domain("vault");
    world.sim.forbid("vault");
    let routes = [
        Route::new("payments"),
        Route::new("lost").domain("nowhere"),
        Route::new("secrets").domain("vault"),
    ];
    let ended = check_online(&world, &world.write_config("", &routes)).await;
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    ended.assert_row("route payments: task list", "ok", "reached");
    ended.assert_row(
        "route lost: task list",
        "FAIL",
        "UnknownResourceFault: Unknown domain: nowhere",
    );
    ended.assert_row(
        "route secrets: task list",
        "FAIL",
        "OperationNotPermittedFault",
    );
    ended.assert_row("broker amqp://", "ok", "logged in");
}

#[tokio::test]
async fn an_online_check_says_which_activity_there_is_and_which_it_may_not_describe() {
    let world = World::new().await.of(StepFunctions);
    let secrets = Route::new("secrets").domain("vault");
    world.create(&secrets);
    world.forbid(&secrets);
    let routes = [
        Route::new("payments"),
        Route::new("lost").domain("nowhere"),
        secrets,
    ];
    let ended = check_online(&world, &world.write_config("", &routes)).await;
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    ended.assert_row("route payments: activity", "ok", "reached");
    ended.assert_row("route lost: activity", "FAIL", "ActivityDoesNotExist: ");
    ended.assert_row(
        "route secrets: activity",
        "note",
        "DescribeActivity is not permitted, so this could not be checked",
    );
    assert_eq!(world.sim.summary().polled, 0, "the check took a task");
}

/// The bridge would get through, later.
#[tokio::test]
async fn an_online_check_whose_question_is_throttled_notes_that_and_does_not_fail() {
    for (source, action, row) in [
        (
            Swf,
            "CountPendingActivityTasks",
            "route payments: task list",
        ),
        (
            StepFunctions,
            "DescribeActivity",
            "route payments: activity",
        ),
    ] {
        let world = World::new().await.of(source);
        let fault = FaultRule::error(action, 400, "ThrottlingException");
        world.sim.fault(fault);
        let ended = check_online(&world, &world.write_config("", &[Route::new("payments")])).await;
        assert_eq!(ended.code, Some(0), "{}", ended.out);
        ended.assert_row(row, "note", "ThrottlingException");
    }
}

#[tokio::test]
async fn an_online_check_says_which_queue_is_missing_or_has_other_arguments() {
    let world = World::new().await;
    let inbox = Inbox::connect(&world.amqp_uri).await;
    let durable = QueueDeclareOptions::durable();
    let classic = inbox
        .channel()
        .queue_declare("classic".into(), durable, FieldTable::default());
    classic.await.expect("declared");
    let arguments = arguments_of_the_bridge();
    let good = inbox
        .channel()
        .queue_declare("good".into(), durable, arguments);
    good.await.expect("declared");
    let blind = |exchange: &str| {
        let route = Route::new(exchange).without_queue();
        route.with(&format!(
            "exchange = \"{exchange}\"\nrouting_key = \"\"\npoll_without_consumers = true"
        ))
    };
    let routes = [
        Route::new("classic"),
        Route::new("good"),
        Route::new("missing").with("declare = false"),
        blind("orders"),
        blind("amq.topic"),
    ];
    let ended = check_online(&world, &world.write_config("", &routes)).await;
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    ended.assert_row("queue classic", "FAIL", "x-dead-letter-exchange");
    ended.assert_row(
        "queue classic",
        "FAIL",
        "`declare = false` to use it as it is",
    );
    ended.assert_row("queue good", "note", "consumers: 0");
    ended.assert_row("queue missing", "FAIL", "does not exist; create it");
    ended.assert_row("exchange orders", "FAIL", "does not exist; create it");
    ended.assert_row("exchange amq.topic", "ok", "there");
    for name in ["control", "replies", "dead-letters", "unclaimed"] {
        let ours = format!("exchange activity-bridge.{name}");
        ended.assert_row(&ours, "note", "the bridge declares it, if it may");
    }
}

#[tokio::test]
async fn an_online_check_says_that_the_broker_is_away_or_refuses_and_shows_no_password() {
    let world = World::new().await;
    let user = user_of(&world, PASSWORD).await;
    let config = world.write_config("", &[Route::new("payments")]);
    let good = world
        .amqp_uri
        .replace("guest:guest", &format!("{user}:{PASSWORD}"));
    let wrong = good.replace(PASSWORD, "wrong-horse-battery");
    let (_, server) = good.split_once('@').expect("a login");
    let away = good.replace(server, &format!("{NOBODY}/{}", world.vhost()));
    let no_vhost = format!("{good}-is-not-there");
    for (uri, code, mark, words) in [
        (&good, 0, "ok", "logged in"),
        (&wrong, 1, "FAIL", "ACCESS_REFUSED"),
        (&away, 1, "FAIL", "refused"),
        (&no_vhost, 1, "FAIL", "not found"),
    ] {
        let mut command = check(&config);
        command
            .arg("--online")
            .env("AWS_ENDPOINT_URL_SWF", world.sim.url());
        command
            .env("ACTIVITY_BRIDGE_AMQP__URI", uri)
            .env("AWS_SECRET_ACCESS_KEY", AWS_SECRET);
        let ended = ended(command).await;
        assert_eq!(ended.code, Some(code), "{}", ended.out);
        let row = ended.row("broker amqp://").to_lowercase();
        assert!(
            row.starts_with(&mark.to_lowercase()) && row.contains(&words.to_lowercase()),
            "{row}"
        );
        assert!(
            row.contains(&format!("broker amqp://{user}@127.0.0.1")),
            "{row}"
        );
        for secret in ["horse-battery", AWS_SECRET] {
            let said = format!("{}{}", ended.out, ended.err);
            assert!(!said.contains(secret), "{secret} in {said}");
        }
        ended.assert_row("route payments: task list", "ok", "reached");
    }
}

#[tokio::test]
async fn an_online_check_without_credentials_says_so() {
    let world = World::new().await;
    let config = world.write_config("", &[Route::new("payments")]);
    let mut command = check(&config);
    command
        .arg("--online")
        .env("AWS_ENDPOINT_URL_SWF", world.sim.url());
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env_remove("AWS_REGION");
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", world.dir());
    let ended = ended(command).await;
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    ended.assert_row("AWS region", "FAIL", "set aws.region, or AWS_REGION");
    ended.assert_row("AWS credentials", "FAIL", "");
    ended.assert_row("broker amqp://", "ok", "logged in");
}
