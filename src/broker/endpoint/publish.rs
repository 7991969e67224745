//! Messages from workers: replies, and messages between workers.

use super::{
    bindings::header_fields,
    confirms::Confirms,
    custody_terms::{ConnectionId, Said},
    enqueue::Enqueued,
    message::Message,
    properties::Properties,
    queue_state::Entry,
    receipt::ReplyReceipt,
    refusal::Refusal,
    state::State,
    switch::Switch,
};
use crate::{
    broker::{
        Delivery, Inbound, Receipt,
        names::{PARKING_QUEUE, REPLIES_EXCHANGE},
        read,
    },
    task::TaskId,
    util::crash_point::{CrashPoint, crash_point_over},
};
use amq_protocol::protocol::{AMQPClass, basic};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;
use tracing::error;

/// A message that a client has published.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) publish: basic::Publish,
    pub(crate) properties: Properties,
    pub(crate) body: Bytes,
}

/// What became of a message.
enum Routed {
    /// It is a reply. Its confirm follows when AWS has it.
    Reply,
    /// A queue has it, or it was dropped as AMQP says.
    Done,
    /// A full queue has refused it.
    Refused,
    /// No queue takes it.
    Unroutable,
}

impl State {
    /// Takes a message from a client.
    pub(super) fn publish(
        &mut self,
        switch: &Switch,
        (connection, channel): (ConnectionId, u16),
        published: Published,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Published {
            publish,
            properties,
            body,
        } = published;
        let open = self.channel(connection, channel)?;
        let sequence = open.confirms.as_mut().map(Confirms::begin);
        let generation = open.generation;
        crash_point_over(CrashPoint::OnMessage, &body);
        let properties = self.with_direct_reply((connection, channel), properties)?;
        let message = Message {
            exchange: publish.exchange.as_str().into(),
            routing_key: publish.routing_key.as_str().into(),
            properties,
            body,
        };
        let message = Arc::new(message);
        let receipt = ReplyReceipt {
            switch: switch.clone(),
            connection,
            channel,
            generation,
            sequence,
            open: None,
        };
        match self.route(connection, &message, receipt, now)? {
            Routed::Reply => return Ok(()),
            Routed::Done => {}
            Routed::Unroutable if publish.mandatory => {
                let no_route = basic::AMQPMethod::Return(basic::Return {
                    reply_code: 312,
                    reply_text: "NO_ROUTE".into(),
                    exchange: (&*message.exchange).into(),
                    routing_key: (&*message.routing_key).into(),
                });
                let entry = Entry::new(message);
                // A longer reply address may have made the properties too large.
                if self.fits(connection, &entry) {
                    self.send_content(connection, channel, no_route, &entry);
                }
            }
            Routed::Unroutable => {}
            Routed::Refused => {
                if let Some(sequence) = sequence {
                    self.confirm(connection, channel, sequence, false);
                }
                return Ok(());
            }
        }
        // The session sends it with those of the other messages that were read at once.
        if let Some(sequence) = sequence
            && let Some(open) = self.connections.get_mut(&connection)
        {
            open.note_confirm(channel, sequence);
        }
        Ok(())
    }

    /// Sends the publisher's confirm of one message.
    pub(super) fn confirm(
        &mut self,
        connection: ConnectionId,
        channel: u16,
        sequence: u64,
        taken: bool,
    ) {
        if taken {
            if let Some(open) = self.connections.get_mut(&connection) {
                open.note_confirm(channel, sequence);
            }
            return self.send_confirms(connection);
        }
        let Ok(open) = self.channel(connection, channel) else {
            return;
        };
        if let Some(confirms) = &mut open.confirms {
            confirms.refuse(sequence);
        }
        let nack = basic::AMQPMethod::Nack(basic::Nack {
            delivery_tag: sequence,
            multiple: false,
            requeue: false,
        });
        self.send(connection, channel, &AMQPClass::Basic(nack));
    }

    /// Sends all confirms of a connection that are not sent yet.
    pub(crate) fn send_confirms(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        for channel in std::mem::take(&mut connection.confirming) {
            let open = self.channel(id, channel).ok();
            let confirms = open.and_then(|open| open.confirms.as_mut());
            for confirm in confirms.map(Confirms::take).unwrap_or_default() {
                let ack = basic::AMQPMethod::Ack(basic::Ack {
                    delivery_tag: confirm.sequence,
                    multiple: confirm.multiple,
                });
                self.send(id, channel, &AMQPClass::Basic(ack));
            }
        }
    }

