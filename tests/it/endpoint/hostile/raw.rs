//! A client of AMQP that sends whatever it is told, byte by byte.

use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

/// The first bytes of a connection.
pub const HEADER: &[u8] = b"AMQP\0\0\x09\x01";

/// Timeout for any answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection.
pub struct Raw {
    pub reading: OwnedReadHalf,
    pub writing: OwnedWriteHalf,
}

/// A frame.
pub fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("short");
    let mut frame = vec![kind];
    frame.extend(channel.to_be_bytes());
    frame.extend(size.to_be_bytes());
    frame.extend(payload);
    frame.push(0xCE);
    frame
}

/// A frame with a method.
pub fn method(channel: u16, (class, id): (u16, u16), arguments: &[&[u8]]) -> Vec<u8> {
    let ids = [class.to_be_bytes(), id.to_be_bytes()].concat();
    frame(1, channel, &[&ids, &arguments.concat()[..]].concat())
}

/// A short string.
pub fn short(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&[u8::try_from(text.len()).expect("short")], text].concat()
}

/// A long string or a table, by its bytes.
pub fn long(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let size = u32::try_from(bytes.len()).expect("short");
    [&size.to_be_bytes(), bytes].concat()
}

/// `connection.start-ok`.
pub fn start_ok(properties: &[u8], user: &str, password: &str) -> Vec<u8> {
    let response = long(format!("\0{user}\0{password}"));
    let arguments: [&[u8]; 4] = [
        &long(properties),
        &short("PLAIN"),
        &response,
        &short("en_US"),
    ];
    method(0, (10, 11), &arguments)
}

pub fn channel_open(channel: u16) -> Vec<u8> {
    method(channel, (20, 10), &[&short("")])
}

pub fn channel_close(channel: u16) -> Vec<u8> {
    method(channel, (20, 40), &[&[0, 0], &short(""), &[0; 4]])
}

/// `queue.declare` of an exclusive queue without an answer.
pub fn declare(channel: u16, queue: &str, arguments: &[u8]) -> Vec<u8> {
    let table = long(arguments);
    method(
        channel,
        (50, 10),
        &[&[0, 0], &short(queue), &[4 + 16], &table],
    )
}

/// `queue.bind` without an answer.
pub fn bind(channel: u16, queue: &str, exchange: &str, key: &str) -> Vec<u8> {
    let names = [short(queue), short(exchange), short(key)].concat();
    method(channel, (50, 20), &[&[0, 0], &names, &[1], &long("")])
}

/// `basic.consume`; the client acknowledges.
pub fn consume(channel: u16, queue: &str) -> Vec<u8> {
    let names = [short(queue), short("")].concat();
    method(channel, (60, 20), &[&[0, 0], &names, &[0], &long("")])
}

pub fn get(channel: u16, queue: &str) -> Vec<u8> {
    method(channel, (60, 70), &[&[0, 0], &short(queue), &[0]])
}

pub fn nack(channel: u16, tag: u64, requeue: bool) -> Vec<u8> {
    let bits = [u8::from(requeue) * 2];
    method(channel, (60, 120), &[&tag.to_be_bytes(), &bits])
}

/// `basic.publish` without its content.
pub fn publish(channel: u16, exchange: &str, key: &str) -> Vec<u8> {
    method(
        channel,
        (60, 40),
        &[&[0, 0], &short(exchange), &short(key), &[0]],
    )
}

/// A content header. `properties` are the flags and the values.
pub fn content(channel: u16, size: u64, properties: &[u8]) -> Vec<u8> {
    let payload = [&[0, 60, 0, 0], &size.to_be_bytes()[..], properties].concat();
    frame(2, channel, &payload)
}

/// A whole message.
pub fn message(channel: u16, exchange: &str, key: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = publish(channel, exchange, key);
    bytes.extend(content(channel, body.len() as u64, &[0, 0]));
    for part in body.chunks(100_000) {
        bytes.extend(frame(3, channel, part));
    }
    bytes
}

