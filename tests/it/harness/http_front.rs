//! An HTTP server that a test tells what to do with each request. It can be a proxy, a service, or an endpoint of credentials.

use super::Identity;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Head {
    /// The first line.
    pub line: String,
    /// The other lines.
    pub headers: String,
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answer it with this status and body.
    Say(u16, String),
    /// Let this server answer it.
    Pass(SocketAddr),
    /// Connect the client with this server.
    Tunnel(SocketAddr),
}

/// See the module.
pub struct HttpFront {
    /// Its address.
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Head>>>,
    running: JoinHandle<()>,
}

impl HttpFront {
    /// On a free port.
    pub async fn start(act: impl Fn(&Head) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let seen = Arc::<Mutex<Vec<Head>>>::default();
        let (act, all) = (Arc::new(act), Arc::clone(&seen));
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (act, all) = (Arc::clone(&act), Arc::clone(&all));
                tokio::spawn(async move {
                    let decide = |head: &Head| {
                        all.lock().expect("no panic holds it").push(head.clone());
                        act(head)
                    };
                    // A client or a server that goes ends it.
                    drop(serve(stream, decide).await);
                });
            }
        });
        Self {
            addr,
            seen,
            running,
        }
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Head> {
        self.seen.lock().expect("no panic holds it").clone()
    }
}

impl Drop for HttpFront {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// One request. The connection ends with its answer.
async fn serve(mut client: TcpStream, decide: impl Fn(&Head) -> Act) -> std::io::Result<()> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(at) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&read[..end]).into_owned();
    let (line, headers) = text.split_once("\r\n").expect("a line");
    let head = Head {
        line: line.to_owned(),
        headers: headers.to_owned(),
    };
    match decide(&head) {
        Act::Say(status, body) => {
            let length = |line: &str| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().expect("a number"))
            };
            let length = headers.lines().find_map(length).unwrap_or_default();
            let left = length.saturating_sub(read.len() - end);
            client.read_exact(&mut vec![0; left]).await?;
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            client.write_all(answer.as_bytes()).await
        }
        Act::Pass(server) => {
            let mut server = TcpStream::connect(server).await?;
            let head = format!("{line}\r\nConnection: close\r\n{headers}");
            server.write_all(head.as_bytes()).await?;
            server.write_all(&read[end..]).await?;
            copy_bidirectional(&mut client, &mut server).await.map(drop)
        }
        Act::Tunnel(server) => {
            let mut server = TcpStream::connect(server).await?;
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            copy_bidirectional(&mut client, &mut server).await.map(drop)
        }
    }
}

/// Takes TLS connections with this certificate, and connects them with a server.
pub async fn tls_front(identity: &Identity, server: SocketAddr) -> SocketAddr {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.expect("a certificate")],
            key.expect("a key"),
        )
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut client = acceptor.accept(stream).await?;
                let mut server = TcpStream::connect(server).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    addr
}
