//! All exchanges and their bindings: which queues take a message. Pure.

use super::{
    binding_match::Field,
    exchange::{Binding, Exchange, Kind, Name, Target},
    refusal::Refusal,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// Maximum number of exchanges that clients may declare.
pub(super) const MAX_EXCHANGES: usize = 1_000;

/// Maximum number of bindings in all.
const MAX_BINDINGS: usize = 10_000;

/// Maximum number of arguments of a binding, and maximum size of all of them in bytes.
const MAX_ARGUMENTS: (usize, usize) = (64, 4_096);

/// All exchanges.
#[derive(Debug)]
pub(crate) struct Exchanges {
    pub(super) by_name: HashMap<Name, Exchange>,
    by_maker: HashMap<u64, usize>,
    /// The number of all bindings.
    total: usize,
    max_bindings: usize,
}

impl Exchanges {
    /// The exchanges that exist from the start. `own` are those of the worker protocol.
    pub(crate) fn new(own: &[(&str, Kind)], max_bindings: usize) -> Self {
        let usual = [
            ("amq.direct", Kind::Direct),
            ("amq.fanout", Kind::Fanout),
            ("amq.topic", Kind::Topic),
            ("amq.headers", Kind::Headers),
            ("amq.match", Kind::Headers),
        ];
        let by_name = usual.iter().chain(own).map(|(name, kind)| {
            let exchange = Exchange {
                kind: *kind,
                durable: true,
                auto_delete: false,
                internal: false,
                own: true,
                bindings: Vec::new(),
                last_use: None,
            };
            (Name::from(*name), exchange)
        });
        Self {
            by_name: by_name.collect(),
            by_maker: HashMap::new(),
            total: 0,
            max_bindings,
        }
    }

    pub(super) fn count_down(&mut self, maker: u64) {
        if let Some(count) = self.by_maker.get_mut(&maker) {
            *count -= 1;
            self.total -= 1;
            if *count == 0 {
                self.by_maker.remove(&maker);
            }
        }
    }

    /// Whether there is such an exchange, and whether clients may publish to it.
    pub(crate) fn check_publish(&self, name: &str) -> Result<(), Refusal> {
        match self.by_name.get(name) {
            None if name.is_empty() => Ok(()),
            None => Err(Refusal::not_found("exchange", name)),
            Some(exchange) if exchange.internal => Err(Refusal::access(format_args!(
                "cannot publish to internal exchange '{name}'"
            ))),
            Some(_) => Ok(()),
        }
    }

    /// `queue.bind` and `exchange.bind`. The same binding twice is one.
    pub(crate) fn bind(&mut self, source: &str, binding: Binding) -> Result<(), Refusal> {
        if let Target::Exchange(target) = &binding.target
            && !self.by_name.contains_key(target)
        {
            return Err(Refusal::not_found("exchange", target));
        }
        if source.is_empty() {
            return Err(Refusal::access(
                "operation not permitted on the default exchange",
            ));
        }
        let Some(exchange) = self.by_name.get_mut(source) else {
            return Err(Refusal::not_found("exchange", source));
        };
        if exchange
            .bindings
            .iter()
            .any(|known| known.is_like(&binding))
        {
            return Ok(());
        }
        let size = |(name, value): &Field| name.len() + value.len();
        let bytes: usize = binding.arguments.iter().map(size).sum();
        if binding.arguments.len() > MAX_ARGUMENTS.0 || bytes > MAX_ARGUMENTS.1 {
            return Err(Refusal::precondition(format_args!(
                "a binding with more than {} arguments or {} bytes of them",
                MAX_ARGUMENTS.0, MAX_ARGUMENTS.1
            )));
        }
        if self.total >= MAX_BINDINGS {
            let text = format!("more than {MAX_BINDINGS} bindings of all connections");
            return Err(Refusal::channel(506, text));
        }
        let count = self.by_maker.entry(binding.maker).or_default();
        if *count >= self.max_bindings {
            let text = format!("more than {} bindings of one connection", self.max_bindings);
            return Err(Refusal::channel(506, text));
        }
        *count += 1;
        self.total += 1;
        exchange.bindings.push(binding);
        Ok(())
    }

    /// `queue.unbind` and `exchange.unbind`. A missing binding is no error.
    pub(crate) fn unbind(&mut self, source: &str, binding: &Binding) -> Result<(), Refusal> {
        if source.is_empty() {
            return Err(Refusal::access(
                "operation not permitted on the default exchange",
            ));
        }
        let Some(exchange) = self.by_name.get_mut(source) else {
            return Ok(());
        };
        let found = exchange
            .bindings
            .iter()
            .position(|known| known.is_like(binding));
        if let Some(index) = found {
            let binding = exchange.bindings.remove(index);
            let unused = exchange.auto_delete && exchange.bindings.is_empty();
            self.count_down(binding.maker);
            if unused {
                self.remove(source);
            }
        }
        Ok(())
    }

    /// Removes all bindings to a queue or an exchange that is deleted.
    pub(crate) fn unbind_all(&mut self, target: &Target) {
        for name in self.retain_bindings(|binding| binding.target != *target) {
            self.remove(&name);
        }
    }

    /// Removes the bindings that a connection which has ended made to queues for which `is_left` is true.
    pub(crate) fn unbind_made_by(&mut self, maker: u64, is_left: impl Fn(&Name) -> bool) {
        if !self.by_maker.contains_key(&maker) {
            return;
        }
        let stays = |binding: &Binding| match &binding.target {
            Target::Queue(queue) => binding.maker != maker || !is_left(queue),
            Target::Exchange(_) => true,
        };
        for name in self.retain_bindings(stays) {
            self.remove(&name);
        }
    }

    /// Removes bindings. Returns the exchanges that were auto-delete and have lost their last one.
    pub(super) fn retain_bindings(&mut self, stays: impl Fn(&Binding) -> bool) -> Vec<Name> {
        let mut makers = Vec::new();
        let mut unused = Vec::new();
        for (name, exchange) in &mut self.by_name {
            let before = exchange.bindings.len();
            exchange.bindings.retain(|binding| {
                let stays = stays(binding);
                if !stays {
                    makers.push(binding.maker);
                }
                stays
            });
            if exchange.auto_delete && before > 0 && exchange.bindings.is_empty() {
                unused.push(Arc::clone(name));
            }
        }
        for maker in makers {
            self.count_down(maker);
        }
        unused
    }

    /// The queues that take a message, each once. The default exchange is not asked here.
    pub(crate) fn route(&self, exchange: &str, key: &str, headers: &[Field]) -> BTreeSet<Name> {
        let headers: HashMap<&[u8], &[u8]> = headers
            .iter()
            .rev()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let mut queues = BTreeSet::new();
        let mut seen = BTreeSet::from([Name::from(exchange)]);
        let mut open = vec![Name::from(exchange)];
        while let Some(name) = open.pop() {
            let Some(exchange) = self.by_name.get(&name) else {
                continue;
            };
            for binding in &exchange.bindings {
                if !exchange.takes(binding, key, &headers) {
                    continue;
                }
                match &binding.target {
                    Target::Queue(queue) => {
                        queues.insert(Arc::clone(queue));
                    }
                    Target::Exchange(next) if seen.insert(Arc::clone(next)) => {
                        open.push(Arc::clone(next));
                    }
                    Target::Exchange(_) => {}
                }
            }
        }
        queues
    }
}

#[cfg(test)]
mod tests {
    use super::{super::exchange::Flags, *};
    use std::time::Duration;
    use tokio::time::Instant;

    fn binding(queue: &str, key: &str) -> Binding {
        Binding {
            target: Target::Queue(queue.into()),
            key: key.into(),
            arguments: Vec::new(),
            maker: 1,
        }
    }

    const PLAIN: Flags = Flags {
        passive: false,
        durable: false,
        auto_delete: false,
        internal: false,
    };

    fn routed(exchanges: &Exchanges, exchange: &str, key: &str) -> Vec<String> {
        let queues = exchanges.route(exchange, key, &[]);
        queues.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn bindings_route_once_through_other_exchanges_and_end_with_their_queue() {
        let mut exchanges = Exchanges::new(&[], 10);
        exchanges.declare("a", "fanout", PLAIN).expect("new");
        exchanges.declare("b", "direct", PLAIN).expect("new");
        let to_b = Binding {
            target: Target::Exchange("b".into()),
            ..binding("", "")
        };
        let to_a = Binding {
            target: Target::Exchange("a".into()),
            ..binding("", "k")
        };
        exchanges.bind("a", to_b).expect("bound");
        exchanges.bind("b", to_a).expect("bound");
        exchanges.bind("b", binding("q", "k")).expect("bound");
        exchanges.bind("a", binding("q", "")).expect("bound");
        assert_eq!(routed(&exchanges, "a", "k"), ["q"]);
        exchanges.unbind_all(&Target::Queue("q".into()));
        assert!(routed(&exchanges, "a", "k").is_empty());
    }

    #[test]
    fn unused_exchanges_make_room_for_others() {
        let mut exchanges = Exchanges::new(&[], 10);
        let now = Instant::now();
        let unused = Duration::from_secs(600);
        let later = now + unused;
        for number in exchanges.by_name.len()..MAX_EXCHANGES {
            let name = format!("x{number}");
            exchanges.declare(&name, "fanout", PLAIN).expect("room");
            exchanges.note_use(&name, now);
        }
        exchanges.bind("x10", binding("q", "")).expect("bound");
        let to_unused = Binding {
            target: Target::Exchange("x12".into()),
            ..binding("", "")
        };
        exchanges.bind("amq.fanout", to_unused).expect("bound");
        exchanges.note_use("x11", now + Duration::from_secs(1));
        exchanges.make_room(unused, later - Duration::from_millis(1));
        let refused = exchanges.declare("one-more", "fanout", PLAIN);
        assert_eq!(refused.expect_err("no room").code, 506);
        exchanges.make_room(unused, later);
        exchanges
            .declare("one-more", "fanout", PLAIN)
            .expect("room");
        let mut left: Vec<&str> = exchanges.by_name.keys().map(|name| &**name).collect();
        left.retain(|name| !name.starts_with("amq."));
        left.sort_unstable();
        assert_eq!(left, ["one-more", "x10", "x11"]);
        assert_eq!(exchanges.total, 1);
    }

    #[test]
    fn a_long_chain_of_auto_delete_exchanges_ends_without_recursion() {
        let chain = || {
            let mut exchanges = Exchanges::new(&[], MAX_EXCHANGES);
            let auto_delete = Flags {
                auto_delete: true,
                ..PLAIN
            };
            let name = |number: usize| format!("x{number}");
            let most = MAX_EXCHANGES - exchanges.by_name.len();
            for number in 0..most {
                let declared = exchanges.declare(&name(number), "fanout", auto_delete);
                declared.expect("there is room");
            }
            for number in 1..most {
                let to_next = Binding {
                    target: Target::Exchange(name(number).as_str().into()),
                    ..binding("", "")
                };
                exchanges.bind(&name(number - 1), to_next).expect("bound");
            }
            exchanges.delete(&name(most - 1), false).expect("deleted");
            exchanges.by_name.len()
        };
        let small_stack = std::thread::Builder::new().stack_size(128 << 10);
        let left = small_stack.spawn(chain).expect("a thread").join();
        assert_eq!(left.expect("no panic"), 5);
    }

    #[test]
    fn the_arguments_of_a_binding_and_all_bindings_are_bounded() {
        let mut exchanges = Exchanges::new(&[], MAX_BINDINGS);
        for (count, length, code) in [(64, 8, 0), (65, 8, 406), (1, 4_096, 406)] {
            let arguments = vec![(b"a".to_vec(), vec![0; length]); count];
            let bound = exchanges.bind(
                "amq.headers",
                Binding {
                    arguments,
                    ..binding("q", "")
                },
            );
            let refused = bound.map_or_else(|refusal| refusal.code, |()| 0);
            assert_eq!(refused, code, "{count} arguments of {length} bytes");
        }
        for number in 1..MAX_BINDINGS as u64 {
            let binding = Binding {
                maker: number,
                ..binding(&number.to_string(), "")
            };
            // One in each exchange at a time, so that the search for an equal one stays short.
            let exchange = ["amq.direct", "amq.fanout", "amq.topic", "amq.match"];
            let exchange = exchange[number as usize % exchange.len()];
            exchanges.bind(exchange, binding).expect("there is room");
        }
        let refused = exchanges.bind("amq.direct", binding("q", "one more"));
        assert_eq!(refused.expect_err("too many").code, 506);
    }

    #[test]
    fn bindings_to_what_outlives_their_connection_end_with_it() {
        let mut exchanges = Exchanges::new(&[], 10);
        exchanges
            .bind("amq.fanout", binding("route", ""))
            .expect("bound");
        exchanges
            .bind("amq.fanout", binding("own", ""))
            .expect("bound");
        exchanges.unbind_made_by(2, |_| true);
        assert_eq!(routed(&exchanges, "amq.fanout", ""), ["own", "route"]);
        exchanges.unbind_made_by(1, |queue| **queue == *"route");
        assert_eq!(routed(&exchanges, "amq.fanout", ""), ["own"]);
        assert_eq!(exchanges.by_maker[&1], 1);
    }

    #[test]
    fn bindings_of_a_connection_are_bounded_and_counted_down() {
        let mut exchanges = Exchanges::new(&[], 2);
        exchanges
            .bind("amq.direct", binding("q", "1"))
            .expect("bound");
        exchanges
            .bind("amq.direct", binding("q", "1"))
            .expect("the same");
        exchanges
            .bind("amq.direct", binding("q", "2"))
            .expect("bound");
        let refused = exchanges.bind("amq.direct", binding("q", "3"));
        assert_eq!(refused.expect_err("too many").code, 506);
        exchanges
            .unbind("amq.direct", &binding("q", "1"))
            .expect("unbound");
        exchanges
            .bind("amq.direct", binding("q", "3"))
            .expect("bound");
    }

    #[test]
    fn declarations_are_refused_as_amqp_says() {
        let mut exchanges = Exchanges::new(&[("ours", Kind::Topic)], 2);
        let code =
            |declared: Result<(), Refusal>| declared.map_or_else(|refusal| refusal.code, |()| 0);
        let passive = Flags {
            passive: true,
            ..PLAIN
        };
        assert_eq!(code(exchanges.declare("none", "direct", passive)), 404);
        assert_eq!(code(exchanges.declare("amq.mine", "direct", PLAIN)), 403);
        assert_eq!(code(exchanges.declare("x", "odd", PLAIN)), 503);
        assert_eq!(
            code(exchanges.declare(
                "ours",
                "topic",
                Flags {
                    durable: true,
                    ..PLAIN
                }
            )),
            0
        );
        assert_eq!(code(exchanges.declare("ours", "direct", PLAIN)), 406);
        assert_eq!(code(exchanges.declare("x", "direct", PLAIN)), 0);
        assert_eq!(
            code(exchanges.declare(
                "x",
                "direct",
                Flags {
                    durable: true,
                    ..PLAIN
                }
            )),
            406
        );
        assert_eq!(code(exchanges.delete("ours", false)), 403);
        assert_eq!(code(exchanges.delete("x", false)), 0);
        assert_eq!(code(exchanges.delete("x", false)), 0);
    }
}
