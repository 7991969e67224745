//! Connections that a handler can end without an answer. A connection also finds out whether the caller
//! was still there when an answer with a task was written.
//!
//! Both happen at the write of the answer: the handler leaves an instruction in the [`ConnHandle`], and the
//! connection follows it when hyper writes.
//!
//! A connection without a call is closed after a while, as the real services do.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    os::fd::AsFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep, sleep},
};

use crate::{
    conns::{Connections, Counted},
    hub::Delivery,
    tls::{Stream, Tls},
};

/// How to end a connection instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// An orderly close.
    Close,
    /// A TCP reset.
    Reset,
}

/// The handler's reference to its connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnHandle(Arc<Mutex<NextWrite>>);

/// What the next write must do.
#[derive(Debug, Default)]
struct NextWrite {
    hangup: Option<Hangup>,
    delivery: Option<Delivery>,
}

impl ConnHandle {
    /// Ends the connection at the next write, in place of the answer.
    pub(crate) fn hang_up(&self, how: Hangup) {
        self.0.lock().hangup = Some(how);
    }

    /// Says that the next answer has this task in it.
    pub(crate) fn attach(&self, delivery: Delivery) {
        self.0.lock().delivery = Some(delivery);
    }

    fn take(&self) -> NextWrite {
        std::mem::take(&mut *self.0.lock())
    }

    fn put_back(&self, delivery: Option<Delivery>) {
        self.0.lock().delivery = delivery;
    }
}

impl Connected<IncomingStream<'_, SimListener>> for ConnHandle {
    fn connect_info(stream: IncomingStream<'_, SimListener>) -> Self {
        stream.io().handle.clone()
    }
}

/// Accepts [`Conn`]s.
pub(crate) struct SimListener {
    pub(crate) tcp: TcpListener,
    pub(crate) options: ConnOptions,
}

/// The options of all connections.
#[derive(Clone, Default)]
pub(crate) struct ConnOptions {
    /// `None` for plain HTTP.
    pub(crate) tls: Option<Tls>,
    /// The time without a call after which a connection is closed; `None` for never.
    pub(crate) idle: Option<Duration>,
    pub(crate) connections: Connections,
}

