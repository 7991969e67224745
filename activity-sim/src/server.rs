//! The HTTP server for both services and for the admin API.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, header::AUTHORIZATION},
    response::Response,
    routing::post,
};
use tokio::net::TcpSocket;

use crate::{
    admin,
    conn::{ConnHandle, ConnOptions, SimListener},
    hub::Hub,
    sfn::SfnAction,
    swf::SwfAction,
    wire::{self, Action, Caller},
};

/// Maximum connections that wait for accept. Many pollers may connect in the same moment.
const BACKLOG: u32 = 4_096;

/// Maximum size of a request, as on the services. The longest output of a task of Step Functions fits,
/// also when each of its characters is escaped.
const MAX_BODY: usize = 1 << 20;

/// Binds the address. It must be called in a tokio runtime.
pub(crate) fn bind(addr: SocketAddr, options: ConnOptions) -> io::Result<SimListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let tcp = socket.listen(BACKLOG)?;
    Ok(SimListener { tcp, options })
}

/// Serves until the future is dropped.
pub(crate) async fn serve(listener: SimListener, hub: Arc<Hub>) -> io::Result<()> {
    let app = Router::new()
        .route("/", post(call))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .merge(admin::router())
        .with_state(hub);
    axum::serve(
        listener,
        app.into_make_service_with_connect_info::<ConnHandle>(),
    )
    .await
}

/// Answers one call. Its target names the service and the action.
async fn call(
    State(hub): State<Arc<Hub>>,
    ConnectInfo(conn): ConnectInfo<ConnHandle>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok());
    let target = target.unwrap_or_default();
    let by = headers.get(AUTHORIZATION).and_then(access_key_id);
    let caller = Caller { conn, by };
    if let Some(action) = SwfAction::from_target(target) {
        wire::serve(action, hub, caller, &body).await
    } else if let Some(action) = SfnAction::from_target(target) {
        wire::serve(action, hub, caller, &body).await
    } else {
        wire::unknown(&hub)
    }
}

/// The access key id in the signature of a call: `AWS4-HMAC-SHA256 Credential=ID/date/region/service/aws4_request, …`.
fn access_key_id(authorization: &HeaderValue) -> Option<String> {
    let (_, credential) = authorization.to_str().ok()?.split_once("Credential=")?;
    credential.split('/').next().map(str::to_owned)
}
