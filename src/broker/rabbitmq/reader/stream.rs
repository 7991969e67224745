//! The socket to RabbitMQ, with TLS or without.

use crate::broker::rabbitmq::access::Target;
use std::{io, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

/// A socket.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// Connects.
pub(super) async fn connect(target: &Target) -> io::Result<Box<dyn Stream>> {
    let authority = target.uri.inner().authority;
    let (host, port) = (authority.host.as_str(), authority.port);
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    match &target.tls {
        None => Ok(Box::new(tcp)),
        Some(tls) => {
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(Arc::clone(tls));
            Ok(Box::new(connector.connect(name, tcp).await?))
        }
    }
}
