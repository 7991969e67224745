//! Redis over TLS with authorities of the operator's and a certificate of the bridge's, and a password in a file that changes.

use super::{Replica, Server, authority::Authority};
use crate::harness::{eventually, insert, insist, payments, task, well};
use ::redis::Value;
use activity_bridge::{
    store::redis::{self, RedisConfig},
    store::{RedisStore, Store},
    tls::ClientTls,
};
use std::{fs, path::Path};
use tempfile::TempDir;

/// The names of a server's certificate.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

fn at(url: &str) -> RedisConfig {
    let urls = vec![url.parse().expect("a URL")];
    RedisConfig::at(urls, false, "test".to_owned())
}

/// A server that shows the certificate of a name.
fn server(folder: &Path, name: &str, asks_for_certificates: bool) -> Server {
    let line = |key: &str, file: &str| format!("{key} {}", folder.join(file).display());
    let asks = match asks_for_certificates {
        true => "tls-auth-clients yes",
        false => "tls-auth-clients no",
    };
    Server::start(&[
        &line("tls-cert-file", &format!("{name}.pem")),
        &line("tls-key-file", &format!("{name}.key")),
        &line("tls-ca-cert-file", "authority.pem"),
        asks,
    ])
}

/// The settings for a server, with an authority and the certificate of a name.
fn trusting(server: &Server, folder: &Path, ca: &str, identity: Option<&str>) -> RedisConfig {
    let file = |name: &str, ending: &str| folder.join(format!("{name}.{ending}"));
    RedisConfig {
        tls: Some(ClientTls {
            place: "store.tls",
            ca_file: Some(file(ca, "pem")),
            cert_file: identity.map(|name| file(name, "pem")),
            key_file: identity.map(|name| file(name, "key")),
        }),
        ..at(&server.urls[0])
    }
}

/// Why the tasks can't be read.
async fn refusal(config: &RedisConfig) -> String {
    let read = redis::read(config).await;
    format!("{:#}", read.expect_err("refused"))
}

/// A folder with two authorities and what they have signed.
fn certificates() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let dir = folder.path();
    let (authority, foreign) = (Authority::new(), Authority::new());
    for (name, of) in [("authority.pem", &authority), ("foreign.pem", &foreign)] {
        fs::write(dir.join(name), of.certificate()).expect("writable");
    }
    authority.sign(&NAMES).write(dir, "server");
    authority.sign_expired(&NAMES).write(dir, "server-expired");
    foreign.sign(&NAMES).write(dir, "server-foreign");
    authority.sign(&["other.shop"]).write(dir, "server-other");
    authority.sign(&["bridge.shop"]).write(dir, "right");
    authority
        .sign_expired(&["bridge.shop"])
        .write(dir, "expired");
    foreign.sign(&["bridge.shop"]).write(dir, "strange");
    folder
}

#[tokio::test]
async fn only_a_server_with_a_right_certificate_of_a_trusted_authority_is_used() {
    let folder = certificates();
    let dir = folder.path();
    let right = server(dir, "server", false);
    let store = RedisStore::open(&trusting(&right, dir, "authority", None), Vec::new()).await;
    let store = store.unwrap_or_else(|error| panic!("{error:#}"));
    insert(&store, 3).await;
    assert_eq!(insist(async || store.count().await).await, 3);
    store.close().await;
    let said = refusal(&trusting(&right, dir, "foreign", None)).await;
    assert!(said.contains("store.tls.ca_file"), "{said}");
    for (name, expected) in [
        ("server-expired", "certificate has expired; renew it there"),
        (
            "server-foreign",
            "put its authority into the file of store.tls.ca_file",
        ),
        ("server-other", "certificate has other names"),
    ] {
        let server = server(dir, name, false);
        let said = refusal(&trusting(&server, dir, "authority", None)).await;
        let begins = format!(
            "the token store {} can't be used: ",
            at(&server.urls[0]).urls[0]
        );
        assert!(said.starts_with(&begins), "at once: {said}");
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_takes_only_the_right_one() {
    let folder = certificates();
    let dir = folder.path();
    let server = server(dir, "server", true);
    let config = trusting(&server, dir, "authority", Some("right"));
    let replica = Replica::start(&config).await;
    well(&*replica).await;
    for identity in [Some("expired"), Some("strange"), None] {
        let said = refusal(&trusting(&server, dir, "authority", identity)).await;
        assert!(said.contains("store.tls.cert_file"), "{identity:?}: {said}");
    }
    // Of a pair that does not fit, it is the key that is named.
    fs::copy(dir.join("strange.key"), dir.join("expired.key")).expect("copied");
    let said = refusal(&trusting(&server, dir, "authority", Some("expired"))).await;
    assert!(said.contains("store.tls.key_file: can't be used"), "{said}");
    fs::remove_file(dir.join("authority.pem")).expect("removed");
    let said = refusal(&config).await;
    assert!(said.contains("store.tls.ca_file: the file"), "{said}");
}

#[tokio::test]
async fn a_rotated_password_needs_no_restart() {
    let server = Server::start(&["user bridge on >old-secret ~* &* +@all"]);
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("url");
    let write = |password: &str| {
        let url = server.urls[0].replace("redis://", &format!("redis://bridge:{password}@"));
        fs::write(&file, format!("{url}\n")).expect("writable");
        url
    };
    let config = RedisConfig {
        url_file: Some(file.clone()),
        ..at(&write("old-secret"))
    };
    let replica = Replica::start(&config).await;
    insert(&*replica, 1).await;
    let set = async |password: &str| {
        let rule = format!(">{password}");
        server
            .tell_each(&["ACL", "SETUSER", "bridge", "resetpass", &rule])
            .await;
        server
            .tell_each(&["CLIENT", "KILL", "USER", "bridge"])
            .await;
    };

    // The password is changed first, and the file when the bridge has seen it.
    set("new-secret").await;
    let why = eventually("a refusal", async || {
        let why = replica
            .insert(&payments(), &task())
            .await
            .err()?
            .to_string();
        why.contains("authentication failed").then_some(why)
    })
    .await;
    assert!(!why.contains("-secret"), "{why}");
    write("new-secret");
    insert(&*replica, 1).await;

    // The file is changed first. The connection stays until Redis takes what the file says.
    server.tell_each(&["ACL", "LOG", "RESET"]).await;
    write("newer-secret");
    eventually("an attempt with the new password", async || {
        let tried = server.ask(&["ACL", "LOG"]).await;
        if let Err(error) = replica.insert(&payments(), &task()).await {
            let why = error.to_string();
            assert!(!why.contains("authentication failed"), "{why}");
        }
        (tried != Value::Array(Vec::new())).then_some(())
    })
    .await;
    set("newer-secret").await;
    insert(&*replica, 1).await;
    well(&*replica).await;
}
