//! A configuration that the running process reads again: on SIGHUP, and when the command `reload` asks. `tests/flow/reload.rs` has the
//! questions of order.

use crate::{
    cli::{Ended, ended},
    harness::{
        Answer, BridgeProcess, HOLD, Inbox, Route, StepFunctions, Swf, World, command, eventually,
        free_port,
    },
};
use activity_sim::TaskState;
use std::path::PathBuf;

const PAYMENTS: &str = "payments";
const MAIL: &str = "mail";
const REFUNDS: &str = "refunds";

/// A bridge whose configuration changes.
pub struct Reloading<'w> {
    world: &'w World,
    pub bridge: BridgeProcess,
    config: PathBuf,
    socket: PathBuf,
}

impl<'w> Reloading<'w> {
    pub async fn start(world: &'w World, routes: &[Route]) -> Self {
        let config = world.write_config("", routes);
        let socket = world.dir().join("run/admin.sock");
        let env = [(
            "ACTIVITY_BRIDGE_ADMIN__SOCKET",
            socket.to_str().expect("text"),
        )];
        let bridge = BridgeProcess::start(&config, &world.sim.url(), &env).await;
        bridge.ready().await;
        Self {
            world,
            bridge,
            config,
            socket,
        }
    }

    /// Writes other routes into the configuration, below these settings.
    pub fn write(&self, settings: &str, routes: &[Route]) {
        let written = self.world.write_config(settings, routes);
        std::fs::rename(written, &self.config).expect("renamed");
    }

    /// Replaces a part of the configuration.
    pub fn write_with(&self, part: &str, by: &str) {
        let text = std::fs::read_to_string(&self.config).expect("readable");
        assert!(text.contains(part), "{text}");
        std::fs::write(&self.config, text.replacen(part, by, 1)).expect("written");
    }

    /// How the command ends.
    pub async fn reload(&self) -> Ended {
        let mut command = command();
        command.args(["reload", "--config"]).arg(&self.config);
        command.env("ACTIVITY_BRIDGE_ADMIN__SOCKET", &self.socket);
        ended(command).await
    }

    /// Writes other routes, and asks for a reload that succeeds.
    pub async fn reloaded(&self, routes: &[Route]) -> String {
        self.write("", routes);
        let ended = self.reload().await;
        assert_eq!(
            (ended.code, ended.err.as_str()),
            (Some(0), ""),
            "{}",
            ended.out
        );
        ended.out
    }
}

fn routes(names: &[&str]) -> Vec<Route> {
    names.iter().map(|name| Route::new(name)).collect()
}

#[tokio::test]
async fn sighup_adds_and_removes_routes_and_a_task_in_flight_goes_on() {
    let world = World::new().await;
    let scene = Reloading::start(&world, &routes(&[PAYMENTS, MAIL])).await;
    let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
    let in_flight = world.schedule(PAYMENTS, 1).remove(0);
    let task = worker.has_seen(1).await.remove(0);

    scene.write("", &routes(&[MAIL, REFUNDS]));
    scene.bridge.signal("HUP");
    let line = scene.bridge.logged("the configuration was reloaded").await;
    assert!(line.contains("added=\"refunds\""), "{line}");
    assert!(line.contains("removed=\"payments\""), "{line}");
    // The worker declares no queue: with a RabbitMQ the bridge has declared that of the new route.
    scene
        .bridge
        .route_is(REFUNDS, "waiting for a consumer on the queue")
        .await;
    let _refunds = world.worker(REFUNDS, |_| Answer::done("ok")).await;
    let of_new = world.schedule(REFUNDS, 1).remove(0);
    assert_eq!(world.closed(&of_new).await.state, TaskState::Completed);

    // The removed route polls no more, and its task ends as usual. A poll that was open would take the task.
    let polls = || async {
        let open = scene.bridge.metric("open_polls{route=\"payments\"").await;
        (open == 0.0).then_some(())
    };
    eventually("no open poll", polls).await;
    let later = world.schedule(PAYMENTS, 1).remove(0);
    let (ready, state) = scene.bridge.route(PAYMENTS).await;
    assert!(
        ready && state == "no longer configured; its tasks end",
        "{state}"
    );
    let inbox = Inbox::connect(&world.amqp_uri).await;
    inbox.reply(&task, Answer::done("ok").remove(0)).await;
    assert_eq!(world.closed(&in_flight).await.state, TaskState::Completed);
    scene.bridge.logged("the route has ended").await;
    let (_, metrics) = scene.bridge.get("/metrics").await;
    assert!(!metrics.contains("route=\"payments\""), "{metrics}");
    let task = world.sim.task(&later).expect("a record");
    assert_eq!(task.state, TaskState::Scheduled, "nobody polls for it");
}

