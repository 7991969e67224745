//! A TCP proxy before a server that can hold back what the server says on one connection, say it late, or cut them all.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
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
    /// The server's URI, by way of the proxy.
    pub uri: String,
    brakes: Arc<Brakes>,
}

/// What holds connections up.
struct Brakes {
    each: Mutex<Vec<watch::Sender<bool>>>,
    all: watch::Sender<bool>,
    late: watch::Sender<Duration>,
    cut: watch::Sender<bool>,
}

impl Proxy {
    /// In front of the server of a URI.
    pub async fn start(uri: &str) -> Self {
        let (_, rest) = uri.split_once("//").expect("a URI with a scheme");
        let server = rest.split_once('@').map_or(rest, |(_, server)| server);
        let server = server.split('/').next().expect("a host and a port");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let brakes = Arc::new(Brakes {
            each: Mutex::default(),
            all: watch::channel(false).0,
            late: watch::channel(Duration::ZERO).0,
            cut: watch::channel(false).0,
        });
        tokio::spawn(serve(listener, server.to_owned(), Arc::clone(&brakes)));
        Self {
            uri: uri.replacen(server, &addr.to_string(), 1),
            brakes,
        }
    }

    /// Holds back, or lets through, what the server says on a connection.
    pub fn hold(&self, connection: usize, hold: bool) {
        let each = self.brakes.each.lock().expect("no panic holds it");
        each[connection].send_replace(hold);
    }

    /// The same of all connections, those that are to come included.
    pub fn hold_all(&self, hold: bool) {
        self.brakes.all.send_replace(hold);
    }

    /// From now on everything that the server says comes so much later.
    pub fn late(&self, by: Duration) {
        self.brakes.late.send_replace(by);
    }

    /// Cuts all connections and lets none through, or lets new ones through again.
    pub fn cut(&self, cut: bool) {
        self.brakes.cut.send_replace(cut);
    }
}

async fn serve(listener: TcpListener, server: String, brakes: Arc<Brakes>) {
    while let Ok((client, _)) = listener.accept().await {
        if *brakes.cut.borrow() {
            continue;
        }
        let server = TcpStream::connect(&server).await;
        let server = server.expect("the server is there");
        let (hold, held) = watch::channel(false);
        brakes.each.lock().expect("no panic holds it").push(hold);
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let brake = Brake {
            held: [held, brakes.all.subscribe()],
            late: brakes.late.subscribe(),
        };
        let mut cut = brakes.cut.subscribe();
        tokio::spawn(async move {
            // What the client says always flows.
            let flows = async {
                tokio::join!(
                    copy(from_client, to_server, None),
                    copy(from_server, to_client, Some(brake))
                )
            };
            tokio::select! {
                _ = flows => {}
                _ = cut.wait_for(|cut| *cut) => {}
            }
        });
    }
}

/// What holds up one direction of a connection.
struct Brake {
    held: [watch::Receiver<bool>; 2],
    late: watch::Receiver<Duration>,
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut brake: Option<Brake>) {
    let mut buffer = vec![0; 16_384];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if let Some(Brake { held, late }) = &mut brake {
            for held in held {
                // An error means that the sender has gone, with which the hold is over.
                drop(held.wait_for(|held| !held).await);
            }
            let late = *late.borrow();
            tokio::time::sleep(late).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
