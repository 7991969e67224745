//! A connection of AMQP 0-9-1 over a bare TCP socket, for one thread that blocks. It has no TLS and no heartbeats.

use activity_bridge::broker::endpoint::{
    content_header::ContentHeader,
    frame::{self, Frame, Kind},
    method,
};
use anyhow::{Context, bail, ensure};
use bytes::BytesMut;
use lapin::{
    protocol::{AMQPClass, channel, connection},
    uri::{AMQPScheme, AMQPUri},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

/// Timeout for the connection, for each answer to a method and for each write.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for one read.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
/// Maximum bytes of one read.
const READ_BYTES: usize = 65_536;
/// Maximum size of a frame, as the bridge sets it.
const FRAME_MAX: u32 = 131_072;
/// The only channel.
const CHANNEL: u16 = 1;

/// An open connection with one open channel.
pub(crate) struct AmqpSocket {
    stream: TcpStream,
    read: Box<[u8]>,
    read_at: Instant,
    incoming: BytesMut,
    outgoing: BytesMut,
    frame_max: u32,
}

impl AmqpSocket {
    /// Connects, logs in by PLAIN, and opens the channel.
    pub(crate) fn connect(uri: &str) -> anyhow::Result<Self> {
        let uri: AMQPUri = uri.parse().map_err(anyhow::Error::msg)?;
        ensure!(
            uri.scheme == AMQPScheme::AMQP,
            "the worker has no TLS: amqps"
        );
        let (host, port) = (uri.authority.host.as_str(), uri.authority.port);
        let mut addresses = (host, port).to_socket_addrs()?;
        let address = addresses.next().context("the host has no address")?;
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut socket = Self {
            stream,
            read: vec![0; READ_BYTES].into(),
            read_at: Instant::now(),
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            frame_max: FRAME_MAX,
        };
        socket.open(&uri).with_context(|| format!("{address}"))?;
        Ok(socket)
    }

    fn open(&mut self, uri: &AMQPUri) -> anyhow::Result<()> {
        use connection::AMQPMethod::{Open, OpenOk, Start, StartOk, Tune, TuneOk};
        self.stream.write_all(&frame::PROTOCOL_HEADER)?;
        let AMQPClass::Connection(Start(_)) = self.answer("connection.start")? else {
            bail!("the broker does not begin with connection.start");
        };
        let user = &uri.authority.userinfo;
        let start = connection::StartOk {
            mechanism: "PLAIN".into(),
            response: format!("\0{}\0{}", user.username, user.password).into(),
            locale: "en_US".into(),
            ..Default::default()
        };
        self.put_connection(StartOk(start))?;
        let answer = self.answer("connection.tune").context("login")?;
        let AMQPClass::Connection(Tune(tune)) = answer else {
            bail!("the login was answered by {answer:?}");
        };
        if tune.frame_max != 0 {
            self.frame_max = self.frame_max.min(tune.frame_max);
        }
        self.put_connection(TuneOk(connection::TuneOk {
            channel_max: tune.channel_max,
            frame_max: self.frame_max,
            heartbeat: 0,
        }))?;
        let virtual_host = method::short_string(&uri.vhost);
        self.put_connection(Open(connection::Open { virtual_host }))?;
        let answer = self.answer("connection.open-ok")?;
        let AMQPClass::Connection(OpenOk(_)) = answer else {
            bail!("connection.open was answered by {answer:?}");
        };
        let open = AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}));
        let answer = self.call(&open)?;
        let AMQPClass::Channel(channel::AMQPMethod::OpenOk(_)) = answer else {
            bail!("channel.open was answered by {answer:?}");
        };
        Ok(())
    }

    /// Sends a method on the channel, and returns the next method that comes.
    pub(crate) fn call(&mut self, method: &AMQPClass) -> anyhow::Result<AMQPClass> {
        self.put(method)?;
        self.answer("the answer")
    }

    /// Sends what was put, and waits for the next method.
    fn answer(&mut self, what: &str) -> anyhow::Result<AMQPClass> {
        self.flush()?;
        let begun = Instant::now();
        loop {
            while let Some(frame) = self.next_frame()? {
                if frame.kind == Kind::Method {
                    return Ok(method::decode(&frame.payload)?);
                }
            }
            ensure!(
                begun.elapsed() < TIMEOUT,
                "{what} did not come within {TIMEOUT:?}"
            );
            self.read()?;
        }
    }

    /// Waits for bytes for a short time. Whether there were any.
    pub(crate) fn read(&mut self) -> anyhow::Result<bool> {
        let read = self.stream.read(&mut self.read);
        let read_at = Instant::now();
        match read {
            Ok(0) => bail!("the broker has closed the connection"),
            Ok(length) => {
                self.read_at = read_at;
                let bytes = self.read.get(..length).unwrap_or_default();
                self.incoming.extend_from_slice(bytes);
                Ok(true)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(false),
                _ => Err(error.into()),
            },
        }
    }

    /// When the last bytes had been read.
    pub(crate) fn read_at(&self) -> Instant {
        self.read_at
    }

    /// The next frame that has been read as a whole.
    pub(crate) fn next_frame(&mut self) -> anyhow::Result<Option<Frame>> {
        Ok(frame::decode(&mut self.incoming, self.frame_max)?)
    }

    /// Adds a method on the channel to what is to be sent.
    pub(crate) fn put(&mut self, method: &AMQPClass) -> anyhow::Result<()> {
        Ok(method::encode(method, CHANNEL, &mut self.outgoing)?)
    }

    fn put_connection(&mut self, method: connection::AMQPMethod) -> anyhow::Result<()> {
        let method = AMQPClass::Connection(method);
        Ok(method::encode(&method, 0, &mut self.outgoing)?)
    }

    /// Adds what follows `basic.publish`.
    pub(crate) fn put_content(
        &mut self,
        header: &ContentHeader,
        body: &[u8],
    ) -> anyhow::Result<()> {
        header.encode(CHANNEL, &mut self.outgoing)?;
        let frame_max = self.frame_max;
        Ok(frame::encode_body(
            &mut self.outgoing,
            CHANNEL,
            body,
            frame_max,
        )?)
    }

    /// Sends all that was put.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        if !self.outgoing.is_empty() {
            self.stream.write_all(&self.outgoing)?;
            self.outgoing.clear();
        }
        Ok(())
    }

    /// Closes the connection in order.
    pub(crate) fn close(mut self) -> anyhow::Result<()> {
        use connection::AMQPMethod::{Close, CloseOk};
        self.put_connection(Close(connection::Close {
            reply_code: 200,
            reply_text: "done".into(),
            ..Default::default()
        }))?;
        let answer = self.answer("connection.close-ok")?;
        let AMQPClass::Connection(CloseOk(_)) = answer else {
            bail!("connection.close was answered by {answer:?}");
        };
        Ok(())
    }
}
