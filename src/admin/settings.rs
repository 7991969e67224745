//! The settings of the admin endpoint.

use crate::settings::Reader;
use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The settings of the admin endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// The address that it listens on.
    pub listen: SocketAddr,
    /// The path of the local socket that it listens on too; `None` if none is set.
    pub socket: Option<PathBuf>,
}

/// The local socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketName {
    /// A path, which is set.
    Path(PathBuf),
    /// A name in the kernel, which Linux has. It needs no folder to write to.
    Abstract(String),
}

impl SocketName {
    /// What the system takes for it: an abstract name follows a zero byte.
    #[must_use]
    pub fn to_path(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            Self::Abstract(name) => Path::new(&format!("\0{name}")).to_owned(),
        }
    }
}

impl fmt::Display for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

impl AdminConfig {
    /// The local socket for commands that change something: the path that is set, or a name made of the address. No two bridges
    /// of one network have the same address. `None` if no path is set, and the port is 0 or the system has no such names.
    #[must_use]
    pub fn local_socket(&self) -> Option<SocketName> {
        let listen = self.listen;
        let name = || SocketName::Abstract(format!("activity-bridge/{listen}"));
        match &self.socket {
            Some(path) => Some(SocketName::Path(path.clone())),
            None => (cfg!(target_os = "linux") && listen.port() != 0).then(name),
        }
    }
}

/// Where this machine's commands ask: the socket, if there is one.
impl fmt::Display for AdminConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(path) => path.display().fmt(f),
            None => self.listen.fmt(f),
        }
    }
}

/// Reads the settings of the endpoint.
pub(crate) fn read(mut admin: Reader<'_>) -> AdminConfig {
    let help = "The address of the status page, and of /status.json, /livez, /readyz, /started, /drained, /metrics, /scale and /tasks.";
    let listen = admin.text("listen", help, |text| {
        text.parse()
            .map_err(|_| "must be an address and a port, like \"127.0.0.1:9464\"".to_owned())
    });
    let listen = listen.or(SocketAddr::from(([127, 0, 0, 1], 9464)));
    let help = "The path of a Unix socket on which the same is served, and also what activity-bridge drain, resume, reload, pause, release, fail and parked ask for.";
    let socket = admin.text("socket", help, |text| match text {
        "" => Err("must not be empty".to_owned()),
        path => Ok(PathBuf::from(path)),
    });
    let socket = socket.optional();
    admin.finish();
    AdminConfig { listen, socket }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_path_the_local_socket_has_a_name_that_no_other_bridge_has() {
        let name = |listen: &str, socket: Option<&str>| {
            let config = AdminConfig {
                listen: listen.parse().expect("an address"),
                socket: socket.map(PathBuf::from),
            };
            config.local_socket().map(|name| name.to_string())
        };
        let linux = |name: &str| cfg!(target_os = "linux").then(|| name.to_owned());
        for (listen, expected) in [
            ("127.0.0.1:9464", linux("@activity-bridge/127.0.0.1:9464")),
            ("127.0.0.1:9465", linux("@activity-bridge/127.0.0.1:9465")),
            ("[::]:9464", linux("@activity-bridge/[::]:9464")),
            ("127.0.0.1:0", None),
        ] {
            assert_eq!(name(listen, None), expected, "{listen}");
            let set = name(listen, Some("/run/a.sock"));
            assert_eq!(set.as_deref(), Some("/run/a.sock"));
        }
    }

    #[test]
    fn a_name_without_a_path_follows_a_zero_byte() {
        let name = SocketName::Abstract("a".to_owned());
        assert_eq!(name.to_path(), Path::new("\0a"));
    }
}
