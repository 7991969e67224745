//! Clients whose frames go straight into their sessions.

use super::written::Written;
use crate::{
    broker::{
        Inbound,
        endpoint::{
            assembly::MAX_UNFINISHED,
            custody_terms::{AckMode, ConnectionId, ReturnCause, Terms},
            frame::{self, Frame, Kind},
            handshake::FRAME_MAX,
            limits::Limits,
            message::Message,
            method,
            outbox::Outbox,
            parked_file::Found,
            properties::Properties,
            refusal::Refusal,
            session::Session,
            state::State,
            switch::Switch,
            tasks::NewTask,
            users::{Login, Users},
        },
        names::PARKING_QUEUE,
    },
    task::TaskId,
};
use amq_protocol::protocol::{AMQPClass, channel, connection};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// The endpoint, and what the bridge reads from it.
pub(in crate::broker::endpoint) struct World {
    pub(in crate::broker::endpoint) switch: Switch,
    pub(in crate::broker::endpoint) now: Instant,
    /// The number of replies that have been read.
    pub(in crate::broker::endpoint) replies: usize,
    events: mpsc::Receiver<Inbound>,
}

/// A client.
pub(in crate::broker::endpoint) struct Client {
    pub(in crate::broker::endpoint) session: Session,
    outbox: Arc<Outbox>,
    incoming: BytesMut,
    written: Written,
}

impl World {
    /// An endpoint with one route, whose queue is `payments`.
    pub(in crate::broker::endpoint) fn new(limits: Limits) -> Self {
        let now = Instant::now();
        let (events, read) = mpsc::channel(1 << 16);
        let mut state = State::new(limits, events, now);
        let terms = Terms {
            route: "payments".into(),
            ack: AckMode::Completes { written: true },
            ack_grace: Duration::from_millis(100),
            ack_timeout: Some(Duration::from_secs(5)),
            delivery_limit: Some(3),
        };
        state.add_task_queue("payments", terms, now);
        state.add_parking_queue(Found::default(), now);
        state.set_delivers(true, now);
        Self {
            switch: Switch::new(state),
            now,
            replies: 0,
            events: read,
        }
    }

    /// A client that has sent nothing but the protocol's header.
    pub(in crate::broker::endpoint) fn stranger(&self) -> Client {
        let outbox = Arc::new(Outbox::default());
        let users = Arc::new(Users {
            anyone: true,
            ..Users::default()
        });
        let certificate = None;
        let session = Session::new(
            self.switch.clone(),
            Login { users, certificate },
            Arc::clone(&outbox),
            "a test".to_owned(),
        );
        Client {
            session,
            outbox,
            incoming: BytesMut::new(),
            written: Written::default(),
        }
    }

    /// A client after its handshake.
    pub(in crate::broker::endpoint) fn client(&self) -> Client {
        let mut client = self.stranger();
        let start = connection::StartOk {
            mechanism: "PLAIN".into(),
            response: "\0guest\0guest".into(),
            locale: "en_US".into(),
            client_properties: Default::default(),
        };
        let tune = connection::TuneOk {
            channel_max: 0,
            frame_max: FRAME_MAX,
            heartbeat: 0,
        };
        let open = connection::Open {
            virtual_host: "/".into(),
        };
        for method in [
            connection::AMQPMethod::StartOk(start),
            connection::AMQPMethod::TuneOk(tune),
            connection::AMQPMethod::Open(open),
        ] {
            client.method(self, 0, AMQPClass::Connection(method));
        }
        assert!(client.session.open().is_some());
        client.open_channel(self, 1);
        client
    }

    /// Adds a task to the queue `payments`.
    pub(in crate::broker::endpoint) fn add_task(
        &self,
        id: u128,
        expires: Option<Duration>,
    ) -> TaskId {
        let task = NewTask {
            id: TaskId::from(id),
            message: Message {
                exchange: "".into(),
                routing_key: "payments".into(),
                properties: Properties::parse(Bytes::from_static(&[0, 0])).expect("no properties"),
                body: Bytes::from_static(b"task"),
            },
            failed_deliveries: 0,
            redelivered: false,
            expires: expires.map(|after| self.now + after),
        };
        self.switch
            .with(|state| state.add_task("payments", task, self.now));
        TaskId::from(id)
    }

