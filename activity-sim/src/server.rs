//! The one HTTP server for both the service's API and the admin API.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{Router, extract::DefaultBodyLimit, routing::post};
use tokio::net::TcpSocket;

use crate::{
    admin,
    conn::{ConnHandle, SimListener},
    hub::Hub,
    swf,
};

/// Connections that may wait to be accepted: a fleet of pollers connects all at once.
const BACKLOG: u32 = 4_096;

/// The largest request the service takes.
const MAX_BODY: usize = 1 << 20;

/// Binds the address. Must be called within a runtime.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<SimListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG).map(SimListener)
}

/// Serves until dropped.
pub(crate) async fn serve(listener: SimListener, hub: Arc<Hub>) -> io::Result<()> {
    let app = Router::new()
        .route("/", post(swf::serve))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .merge(admin::router())
        .with_state(hub);
    axum::serve(
        listener,
        app.into_make_service_with_connect_info::<ConnHandle>(),
    )
    .await
}
