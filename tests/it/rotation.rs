//! The address of RabbitMQ in a file that changes while the bridge runs. The endpoint's files are in `endpoint::rotation`.

use crate::harness::{Answer, BridgeProcess, Proxy, Route, World, eventually, put};
use activity_sim::TaskState;
use serde_json::json;
use std::{fs, path::PathBuf};

/// A user of the world's virtual host, whose URI is in a file.
struct User {
    world: World,
    proxy: Proxy,
    name: String,
    file: PathBuf,
}

impl User {
    async fn new() -> Self {
        let world = World::new().await;
        let proxy = Proxy::start(&world.amqp_uri).await;
        let user = Self {
            name: format!("rotated-{}", world.vhost()),
            file: world.dir().join("uri"),
            proxy,
            world,
        };
        user.set_password("old-secret").await;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        let place = format!("permissions/{}/{}", user.world.vhost(), user.name);
        put(&format!("{}/api/{place}", api()), &all).await;
        user
    }

    async fn set_password(&self, password: &str) {
        let login = json!({"password": password, "tags": ""});
        put(&format!("{}/api/users/{}", api(), self.name), &login).await;
    }

    fn write(&self, password: &str) {
        let (_, server) = self.proxy.uri.split_once('@').expect("a login");
        self.replace(&format!("amqp://{}:{password}@{server}\n", self.name));
    }

    /// Replaces the file as a whole, so that the bridge reads no part of it.
    fn replace(&self, text: &str) {
        let next = self.file.with_extension("next");
        fs::write(&next, text).expect("writable");
        fs::rename(next, &self.file).expect("renamed");
    }

    async fn bridge(&self) -> BridgeProcess {
        let config = self.world.write_config("", &[Route::new("payments")]);
        let text = fs::read_to_string(&config).expect("a configuration");
        let uri = format!("uri = \"{}\"", self.world.amqp_uri);
        let text = text.replace(&uri, &format!("uri_file = {:?}", self.file));
        fs::write(&config, text).expect("writable");
        BridgeProcess::start(&config, &self.world.sim.url(), &[]).await
    }

    async fn completes(&self) {
        let id = self.world.schedule("payments", 1).remove(0);
        let task = self.world.closed(&id).await;
        assert_eq!(task.state, TaskState::Completed);
    }

    /// Ends the bridge's connections, and lets it connect again when it has seen that.
    async fn cut(&self, bridge: &BridgeProcess) {
        let ends = || bridge.log().matches("no connection to the broker").count();
        let before = ends();
        self.proxy.cut(true);
        eventually("the end of the connections", || async {
            (ends() > before).then_some(())
        })
        .await;
        self.proxy.cut(false);
    }
}

fn api() -> String {
    std::env::var("RABBITMQ_API").expect("the harness has looked already")
}

#[tokio::test]
async fn a_rotated_password_needs_no_restart() {
    let user = User::new().await;
    let _worker = user.world.worker("payments", |_| Answer::done("ok")).await;
    user.write("old-secret");
    let bridge = user.bridge().await;
    user.completes().await;

    // The password is changed first, and the file when the bridge has seen it.
    user.set_password("new-secret").await;
    user.cut(&bridge).await;
    let refused = bridge.logged("ACCESS_REFUSED").await;
    assert!(refused.contains("no connection to the broker"), "{refused}");
    user.write("new-secret");
    user.completes().await;

    // The file is changed first. The connection that is open stays.
    user.write("newer-secret");
    let line = bridge.logged("files for the broker have changed").await;
    assert!(line.contains("amqp.uri_file"), "{line}");
    user.completes().await;
    user.set_password("newer-secret").await;
    user.cut(&bridge).await;
    user.completes().await;
    assert!(!bridge.log().contains("-secret"));
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_before_it_is_needed_and_is_read_again_when_it_is() {
    let user = User::new().await;
    let _worker = user.world.worker("payments", |_| Answer::done("ok")).await;
    user.write("old-secret");
    let bridge = user.bridge().await;
    user.completes().await;
    user.replace("old-secret\n");
    let line = bridge.logged("a file for the broker can't be used").await;
    let why = "amqp.uri_file: the URI in the file";
    assert!(line.contains(why), "{line}");
    user.completes().await;
    user.cut(&bridge).await;
    user.write("old-secret");
    user.completes().await;
    assert!(!bridge.log().contains("-secret"));
}
