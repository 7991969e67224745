//! The methods of a client: which change of the state each is, and its answer.

use super::{
    custody_terms::{ConnectionId, ReturnCause},
    refusal::Refusal,
    settle::Fate,
    state::State,
};
use amq_protocol::protocol::{AMQPClass, access, basic, channel, confirm, exchange, queue};
use tokio::time::Instant;

/// The text of the refusal of transactions.
const NO_TX: &str = "no transactions; use publisher confirms (confirm.select)";

impl State {
    /// Does what a method on an open channel says. `channel.open`, `channel.close` and `basic.publish` do not come here.
    pub(crate) fn on_method(
        &mut self,
        at: (ConnectionId, u16),
        method: AMQPClass,
        now: Instant,
    ) -> Result<(), Refusal> {
        match method {
            AMQPClass::Basic(method) => self.on_basic(at, method, now),
            AMQPClass::Queue(method) => self.on_queue(at, method, now),
            AMQPClass::Exchange(method) => self.on_exchange(at, method, now),
            AMQPClass::Confirm(confirm::AMQPMethod::Select(select)) => {
                let channel = self.channel(at.0, at.1)?;
                channel.confirms.get_or_insert_default();
                if !select.nowait {
                    let ok = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
                    self.answer(at, AMQPClass::Confirm(ok));
                }
                Ok(())
            }
            AMQPClass::Channel(channel::AMQPMethod::Flow(flow)) => match flow.active {
                true => {
                    let ok = channel::AMQPMethod::FlowOk(channel::FlowOk { active: true });
                    self.answer(at, AMQPClass::Channel(ok));
                    Ok(())
                }
                false => Err(Refusal::not_implemented(
                    "active=false; use basic.qos, or cancel the consumer",
                )),
            },
            AMQPClass::Channel(channel::AMQPMethod::FlowOk(_)) => Ok(()),
            AMQPClass::Access(access::AMQPMethod::Request(_)) => {
                let ok = access::AMQPMethod::RequestOk(access::RequestOk {});
                self.answer(at, AMQPClass::Access(ok));
                Ok(())
            }
            AMQPClass::Tx(_) => Err(Refusal::not_implemented(NO_TX)),
            AMQPClass::Confirm(_)
            | AMQPClass::Channel(_)
            | AMQPClass::Access(_)
            | AMQPClass::Connection(_) => Err(Refusal::connection(
                503,
                "a method that a client does not send here",
            )),
        }
    }

    fn answer(&self, (connection, channel): (ConnectionId, u16), method: AMQPClass) {
        self.send(connection, channel, &method);
    }

    fn on_basic(
        &mut self,
        at: (ConnectionId, u16),
        method: basic::AMQPMethod,
        now: Instant,
    ) -> Result<(), Refusal> {
        use basic::AMQPMethod as M;
        let rejected = |requeue: bool| match requeue {
            true => Fate::Returned(ReturnCause::Requeued),
            false => Fate::Returned(ReturnCause::Rejected),
        };
        match method {
            M::Qos(qos) => {
                self.set_qos(at, &qos, now)?;
                self.answer(at, AMQPClass::Basic(M::QosOk(basic::QosOk {})));
                Ok(())
            }
            M::Consume(consume) => {
                let (tag, queue) = self.consume(at, &consume, now)?;
                if !consume.nowait {
                    let ok = basic::ConsumeOk {
                        consumer_tag: (&*tag).into(),
                    };
                    self.answer(at, AMQPClass::Basic(M::ConsumeOk(ok)));
                }
                self.dispatch(&queue, now);
                Ok(())
            }
            M::Cancel(cancel) => {
                self.cancel(at.0, at.1, cancel.consumer_tag.as_str(), now)?;
                if !cancel.nowait {
                    let ok = basic::CancelOk {
                        consumer_tag: cancel.consumer_tag,
                    };
                    self.answer(at, AMQPClass::Basic(M::CancelOk(ok)));
                }
                Ok(())
            }
            M::Get(get) => {
                if !self.get(at, &get, now)? {
                    self.send_empty(at.0, at.1);
                }
                Ok(())
            }
            M::Ack(ack) => self.resolve(at, (ack.delivery_tag, ack.multiple), Fate::Acked, now),
            M::Nack(nack) => self.resolve(
                at,
                (nack.delivery_tag, nack.multiple),
                rejected(nack.requeue),
                now,
            ),
            M::Reject(reject) => self.resolve(
                at,
                (reject.delivery_tag, false),
                rejected(reject.requeue),
                now,
            ),
            M::Recover(recover) if recover.requeue => {
                self.recover(at, now)?;
                self.answer(at, AMQPClass::Basic(M::RecoverOk(basic::RecoverOk {})));
                Ok(())
            }
            M::RecoverAsync(recover) if recover.requeue => self.recover(at, now),
            M::Recover(_) | M::RecoverAsync(_) => Err(Refusal::not_implemented(
                "requeue=false; use basic.recover with requeue=true",
            )),
            // The client says that it has taken note of the end of its consumer.
            M::CancelOk(_) => Ok(()),
            _ => Err(Refusal::connection(
                503,
                "a method of class basic that a client does not send",
            )),
        }
    }

