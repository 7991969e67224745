//! The connections of the admin endpoint: HTTP/1, within bounds of number and time. A probe is answered whatever others hold open,
//! because a new connection closes the one whose last request is the oldest.

use super::{
    caller::Caller,
    open_connections::{Open, Place},
    socket::LocalSocket,
};
use crate::{process::descriptors, util::supervise::Supervisor};
use axum::{Extension, Router};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use parking_lot::Mutex;
use std::{
    future::pending,
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::yield_now,
    time::{Instant, sleep},
};
use tracing::{debug, warn};

/// The bounds of the connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Maximum number of open connections.
    pub(super) connections: usize,
    /// Timeout for the head of a request. An idle connection is closed after this time too.
    pub(super) head: Duration,
    /// Timeout for a request and its answer, from the end of the request's head.
    pub(super) answer: Duration,
}

impl Limits {
    /// The bounds of the endpoint. Where the process may have few file descriptors, most are left to the rest of it.
    pub(super) fn of_the_process() -> Self {
        let share = descriptors::soft_limit().map_or(u64::MAX, |limit| limit / 8);
        let share = usize::try_from(share).unwrap_or(MAX_CONNECTIONS);
        Self {
            connections: share.clamp(MIN_CONNECTIONS, MAX_CONNECTIONS),
            head: Duration::from_secs(10),
            answer: Duration::from_secs(30),
        }
    }
}

/// Maximum number of connections.
const MAX_CONNECTIONS: usize = 64;

/// Maximum number of connections where file descriptors are very few.
const MIN_CONNECTIONS: usize = 4;

/// Maximum size of the head of a request, in bytes.
const MAX_HEAD: usize = 16_384;

/// Delay after a failed accept, if no connection can be closed for the next one.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Minimum interval between two log lines about the number of connections.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Where connections come from, and what answers their requests.
pub(super) struct Listeners {
    pub(super) address: (TcpListener, Router),
    pub(super) socket: Option<(LocalSocket, Router)>,
}

/// A connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Listeners {
    /// The next connection, and what answers its requests.
    async fn accept(&self) -> io::Result<(Box<dyn Stream>, Router)> {
        let (listener, on_address) = &self.address;
        let on_socket = async {
            match &self.socket {
                Some((socket, router)) => (socket.listener.accept().await, router),
                None => pending().await,
            }
        };
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, from) = accepted?;
                let router = on_address.clone().layer(Extension(Caller::at(from.ip())));
                Ok((Box::new(stream) as Box<dyn Stream>, router))
            }
            (accepted, router) = on_socket => {
                let (stream, _) = accepted?;
                let router = router.clone().layer(Extension(Caller::on_socket(&stream)));
                Ok((Box::new(stream) as Box<dyn Stream>, router))
            }
        }
    }
}

/// Takes connections and answers their requests until the process ends.
pub(super) async fn serve(listeners: Listeners, supervisor: Supervisor, limits: Limits) {
    let open = Arc::new(Mutex::new(Open::default()));
    let mut warned: Option<Instant> = None;
    loop {
        let full = match listeners.accept().await {
            Ok((stream, router)) => {
                let (place, was_full) = Open::enter(&open, limits.connections);
                let serving = connection(stream, router, (place, limits));
                supervisor.spawn("a connection to the admin endpoint", serving);
                // A request that has come already is answered before the next connection can close this one.
                yield_now().await;
                was_full.then(|| "all connections to the admin endpoint are in use".to_owned())
            }
            Err(error) if concerns_one_connection(&error) => None,
            // There are no file descriptors.
            Err(error) => {
                let closed = open.lock().close_oldest();
                match closed {
                    true => yield_now().await,
                    false => sleep(RETRY_DELAY).await,
                }
                Some(format!(
                    "a connection to the admin endpoint could not be taken: {error}"
                ))
            }
        };
        if let Some(what) = full
            && warned.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL)
        {
            warned = Some(Instant::now());
            let limit = limits.connections;
            warn!(
                limit,
                "{what}; each new one closes the one with the oldest request"
            );
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

/// Answers the requests of one connection until it ends, takes too long, or must make room.
async fn connection(stream: Box<dyn Stream>, router: Router, (mut place, limits): (Place, Limits)) {
    let router = TowerToHyperService::new(router);
    let used = place.used.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        used.touch();
        request.extensions_mut().insert(used.clone());
        router.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = serving => if let Err(error) = ended {
            debug!(%error, "a connection to the admin endpoint failed");
        },
        // An error means that another connection needs the place.
        _ = &mut place.closed => debug!("a connection to the admin endpoint was closed for a new one"),
        () = place.used.longer_ago_than(limits.answer) => {
            debug!("a client of the admin endpoint took too long to read its answer");
        }
    }
}

#[cfg(test)]
mod tests;