    fn route(
        &mut self,
        connection: ConnectionId,
        message: &Arc<Message>,
        receipt: ReplyReceipt,
        now: Instant,
    ) -> Result<Routed, Refusal> {
        self.exchanges.check_publish(&message.exchange)?;
        self.exchanges.note_use(&message.exchange, now);
        let key = Arc::clone(&message.routing_key);
        let is_reply = ["", REPLIES_EXCHANGE].contains(&&*message.exchange) && is_reply_key(&key);
        if is_reply {
            self.reply(connection, message, receipt, now)?;
            return Ok(Routed::Reply);
        }
        // Workers get the headers as they came, and may read them by recursion.
        if let Err(error) = message.properties.check_depth() {
            return Err(Refusal::precondition(format_args!(
                "the message's headers can't go to another worker: {error}"
            )));
        }
        if !message.exchange.is_empty() {
            let fields = header_fields(message.properties.headers());
            let queues = self.exchanges.route(&message.exchange, &key, &fields);
            let mut all = Vec::with_capacity(queues.len());
            for queue in queues {
                self.note_use(&queue, now);
                all.push(self.enqueue_own(&queue, message, now)?);
            }
            // One queue that refuses it is enough for a negative confirm, as with RabbitMQ.
            return Ok(match all {
                all if all.contains(&Enqueued::Refused) => Routed::Refused,
                all if all.contains(&Enqueued::Taken) => Routed::Done,
                _ => Routed::Unroutable,
            });
        }
        if *key == *PARKING_QUEUE {
            return Err(Refusal::access(format_args!(
                "queue '{key}' takes messages of the bridge alone; use a queue of your own"
            )));
        }
        self.note_use(&key, now);
        Ok(match self.enqueue_own(&key, message, now)? {
            Enqueued::Taken => Routed::Done,
            Enqueued::Refused => Routed::Refused,
            Enqueued::Missing => Routed::Unroutable,
        })
    }

    fn reply(
        &mut self,
        connection: ConnectionId,
        message: &Message,
        mut receipt: ReplyReceipt,
        now: Instant,
    ) -> Result<(), Refusal> {
        let body = message.body.to_vec();
        let read = read::delivery(&message.properties, body, Receipt::none(), || ());
        let (mut delivery, is_readable) = match read {
            Ok((delivery, ())) => (delivery, true),
            Err(rest) => (rest, false),
        };
        let task = delivery
            .correlation_id
            .as_deref()
            .and_then(|id| TaskId::from_correlation_id(id).ok());
        match task {
            Some(task) if self.custody.place(task).is_some() || self.ended.contains(task) => {
                self.check_reply_access(connection, task)?;
                self.hear(task, &delivery, now);
            }
            _ => {
                for released in self.custody.distrust(connection) {
                    self.released(released);
                }
            }
        }
        let open = self.connections.get(&connection);
        receipt.open = open.map(|open| open.open_replies.begin(message.bytes()));
        delivery.queues = open.and_then(|open| open.allowed.clone());
        delivery.receipt = Receipt::new(receipt);
        self.tell(match is_readable {
            true => Inbound::Reply(delivery),
            false => Inbound::Unreadable(delivery),
        });
        Ok(())
    }

    fn hear(&mut self, task: TaskId, delivery: &Delivery, now: Instant) {
        let said = match delivery.reply_type() {
            Some(known) if known.is_sign() => Said::Sign,
            Some(_) | None => Said::Final,
        };
        let heard = self.custody.said(task, said, now);
        if heard.leaves_queue {
            self.take_message(task);
        }
        for released in heard.released {
            self.released(released);
        }
        let Some(early) = heard.early_ack else {
            return;
        };
        let route = &*early.route;
        self.tell(Inbound::EarlyAck {
            route: route.to_owned(),
            releases: early.releases,
        });
        if early.turned {
            error!(
                route,
                %task,
                "a worker has acknowledged a task before it finished it, so the task was completed too early; from now on acknowledgements settle nothing for this route. Set ack = \"releases\" for it, or let the worker acknowledge at the end"
            );
        } else {
            tracing::warn!(route, %task, "a worker spoke about a task that its acknowledgement has completed");
        }
    }

    fn check_reply_access(&self, connection: ConnectionId, task: TaskId) -> Result<(), Refusal> {
        let Some(open) = self.connections.get(&connection) else {
            return Ok(());
        };
        let Some(allowed) = &open.allowed else {
            return Ok(());
        };
        let queue = self.queue_of.get(&task);
        match queue.or_else(|| self.ended.queue_of(task)) {
            Some(queue) if !allowed.contains(queue) => Err(Refusal::access(format_args!(
                "the user may not settle tasks of queue '{queue}'; name its route in amqp.users"
            ))),
            _ => Ok(()),
        }
    }
}

fn is_reply_key(key: &str) -> bool {
    let rest = key.strip_prefix(REPLIES_EXCHANGE);
    rest.is_some_and(|rest| rest.starts_with('.'))
}
