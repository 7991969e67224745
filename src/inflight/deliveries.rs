//! What a broker that keeps no messages tells of a task's deliveries.

use super::{
    lifecycle::{Command, Event, State},
    table::{InflightTable, InflightTask, TaskHandle},
};
use crate::{metrics::DeliveryEvent, task::TaskId};
use tokio::time::Instant;

/// What a bare acknowledgement means.
#[derive(Debug)]
pub enum BareAck {
    /// Settle the task now, as completed.
    Settle(TaskHandle),
    /// A sign of life has come since the delivery, so the worker is one that replies. The worker has begun for good.
    Release,
    /// The task has ended, is being settled, or was released before.
    Nothing,
}

impl InflightTable {
    /// Notes that a worker has the task. `failed` deliveries have failed before. True if the store must note it.
    pub fn on_delivered(&self, id: TaskId, failed: u32) -> bool {
        self.apply(id, Event::Delivered, |entry| {
            entry.failed_deliveries = failed;
            entry.is_out = true;
            entry.route.metrics.delivery(DeliveryEvent::Delivered);
            entry.schedule.deliver();
        })
    }

    /// Notes that the task waits for a worker again. `failed` deliveries have failed by now. True if the store must note it.
    pub fn on_came_back(&self, id: TaskId, failed: u32) -> bool {
        self.apply(id, Event::CameBack, |entry| {
            entry.failed_deliveries = failed;
            entry.is_out = false;
            entry.route.metrics.delivery(DeliveryEvent::CameBack);
            entry.schedule.come_back(Instant::now());
        })
    }

    /// Notes that a worker has begun for good. True if the store must note it.
    pub fn on_released(&self, id: TaskId) -> bool {
        self.apply(id, Event::Released, release)
    }

    /// Notes that the connection of a worker that had begun for good has ended.
    pub fn on_abandoned(&self, id: TaskId) {
        self.apply(id, Event::Abandoned, |entry| entry.schedule.abandon());
    }

    /// Notes that a worker has acknowledged the task's message without a final reply.
    pub fn on_acknowledged(&self, id: TaskId) -> BareAck {
        let table = self.table();
        let Some(entry) = table.open.get(&id) else {
            return BareAck::Nothing;
        };
        if entry.released {
            return BareAck::Nothing;
        }
        if entry.schedule.has_begun() && entry.state != State::Settling {
            drop(table);
            return match self.on_released(id) {
                true => BareAck::Release,
                false => BareAck::Nothing,
            };
        }
        let handle = self.settle_in(table, id, Event::Acknowledged);
        handle.map_or(BareAck::Nothing, BareAck::Settle)
    }

    /// Notes that the bridge ends a task of which AWS requests a cancel and that waits for a worker. `None` if a worker has the
    /// task, or if no cancel is requested.
    pub fn give_up_canceled(&self, id: TaskId) -> Option<TaskHandle> {
        let table = self.table();
        let unheld = |entry: &InflightTask| entry.cancel_requested && entry.schedule.is_waiting();
        match table.open.get(&id).is_some_and(unheld) {
            true => self.settle_in(table, id, Event::GiveUp),
            false => None,
        }
    }

    /// The number of failed deliveries of the task, as far as they are known.
    #[must_use]
    pub fn failed_deliveries(&self, id: TaskId) -> u32 {
        let table = self.table();
        let count = table.open.get(&id).map(|entry| entry.failed_deliveries);
        count.unwrap_or_default()
    }

    /// The tasks with a delivery under way, each with the number of deliveries that have failed before.
    #[must_use]
    pub fn delivered(&self) -> Vec<(TaskId, u32)> {
        let table = self.table();
        let out = table.open.iter().filter(|(_, entry)| entry.is_out);
        out.map(|(id, entry)| (*id, entry.failed_deliveries))
            .collect()
    }

    /// Applies an event of a delivery, unless the task has ended or is being settled. True if the store must note it.
    fn apply(&self, id: TaskId, event: Event, act: impl FnOnce(&mut InflightTask)) -> bool {
        let mut table = self.table();
        let command = table.step(id, event);
        if !matches!(command, Command::Note | Command::Reschedule) {
            return false;
        }
        if let Some(entry) = table.open.get_mut(&id) {
            act(entry);
        }
        self.reschedule(table, id);
        command == Command::Note
    }
}

fn release(entry: &mut InflightTask) {
    entry.released = true;
    entry.is_out = false;
    entry.route.metrics.delivery(DeliveryEvent::Released);
    entry.schedule.release();
}
