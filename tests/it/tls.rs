//! `amqps://`: the broker must prove who it is, to what the system trusts or to authorities of the operator's. The bridge proves who it
//! is where the broker asks for it.

use crate::harness::{
    Answer, Authority, BridgeProcess, HOLD, Inbox, Node, Route, World, command, free_port,
};
use activity_sim::TaskState;
use std::path::Path;
use tempfile::TempDir;

/// Writes an authority's certificate, and a server's certificate and key, and returns the folder.
fn certificates() -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    let authority = Authority::new();
    authority.sign(&NAMES).write(dir.path(), "server");
    let path = dir.path().join("authority.pem");
    std::fs::write(path, authority.certificate()).expect("the file can be written");
    dir
}

/// The names of a server's certificate.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

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

/// A node that asks for certificates of its clients, and all that both sides may show.
struct Mutual {
    dir: TempDir,
    authority: Authority,
    foreign: Authority,
    node: Node,
    port: u16,
}

impl Mutual {
    /// With these plugins and settings of the node.
    async fn new(plugins: &[&str], settings: &str) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let (authority, foreign) = (Authority::new(), Authority::new());
        for (name, of) in [("authority.pem", &authority), ("foreign.pem", &foreign)] {
            std::fs::write(dir.path().join(name), of.certificate()).expect("writable");
        }
        authority.sign(&NAMES).write(dir.path(), "server");
        let port = free_port();
        let folder = dir.path().display();
        let tls = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {folder}/authority.pem\n\
             ssl_options.certfile = {folder}/server.pem\nssl_options.keyfile = {folder}/server.key\n\
             ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n{settings}"
        );
        let node = Node::start_with_plugins(&tls, plugins).await;
        Self {
            dir,
            authority,
            foreign,
            node,
            port,
        }
    }

    /// The table `[amqp.tls]` with an authority, and with the certificate of a name.
    fn tls(&self, ca: &str, identity: Option<&str>) -> String {
        let file = |name: &str, ending| self.dir.path().join(format!("{name}.{ending}"));
        let mut table = format!("[amqp.tls]\nca_file = {:?}\n", file(ca, "pem"));
        if let Some(name) = identity {
            let (cert, key) = (file(name, "pem"), file(name, "key"));
            table += &format!("cert_file = {cert:?}\nkey_file = {key:?}\n");
        }
        table
    }

    /// What the check says with that table. The system trusts another authority.
    async fn check(&self, world: &World, ca: &str, identity: Option<&str>) -> (bool, String) {
        let table = self.tls(ca, identity);
        let config = world.write_config(&table, &[Route::new("payments")]);
        check(world, &config, &self.dir.path().join("foreign.pem")).await
    }
}

#[tokio::test]
async fn only_right_certificates_of_both_sides_make_a_connection_and_the_check_says_what_is_wrong()
{
    let place = Mutual::new(&[], "").await;
    let uri = format!("amqps://guest:guest@localhost:{}/%2f", place.port);
    let world = World::at(uri, HOLD).await;
    let (dir, right) = (place.dir.path(), Some("right"));
    place.authority.sign(&["bridge.shop"]).write(dir, "right");
    let expired = place.authority.sign_expired(&["bridge.shop"]);
    expired.write(dir, "expired");
    place.foreign.sign(&["bridge.shop"]).write(dir, "strange");

    let (fine, said) = place.check(&world, "authority", right).await;
    assert!(fine && said.contains("logged in"), "{said}");
    for identity in [Some("expired"), Some("strange"), None] {
        let (fine, said) = place.check(&world, "authority", identity).await;
        assert!(!fine, "{identity:?}: {said}");
        assert!(said.contains("amqp.tls.cert_file"), "{identity:?}: {said}");
    }
    let (fine, said) = place.check(&world, "foreign", right).await;
    assert!(!fine && said.contains("amqp.tls.ca_file"), "{said}");

    let of_server = [
        (
            place.authority.sign_expired(&NAMES),
            "certificate has expired; renew it there",
        ),
        (
            place.foreign.sign(&NAMES),
            "put its authority into the file of amqp.tls.ca_file",
        ),
        (
            place.authority.sign(&["other.shop"]),
            "certificate has other names",
        ),
    ];
    for (shown, expected) in of_server {
        shown.write(dir, "server");
        place.node.ctl(&["eval", "ssl:clear_pem_cache()."]).await;
        let (fine, said) = place.check(&world, "authority", right).await;
        assert!(!fine && said.contains(expected), "{expected}: {said}");
    }
    place.authority.sign(&NAMES).write(dir, "server");
    place.node.ctl(&["eval", "ssl:clear_pem_cache()."]).await;
    let (fine, said) = place.check(&world, "authority", right).await;
    assert!(fine, "{said}");
}

/// The connections of both libraries log in, and log in again with another certificate when the files have changed.
#[tokio::test]
async fn a_certificate_is_the_login_and_is_rotated_without_a_restart() {
    let place = Mutual::new(
        &["rabbitmq_auth_mechanism_ssl"],
        "auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\nssl_cert_login_from = common_name\n",
    )
    .await;
    let dir = place.dir.path();
    for user in ["one.shop", "two.shop"] {
        place.node.ctl(&["add_user", user, "unknown"]).await;
        place.node.ctl(&["clear_password", user]).await;
        let all = ["set_permissions", user, ".*", ".*", ".*"];
        place.node.ctl(&all).await;
    }
    let uri = format!(
        "amqps://localhost:{}/%2f?auth_mechanism=external",
        place.port
    );
    let world = World::at(uri, HOLD).await;
    let plain = World::at(place.node.amqp_uri.clone(), HOLD).await;
    let _worker = plain
        .worker("payments", |_| {
            let unusable = Answer {
                correlation_id: Some(String::new()),
                ..Answer::default()
            };
            [vec![unusable], Answer::done("ok")].concat()
        })
        .await;
    let completes = async || {
        let id = world.schedule("payments", 1).remove(0);
        assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    };
    place.authority.sign(&["one.shop"]).write(dir, "bridge");
    let table = place.tls("authority", Some("bridge"));
    let config = world.write_config(&table, &[Route::new("payments")]);
    let bridge = BridgeProcess::start(&config, &world.sim.url(), &[]).await;
    completes().await;
    let inbox = Inbox::connect(&plain.amqp_uri).await;
    inbox.next("activity-bridge.parked").await;

    place.authority.sign(&["two.shop"]).write(dir, "bridge");
    let line = bridge.logged("files for the broker have changed").await;
    assert!(line.contains("amqp.tls"), "{line}");
    completes().await;
    assert!(!bridge.log().contains("no connection to the broker"));
    // RabbitMQ closes the connections of a user that it does not have any more.
    place.node.ctl(&["delete_user", "one.shop"]).await;
    bridge.logged("no connection to the broker").await;
    completes().await;

    // A certificate of nobody.
    place.authority.sign(&["three.shop"]).write(dir, "bridge");
    let (fine, said) = place.check(&world, "authority", Some("bridge")).await;
    assert!(!fine && said.contains("ACCESS_REFUSED"), "{said}");
}
