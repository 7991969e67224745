//! What a start says of a Redis that can't be used, and TLS.

use super::{Server, authority::Authority, redis_config};
use crate::harness::{Kind, eventually, insert, insist, payments, well};
use activity_bridge::{
    store::redis::RedisConfig,
    store::{RedisStore, Store, redis},
};
use std::{path::Path, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
    time::{Instant, sleep},
};

fn at(url: &str) -> RedisConfig {
    let urls = vec![url.parse().expect("a URL")];
    RedisConfig::at(urls, false, "test".to_owned())
}

/// Why it does not open.
async fn refusal(config: &RedisConfig) -> String {
    let opened = RedisStore::open(config, Vec::new()).await;
    format!("{:#}", opened.err().expect("refused"))
}

/// What a refusal begins with that is not waited for. A start that has waited says for how long instead.
fn at_once(url: &str) -> String {
    format!("the token store {} can't be used: ", at(url).urls[0])
}

#[tokio::test]
async fn what_waiting_would_not_mend_is_said_at_once_and_without_the_password() {
    let locked = Server::start(&["requirepass right", "databases 2"]);
    let address = locked.urls[0].trim_start_matches("redis://").to_owned();
    let open = Server::shared();
    let cluster = Server::shared_cluster();
    for (url, expected) in [
        (
            format!("redis://:hunter2@{address}"),
            "Password authentication failed",
        ),
        (
            format!("redis://me:hunter2@{address}"),
            "Password authentication failed",
        ),
        (format!("redis://{address}"), "NOAUTH"),
        (format!("redis://:right@{address}/7"), "database"),
        (cluster.urls[0].clone(), "write store.cluster = true"),
    ] {
        let said = refusal(&at(&url)).await;
        assert!(said.starts_with(&at_once(&url)), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(
            !said.contains("hunter2") && !said.contains("right"),
            "{said}"
        );
    }
    let mut config = redis_config(open);
    config.cluster = true;
    let said = refusal(&config).await;
    assert!(said.starts_with(&at_once(&open.urls[0])), "{said}");
    assert!(said.contains("remove store.cluster"), "{said}");
}

#[tokio::test]
async fn a_server_that_becomes_the_primary_only_then_is_waited_for() {
    let server = Server::start(&[]);
    server.tell_each(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let becomes = async {
        sleep(Duration::from_secs(2)).await;
        server.tell_each(&["REPLICAOF", "NO", "ONE"]).await;
    };
    let config = redis_config(&server);
    let (opened, ()) = tokio::join!(RedisStore::open(&config, Vec::new()), becomes);
    let opened = opened.unwrap_or_else(|error| panic!("{error:#}"));
    well(&opened).await;
}

#[tokio::test]
async fn a_cluster_whose_shard_is_away_is_waited_for() {
    let server = Server::start_kind(Kind::Cluster, &[]);
    server.kill_one("2");
    let returns = async {
        sleep(Duration::from_secs(4)).await;
        server.restart_one("2");
    };
    let config = redis_config(&server);
    let (opened, ()) = tokio::join!(RedisStore::open(&config, Vec::new()), returns);
    let opened = opened.unwrap_or_else(|error| panic!("{error:#}"));
    well(&opened).await;
}

#[tokio::test]
async fn a_server_that_was_slow_to_answer_is_no_trouble_once_it_is_open() {
    let server = Server::start(&[]);
    let config = redis_config(&server);
    let opened = RedisStore::open(&config, Vec::new()).await;
    opened.expect("a store that has its id");
    server
        .tell_each(&["CLIENT", "PAUSE", "60000", "WRITE"])
        .await;
    let goes_on = async {
        eventually("a write that waits", async || {
            let ::redis::Value::BulkString(told) = server.ask(&["INFO", "clients"]).await else {
                panic!("no text");
            };
            let told = String::from_utf8_lossy(&told).into_owned();
            (!told.contains("blocked_clients:0")).then_some(())
        })
        .await;
        // Longer than a lease may be without a renewal, and shorter than an answer is waited for.
        sleep(Duration::from_millis(1_500)).await;
        let went_on = Instant::now();
        server.tell_each(&["CLIENT", "UNPAUSE"]).await;
        went_on
    };
    let open = async {
        let opened = RedisStore::open(&config, Vec::new()).await;
        let opened = opened.expect("it can be used");
        (opened.unavailable(), Instant::now())
    };
    let ((unavailable, opened), went_on) = tokio::join!(open, goes_on);
    // What stands still for a second afterwards is in trouble.
    if opened < went_on + Duration::from_secs(1) {
        assert_eq!(unavailable, None);
    }
}

#[tokio::test]
async fn who_may_not_write_is_told_so_at_once() {
    let server = Server::start(&["user reader on >right ~* +@all -@write"]);
    let reader = server.urls[0].replace("redis://", "redis://reader:right@");
    let said = refusal(&at(&reader)).await;
    assert!(said.starts_with(&at_once(&reader)), "{said}");
    assert!(said.contains("permissions"), "{said}");
}

/// On paused time: the waits in between are skipped.
#[tokio::test(start_paused = true)]
async fn a_server_that_can_not_be_reached_is_waited_for_for_half_a_minute() {
    let began = Instant::now();
    let said = refusal(&at("redis://me:hunter2@127.0.0.1:1/0")).await;
    let begins = "the token store redis://me@127.0.0.1:1/0 was not to be reached for 30 s: ";
    assert!(said.starts_with(begins), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert!(began.elapsed() >= Duration::from_secs(30));
}

/// On paused time.
#[tokio::test(start_paused = true)]
async fn people_who_ask_what_is_in_flight_wait_for_five_seconds() {
    let began = Instant::now();
    let said = redis::read(&at("redis://127.0.0.1:1/0")).await;
    let said = said.expect_err("nobody there").to_string();
    assert!(said.contains("was not to be reached for 5 s: "), "{said}");
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_check_tells_what_is_unwise_and_whether_anything_can_be_written() {
    let unwise = Server::start(&["maxmemory 100mb", "maxmemory-policy allkeys-lru"]);
    let told = redis::examine(&redis_config(&unwise)).await;
    let told = told.expect("it can be used").join("; ");
    assert!(told.contains("maxmemory-policy noeviction"), "{told}");
    assert!(told.contains("appendonly yes"), "{told}");

    let wise = Server::start(&["appendonly yes", "user reader on >right ~* +@all -@write"]);
    let told = redis::examine(&redis_config(&wise)).await;
    assert!(told.expect("it can be used").is_empty());
    let reader = wise.urls[0].replace("redis://", "redis://reader:right@");
    let said = redis::examine(&at(&reader)).await.expect_err("refused");
    let said = format!("{said:#}");
    assert!(said.contains("can't be written: "), "{said}");
    assert!(said.contains("permissions"), "{said}");
}

/// Writes an authority's certificate, and a server's certificate and key.
fn certificates() -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    let authority = Authority::new();
    let path = dir.path().join("authority.pem");
    std::fs::write(path, authority.certificate()).expect("the file can be written");
    let server = authority.sign(&["localhost", "127.0.0.1"]);
    server.write(dir.path(), "server");
    dir
}

/// Runs the test below in a process that trusts the certificates of a file: the variable is read by the whole process.
async fn visit(url: &str, trusted: &Path) -> (bool, String) {
    let ran = Command::new(std::env::current_exe().expect("a test binary"))
        .args([
            "--exact",
            "redis::start::visited_by_another_test",
            "--ignored",
            "--nocapture",
        ])
        .env("SSL_CERT_FILE", trusted)
        .env_remove("SSL_CERT_DIR")
        .env("VISIT_REDIS", url)
        .output()
        .await
        .expect("it runs");
    let said = [ran.stdout, ran.stderr].concat();
    (
        ran.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test]
#[ignore = "another test runs it, in a process of its own"]
async fn visited_by_another_test() {
    let url = std::env::var("VISIT_REDIS").expect("a URL");
    let store = RedisStore::open(&at(&url), vec![payments()]).await;
    let store = store.unwrap_or_else(|error| panic!("{error:#}"));
    insert(&store, 3).await;
    assert_eq!(insist(async || store.count().await).await, 3);
    store.close().await;
}

#[tokio::test]
async fn a_server_is_reached_over_tls_with_a_password_and_only_with_a_certificate_that_is_trusted()
{
    let dir = certificates();
    let file = |name: &str| dir.path().join(name);
    let line = |key: &str, name: &str| format!("{key} {}", file(name).display());
    let server = Server::start(&[
        &line("tls-cert-file", "server.pem"),
        &line("tls-key-file", "server.key"),
        &line("tls-ca-cert-file", "authority.pem"),
        "requirepass right",
    ]);
    let plain = server.urls[0].clone();
    let url = plain.replace("rediss://", "rediss://:right@");
    let (fine, said) = visit(&url, &file("authority.pem")).await;
    assert!(fine, "{said}");
    let (fine, said) = visit(&url, &file("server.pem")).await;
    assert!(!fine && said.contains(&at_once(&url)), "{said}");
    assert!(said.contains("invalid peer certificate"), "{said}");
    let (fine, said) = visit(&plain, &file("authority.pem")).await;
    assert!(!fine && said.contains(&at_once(&plain)), "{said}");
    assert!(said.contains("NOAUTH"), "{said}");
}

/// Who does not say what it is may be a node of a Cluster: that is not the same as one that may not be asked.
#[tokio::test]
async fn a_server_that_says_nothing_of_itself_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer_all_but_info(socket));
        }
    });
    let said = redis::read(&at(&format!("redis://{address}"))).await;
    let said = said.expect_err("nothing to read").to_string();
    assert!(said.contains("was not to be reached for 5 s: "), "{said}");
}

/// With OK to each command, as far as they were read.
async fn answer_all_but_info(mut socket: TcpStream) {
    let mut asked = vec![0; 4_096];
    while let Ok(length @ 1..) = socket.read(&mut asked).await {
        let text = String::from_utf8_lossy(&asked[..length]).into_owned();
        if text.contains("\nINFO\r\n") {
            continue;
        }
        let commands = text.lines().filter(|line| line.starts_with('*')).count();
        let answered = socket
            .write_all("+OK\r\n".repeat(commands).as_bytes())
            .await;
        if answered.is_err() {
            return;
        }
    }
}
