//! A collector of traces: OTLP over HTTP, and of its protobuf what the tests look at.

use axum::{Router, body::Bytes, extract::State, routing::post};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, task::JoinHandle};

type Received = Arc<Mutex<Vec<Bytes>>>;

/// See the module. It takes everything.
pub struct Collector {
    /// Its address.
    pub url: String,
    received: Received,
    running: JoinHandle<()>,
}

impl Collector {
    /// On a free port.
    pub async fn start() -> Self {
        let received = Received::default();
        let take = async |State(all): State<Received>, body: Bytes| {
            all.lock().expect("no panic holds it").push(body);
        };
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&received));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let running = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self {
            url,
            received,
            running,
        }
    }

    /// Every byte of every request's body.
    pub fn everything(&self) -> Vec<u8> {
        self.received.lock().expect("no panic holds it").concat()
    }

    /// All spans.
    pub fn spans(&self) -> Vec<Span> {
        let received = self.received.lock().expect("no panic holds it");
        let resources = received.iter().flat_map(|request| parts(request, 1));
        let scopes = resources.flat_map(|resource| parts(resource, 2));
        let spans = scopes.flat_map(|scope| parts(scope, 2));
        spans.map(Span::read).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A span, its ids in hexadecimal digits.
#[derive(Debug)]
pub struct Span {
    pub name: String,
    pub trace_id: String,
    pub span_id: String,
    /// Empty where it has none.
    pub parent_id: String,
    pub start: u64,
    pub end: u64,
    pub failed: bool,
    attributes: BTreeMap<String, String>,
}

impl Span {
    /// By the numbers of `opentelemetry/proto/trace/v1/trace.proto`.
    fn read(bytes: &[u8]) -> Self {
        let text = |number| String::from_utf8(part(bytes, number).to_vec()).expect("UTF-8");
        let id = |number| -> String {
            let bytes = part(bytes, number).iter();
            bytes.map(|byte| format!("{byte:02x}")).collect()
        };
        let time = |number| u64::from_le_bytes(part(bytes, number).try_into().expect("64 bits"));
        let attributes = parts(bytes, 9).into_iter().map(|pair| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(part(pair, 1)), text(part(part(pair, 2), 1)))
        });
        // Status.code: 2 is an error, in a single byte.
        let failed = part(part(bytes, 15), 3) == [2];
        Self {
            name: text(5),
            trace_id: id(1),
            span_id: id(2),
            parent_id: id(4),
            start: time(7),
            end: time(8),
            failed,
            attributes: attributes.collect(),
        }
    }

    /// An attribute that is a text.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// The first field of a number, or nothing.
fn part(message: &[u8], number: u64) -> &[u8] {
    parts(message, number).first().copied().unwrap_or_default()
}

/// The fields of a number, each as the bytes that stand for its value.
fn parts(mut message: &[u8], number: u64) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => message.iter().take_while(|byte| **byte >= 0x80).count() + 1,
            1 => 8,
            2 => usize::try_from(varint(&mut message)).expect("a length"),
            5 => 4,
            other => panic!("a wire type that protobuf no longer has: {other}"),
        };
        let (value, rest) = message.split_at(length);
        message = rest;
        if key >> 3 == number {
            found.push(value);
        }
    }
    found
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().expect("more bytes");
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}