impl Listener for SimListener {
    type Io = Conn;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Conn, SocketAddr) {
        loop {
            // An answer is small, and its caller waits for it: Nagle's algorithm would only delay it.
            match self
                .tcp
                .accept()
                .await
                .and_then(|(s, addr)| s.set_nodelay(true).map(|()| (s, addr)))
            {
                Ok((stream, addr)) => return (Conn::new(stream, &self.options), addr),
                // The process probably has no file descriptor left. Others may be closed soon.
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A TCP connection with its handle.
pub(crate) struct Conn {
    stream: Stream,
    handle: ConnHandle,
    idle: Option<Idle>,
    _counted: Counted,
}

/// The end of a connection without a call.
struct Idle {
    limit: Duration,
    /// Whether the last bytes were those of an answer, or there were none yet.
    is_idle: bool,
    ends: Pin<Box<Sleep>>,
}

impl Idle {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            is_idle: true,
            ends: Box::pin(sleep(limit)),
        }
    }

    /// Begins anew. The timer wakes the task that writes, which is the one that reads.
    fn begin(&mut self, cx: &mut Context<'_>) {
        self.is_idle = true;
        self.ends.as_mut().reset(Instant::now() + self.limit);
        let _ = self.ends.as_mut().poll(cx);
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_idle && self.ends.as_mut().poll(cx).is_ready()
    }
}

impl Conn {
    fn new(stream: TcpStream, options: &ConnOptions) -> Self {
        Self {
            stream: Stream::new(stream, options.tls.as_ref()),
            handle: ConnHandle::default(),
            idle: options.idle.map(Idle::new),
            _counted: options.connections.opened(),
        }
    }

    /// Writes with `write`, unless the handler has ended the connection or the caller has gone.
    fn write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let NextWrite { hangup, delivery } = self.handle.take();
        if let Some(how) = hangup {
            if let (Hangup::Reset, Some(stream)) = (how, self.stream.tcp()) {
                stream.set_zero_linger()?;
            }
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if delivery.is_some() && self.peer_gone() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if let Some(delivery) = &delivery {
            delivery.begin_answer();
        }
        match write(Pin::new(&mut self.stream), cx) {
            Poll::Pending => {
                self.handle.put_back(delivery);
                Poll::Pending
            }
            Poll::Ready(written) => {
                if let (Ok(_), Some(delivery)) = (&written, delivery) {
                    delivery.done();
                }
                if let Some(idle) = &mut self.idle {
                    idle.begin(cx);
                }
                Poll::Ready(written)
            }
        }
    }

    /// Whether the caller has closed the connection. It asks the kernel, because tokio may not know yet.
    /// With TLS, the bytes that are there are the message that says so: a caller sends nothing while it waits.
    fn peer_gone(&self) -> bool {
        let descriptor = self
            .stream
            .tcp()
            .map(|tcp| tcp.as_fd().try_clone_to_owned());
        let Some(Ok(descriptor)) = descriptor else {
            return false;
        };
        // It is non-blocking like the socket of which it is a copy.
        match std::net::TcpStream::from(descriptor).peek(&mut [0]) {
            Ok(read) => read == 0 || self.stream.is_tls(),
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(idle) = &mut self.idle {
            if buf.filled().len() > before {
                // A call begins, or goes on.
                idle.is_idle = false;
            } else if read.is_pending() && idle.poll_ended(cx) {
                // As if the caller had closed it.
                return Poll::Ready(Ok(()));
            }
        }
        read
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write_with(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_with(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{task::Waker, time::Instant};

    use super::*;
    use crate::{
        Schedule,
        clock::micros,
        decider,
        hub::{Hub, PollStart},
        world::Rules,
    };

    /// A connection with a task in its next answer, its other end, and the hub.
    async fn connection_with_a_task() -> (Conn, TcpStream, Arc<Hub>) {
        let hold = micros(Duration::from_secs(60));
        let hub = Hub::new(Rules {
            hold,
            max_open_polls: 1,
            label: 0,
        });
        decider::add_domain(&hub, "shop");
        decider::schedule(&hub, Schedule::new("shop", "list")).expect("the domain exists");
        let polled = hub.poll::<()>(|state| Ok(state.world.queue("shop", "list")), None);
        let Ok(PollStart::Task(delivery)) = polled else {
            panic!("a task waits")
        };

        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("bound");
        let mut listener = SimListener {
            tcp: listener,
            options: ConnOptions::default(),
        };
        let client = TcpStream::connect(listener.local_addr().expect("bound"));
        let (client, (conn, _)) = tokio::join!(client, listener.accept());
        // Without this, the first write might be pending.
        let tcp = conn.stream.tcp().expect("no TLS");
        tcp.writable().await.expect("connected");
        conn.handle.attach(delivery);
        (conn, client.expect("connected"), hub)
    }

    fn write(conn: &mut Conn) -> Poll<io::Result<usize>> {
        Pin::new(conn).poll_write(&mut Context::from_waker(Waker::noop()), b"answer")
    }

    fn abandoned(hub: &Hub) -> u64 {
        hub.summary(None).abandoned
    }

    /// When the write of the only task's answer began.
    fn answered(hub: &Hub) -> Option<u64> {
        hub.records(|_| true)[0].answered_us
    }

    #[tokio::test]
    async fn a_written_task_is_delivered() {
        let (mut conn, _client, hub) = connection_with_a_task().await;
        assert_eq!(answered(&hub), None);
        let before = hub.time_at(Instant::now());
        assert!(matches!(write(&mut conn), Poll::Ready(Ok(6))));
        let after = hub.time_at(Instant::now());
        let answered = answered(&hub).expect("written");
        assert!((before..=after).contains(&answered));
        drop(conn);
        assert_eq!(abandoned(&hub), 0);
    }

    /// The runtime has not polled the socket since the close, so only the kernel knows of it.
    #[tokio::test]
    async fn a_task_is_not_delivered_to_a_peer_that_has_closed() {
        let (mut conn, client, hub) = connection_with_a_task().await;
        drop(client);
        let closed = Instant::now();
        // On a busy machine the kernel needs a moment. An await here would let the runtime learn of it.
        while !conn.peer_gone() {
            assert!(
                closed.elapsed() < Duration::from_secs(60),
                "the kernel does not report the close"
            );
            std::thread::yield_now();
        }
        assert!(matches!(write(&mut conn), Poll::Ready(Err(_))));
        assert_eq!(abandoned(&hub), 1);
        assert_eq!(answered(&hub), None);
    }

    #[tokio::test]
    async fn a_connection_that_ends_before_the_answer_abandons_its_task() {
        let (conn, _client, hub) = connection_with_a_task().await;
        drop(conn);
        assert_eq!(abandoned(&hub), 1);
    }

    #[tokio::test]
    async fn a_connection_that_the_handler_ends_abandons_its_task() {
        for how in [Hangup::Close, Hangup::Reset] {
            let (mut conn, _client, hub) = connection_with_a_task().await;
            conn.handle.hang_up(how);
            assert!(matches!(write(&mut conn), Poll::Ready(Err(_))));
            assert_eq!(abandoned(&hub), 1);
            assert_eq!(answered(&hub), None);
        }
    }
}
