//! The settings of the admin endpoint.

use crate::settings::Reader;
use std::{fmt, net::SocketAddr, path::PathBuf};

/// The settings of the admin endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// The address that it listens on.
    pub listen: SocketAddr,
    /// The path of the local socket that it listens on too; `None` if there is none.
    pub socket: Option<PathBuf>,
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
    let listen = admin.text("listen", |text| {
        text.parse()
            .map_err(|_| "must be an address and a port, like \"127.0.0.1:9464\"".to_owned())
    });
    let socket = admin.text("socket", |text| match text {
        "" => Err("must not be empty".to_owned()),
        path => Ok(PathBuf::from(path)),
    });
    admin.finish();
    AdminConfig {
        listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9464))),
        socket,
    }
}
