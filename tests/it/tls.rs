//! `amqps://`: the broker must prove who it is, to the certificates that the system trusts.

use crate::harness::{Answer, Authority, HOLD, Inbox, Node, Route, World, command, free_port};
use activity_sim::TaskState;
use std::path::Path;
use tempfile::TempDir;

/// Writes an authority's certificate, and a server's certificate and key, and returns the folder.
fn certificates() -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    let write = |name: &str, text: String| {
        std::fs::write(dir.path().join(name), text).expect("the file can be written");
    };
    let authority = Authority::new();
    let server = authority.sign(&["localhost", "127.0.0.1"]);
    write("authority.pem", authority.certificate());
    write("server.pem", server.certificate);
    write("server.key", server.key);
    dir
}

/// What `check --online` says, trusting the certificates of a file.
async fn check(world: &World, config: &Path, trusted: &Path) -> (bool, String) {
    let ran = command()
        .args(["check", "--online", "--config"])
        .arg(config)
        .env("AWS_ENDPOINT_URL_SWF", world.sim.url())
        .env("SSL_CERT_FILE", trusted)
        .output()
        .await
        .expect("the command runs");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    (ran.status.success(), said)
}

/// A node that speaks TLS too, with these certificates, and the URI of that.
async fn node_with(dir: &TempDir) -> (Node, String) {
    let port = free_port();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let node = Node::start_with(&format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\n",
        file("authority.pem"),
        file("server.pem"),
        file("server.key")
    ))
    .await;
    let uri = format!("amqps://guest:guest@localhost:{port}/%2f");
    (node, uri)
}

#[tokio::test]
async fn a_broker_is_reached_over_tls_and_only_with_a_certificate_that_is_trusted() {
    let dir = certificates();
    let (node, uri) = node_with(&dir).await;
    let file = |name: &str| dir.path().join(name);
    let world = World::at(uri, HOLD).await;
    let config = world.write_config("", &[Route::new("payments")]);

    let (fine, said) = check(&world, &config, &file("authority.pem")).await;
    assert!(fine, "{said}");
    let (fine, said) = check(&world, &config, &file("server.pem")).await;
    assert!(!fine && said.contains("invalid peer certificate"), "{said}");
    drop(node);
}

/// All three connections of the bridge, which two libraries make.
#[tokio::test]
async fn tasks_replies_and_parked_replies_go_over_tls() {
    let dir = certificates();
    let (node, uri) = node_with(&dir).await;
    let world = World::at(uri, HOLD).await;
    // This process does not trust the certificate, so its clients do without TLS.
    let plain = World::at(node.amqp_uri.clone(), HOLD).await;
    let result = "x".repeat(30_000);
    let _worker = plain
        .worker("payments", move |_| {
            let unusable = Answer {
                correlation_id: Some(String::new()),
                ..Answer::default()
            };
            [
                vec![unusable, Answer::of("heartbeat", "")],
                Answer::done(&result),
            ]
            .concat()
        })
        .await;
    let trusted = dir.path().join("authority.pem").display().to_string();
    let env = [("SSL_CERT_FILE", trusted.as_str())];
    let bridge = world.bridge_in(&env, "", &[Route::new("payments")]).await;
    for id in world.schedule("payments", 20) {
        let task = world.closed(&id).await;
        assert_eq!(task.state, TaskState::Completed);
        assert_eq!(task.result.map(|result| result.len()), Some(30_000));
    }
    let inbox = Inbox::connect(&plain.amqp_uri).await;
    for _ in 0..20 {
        inbox.next("activity-bridge.parked").await;
    }
    assert!(!bridge.log().contains("no connection to the broker"));
}
