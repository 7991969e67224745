//! The time limits of a connection, on paused time.

use super::{
    super::{doorway::Doorway, limits::Limits, state::State, users::Users},
    *,
};
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
    task::JoinHandle,
};

/// `connection.start-ok` with PLAIN and guest, `connection.tune-ok` without heartbeats, `connection.open`,
/// `channel.open` of channel 1.
const LOGIN: [&[u8]; 4] = [
    b"\x01\0\0\0\0\0\x24\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US\xce",
    b"\x01\0\0\0\0\0\x0c\0\x0a\0\x1f\0\0\0\x02\0\0\0\0\xce",
    b"\x01\0\0\0\0\0\x08\0\x0a\0\x28\x01/\0\0\xce",
    b"\x01\0\x01\0\0\0\x05\0\x14\0\x0a\0\xce",
];

/// `basic.publish` on channel 1, and the header of a message of 100 bytes.
const HALF: &[u8] =
    b"\x01\0\x01\0\0\0\x09\0\x3c\0\x28\0\0\0\0\0\xce\x02\0\x01\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\x64\0\0\xce";

/// A heartbeat.
const BEAT: &[u8] = b"\x08\0\0\0\0\0\0\xce";

struct Peer {
    stream: DuplexStream,
    served: JoinHandle<()>,
    switch: Switch,
    _closing: watch::Sender<bool>,
    began: Instant,
}

async fn peer(login: &[&[u8]]) -> Peer {
    let (events, _read) = mpsc::channel(100);
    let now = Instant::now();
    let switch = Switch::new(State::new(Limits::default(), events, now));
    let (closing, is_closing) = watch::channel(false);
    let shared = Shared {
        switch: switch.clone(),
        users: Arc::new(Users {
            anyone: true,
            ..Users::default()
        }),
        closing: is_closing,
    };
    let (mut stream, theirs) = duplex(1 << 20);
    let handshake = Doorway::new().enter().await;
    let served = tokio::spawn(serve(
        theirs,
        ("a test".to_owned(), None),
        shared,
        handshake,
    ));
    stream.write_all(&PROTOCOL_HEADER).await.expect("sent");
    for part in login {
        stream.write_all(part).await.expect("sent");
    }
    Peer {
        stream,
        served,
        switch,
        _closing: closing,
        began: now,
    }
}

impl Peer {
    /// Sends bytes at an interval until the connection ends. Returns how long it lived.
    async fn repeat(mut self, bytes: &[u8], interval: Duration) -> Duration {
        while !self.served.is_finished() && self.began.elapsed() < Duration::from_secs(300) {
            drop(self.stream.write_all(bytes).await);
            sleep(interval).await;
        }
        self.began.elapsed()
    }

    fn is_open(&self) -> bool {
        self.switch.with(|state| !state.connections.is_empty())
    }
}

fn secs(range: std::ops::Range<u64>) -> std::ops::Range<Duration> {
    Duration::from_secs(range.start)..Duration::from_secs(range.end)
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_takes_its_time_ends_after_ten_seconds() {
    for parts in 0..LOGIN.len() - 1 {
        let lived = peer(&LOGIN[..parts])
            .await
            .repeat(b"", Duration::from_secs(1))
            .await;
        assert!(secs(10..14).contains(&lived), "{parts} parts: {lived:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_message_ends_its_connection_though_heartbeats_come() {
    let mut client = peer(&LOGIN).await;
    client.stream.write_all(HALF).await.expect("sent");
    let lived = client.repeat(BEAT, Duration::from_secs(1)).await;
    assert!(secs(10..45).contains(&lived), "{lived:?}");
}

#[tokio::test(start_paused = true)]
async fn half_a_frame_that_grows_by_a_byte_now_and_then_ends_its_connection() {
    let mut client = peer(&LOGIN).await;
    // A frame of 100,000 bytes.
    let header = b"\x03\0\x01\0\x01\x86\xa0";
    client.stream.write_all(header).await.expect("sent");
    let mut lived = Duration::ZERO;
    while client.is_open() || lived.is_zero() {
        drop(client.stream.write_all(b"x").await);
        sleep(Duration::from_secs(3)).await;
        lived = client.began.elapsed();
        assert!(lived < Duration::from_secs(60));
    }
    assert!(secs(10..20).contains(&lived), "{lived:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_closed_ends_though_its_client_goes_on_sending() {
    // A frame of an unknown kind ends the connection.
    let garbage = [0xFF; 16];
    let mut client = peer(&LOGIN).await;
    client.stream.write_all(&garbage).await.expect("sent");
    let lived = client.repeat(BEAT, Duration::from_secs(1)).await;
    assert!(secs(30..40).contains(&lived), "{lived:?}");
    let lived = peer(&[&garbage])
        .await
        .repeat(BEAT, Duration::from_secs(1))
        .await;
    assert!(secs(3..10).contains(&lived), "before the login: {lived:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_negotiates_no_heartbeats_may_be_silent() {
    let client = peer(&LOGIN).await;
    sleep(Duration::from_secs(3_600)).await;
    assert!(client.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_be_written_ends_alone() {
    let (mut client, theirs) = duplex(100);
    client.write_all(&PROTOCOL_HEADER).await.expect("sent");
    let (closed, to_nobody) = duplex(100);
    drop(closed);
    let (events, _read) = mpsc::channel(100);
    let state = State::new(Limits::default(), events, Instant::now());
    let (_closing, is_closing) = watch::channel(false);
    let shared = Shared {
        switch: Switch::new(state),
        users: Arc::default(),
        closing: is_closing,
    };
    let handshake = Doorway::new().enter().await;
    let stream = tokio::io::join(theirs, to_nobody);
    let served = tokio::spawn(serve(
        stream,
        ("a test".to_owned(), None),
        shared,
        handshake,
    ));
    served.await.expect("no panic");
}
