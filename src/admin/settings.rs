//! The settings of the admin endpoint.

use crate::settings::Reader;
use std::net::SocketAddr;

/// Reads the address of the endpoint.
pub(crate) fn read(mut admin: Reader<'_>) -> SocketAddr {
    let listen = admin.text("listen", |text| {
        text.parse()
            .map_err(|_| "must be an address and a port, like \"127.0.0.1:9464\"".to_owned())
    });
    admin.finish();
    listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9464)))
}
