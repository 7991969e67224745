//! The connection, where its client does not mend it.

use super::{Kind::Cluster, PATIENT_CLUSTER, Replica, Server, redis_config};
use crate::harness::{eventually, well};
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What is logged on the thread of a test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn says(&self, words: &str) -> bool {
        let bytes = self.0.lock().expect("no panic holds it");
        String::from_utf8_lossy(&bytes).contains(words)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic holds it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes connections on to a server. The port is the answer. Whoever is connected when the number of silences grows hears
/// nothing any more, and does not learn that.
async fn pass_through(server: &str, silences: watch::Receiver<u32>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let server = server.trim_start_matches("redis://").to_owned();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (server, mut silences) = (server.clone(), silences.clone());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await?;
                silences.mark_unchanged();
                tokio::select! {
                    ended = copy_bidirectional(&mut client, &mut server) => ended,
                    _ = silences.changed() => std::future::pending().await,
                }
            });
        }
    });
    port
}

/// Its client may have stopped for good.
#[tokio::test]
async fn a_cluster_that_says_nothing_for_long_is_connected_to_anew() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    // Everything runs on the thread of the test.
    let _logged = tracing::subscriber::set_default(subscriber);
    let server = Server::start_kind(Cluster, &[PATIENT_CLUSTER]);
    let (silences, seen) = watch::channel(0);
    let mut ports = Vec::new();
    for url in &server.urls {
        ports.push(pass_through(url, seen.clone()).await);
    }
    server.announces(&ports).await;
    let mut config = redis_config(&server);
    for (url, port) in config.urls.iter_mut().zip(&ports) {
        *url = format!("redis://127.0.0.1:{port}").parse().expect("a URL");
    }
    let replica = Replica::start(&config).await;
    well(&*replica).await;
    silences.send_modify(|silences| *silences += 1);
    eventually("another connection", async || {
        log.says("connected to the Redis Cluster anew")
            .then_some(())
    })
    .await;
    well(&*replica).await;
}
