//! Connections that a handler can end without an answer, and that know whether an answer with a task
//! in it went to someone who was still there.
//!
//! Both are decided when the answer is written: the handler leaves a word in the [`ConnHandle`], and
//! the connection, asked by hyper to write, acts on it.

use std::{
    io,
    net::SocketAddr,
    os::fd::AsFd,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

use crate::hub::Delivery;

/// How to end a connection instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// An orderly close.
    Close,
    /// A TCP reset.
    Reset,
}

/// The handler's hold on its connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnHandle(Arc<Mutex<Word>>);

/// What the next write is to act on.
#[derive(Debug, Default)]
struct Word {
    hangup: Option<Hangup>,
    delivery: Option<Delivery>,
}

impl ConnHandle {
    /// The connection ends instead of writing the answer.
    pub(crate) fn hang_up(&self, how: Hangup) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hangup = Some(how);
    }

    /// The answer carries this task.
    pub(crate) fn carries(&self, delivery: Delivery) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .delivery = Some(delivery);
    }

    fn take(&self) -> Word {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, delivery: Option<Delivery>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .delivery = delivery;
    }
}

impl Connected<IncomingStream<'_, SimListener>> for ConnHandle {
    fn connect_info(stream: IncomingStream<'_, SimListener>) -> Self {
        stream.io().handle.clone()
    }
}

/// Accepts [`Conn`]s.
#[derive(Debug)]
pub(crate) struct SimListener(pub(crate) TcpListener);

impl Listener for SimListener {
    type Io = Conn;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Conn, SocketAddr) {
        loop {
            // Answers are small and waited for: nothing is gained by letting the kernel collect.
            match self
                .0
                .accept()
                .await
                .and_then(|(s, addr)| s.set_nodelay(true).map(|()| (s, addr)))
            {
                Ok((stream, addr)) => {
                    return (
                        Conn {
                            stream,
                            handle: ConnHandle::default(),
                        },
                        addr,
                    );
                }
                // Out of file descriptors, most likely: some may come free.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A TCP connection and the word left for it.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: TcpStream,
    handle: ConnHandle,
}

impl Conn {
    /// Writes with `write`, unless the word says otherwise.
    fn write_with(
        &mut self,
        write: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Word { hangup, delivery } = self.handle.take();
        if let Some(how) = hangup {
            if how == Hangup::Reset {
                self.stream.set_zero_linger()?;
            }
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if delivery.is_some() && self.peer_gone() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match write(Pin::new(&mut self.stream)) {
            Poll::Pending => {
                self.handle.keep(delivery);
                Poll::Pending
            }
            Poll::Ready(written) => {
                if let (Ok(_), Some(delivery)) = (&written, delivery) {
                    delivery.done();
                }
                Poll::Ready(written)
            }
        }
    }

    /// Whether the other side has closed. Asks the kernel: what tokio knows may be a moment old.
    fn peer_gone(&self) -> bool {
        let Ok(descriptor) = self.stream.as_fd().try_clone_to_owned() else {
            return false;
        };
        // Non-blocking like the socket it shares.
        match std::net::TcpStream::from(descriptor).peek(&mut [0]) {
            Ok(read) => read == 0,
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
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write_with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_with(|stream| stream.poll_write_vectored(cx, bufs))
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

    /// A connection that carries a task, the other end of it, and the hub that tells its fate.
    async fn carrying() -> (Conn, TcpStream, Arc<Hub>) {
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
        let mut listener = SimListener(listener);
        let client = TcpStream::connect(listener.local_addr().expect("bound"));
        let (client, (conn, _)) = tokio::join!(client, listener.accept());
        // The runtime knows of it: a write is not put off.
        conn.stream.writable().await.expect("connected");
        conn.handle.carries(delivery);
        (conn, client.expect("connected"), hub)
    }

    fn write(conn: &mut Conn) -> Poll<io::Result<usize>> {
        Pin::new(conn).poll_write(&mut Context::from_waker(Waker::noop()), b"answer")
    }

    fn abandoned(hub: &Hub) -> u64 {
        hub.summary(None).abandoned
    }

    #[tokio::test]
    async fn a_written_task_is_delivered() {
        let (mut conn, _client, hub) = carrying().await;
        assert!(matches!(write(&mut conn), Poll::Ready(Ok(6))));
        drop(conn);
        assert_eq!(abandoned(&hub), 0);
    }

    /// The runtime has had no chance to learn of the close: only the kernel knows.
    #[tokio::test]
    async fn a_task_is_not_delivered_to_a_peer_that_has_closed() {
        let (mut conn, client, hub) = carrying().await;
        drop(client);
        let closed = Instant::now();
        // On a busy machine the kernel takes a moment to tell. Not awaited: the runtime would learn it.
        while !conn.peer_gone() {
            assert!(closed.elapsed() < Duration::from_secs(60), "never told");
            std::thread::yield_now();
        }
        assert!(matches!(write(&mut conn), Poll::Ready(Err(_))));
        assert_eq!(abandoned(&hub), 1);
    }

    #[tokio::test]
    async fn a_connection_that_ends_before_the_answer_abandons_its_task() {
        let (conn, _client, hub) = carrying().await;
        drop(conn);
        assert_eq!(abandoned(&hub), 1);
    }

    #[tokio::test]
    async fn a_hang_up_abandons_the_task() {
        for how in [Hangup::Close, Hangup::Reset] {
            let (mut conn, _client, hub) = carrying().await;
            conn.handle.hang_up(how);
            assert!(matches!(write(&mut conn), Poll::Ready(Err(_))));
            assert_eq!(abandoned(&hub), 1);
        }
    }
}
