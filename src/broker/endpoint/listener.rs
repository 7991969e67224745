//! The listener: it takes connections, within bounds.

use super::connection::{Shared, serve};
use crate::util::supervise::Supervisor;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// Maximum number of connections in their handshake.
const MAX_HANDSHAKES: usize = 64;

/// Maximum number of open sockets beyond the connections that are in use: those that close.
const MARGIN: usize = 128;

/// Timeout for the handshake of TLS.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes connections until the endpoint closes.
pub(crate) async fn run(
    listener: TcpListener,
    shared: Shared,
    max_connections: usize,
    tls: Option<TlsAcceptor>,
    supervisor: Supervisor,
) {
    let sockets = Arc::new(Semaphore::new(max_connections + MARGIN));
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let mut closing = shared.closing.clone();
    loop {
        let accepted = async {
            let socket = Arc::clone(&sockets).acquire_owned().await;
            let handshake = Arc::clone(&handshakes).acquire_owned().await;
            let permits = (
                socket.map_err(io::Error::other)?,
                handshake.map_err(io::Error::other)?,
            );
            Ok((listener.accept().await?, permits))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            _ = closing.wait_for(|closing| *closing) => break,
        };
        match accepted {
            Ok(((stream, peer), (socket, handshake))) => {
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "a socket option could not be set");
                }
                let shared = shared.clone();
                let tls = tls.clone();
                supervisor.spawn("a worker's connection", async move {
                    let peer = peer.to_string();
                    match tls {
                        None => serve(stream, peer, shared, handshake).await,
                        Some(tls) => match timeout(TLS_TIMEOUT, tls.accept(stream)).await {
                            Ok(Ok(stream)) => serve(stream, peer, shared, handshake).await,
                            Ok(Err(error)) => debug!(peer, %error, "a TLS handshake failed"),
                            Err(_) => debug!(peer, "a TLS handshake took too long"),
                        },
                    }
                    drop(socket);
                });
            }
            Err(error) => wait_after(&error).await,
        }
    }
    // From here on clients are refused at once, and find the next process. The endpoint waits for what is dropped here.
    drop((listener, closing, shared));
    // The loop is supervised: it must not end before the process.
    std::future::pending::<()>().await;
}

/// Waits after a failed accept. It fails for a short time if there are no file descriptors.
async fn wait_after(error: &io::Error) {
    warn!(%error, "a connection could not be taken; trying again");
    sleep(Duration::from_millis(200)).await;
}
