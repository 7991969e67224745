//! `amqps://`: the broker must prove who it is, to the certificates that the system trusts.

use crate::harness::{Authority, HOLD, Node, Route, World, command, free_port};
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

#[tokio::test]
async fn a_broker_is_reached_over_tls_and_only_with_a_certificate_that_is_trusted() {
    let dir = certificates();
    let port = free_port();
    let file = |name: &str| dir.path().join(name);
    let node = Node::start_with(&format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\n",
        file("authority.pem").display(),
        file("server.pem").display(),
        file("server.key").display()
    ))
    .await;
    let uri = format!("amqps://guest:guest@localhost:{port}/%2f");
    let world = World::at(uri, HOLD).await;
    let config = world.write_config("", &[Route::new("payments")]);

    let (fine, said) = check(&world, &config, &file("authority.pem")).await;
    assert!(fine, "{said}");
    let (fine, said) = check(&world, &config, &file("server.pem")).await;
    assert!(!fine && said.contains("invalid peer certificate"), "{said}");
    drop(node);
}
