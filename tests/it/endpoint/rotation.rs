//! Files of users and TLS that change while the bridge runs.

use super::client::{Client, PAYMENTS, ack};
use crate::harness::{Authority, BridgeProcess, Broker, HOLD, Route, World, eventually};
use activity_sim::TaskState;
use lapin::{Connection, ConnectionProperties, runtime::default_runtime, tcp::OwnedTLSConfig};
use std::{fs, os::unix::fs::symlink, path::PathBuf, time::Duration};
use tokio::time::timeout;

/// Deadline for a connection.
const SOON: Duration = Duration::from_secs(30);

/// A bridge that is the broker, and the files that its settings name.
struct Place {
    world: World,
    bridge: BridgeProcess,
    port: u16,
}

impl Place {
    /// With a user whose password is old, and with more settings. A word in capitals and its ending is the path of that file.
    async fn with(tls: &str, write: impl FnOnce(&World)) -> Self {
        let world = World::of_the_endpoint(HOLD).await;
        let Broker::Endpoint(port) = world.broker else {
            panic!("the bridge is the broker");
        };
        write(&world);
        fs::write(world.dir().join("password"), "old-secret\n").expect("writable");
        let folder = world.dir().display();
        let settings = format!(
            "{}\n[[amqp.users]]\nname = \"worker\"\npassword_file = \"{folder}/password\"\n",
            tls.replace("FOLDER", &folder.to_string())
        );
        let route = Route::new(PAYMENTS).plain_acks();
        let bridge = world.bridge_with(&settings, &[route]).await;
        Self {
            world,
            bridge,
            port,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.world.dir().join(name)
    }

    /// Replaces a file as a whole, so that the bridge reads no part of it.
    fn write(&self, name: &str, text: &str) {
        let next = self.file("next");
        fs::write(&next, text).expect("writable");
        fs::rename(next, self.file(name)).expect("renamed");
    }

    /// Connects as the user; over TLS if there is an authority to trust.
    async fn connect(
        &self,
        password: &str,
        trusted: Option<&Authority>,
    ) -> lapin::Result<Connection> {
        let scheme = if trusted.is_some() { "amqps" } else { "amqp" };
        let uri = format!("{scheme}://worker:{password}@127.0.0.1:{}/%2f", self.port);
        let tls = OwnedTLSConfig {
            identity: None,
            cert_chain: trusted.map(Authority::certificate),
        };
        let runtime = default_runtime().expect("tokio's");
        let properties = ConnectionProperties::default();
        let connecting = Connection::connect_with_config(&uri, properties, tls, runtime);
        timeout(SOON, connecting).await.expect("an answer in time")
    }
}

#[tokio::test]
async fn a_worker_that_connects_needs_the_password_that_its_file_holds_now() {
    let place = Place::with("", |_| {}).await;
    let before = place.connect("old-secret", None).await;
    let mut before = Client::on(before.expect("a connection"), 1).await;
    place.write("password", "new-secret\n");
    let after = place.connect("new-secret", None).await;
    assert!(after.is_ok(), "at once: {after:?}");
    let refused = place.connect("old-secret", None).await;
    let refused = refused.expect_err("the old password").to_string();
    assert!(refused.contains("Login was refused"), "{refused}");
    let line = place
        .bridge
        .logged("files of users or TLS have changed")
        .await;
    assert!(line.contains("amqp.users[0].password_file"), "{line}");
    // Who is there stays.
    let id = place.world.schedule(PAYMENTS, 1).remove(0);
    let (_, delivery) = before.next().await;
    ack(&delivery).await;
    assert_eq!(place.world.closed(&id).await.state, TaskState::Completed);
    assert!(!place.bridge.log().contains("-secret"));
}

#[tokio::test]
async fn a_file_that_cannot_be_used_leaves_the_password_and_the_log_says_why() {
    let place = Place::with("", |_| {}).await;
    place.write("password", "new-secret\nnewer-secret\n");
    // Nobody connects.
    let line = place
        .bridge
        .logged("a file of users or TLS can't be used")
        .await;
    let why = [
        "amqp.users[0].password_file: the file",
        "has more than one line",
    ];
    assert!(why.iter().all(|why| line.contains(why)), "{line}");
    assert!(place.connect("old-secret", None).await.is_ok());
    place.write("password", "newer-secret\n");
    assert!(place.connect("newer-secret", None).await.is_ok());
    assert!(place.connect("old-secret", None).await.is_err());
    let log = place.bridge.log();
    let told = log.matches("a file of users or TLS can't be used").count();
    assert_eq!(told, 1, "{log}");
    assert!(!log.contains("-secret"), "{log}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_next_client() {
    const TLS: &str =
        "[amqp.tls]\ncert_file = \"FOLDER/server.pem\"\nkey_file = \"FOLDER/server.key\"\n";
    let (old, new) = (Authority::new(), Authority::new());
    let place = Place::with(TLS, |world| {
        old.sign(&["127.0.0.1"]).write(world.dir(), "server");
    })
    .await;
    assert!(place.connect("old-secret", Some(&old)).await.is_ok());
    assert!(place.connect("old-secret", Some(&new)).await.is_err());
    let renewed = new.sign(&["127.0.0.1"]);
    // A certificate without its key, as in the middle of a rotation, changes nothing.
    place.write("server.pem", &renewed.certificate);
    assert!(place.connect("old-secret", Some(&old)).await.is_ok());
    place.write("server.key", &renewed.key);
    assert!(place.connect("old-secret", Some(&new)).await.is_ok());
    assert!(place.connect("old-secret", Some(&old)).await.is_err());
}

/// A Kubernetes volume puts a new folder into the place of the old one.
#[tokio::test]
async fn a_file_that_is_replaced_by_another_is_read_too() {
    let place = Place::with("", |world| {
        fs::create_dir(world.dir().join("one")).expect("a folder");
        symlink("one", world.dir().join("..data")).expect("a link");
        symlink("..data/password", world.dir().join("password")).expect("a link");
    })
    .await;
    fs::create_dir(place.file("two")).expect("a folder");
    place.write("two/password", "new-secret\n");
    symlink("two", place.file("..next")).expect("a link");
    fs::rename(place.file("..next"), place.file("..data")).expect("renamed");
    eventually("the new password", || async {
        place.connect("new-secret", None).await.ok()
    })
    .await;
}