    fn on_queue(
        &mut self,
        at: (ConnectionId, u16),
        method: queue::AMQPMethod,
        now: Instant,
    ) -> Result<(), Refusal> {
        use queue::AMQPMethod as M;
        match method {
            M::Declare(declare) => {
                let (name, message_count, consumer_count) =
                    self.declare_queue(at, &declare, now)?;
                if !declare.nowait {
                    let ok = queue::DeclareOk {
                        queue: (&*name).into(),
                        message_count,
                        consumer_count,
                    };
                    self.answer(at, AMQPClass::Queue(M::DeclareOk(ok)));
                }
                Ok(())
            }
            M::Bind(bind) => {
                self.bind_queue(at, &bind, false, now)?;
                if !bind.nowait {
                    self.answer(at, AMQPClass::Queue(M::BindOk(queue::BindOk {})));
                }
                Ok(())
            }
            M::Unbind(unbind) => {
                let bind = queue::Bind {
                    queue: unbind.queue,
                    exchange: unbind.exchange,
                    routing_key: unbind.routing_key,
                    nowait: false,
                    arguments: unbind.arguments,
                };
                self.bind_queue(at, &bind, true, now)?;
                self.answer(at, AMQPClass::Queue(M::UnbindOk(queue::UnbindOk {})));
                Ok(())
            }
            M::Purge(purge) => {
                let message_count = self.purge_queue(at, purge.queue.as_str())?;
                if !purge.nowait {
                    self.answer(
                        at,
                        AMQPClass::Queue(M::PurgeOk(queue::PurgeOk { message_count })),
                    );
                }
                Ok(())
            }
            M::Delete(delete) => {
                let found = self.check_delete(at, &delete)?;
                let message_count = found.as_ref().map_or(0, |(_, count)| *count);
                if !delete.nowait {
                    self.answer(
                        at,
                        AMQPClass::Queue(M::DeleteOk(queue::DeleteOk { message_count })),
                    );
                }
                // Some clients take a cancel that comes before the answer for an error.
                if let Some((name, _)) = found {
                    self.remove_queue(&name);
                }
                Ok(())
            }
            _ => Err(Refusal::connection(
                503,
                "a method of class queue that a client does not send",
            )),
        }
    }

    fn on_exchange(
        &mut self,
        at: (ConnectionId, u16),
        method: exchange::AMQPMethod,
        now: Instant,
    ) -> Result<(), Refusal> {
        use exchange::AMQPMethod as M;
        match method {
            M::Declare(declare) => {
                self.declare_exchange(&declare, now)?;
                if !declare.nowait {
                    self.answer(
                        at,
                        AMQPClass::Exchange(M::DeclareOk(exchange::DeclareOk {})),
                    );
                }
                Ok(())
            }
            M::Delete(delete) => {
                self.exchanges
                    .delete(delete.exchange.as_str(), delete.if_unused)?;
                if !delete.nowait {
                    self.answer(at, AMQPClass::Exchange(M::DeleteOk(exchange::DeleteOk {})));
                }
                Ok(())
            }
            M::Bind(bind) => {
                self.bind_exchange(at.0, &bind, false, now)?;
                if !bind.nowait {
                    self.answer(at, AMQPClass::Exchange(M::BindOk(exchange::BindOk {})));
                }
                Ok(())
            }
            M::Unbind(unbind) => {
                let nowait = unbind.nowait;
                let bind = exchange::Bind {
                    destination: unbind.destination,
                    source: unbind.source,
                    routing_key: unbind.routing_key,
                    nowait,
                    arguments: unbind.arguments,
                };
                self.bind_exchange(at.0, &bind, true, now)?;
                if !nowait {
                    self.answer(at, AMQPClass::Exchange(M::UnbindOk(exchange::UnbindOk {})));
                }
                Ok(())
            }
            _ => Err(Refusal::connection(
                503,
                "a method of class exchange that a client does not send",
            )),
        }
    }
}
