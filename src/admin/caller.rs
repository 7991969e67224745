//! Who asks the admin endpoint, and whether it may know whole ids.
//!
//! Who knows a task's id and can publish replies can settle the task. `/tasks` is served without a login, so only this
//! machine gets whole ids.

use rustix::process::geteuid;
use std::net::IpAddr;
use tokio::net::UnixStream;

/// What the others are told who ask for a change.
pub(super) const REFUSED: &str = "refused: only the bridge's user and root may ask for that; without admin.socket, not from another container";

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// Whether it may know whole ids.
    pub(super) may_know_ids: bool,
    /// The user on the local socket, for the log.
    pub(super) user: Option<u32>,
}

impl Caller {
    /// Who asks on the address, from there.
    pub(super) fn at(ip: IpAddr) -> Self {
        Self {
            may_know_ids: is_this_machine(ip),
            user: None,
        }
    }

    /// Who asks on the local socket.
    pub(super) fn on_socket(stream: &UnixStream) -> Self {
        // The mode of a socket with a path keeps other users away. Between its creation and its mode it does not. A socket
        // without a path has no mode. Whoever has the same network can connect, such as another container of the pod. A
        // process that is not seen from here shows the process id 0.
        let has_path = stream
            .local_addr()
            .is_ok_and(|own| own.as_pathname().is_some());
        let peer = stream.peer_cred().ok();
        let may_know_ids = peer.is_some_and(|peer| {
            let (user, root) = (geteuid().as_raw(), 0);
            let is_seen = peer.pid().is_some_and(|pid| pid > 0);
            [user, root].contains(&peer.uid()) && (has_path || is_seen)
        });
        Self {
            may_know_ids,
            user: peer.map(|peer| peer.uid()),
        }
    }
}

fn is_this_machine(ip: IpAddr) -> bool {
    // A socket for both versions of IP shows 127.0.0.1 as ::ffff:127.0.0.1.
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        for (ip, local) in [
            ("127.0.0.1", true),
            ("127.3.2.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.7", false),
            ("::ffff:10.0.0.7", false),
            ("0.0.0.0", false),
            ("fe80::1", false),
        ] {
            let ip = ip.parse().expect("an address");
            assert_eq!(is_this_machine(ip), local, "{ip}");
        }
    }
}
