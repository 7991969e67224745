use super::*;
use crate::admin::open_connections::InUse;
use axum::{body::Bytes, routing::get};
use std::{future::pending, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::timeout,
};

const LIMITS: Limits = Limits {
    connections: 4,
    head: Duration::from_secs(3_600),
    answer: Duration::from_secs(3_600),
};

/// Maximum time of a test's step.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

const PROBE: &[u8] = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";

const LARGE: usize = 64 << 20;

/// A server with these bounds.
async fn start(limits: Limits) -> SocketAddr {
    start_with(limits, Arc::default()).await
}

/// The same; who waits at `/wait` is answered when `over` is notified.
async fn start_with(limits: Limits, over: Arc<Notify>) -> SocketAddr {
    let wait = |Extension(in_use): Extension<InUse>| async move {
        let _waiting = in_use.wait();
        over.notified().await;
        "ok\n"
    };
    let router = Router::new()
        .route("/wait", get(wait))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/never", get(pending::<()>))
        .route("/large", get(|| async { Bytes::from(vec![b'x'; LARGE]) }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let addr = listener.local_addr().expect("an address");
    let supervisor = Supervisor::default();
    let listeners = Listeners {
        address: (listener, router),
        socket: None,
    };
    supervisor.spawn_loop("the server", serve(listeners, supervisor.clone(), limits));
    addr
}

async fn open(addr: SocketAddr, said: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.expect("connected");
    stream.write_all(said).await.expect("written");
    stream
}

/// The answer of a probe on this connection.
async fn probe(stream: &mut TcpStream) -> String {
    stream.write_all(PROBE).await.expect("written");
    answer(stream).await
}

/// The next answer on this connection.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = async {
        while !answer.ends_with(b"ok\n") {
            let read = stream.read_buf(&mut answer).await;
            assert!(read.expect("an answer") > 0, "closed");
        }
    };
    timeout(STEP_TIMEOUT, reading).await.expect("in time");
    String::from_utf8(answer).expect("text")
}

/// Waits until the server has closed the connection, and returns what it said before.
async fn closed(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    let reading = stream.read_to_end(&mut said);
    // A reset closes too.
    drop(
        timeout(STEP_TIMEOUT, reading)
            .await
            .expect("closed in time"),
    );
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn half_open_requests_are_bounded_and_a_probe_is_answered() {
    let addr = start(LIMITS).await;
    let mut half_open = Vec::new();
    for _ in 0..500 {
        half_open.push(open(addr, b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Half: ").await);
        if half_open.len() % 50 == 0 {
            let mut probing = open(addr, b"").await;
            assert!(probe(&mut probing).await.starts_with("HTTP/1.1 200"));
        }
    }
    let last = half_open.split_off(half_open.len() - (LIMITS.connections - 1));
    for stream in half_open {
        assert_eq!(closed(stream).await, "");
    }
    drop(last);
}

#[tokio::test]
async fn the_connection_with_the_oldest_request_makes_room() {
    let addr = start(LIMITS).await;
    let mut used = open(addr, b"").await;
    probe(&mut used).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(open(addr, b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await);
    }
    // It is the first that came and the last that asked.
    probe(&mut used).await;
    let mut others = Vec::new();
    for stream in waiting {
        let mut other = open(addr, b"").await;
        probe(&mut other).await;
        others.push(other);
        assert_eq!(closed(stream).await, "");
        probe(&mut used).await;
    }
}

#[tokio::test]
async fn a_head_an_idle_connection_and_an_unread_answer_have_timeouts() {
    let limits = Limits {
        head: Duration::from_millis(200),
        ..LIMITS
    };
    let addr = start(limits).await;
    closed(open(addr, b"GET /livez HTTP/1.1\r\nHost: ").await).await;
    closed(open(addr, b"").await).await;
    let mut idle = open(addr, b"").await;
    probe(&mut idle).await;
    closed(idle).await;

    let limits = Limits {
        answer: Duration::from_millis(200),
        ..LIMITS
    };
    let addr = start(limits).await;
    closed(open(addr, b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await).await;
    let large = open(addr, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // Nothing is read meanwhile. The end shows after what the buffers of the system hold.
    sleep(2 * limits.answer).await;
    let read = closed(large).await;
    assert!(read.len() < LARGE, "{}", read.len());
}

#[tokio::test]
async fn who_waits_is_not_closed_for_a_new_connection_nor_for_the_time() {
    let over = Arc::new(Notify::new());
    let limits = Limits {
        head: Duration::from_secs(1),
        answer: Duration::from_secs(1),
        ..LIMITS
    };
    let addr = start_with(limits, Arc::clone(&over)).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        waiting.push(open(addr, b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await);
    }
    for _ in 0..50 {
        let mut probing = open(addr, b"").await;
        assert!(probe(&mut probing).await.starts_with("HTTP/1.1 200"));
    }
    // A connection that does not wait is closed by then.
    closed(open(addr, b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await).await;
    over.notify_waiters();
    for mut stream in waiting {
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
        // From here on it is one like any other.
        closed(stream).await;
    }
}

#[tokio::test]
async fn who_waits_counts_and_the_others_make_room() {
    let over = Arc::new(Notify::new());
    let addr = start_with(LIMITS, Arc::clone(&over)).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        waiting.push(open(addr, b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await);
    }
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut stream = open(addr, b"").await;
        probe(&mut stream).await;
        idle.push(stream);
    }
    closed(idle.remove(0)).await;
    for stream in &mut idle {
        probe(stream).await;
    }
}

#[tokio::test]
async fn http_2_and_long_heads_are_refused() {
    let addr = start(LIMITS).await;
    let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let said = closed(open(addr, settings).await).await;
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 4"),
        "{said:?}"
    );
    let mut long = open(addr, b"GET /livez HTTP/1.1\r\n").await;
    // The server may have closed the connection meanwhile.
    drop(long.write_all(&[b'a'; 2 * MAX_HEAD]).await);
    let said = closed(long).await;
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 4"),
        "{said:?}"
    );
    probe(&mut open(addr, b"").await).await;
}
