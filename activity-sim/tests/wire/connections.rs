//! TLS, idle connections, and the count of connections.

use std::{sync::Arc, time::Duration};

use crate::client::SOON;
use activity_sim::{Options, Sim, Summary};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

const IDLE: Duration = Duration::from_millis(300);

async fn sim(tls: bool, hold: Duration) -> Sim {
    let options = Options {
        hold,
        domains: vec!["shop".to_owned()],
        tls,
        idle: Some(IDLE),
        ..Options::default()
    };
    Sim::start(options).await.unwrap()
}

/// A stream in both directions.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

async fn connect(sim: &Sim) -> Box<dyn Stream> {
    let tcp = TcpStream::connect(sim.addr()).await.unwrap();
    let Some(certificate) = sim.certificate() else {
        return Box::new(tcp);
    };
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("127.0.0.1").unwrap();
    Box::new(connector.connect(name, tcp).await.unwrap())
}

/// Polls, and returns everything up to the end of the connection.
async fn poll(stream: &mut dyn Stream) -> String {
    let body = r#"{"domain": "shop", "taskList": {"name": "list"}}"#;
    let call = format!(
        "POST / HTTP/1.1\r\nhost: sim\r\nx-amz-target: SimpleWorkflowService.PollForActivityTask\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(call.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer))
        .await
        .expect("the idle connection is closed")
        .unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_connection_without_a_call_is_closed_and_a_held_poll_is_not() {
    for tls in [false, true] {
        let sim = sim(tls, IDLE * 5).await;
        assert!(sim.url().starts_with(if tls { "https:" } else { "http:" }));
        let answer = poll(&mut *connect(&sim).await).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("taskToken"), "{answer}");
        let mut silent = connect(&sim).await;
        let ended = timeout(SOON, silent.read(&mut [0])).await;
        assert_eq!(ended.expect("it is closed").unwrap(), 0);
    }
}

#[tokio::test]
async fn open_connections_are_counted() {
    for tls in [false, true] {
        let sim = sim(tls, IDLE).await;
        let mut open = Vec::new();
        for _ in 0..5 {
            open.push(connect(&sim).await);
        }
        until(&sim, |summary| summary.max_connections == 5).await;
        drop(open);
        until(&sim, |summary| summary.connections == 0).await;
        assert_eq!(sim.summary().max_connections, 5);
    }
}

/// Waits for a count. Connections wake nobody who waits for a change.
async fn until(sim: &Sim, condition: impl Fn(&Summary) -> bool) {
    let reached = async {
        while !condition(&sim.summary()) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let reached = timeout(SOON, reached).await;
    reached.unwrap_or_else(|_| panic!("{:?}", sim.summary()));
}
