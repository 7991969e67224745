//! Declarations of exchanges, and bindings.

use super::{
    binding_match::Field,
    custody_terms::ConnectionId,
    exchange::{Binding, Flags, Target},
    refusal::Refusal,
    state::State,
    table,
};
use crate::broker::names::PARKING_QUEUE;
use amq_protocol::{
    protocol::{exchange, queue},
    types::{AMQPValue, FieldTable},
};
use tokio::time::Instant;

impl State {
    /// `queue.bind` and `queue.unbind`.
    pub(super) fn bind_queue(
        &mut self,
        at: (ConnectionId, u16),
        bind: &queue::Bind,
        undo: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        let name = match (undo, bind.queue.as_str()) {
            // An unbinding of a queue that does not exist is no error.
            (true, name) if !name.is_empty() && !self.queues.contains_key(name) => return Ok(()),
            (_, name) => self.named_queue(at, name)?,
        };
        if *name == *PARKING_QUEUE {
            return Err(Refusal::access(format_args!(
                "queue '{name}' takes messages of the bridge alone, so it can't be bound"
            )));
        }
        let binding = Binding {
            target: Target::Queue(name),
            key: bind.routing_key.as_str().into(),
            arguments: fields(&bind.arguments),
            maker: at.0,
        };
        self.exchanges.note_use(bind.exchange.as_str(), now);
        match undo {
            true => self.exchanges.unbind(bind.exchange.as_str(), &binding),
            false => self.exchanges.bind(bind.exchange.as_str(), binding),
        }
    }

    /// `exchange.bind` and `exchange.unbind`.
    pub(super) fn bind_exchange(
        &mut self,
        connection: ConnectionId,
        bind: &exchange::Bind,
        undo: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        let binding = Binding {
            target: Target::Exchange(bind.destination.as_str().into()),
            key: bind.routing_key.as_str().into(),
            arguments: fields(&bind.arguments),
            maker: connection,
        };
        self.exchanges.note_use(bind.source.as_str(), now);
        match undo {
            true => self.exchanges.unbind(bind.source.as_str(), &binding),
            false => self.exchanges.bind(bind.source.as_str(), binding),
        }
    }

    /// `exchange.declare`.
    pub(super) fn declare_exchange(
        &mut self,
        declare: &exchange::Declare,
        now: Instant,
    ) -> Result<(), Refusal> {
        let flags = Flags {
            passive: declare.passive,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
        };
        let name = declare.exchange.as_str();
        self.exchanges.note_use(name, now);
        if !declare.passive {
            self.exchanges.make_room(self.limits.unused, now);
        }
        self.exchanges.declare(name, declare.kind.as_str(), flags)?;
        self.exchanges.note_use(name, now);
        Ok(())
    }
}

/// The arguments of a binding, in the form in which headers of messages are compared: the octet of the type, and the
/// value.
fn fields(arguments: &FieldTable) -> Vec<Field> {
    let entries = arguments.inner().iter().map(|(name, value)| {
        let value = match value {
            AMQPValue::LongString(text) => [b"S", text.as_bytes()].concat(),
            AMQPValue::ShortString(text) => [b"S", text.as_str().as_bytes()].concat(),
            AMQPValue::Boolean(flag) => vec![b't', u8::from(*flag)],
            AMQPValue::Void => vec![b'V'],
            AMQPValue::ShortShortInt(n) => integer(i64::from(*n)),
            AMQPValue::ShortShortUInt(n) => integer(i64::from(*n)),
            AMQPValue::ShortInt(n) => integer(i64::from(*n)),
            AMQPValue::ShortUInt(n) => integer(i64::from(*n)),
            AMQPValue::LongInt(n) => integer(i64::from(*n)),
            AMQPValue::LongUInt(n) => integer(i64::from(*n)),
            AMQPValue::LongLongInt(n) => integer(*n),
            // Nothing else is compared: such an argument never matches.
            _ => vec![0],
        };
        (name.as_str().as_bytes().to_vec(), value)
    });
    entries.collect()
}

fn integer(number: i64) -> Vec<u8> {
    [b"l".as_slice(), &number.to_be_bytes()].concat()
}

/// The headers of a message, in the form in which they are compared with the arguments of bindings.
pub(super) fn header_fields(headers: Option<&[u8]>) -> Vec<Field> {
    let entries = table::entries(headers.unwrap_or_default()).flatten();
    let fields = entries.filter_map(|(name, value)| {
        let value = match value {
            table::Value::Text(text) => [b"S", text].concat(),
            table::Value::Integer(number) => integer(number),
            table::Value::Bool(flag) => vec![b't', u8::from(flag)],
            table::Value::Void => vec![b'V'],
            table::Value::Other(_) => return None,
        };
        Some((name.to_vec(), value))
    });
    fields.collect()
}
