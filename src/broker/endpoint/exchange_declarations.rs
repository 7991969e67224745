//! How exchanges begin and end. Pure: the time is passed in.

use super::{
    exchange::{Exchange, Flags, Kind, Name, Target},
    exchanges::{Exchanges, MAX_EXCHANGES},
    refusal::Refusal,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::Instant;

impl Exchanges {
    /// Notes that a client uses an exchange.
    pub(crate) fn note_use(&mut self, name: &str, now: Instant) {
        if let Some(exchange) = self.by_name.get_mut(name) {
            exchange.last_use = Some(now);
        }
    }

    /// Removes the exchanges that have no binding and that nobody has used for this time, if there is no room for another.
    pub(crate) fn make_room(&mut self, unused: Duration, now: Instant) {
        if self.by_name.len() < MAX_EXCHANGES {
            return;
        }
        let is_old = |at: Option<Instant>| at.is_none_or(|at| now.duration_since(at) >= unused);
        let mut removed = BTreeSet::new();
        self.by_name.retain(|name, exchange| {
            let stays = exchange.own || !exchange.bindings.is_empty() || !is_old(exchange.last_use);
            if !stays {
                removed.insert(Target::Exchange(Arc::clone(name)));
            }
            stays
        });
        for name in self.retain_bindings(|binding| !removed.contains(&binding.target)) {
            self.remove(&name);
        }
    }

    /// `exchange.declare`.
    pub(crate) fn declare(&mut self, name: &str, kind: &str, flags: Flags) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::access(
                "operation not permitted on the default exchange",
            ));
        }
        if flags.passive {
            return match self.by_name.contains_key(name) {
                true => Ok(()),
                false => Err(Refusal::not_found("exchange", name)),
            };
        }
        let Some(kind) = Kind::parse(kind) else {
            let text =
                format!("invalid exchange type '{kind}'; use direct, fanout, topic or headers");
            return Err(Refusal::connection(503, text));
        };
        if let Some(known) = self.by_name.get(name) {
            return known.same(name, kind, flags);
        }
        if name.starts_with("amq.") {
            return Err(Refusal::access(format_args!(
                "exchange name '{name}' contains reserved prefix 'amq.*'"
            )));
        }
        if self.by_name.len() >= MAX_EXCHANGES {
            return Err(Refusal::channel(
                506,
                format_args!("more than {MAX_EXCHANGES} exchanges of all connections; delete some"),
            ));
        }
        let exchange = Exchange {
            kind,
            durable: flags.durable,
            auto_delete: flags.auto_delete,
            internal: flags.internal,
            own: false,
            bindings: Vec::new(),
            last_use: None,
        };
        self.by_name.insert(name.into(), exchange);
        Ok(())
    }

    /// `exchange.delete`. A missing exchange is no error.
    pub(crate) fn delete(&mut self, name: &str, if_unused: bool) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::access(
                "operation not permitted on the default exchange",
            ));
        }
        let Some(exchange) = self.by_name.get(name) else {
            return Ok(());
        };
        if exchange.own {
            return Err(Refusal::access(format_args!(
                "exchange '{name}' belongs to the broker; declare an exchange of your own"
            )));
        }
        if if_unused && !exchange.bindings.is_empty() {
            return Err(Refusal::precondition(format_args!(
                "exchange '{name}' in use"
            )));
        }
        self.remove(name);
        Ok(())
    }

    /// Removes an exchange, and all that were auto-delete and have lost their last binding by it.
    pub(super) fn remove(&mut self, name: &str) {
        let mut names = vec![Name::from(name)];
        while let Some(name) = names.pop() {
            if let Some(exchange) = self.by_name.remove(&name) {
                for binding in exchange.bindings {
                    self.count_down(binding.maker);
                }
            }
            let target = Target::Exchange(name);
            names.extend(self.retain_bindings(|binding| binding.target != target));
        }
    }
}
