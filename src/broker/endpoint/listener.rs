//! The listener: it takes connections, within bounds.

use super::{
    admission::AdmissionFiles,
    certificate::CertificateNames,
    connection::{Shared, serve},
    doorway::{Doorway, Handshake},
    keepalive,
    sockets::Sockets,
};
use crate::util::{
    crash_point::{CrashPoint, crash_point},
    supervise::Supervisor,
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

/// Minimum interval between two log lines about connections that have to wait.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Takes connections until the endpoint closes.
pub(crate) async fn run(
    (listener, sockets): (TcpListener, Arc<Sockets>),
    shared: Shared,
    admissions: Arc<AdmissionFiles>,
    supervisor: Supervisor,
) {
    let doorway = Doorway::new();
    let mut warned = None;
    let mut closing = shared.closing.clone();
    loop {
        crash_point(CrashPoint::ListenerLoop);
        if sockets.are_all_open() {
            warn_of_full_house(sockets.connections(), &mut warned);
        }
        let accepted = async {
            let socket = sockets.open().await;
            let (stream, peer) = listener.accept().await?;
            Ok::<_, io::Error>((stream, peer, socket, doorway.enter().await))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            _ = closing.wait_for(|closing| *closing) => break,
        };
        match accepted {
            Ok((stream, peer, socket, handshake)) => {
                if let Err(error) = keepalive::set(&stream) {
                    debug!(%error, "a socket option could not be set");
                }
                let (shared, admissions) = (shared.clone(), Arc::clone(&admissions));
                supervisor.spawn("a worker's connection", async move {
                    admit((stream, peer.to_string()), shared, &admissions, handshake).await;
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

/// Serves a client as the files say now.
async fn admit(
    (stream, peer): (TcpStream, String),
    shared: Shared,
    admissions: &AdmissionFiles,
    handshake: Handshake,
) {
    let admission = tokio::select! {
        admission = admissions.now() => admission,
        () = handshake.over() => return debug!(peer, "the files of users and TLS were read for too long"),
    };
    let shared = Shared {
        users: admission.users,
        ..shared
    };
    let Some(tls) = admission.tls else {
        return serve(stream, (peer, None), shared, handshake).await;
    };
    tokio::select! {
        accepted = tls.accept(stream) => match accepted {
            Ok(stream) => {
                let certificate = certificate(&stream, &peer);
                serve(stream, (peer, certificate), shared, handshake).await;
            }
            Err(error) => debug!(peer, %error, "a TLS handshake failed"),
        },
        () = handshake.over() => debug!(peer, "a TLS handshake took too long"),
    }
}

/// The names of the certificate that the client has shown. rustls takes none that is not valid.
fn certificate(stream: &TlsStream<TcpStream>, peer: &str) -> Option<CertificateNames> {
    let (_, tls) = stream.get_ref();
    let own = tls.peer_certificates()?.first()?;
    let names = CertificateNames::read(own);
    let unreadable = |error: &_| debug!(peer, %error, "a client's certificate can't be read");
    names.inspect_err(unreadable).ok()
}

fn warn_of_full_house(max_connections: usize, warned: &mut Option<Instant>) {
    if warned.is_none_or(|at: Instant| at.elapsed() >= WARNING_INTERVAL) {
        *warned = Some(Instant::now());
        warn!(
            max_connections,
            "all connections are in use; others have to wait (amqp.max_connections)"
        );
    }
}

/// Waits after a failed accept. It fails for a short time if there are no file descriptors.
async fn wait_after(error: &io::Error) {
    warn!(%error, "a connection could not be taken; trying again");
    sleep(Duration::from_millis(200)).await;
}
