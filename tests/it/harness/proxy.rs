//! A TCP proxy before the broker that can hold back what the broker says on one connection, or cut them all.

use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// Connections are numbered from 0 in the order in which they come: the bridge's first is for publishing.
pub struct Proxy {
    /// The broker's URI, by way of the proxy.
    pub amqp_uri: String,
    held: Arc<Mutex<Vec<watch::Sender<bool>>>>,
    cut: watch::Sender<bool>,
}

impl Proxy {
    /// In front of a broker.
    pub async fn start(amqp_uri: &str) -> Self {
        let (login, rest) = amqp_uri.split_once('@').expect("a URI with a login");
        let (server, vhost) = rest.split_once('/').expect("a URI with a virtual host");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let held = Arc::new(Mutex::new(Vec::new()));
        let cut = watch::channel(false).0;
        let serving = serve(listener, server.to_owned(), Arc::clone(&held), cut.clone());
        tokio::spawn(serving);
        Self {
            amqp_uri: format!("{login}@{addr}/{vhost}"),
            held,
            cut,
        }
    }

    /// Holds back, or lets through, what the broker says on a connection.
    pub fn hold(&self, connection: usize, hold: bool) {
        self.held.lock().expect("no panic holds it")[connection].send_replace(hold);
    }

    /// Cuts all connections and lets none through, or lets new ones through again.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

async fn serve(
    listener: TcpListener,
    server: String,
    held: Arc<Mutex<Vec<watch::Sender<bool>>>>,
    cut: watch::Sender<bool>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if *cut.borrow() {
            continue;
        }
        let broker = TcpStream::connect(&server)
            .await
            .expect("the broker is there");
        let (hold, seen) = watch::channel(false);
        held.lock().expect("no panic holds it").push(hold);
        let (from_client, to_client) = client.into_split();
        let (from_broker, to_broker) = broker.into_split();
        let mut cut = cut.subscribe();
        tokio::spawn(async move {
            // The first direction always flows.
            let flows = async {
                tokio::join!(
                    copy(from_client, to_broker, watch::channel(false).1),
                    copy(from_broker, to_client, seen)
                )
            };
            tokio::select! {
                _ = flows => {}
                _ = cut.wait_for(|cut| *cut) => {}
            }
        });
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut hold: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16_384];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        // An error means that the sender has gone, with which the hold is over.
        drop(hold.wait_for(|hold| !hold).await);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