    /// Lets time pass.
    pub(in crate::broker::endpoint) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.switch.with(|state| state.do_due(self.now));
    }

    /// Reads all events, and confirms the replies among them.
    pub(in crate::broker::endpoint) fn events(&mut self) -> Vec<Inbound> {
        let mut events = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            match event {
                Inbound::Reply(delivery) => {
                    let parked = Message {
                        exchange: "".into(),
                        routing_key: PARKING_QUEUE.into(),
                        properties: Properties::default(),
                        body: Bytes::from(delivery.body),
                    };
                    let parked = self.switch.with(|state| state.park(parked, self.now));
                    match parked {
                        Ok(_) => drop(delivery.receipt.ack().now_or_never()),
                        Err(_) => drop(delivery.receipt.requeue().now_or_never()),
                    }
                    self.replies += 1;
                }
                event => events.push(event),
            }
        }
        events
    }
}

impl Client {
    pub(in crate::broker::endpoint) fn id(&self) -> ConnectionId {
        self.session.open().expect("an open session").0
    }

    /// Sends bytes. They are read as [`super::super::connection`] reads them.
    pub(in crate::broker::endpoint) fn bytes(&mut self, world: &World, bytes: &[u8]) {
        self.incoming.extend_from_slice(bytes);
        while !self.session.is_closing() {
            let open = self.session.open();
            let paused = |(id, _)| world.switch.with(|state| state.must_pause(id));
            if open.is_some_and(paused) {
                return;
            }
            match frame::decode(&mut self.incoming, self.session.frame_max()) {
                Ok(None) => return,
                Ok(Some(frame)) => self.take(world, frame),
                Err(error) => {
                    let refusal = Refusal::connection(501, error);
                    self.session.refuse(0, &refusal, (0, 0), world.now);
                    self.read(world);
                    assert_eq!(self.written.closed_with(), Some(501), "no frame");
                }
            }
        }
        self.incoming.clear();
    }

    /// Takes a frame. Bytes that are no method, outside of a channel that is closed, end the connection.
    fn take(&mut self, world: &World, frame: Frame) {
        let error = match frame.kind {
            Kind::Method => method::decode(&frame.payload).err(),
            _ => None,
        };
        let channel = frame.channel;
        let was_closed = self.session.has_closed(channel);
        self.session.on_frame(frame, world.now);
        if let Some(error) = error.filter(|_| !was_closed) {
            assert!(self.session.is_closing(), "went on after: {error}");
            self.read(world);
            let code = if error.ids().is_some() { 502 } else { 501 };
            assert_eq!(self.written.closed_with(), Some(code), "{error}");
        }
        let unfinished = self.session.unfinished();
        let is_bounded = unfinished <= MAX_UNFINISHED || self.session.is_closing();
        assert!(is_bounded, "{unfinished} bytes of messages");
    }

    pub(in crate::broker::endpoint) fn frame(
        &mut self,
        world: &World,
        kind: Kind,
        channel: u16,
        payload: &[u8],
    ) {
        let mut bytes = BytesMut::new();
        frame::encode(&mut bytes, kind, channel, &[payload]).expect("short");
        self.bytes(world, &bytes);
    }

    pub(in crate::broker::endpoint) fn method(
        &mut self,
        world: &World,
        channel: u16,
        method: AMQPClass,
    ) {
        let mut bytes = BytesMut::new();
        method::encode(&method, channel, &mut bytes).expect("a method");
        self.bytes(world, &bytes);
    }

    pub(in crate::broker::endpoint) fn open_channel(&mut self, world: &World, number: u16) {
        let open = channel::AMQPMethod::Open(channel::Open {});
        self.method(world, number, AMQPClass::Channel(open));
    }

    /// The codes of the refusals that have been read.
    pub(in crate::broker::endpoint) fn refusals(&self) -> &[u16] {
        self.written.refusals()
    }

    /// Reads what the endpoint has written. Returns the number of bytes.
    pub(in crate::broker::endpoint) fn read(&mut self, world: &World) -> usize {
        let mut bytes = 0;
        // The second time it finds nothing, and notes that the first bytes are written.
        while let Some(Some(written)) = self.outbox.take().now_or_never() {
            bytes += written.len();
            self.written.take(&written);
        }
        if let Some((id, _)) = self.session.open() {
            world.switch.with(|state| state.dispatch_for(id, world.now));
        }
        bytes
    }

    /// Sends the bytes that could not be taken before.
    pub(in crate::broker::endpoint) fn resume(&mut self, world: &World) {
        self.bytes(world, &[]);
    }

    /// Ends the connection.
    pub(in crate::broker::endpoint) fn leave(&mut self, world: &World, cause: ReturnCause) {
        self.session.end(cause, world.now);
        self.outbox.close();
    }

    /// Number of bytes that the session has not taken.
    pub(in crate::broker::endpoint) fn untaken(&self) -> usize {
        self.incoming.len()
    }

    /// Number of bytes that are not read.
    pub(in crate::broker::endpoint) fn unread(&self) -> usize {
        self.outbox.bytes()
    }
}
