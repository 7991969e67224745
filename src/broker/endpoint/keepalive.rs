//! The options of a worker's socket: small writes go at once, and a peer that has vanished is noticed.
//!
//! Some clients negotiate no heartbeats. Without these options the bridge would take a task of such a client for alive for
//! ever after the client's machine or the network has failed.

use rustix::net::sockopt;
use std::{io, os::fd::AsFd, time::Duration};
use tokio::net::TcpStream;

/// Time without traffic after which the system asks the peer whether it is there.
const IDLE: Duration = Duration::from_secs(30);

/// Interval between two such questions.
const INTERVAL: Duration = Duration::from_secs(10);

/// Number of questions without an answer after which the connection ends.
const QUESTIONS: u32 = 3;

/// Timeout for the peer's system to acknowledge what was written, in milliseconds. A client that does not read is dropped
/// by another timeout.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MS: u32 = 120_000;

/// Sets the options of a worker's socket.
pub(super) fn set(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = stream.as_fd();
    sockopt::set_socket_keepalive(socket, true)?;
    #[cfg(not(target_vendor = "apple"))]
    sockopt::set_tcp_keepidle(socket, IDLE)?;
    sockopt::set_tcp_keepintvl(socket, INTERVAL)?;
    sockopt::set_tcp_keepcnt(socket, QUESTIONS)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED_MS)?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_vanished_peer_is_noticed_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.expect("a connection");
        set(&stream).expect("set");
        let socket = stream.as_fd();
        assert_eq!(sockopt::socket_keepalive(socket), Ok(true));
        let idle = sockopt::tcp_keepidle(socket).expect("an option");
        assert!(idle + INTERVAL * QUESTIONS <= Duration::from_secs(60));
        assert_eq!(sockopt::tcp_user_timeout(socket), Ok(120_000));
        drop(client);
    }
}
