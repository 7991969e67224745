//! Users that log in with a certificate.

use super::client::{Client, PAYMENTS, ack};
use crate::harness::{Authority, BridgeProcess, Broker, HOLD, Identity, Route, World};
use activity_sim::TaskState;
use lapin::{
    Connection, ConnectionProperties,
    options::BasicGetOptions,
    runtime::default_runtime,
    tcp::{OwnedIdentity, OwnedTLSConfig},
};
use std::time::Duration;
use tokio::time::timeout;

/// Deadline for a connection.
const SOON: Duration = Duration::from_secs(30);

/// A bridge that is the broker, over TLS with certificates of clients.
struct Place {
    world: World,
    bridge: BridgeProcess,
    authority: Authority,
    port: u16,
}

impl Place {
    /// With these tables `[[amqp.users]]`. The file `password` has the word secret.
    async fn with(users: &str) -> Self {
        let world = World::of_the_endpoint(HOLD).await;
        let Broker::Endpoint(port) = world.broker else {
            panic!("the bridge is the broker");
        };
        let authority = Authority::new();
        let server = authority.sign(&["127.0.0.1"]);
        let file = |name: &str, text: &str| {
            let path = world.dir().join(name);
            std::fs::write(&path, text).expect("the file can be written");
            path
        };
        let settings = format!(
            "[amqp.tls]\ncert_file = {:?}\nkey_file = {:?}\nclient_ca_file = {:?}\n{}",
            file("server.pem", &server.certificate),
            file("server.key", &server.key),
            file("authority.pem", &authority.certificate()),
            users.replace("PASSWORD", &format!("{:?}", file("password", "secret\n"))),
        );
        let routes = [PAYMENTS, "refunds"].map(|name| Route::new(name).plain_acks());
        let bridge = world.bridge_with(&settings, &routes).await;
        Self {
            world,
            bridge,
            authority,
            port,
        }
    }

    /// Connects with a certificate.
    async fn connect(&self, login: Login, identity: &Identity) -> lapin::Result<Connection> {
        let address = format!("127.0.0.1:{}/%2f", self.port);
        let uri = match login {
            Login::Password => format!("amqps://by-password:secret@{address}"),
            Login::Certificate => format!("amqps://{address}?auth_mechanism=external"),
        };
        let tls = OwnedTLSConfig {
            identity: Some(OwnedIdentity::PKCS8 {
                pem: identity.certificate.clone().into_bytes(),
                key: identity.key.clone().into_bytes(),
            }),
            cert_chain: Some(self.authority.certificate()),
        };
        let connecting = Connection::connect_with_config(
            &uri,
            ConnectionProperties::default(),
            tls,
            default_runtime().expect("tokio's"),
        );
        timeout(SOON, connecting).await.expect("an answer in time")
    }
}

/// How a client logs in.
#[derive(Clone, Copy)]
enum Login {
    /// As the user `by-password`.
    Password,
    /// By `EXTERNAL`.
    Certificate,
}

const USERS: &str = "
[[amqp.users]]
name = \"by-certificate\"
certificate_name = \"worker.shop\"
routes = [\"payments\"]
[[amqp.users]]
name = \"by-password\"
password_file = PASSWORD
";

#[tokio::test]
async fn a_worker_with_the_certificate_of_a_user_works_as_that_user_and_needs_no_password() {
    let place = Place::with(USERS).await;
    let identity = place.authority.sign(&["pod-7.shop", "worker.shop"]);
    let connection = place.connect(Login::Certificate, &identity).await;
    let mut worker = Client::on(connection.expect("a connection"), 1).await;
    let id = place.world.schedule(PAYMENTS, 1).remove(0);
    let (_, delivery) = worker.next().await;
    ack(&delivery).await;
    assert_eq!(place.world.closed(&id).await.state, TaskState::Completed);
    let channel = worker.connection.create_channel().await;
    let channel = channel.expect("a channel");
    let got = channel.basic_get("refunds".into(), BasicGetOptions::default());
    let refused = got.await.expect_err("the route is not the user's");
    let why = "the user may not use queue 'refunds'";
    assert!(refused.to_string().contains(why), "{refused}");
}

#[tokio::test]
async fn a_certificate_that_names_no_user_needs_a_password_and_one_of_a_stranger_is_no_use() {
    let place = Place::with(USERS).await;
    let other = place.authority.sign(&["other.shop"]);
    let refused = place.connect(Login::Certificate, &other).await;
    let refused = refused.expect_err("nobody has this name").to_string();
    assert!(refused.contains("Login was refused"), "{refused}");
    let logged = place.bridge.logged("refused a login").await;
    for why in ["no user with the certificate_name", "other.shop"] {
        assert!(logged.contains(why), "{logged}");
    }
    let connection = place.connect(Login::Password, &other).await;
    let channel = connection.expect("a connection").create_channel().await;
    assert!(channel.is_ok());
    let stranger = Authority::new().sign(&["worker.shop"]);
    for login in [Login::Certificate, Login::Password] {
        let refused = place.connect(login, &stranger).await;
        assert!(refused.is_err(), "its authority is not trusted");
    }
}

#[tokio::test]
async fn without_a_user_that_has_a_certificate_name_no_certificate_is_a_login() {
    let users = "[[amqp.users]]\nname = \"by-password\"\npassword_file = PASSWORD\n";
    for users in ["", users] {
        let place = Place::with(users).await;
        let identity = place.authority.sign(&["by-password"]);
        let refused = place.connect(Login::Certificate, &identity).await;
        assert!(refused.is_err());
        let password = place.connect(Login::Password, &identity).await;
        assert!(password.is_ok());
    }
}
