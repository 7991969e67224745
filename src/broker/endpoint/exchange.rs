//! An exchange and its bindings: which of them take a message. Pure.

use super::{
    binding_match::{Field, matches_headers, matches_topic},
    refusal::Refusal,
};
use std::{collections::HashMap, sync::Arc};
use tokio::time::Instant;

/// A name of a queue or of an exchange.
pub(crate) type Name = Arc<str>;

/// How an exchange chooses among its bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The binding's key is the routing key.
    Direct,
    /// Every binding.
    Fanout,
    /// The binding's key is a pattern of words.
    Topic,
    /// The binding's arguments are headers of the message.
    Headers,
}

impl Kind {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "direct" => Self::Direct,
            "fanout" => Self::Fanout,
            "topic" => Self::Topic,
            "headers" => Self::Headers,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }
}

/// What a binding leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A queue.
    Queue(Name),
    /// Another exchange.
    Exchange(Name),
}

/// A binding of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// What it leads to.
    pub(crate) target: Target,
    /// The binding key.
    pub(crate) key: Arc<str>,
    /// The arguments, for the kind `headers`.
    pub(crate) arguments: Vec<Field>,
    /// The connection that made it. Its bindings are bounded.
    pub(crate) maker: u64,
}

/// One exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(super) kind: Kind,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    pub(super) internal: bool,
    /// Whether the exchange exists from the start.
    pub(super) own: bool,
    pub(super) bindings: Vec<Binding>,
    /// When a client last declared it, bound something to it, or published to it.
    pub(super) last_use: Option<Instant>,
}

/// The flags of `exchange.declare`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flags {
    /// Only asks whether the exchange exists.
    pub(crate) passive: bool,
    /// Survives the broker, where that can be.
    pub(crate) durable: bool,
    /// Is deleted with its last binding.
    pub(crate) auto_delete: bool,
    /// Takes no messages from clients.
    pub(crate) internal: bool,
}

impl Binding {
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.target == other.target && self.key == other.key && self.arguments == other.arguments
    }
}

impl Exchange {
    pub(super) fn same(&self, name: &str, kind: Kind, flags: Flags) -> Result<(), Refusal> {
        let differs = |what: &str,
                       received: &dyn std::fmt::Display,
                       current: &dyn std::fmt::Display| {
            Err(Refusal::precondition(format_args!(
                "inequivalent arg '{what}' for exchange '{name}' in vhost '/': received '{received}' but current is '{current}'"
            )))
        };
        if self.kind != kind {
            return differs("type", &kind.name(), &self.kind.name());
        }
        // The broker's own exchanges take any flags: workers declare them for whatever broker they meet.
        if self.own {
            return Ok(());
        }
        for (what, received, current) in [
            ("durable", flags.durable, self.durable),
            ("auto_delete", flags.auto_delete, self.auto_delete),
            ("internal", flags.internal, self.internal),
        ] {
            if received != current {
                return differs(what, &received, &current);
            }
        }
        Ok(())
    }

    pub(super) fn takes(
        &self,
        binding: &Binding,
        key: &str,
        headers: &HashMap<&[u8], &[u8]>,
    ) -> bool {
        match self.kind {
            Kind::Direct => *binding.key == *key,
            Kind::Fanout => true,
            Kind::Topic => matches_topic(&binding.key, key),
            Kind::Headers => matches_headers(&binding.arguments, headers),
        }
    }
}
