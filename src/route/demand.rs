//! The decision whether a route may begin one more poll, where the broker tells the credit of the consumers. Pure.

/// Open polls, and tasks that were polled and that the broker does not have yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Open polls. Each may bring a task.
    pub polls: u64,
    /// Tasks on their way from the poll to the broker.
    pub tasks: u64,
}

/// What the decision depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// How many more messages the queue's consumers take at once.
    pub credit: u64,
    /// Messages that wait in the queue.
    pub ready: u64,
    /// How many messages may wait in the queue.
    pub max_ready: u64,
    /// The pending polls and tasks of all routes to the queue.
    pub of_queue: Pending,
    /// The pending polls and tasks of this route.
    pub of_route: Pending,
    /// The minimum number of open polls, if the configuration says it; else 0.
    pub written_min: u64,
}

impl Demand {
    /// Whether the route may begin one more poll: whether its task would find a consumer with room, or may wait.
    ///
    /// A route without a pending poll or task need not wait for the open polls of other routes. Most of them will bring
    /// nothing, and AWS holds each for a minute. So each further route to a queue may cost one task that waits.
    #[must_use]
    pub fn allows_poll(self) -> bool {
        let limit = self.credit.saturating_add(self.max_ready);
        let tasks = self.of_queue.tasks.saturating_add(self.ready);
        let counted = match self.of_route.total() {
            0 => tasks,
            _ => tasks.saturating_add(self.of_queue.polls),
        };
        let own = self.of_route.total().saturating_add(self.ready);
        counted < limit || own < self.written_min
    }

    /// Whether the route may have an open poll at all.
    #[must_use]
    pub fn has_room(mut self) -> bool {
        self.of_queue.polls = 0;
        self.of_route.polls = 0;
        self.allows_poll()
    }
}

impl Pending {
    /// Polls and tasks together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.polls.saturating_add(self.tasks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `of_route` and `of_queue`: polls and tasks.
    fn demand(
        (credit, ready, max_ready): (u64, u64, u64),
        of_route: (u64, u64),
        of_queue: (u64, u64),
        written_min: u64,
    ) -> Demand {
        let pending = |(polls, tasks)| Pending { polls, tasks };
        Demand {
            credit,
            ready,
            max_ready,
            of_queue: pending(of_queue),
            of_route: pending(of_route),
            written_min,
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_poll_begins_where_its_task_finds_room_or_may_wait() {
        const NONE: (u64, u64) = (0, 0);
        for (case, demand, allowed) in [
            ("a free worker", demand((1, 0, 0), NONE, NONE, 0), true),
            ("no free worker", demand((0, 0, 0), NONE, NONE, 0), false),
            ("a poll is open for the only free worker", demand((1, 0, 0), (1, 0), (1, 0), 0), false),
            ("a second free worker", demand((2, 0, 0), (1, 0), (1, 0), 0), true),
            ("a task is on its way to the only free worker", demand((1, 0, 0), (0, 1), (0, 1), 0), false),
            ("a task waits for the only free worker", demand((1, 1, 0), NONE, NONE, 0), false),
            ("one task may wait", demand((0, 0, 1), NONE, NONE, 0), true),
            ("the task that may wait does", demand((0, 1, 1), NONE, NONE, 0), false),
            ("the task that may wait may come", demand((0, 0, 1), (1, 0), (1, 0), 0), false),
            ("credit and waiting tasks add up", demand((1, 0, 1), (1, 0), (1, 0), 0), true),
            ("another route polls, and this one does not yet", demand((1, 0, 0), NONE, (1, 0), 0), true),
            ("another route polls, and this one does already", demand((2, 0, 0), (1, 0), (2, 0), 0), false),
            ("another route's task is on its way", demand((1, 0, 0), NONE, (0, 1), 0), false),
            ("two routes share the credit", demand((3, 0, 0), (1, 0), (2, 0), 0), true),
            ("a written minimum", demand((0, 0, 0), (1, 0), (1, 0), 2), true),
            ("a written minimum is reached", demand((0, 0, 0), (2, 0), (2, 0), 2), false),
            ("as many tasks as the written minimum wait", demand((0, 2, 0), NONE, NONE, 2), false),
            ("another route's polls don't count for the written minimum", demand((0, 0, 0), NONE, (2, 0), 2), true),
            ("credit beyond the written minimum", demand((5, 0, 0), (2, 0), (2, 0), 2), true),
            ("no bound overflows", demand((u64::MAX, 0, u64::MAX), (1, 0), (1, 0), 0), true),
        ] {
            assert_eq!(demand.allows_poll(), allowed, "{case}");
        }
    }

    #[test]
    fn a_route_has_room_until_tasks_take_it_and_not_polls() {
        let polls = demand((1, 0, 0), (5, 0), (9, 0), 0);
        assert!(!polls.allows_poll() && polls.has_room());
        let tasks = demand((1, 0, 0), (5, 1), (9, 1), 0);
        assert!(!tasks.allows_poll() && !tasks.has_room());
    }

    proptest! {
        #[test]
        fn routes_that_begin_every_poll_they_may_exceed_the_limit_by_one_for_each_further_route(
            limit in (0..6_u64, 0..6_u64, 0..6_u64), routes in 1..4_usize,
        ) {
            let (credit, ready, max_ready) = limit;
            let mut polls = vec![0_u64; routes];
            for turn in 0..100 {
                let route = turn % routes;
                let all = polls.iter().sum();
                if demand(limit, (polls[route], 0), (all, 0), 0).allows_poll() {
                    polls[route] += 1;
                }
            }
            let open: u64 = polls.iter().sum();
            let free = (credit + max_ready).saturating_sub(ready);
            prop_assert!(open >= free, "{open} of {free}");
            let further = routes as u64 - 1;
            prop_assert!(open <= free + further && (free > 0 || open == 0), "{open} of {free}");
        }
    }
}
