//! Servers that accept connections and then stay silent. No attempt to connect leaves a thread or a socket behind.

use crate::harness::{BridgeProcess, HOLD, Route, World, eventually};
use std::{fs, net::SocketAddr};
use tokio::{
    io::copy,
    net::{TcpListener, TcpStream},
};

const ATTEMPTS: usize = 2;

#[tokio::test]
async fn attempts_at_a_silent_address_leave_no_threads_and_no_sockets() {
    let (listener, addr) = listener().await;
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((client, _)) = listener.accept().await {
            silent.push(client);
        }
    });
    // Over TLS it is the TLS handshake that gets no answer.
    let at = |scheme| attempts_leave_nothing(format!("{scheme}://guest:guest@{addr}/%2f"));
    tokio::join!(at("amqp"), at("amqps"));
}

#[tokio::test]
async fn a_broker_that_falls_silent_between_the_two_connections_leaves_none_of_the_first() {
    let world = World::new().await;
    let (login, rest) = world.amqp_uri.split_once('@').expect("a login");
    let (server, vhost) = rest.split_once('/').expect("a virtual host");
    let (listener, addr) = listener().await;
    let server = server.to_owned();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut first, _)) = listener.accept().await {
            let mut broker = TcpStream::connect(&server).await.expect("a broker");
            let (mut from_client, mut to_client) = first.split();
            let (mut from_broker, mut to_broker) = broker.split();
            let second = tokio::select! {
                second = listener.accept() => second.expect("a second connection").0,
                _ = async { tokio::join!(copy(&mut from_client, &mut to_broker), copy(&mut from_broker, &mut to_client)) } => continue,
            };
            silent.extend([first, second]);
        }
    });
    attempts_leave_nothing(format!("{login}@{addr}/{vhost}")).await;
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    (listener, addr)
}

async fn attempts_leave_nothing(amqp_uri: String) {
    let world = World::at(amqp_uri, HOLD).await;
    let bridge = world.bridge(&[Route::new("payments")]).await;
    failed(&bridge, 1).await;
    let (threads, sockets) = held(&bridge);
    failed(&bridge, ATTEMPTS).await;
    // Of an attempt that is under way there is a bit more.
    eventually(
        &format!("no more than {threads} threads of lapin's and {sockets} sockets"),
        || async {
            let now = held(&bridge);
            (now.0 <= threads && now.1 <= sockets).then_some(())
        },
    )
    .await;
}

/// Waits for so many failed attempts.
async fn failed(bridge: &BridgeProcess, attempts: usize) {
    eventually(&format!("{attempts} failed attempts"), || async {
        let seen = bridge.log().matches("no connection to the broker").count();
        (seen >= attempts).then_some(())
    })
    .await;
}

/// How many threads of lapin's and how many sockets the bridge has.
fn held(bridge: &BridgeProcess) -> (usize, usize) {
    let of = |what: &str| {
        let found = fs::read_dir(format!("/proc/{}/{what}", bridge.pid()));
        let found = found.expect("the process is there");
        found.map(|entry| entry.expect("an entry").path())
    };
    // What has ended meanwhile can't be read, and doesn't count.
    let threads = of("task")
        .filter_map(|task| fs::read_to_string(task.join("comm")).ok())
        .filter(|name| name.starts_with("lapin"));
    let sockets = of("fd")
        .filter_map(|fd| fs::read_link(fd).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"));
    (threads.count(), sockets.count())
}