/// Its tasks in flight have tokens of the service before.
#[tokio::test]
async fn a_route_does_not_change_to_the_other_service_of_aws() {
    let world = World::new().await;
    let [before, now] = [Swf, StepFunctions].map(|source| Route::new(PAYMENTS).of(source));
    let scene = Reloading::start(&world, std::slice::from_ref(&before)).await;
    let _worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    scene.write("", std::slice::from_ref(&now));
    let refused = scene.reload().await;
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert!(
        refused.err.contains("give the route another name"),
        "{}",
        refused.err
    );
    let id = world.sim.schedule(world.task_for(&before)).remove(0);
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn the_command_says_what_has_changed_and_what_needs_a_restart() {
    let world = World::new().await;
    let scene = Reloading::start(&world, &routes(&[PAYMENTS])).await;
    assert_eq!(scene.reload().await.out, "nothing has changed\n");
    let mut wider = routes(&[PAYMENTS, MAIL]);
    wider[0] = wider[0].clone().with("max_in_flight = 7");
    scene.write("[shutdown]\ngrace_secs = 80\n", &wider);
    let ended = scene.reload().await;
    let expected =
        "routes added: mail\nroutes changed: payments\nneeds a restart: shutdown.grace_secs\n";
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (Some(0), expected),
        "{}",
        ended.err
    );
    scene
        .bridge
        .logged("needs a restart: shutdown.grace_secs")
        .await;
    let (_, ready) = scene.bridge.get("/readyz").await;
    assert!(ready.contains("\"slots\":7"), "{ready}");
    assert_eq!(
        scene.bridge.metric("config_last_reload_successful").await,
        1.0
    );
}

#[tokio::test]
async fn an_invalid_file_is_refused_in_the_exit_code_the_log_and_the_metrics() {
    let world = World::new().await;
    let scene = Reloading::start(&world, &routes(&[PAYMENTS])).await;
    scene.write("", &routes(&[MAIL, MAIL]));
    let refused = scene.reload().await;
    assert_eq!(refused.code, Some(78), "{}", refused.err);
    assert!(refused.err.contains("routes[1].name"), "{}", refused.err);
    let line = scene
        .bridge
        .logged("the configuration was not reloaded")
        .await;
    assert!(line.contains("routes[1].name"), "{line}");
    assert_eq!(
        scene.bridge.metric("config_last_reload_successful").await,
        0.0
    );
    assert_eq!(
        scene.bridge.metric("config_reloads_refused_total").await,
        1.0
    );
    // What is no TOML can't say where the bridge is. The bridge says it all the same.
    std::fs::write(&scene.config, "[[routes").expect("written");
    assert_eq!(scene.reload().await.code, Some(78));
    scene.bridge.signal("HUP");
    let refused = || async {
        (scene.bridge.metric("config_reloads_refused_total").await == 2.0).then_some(())
    };
    eventually("the second refusal", refused).await;
    let _worker = world.worker(PAYMENTS, |_| Answer::done("ok")).await;
    let id = world.schedule(PAYMENTS, 1).remove(0);
    assert_eq!(world.closed(&id).await.state, TaskState::Completed);
}

#[tokio::test]
async fn the_level_of_the_log_changes() {
    let world = World::new().await;
    let scene = Reloading::start(&world, &routes(&[PAYMENTS])).await;
    let write = |level: &str| {
        let path = world.write_config("", &routes(&[PAYMENTS]));
        let text = std::fs::read_to_string(&path).expect("readable");
        let text = text.replace("level = \"debug\"", &format!("level = \"{level}\""));
        std::fs::write(&scene.config, text).expect("written");
    };
    write("error");
    let ended = scene.reload().await;
    assert_eq!(
        ended.out, "other keys changed: log.level\n",
        "{}",
        ended.err
    );
    let before = scene.bridge.log().lines().count();
    scene.bridge.signal("USR1");
    write("info");
    let ended = scene.reload().await;
    assert_eq!(
        ended.out, "other keys changed: log.level\n",
        "{}",
        ended.err
    );
    scene.bridge.signal("USR2");
    scene.bridge.logged("SIGUSR2: it has no meaning here").await;
    let log = scene.bridge.log();
    let since: Vec<_> = log.lines().skip(before).collect();
    assert!(
        since
            .iter()
            .all(|line| !line.contains("SIGUSR1") && !line.contains(" DEBUG ")),
        "{since:?}"
    );
}

#[tokio::test]
async fn a_reload_is_refused_while_the_bridge_drains() {
    let world = World::with_hold(HOLD).await;
    let scene = Reloading::start(&world, &routes(&[PAYMENTS])).await;
    let mut drain = command();
    drain.args(["drain", "--config"]).arg(&scene.config);
    drain.env("ACTIVITY_BRIDGE_ADMIN__SOCKET", &scene.socket);
    assert_eq!(ended(drain).await.code, Some(0));
    let refused = scene.reload().await;
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert!(
        refused.err.contains("in the phase drained"),
        "{}",
        refused.err
    );
}

#[tokio::test]
async fn the_command_fails_where_no_bridge_listens() {
    let world = World::new().await;
    let config = world.write_config("", &routes(&[PAYMENTS]));
    let mut command = command();
    command.args(["reload", "--config"]).arg(&config);
    let listen = format!("127.0.0.1:{}", free_port());
    command.env("ACTIVITY_BRIDGE_ADMIN__LISTEN", listen);
    let ended = ended(command).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.contains("no bridge listens there"),
        "{}",
        ended.err
    );
}
