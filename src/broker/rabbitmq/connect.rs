//! Connects to RabbitMQ. An attempt or a connection that is dropped leaves no thread and no socket behind.
//!
//! lapin runs each connection on a thread of its own, and that thread owns all that it needs. While the other side is
//! silent, dropping the future that connects does not end the thread, and dropping the connection does not either.
//! Shutting the socket down does. So this module keeps a second handle to the socket.

use super::{access::Target, identity::client_properties};
use lapin::{
    ConnectionProperties, Error,
    runtime::default_runtime,
    tcp::{AsyncTcpStream, RustlsConnector},
};
use std::{
    io,
    net::{Shutdown, TcpStream},
    ops::Deref,
    os::fd::AsFd,
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::mpsc::{self, UnboundedReceiver},
    time::{sleep, timeout},
};

/// Timeout for everything from the name look-up to the login.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for the closing handshake that lapin begins when a connection is dropped. lapin itself would wait for ever.
const CLOSING_GRACE: Duration = Duration::from_secs(3);

/// A connection that ends soon after it is dropped, whatever the broker answers.
pub(crate) struct Connection {
    inner: lapin::Connection,
    line: Option<Line>,
}

impl Deref for Connection {
    type Target = lapin::Connection;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let line = self.line.take();
        // Without a runtime, the socket is shut down now. If the runtime ends, the socket is shut down with the task.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                sleep(CLOSING_GRACE).await;
                drop(line);
            });
        }
    }
}

/// The socket of a connection, once there is one. Dropping this shuts the socket down.
struct Line(UnboundedReceiver<TcpStream>);

impl Drop for Line {
    fn drop(&mut self) {
        // From here on, lapin's thread can't hand a socket over. It then ends by itself.
        self.0.close();
        while let Ok(socket) = self.0.try_recv() {
            // An error means that the socket is shut down already.
            drop(socket.shutdown(Shutdown::Both));
        }
    }
}

/// Connects and logs in within [`HANDSHAKE_TIMEOUT`].
///
/// # Errors
///
/// What failed, and what to do about it if TLS is the reason.
///
/// # Cancel safety
///
/// Dropping the future ends the attempt, and lapin's thread with it.
pub(crate) async fn connect(
    target: &Target,
    purpose: &str,
    identity: &str,
) -> Result<Connection, String> {
    let connected = connect_once(target, purpose, identity).await;
    connected.map_err(|error| target.explain(&error))
}

async fn connect_once(target: &Target, purpose: &str, identity: &str) -> Result<Connection, Error> {
    let tls = target.tls.clone();
    let properties = client_properties(purpose, identity)
        .into_iter()
        .fold(ConnectionProperties::default(), |all, (name, text)| {
            all.with_client_property(name.into(), text.into())
        });
    let (sockets, line) = mpsc::unbounded_channel();
    let line = Line(line);
    let connecting = lapin::Connection::connector(
        target.uri.inner(),
        default_runtime()?,
        // This runs on lapin's thread, which may outlive the runtime. A timer would panic then; a channel does not.
        async move |uri, runtime| {
            let opening = async {
                let host = &uri.authority.host;
                let addrs = runtime.to_socket_addrs((host.clone(), uri.authority.port));
                let stream = AsyncTcpStream::connect(&runtime, addrs).await?;
                if let AsyncTcpStream::Plain(tcp) = &stream {
                    let socket = tcp.get_ref().as_fd().try_clone_to_owned()?;
                    sockets.send(socket.into()).map_err(|_| given_up())?;
                }
                match &tls {
                    None => Ok(stream),
                    Some(tls) => {
                        let connector = RustlsConnector::from(Arc::clone(tls));
                        stream.into_rustls(&connector, host).await
                    }
                }
            };
            let opened = tokio::select! {
                opened = opening => opened,
                () = sockets.closed() => Err(given_up()),
            };
            Ok(opened?)
        },
        properties,
    );
    let inner = timeout(HANDSHAKE_TIMEOUT, connecting).await.map_err(|_| {
        let secs = HANDSHAKE_TIMEOUT.as_secs();
        let why = format!("no connection within {secs} s");
        io::Error::new(io::ErrorKind::TimedOut, why)
    })??;
    Ok(Connection {
        inner,
        line: Some(line),
    })
}

fn given_up() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the attempt was given up")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{io::AsyncReadExt, net::TcpListener};

    /// An IPv4 address written as an IPv6 literal. Nothing listens there but this test, and `localhost` is another address.
    #[tokio::test]
    async fn lapin_connects_to_the_address_of_an_ipv6_literal() {
        let listener = TcpListener::bind(("127.0.0.2", 0)).await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let uri = format!("amqp://[::ffff:127.0.0.2]:{port}/%2f").parse();
        let target = Target::plain(uri.expect("valid"));
        let accepted = async {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            let mut header = [0; 8];
            stream.read_exact(&mut header).await.expect("a header");
            header
        };
        let header = tokio::select! {
            header = timeout(HANDSHAKE_TIMEOUT, accepted) => header.expect("in time"),
            ended = connect(&target, "test", "") => panic!("{:?}", ended.err()),
        };
        assert_eq!(&header, b"AMQP\0\0\x09\x01");
    }
}
