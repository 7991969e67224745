use super::*;
use axum::{Router, routing::get};
use std::future::pending;
use tokio::net::TcpListener;

/// A server that has started and is not ready.
async fn server() -> AdminConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let listen = listener.local_addr().expect("an address");
    let router = Router::new()
        .route("/started", get(|| async { "yes" }))
        .route("/readyz", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/silent", get(pending::<()>));
    tokio::spawn(axum::serve(listener, router).into_future());
    AdminConfig {
        listen,
        socket: None,
    }
}

#[tokio::test]
async fn a_process_that_has_started_and_waits_is_healthy_and_not_ready() {
    let admin = server().await;
    assert!(health(&admin, false).await.expect("an answer"));
    assert!(!health(&admin, true).await.expect("an answer"));
}

#[tokio::test]
async fn where_nothing_listens_there_is_no_health() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let listen = listener.local_addr().expect("an address");
    drop(listener);
    let admin = AdminConfig {
        listen,
        socket: None,
    };
    let error = health(&admin, false).await.expect_err("nobody listens");
    assert!(format!("{error:#}").contains("did not answer"), "{error:#}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_answer_is_not_waited_for() {
    let admin = server().await;
    let error = status(admin.listen, "/silent").await.expect_err("silence");
    assert!(format!("{error:#}").contains("in time"), "{error:#}");
}