impl Raw {
    /// A connection on which nothing was said.
    pub async fn silent(port: u16) -> Self {
        let stream = timeout(ANSWER_TIMEOUT, TcpStream::connect(("127.0.0.1", port))).await;
        let stream = stream.expect("in time").expect("the endpoint listens");
        // Otherwise the system waits for more before it sends.
        stream.set_nodelay(true).expect("an option");
        let (reading, writing) = stream.into_split();
        Self { reading, writing }
    }

    /// A connection after its handshake, with channel 1 open. It has no heartbeats.
    pub async fn open(port: u16) -> Self {
        Self::login(port, "guest", "guest").await
    }

    /// A connection of this user.
    pub async fn login(port: u16, user: &str, password: &str) -> Self {
        Self::log_in(port, user, password, "/").await
    }

    /// As [`Raw::open`], at the broker that a URI names.
    pub async fn at(uri: &str) -> Self {
        let uri: lapin::uri::AMQPUri = uri.parse().expect("a URI");
        let authority = uri.authority;
        let user = authority.userinfo;
        Self::log_in(authority.port, &user.username, &user.password, &uri.vhost).await
    }

    async fn log_in(port: u16, user: &str, password: &str, vhost: &str) -> Self {
        let mut raw = Self::silent(port).await;
        raw.send(HEADER).await;
        raw.until((10, 10)).await;
        raw.send(&start_ok(b"", user, password)).await;
        raw.until((10, 30)).await;
        // RabbitMQ takes no 0, which would be no limit.
        let tuned = [
            &2_047_u16.to_be_bytes()[..],
            &131_072_u32.to_be_bytes()[..],
            &[0, 0],
        ]
        .concat();
        raw.send(&method(0, (10, 31), &[&tuned])).await;
        raw.send(&method(0, (10, 40), &[&short(vhost), &[0, 0]]))
            .await;
        raw.until((10, 41)).await;
        raw.send(&channel_open(1)).await;
        raw.until((20, 11)).await;
        raw
    }

    /// Sends bytes. Whether they arrive is another question.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.writing.write_all(bytes).await.ok();
    }

    /// Sends bytes for some time. True if all were taken.
    pub async fn send_for(&mut self, bytes: &[u8], time: Duration) -> bool {
        timeout(time, self.writing.write_all(bytes))
            .await
            .is_ok_and(|sent| sent.is_ok())
    }

    /// The next frame: kind, channel and payload. `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<(u8, u16, Vec<u8>)> {
        let next = async {
            let mut head = [0; 7];
            self.reading.read_exact(&mut head).await.ok()?;
            let [kind, a, b, c, d, e, f] = head;
            let size = u32::from_be_bytes([c, d, e, f]);
            let mut payload = vec![0; size as usize + 1];
            self.reading.read_exact(&mut payload).await.ok()?;
            payload.pop();
            Some((kind, u16::from_be_bytes([a, b]), payload))
        };
        timeout(ANSWER_TIMEOUT, next)
            .await
            .expect("a frame, or the end")
    }

    /// Reads up to this method. Returns its arguments.
    pub async fn until(&mut self, (class, id): (u16, u16)) -> Vec<u8> {
        let ids = [class.to_be_bytes(), id.to_be_bytes()].concat();
        loop {
            let (kind, _, payload) = self.next().await.expect("the connection lives");
            if kind == 1 && payload.starts_with(&ids) {
                return payload[4..].to_vec();
            }
        }
    }

    /// Reads up to the close of a channel or the connection. Returns its code; 0 if the connection ends without.
    pub async fn refused(&mut self) -> u16 {
        while let Some((kind, _, payload)) = self.next().await {
            if let (1, [0, 10, 0, 50, a, b, ..] | [0, 20, 0, 40, a, b, ..]) = (kind, &payload[..]) {
                return u16::from_be_bytes([*a, *b]);
            }
        }
        0
    }
}
