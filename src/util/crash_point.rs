//! Named points in the processing of a task at which a test can kill the process. A release build has none.

pub use debug::crash_point;

/// The points, in the order in which a task reaches them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// A poll brought the task.
    AfterPoll,
    /// The record of the task is in the store.
    AfterInsert,
    /// The message was sent to the broker, which has not confirmed it.
    AfterPublish,
    /// The broker has confirmed the message. The store does not know it yet.
    BeforeConfirm,
    /// The store knows that the broker has confirmed the message.
    AfterConfirm,
    /// A reply or a dead letter came.
    OnReply,
    /// The outcome is about to be sent to AWS.
    BeforeAws,
    /// AWS has the outcome.
    AfterAws,
    /// The reply is about to be acknowledged.
    BeforeAck,
    /// The reply is acknowledged.
    AfterAck,
    /// The record is about to be removed.
    BeforeRemoval,
    /// The record is removed.
    AfterRemoval,
}

/// A task reaches this point. Nothing happens in a release build.
#[cfg(not(debug_assertions))]
pub fn crash_point(_point: CrashPoint) {}

#[cfg(debug_assertions)]
mod debug {
    use super::CrashPoint;
    use std::{
        process::{Command, id},
        sync::{
            LazyLock,
            atomic::{AtomicU32, Ordering::Relaxed},
        },
    };

    /// `ACTIVITY_BRIDGE_CRASH_AT=after-poll`, or `after-poll:3` for the third time that a task reaches the point.
    static CRASH_AT: LazyLock<Option<(CrashPoint, AtomicU32)>> = LazyLock::new(|| {
        let set = std::env::var("ACTIVITY_BRIDGE_CRASH_AT").ok()?;
        let (name, times) = set.split_once(':').unwrap_or((&set, "1"));
        Some((
            CrashPoint::named(name)?,
            AtomicU32::new(times.parse().ok()?),
        ))
    });

    impl CrashPoint {
        fn named(name: &str) -> Option<Self> {
            Some(match name {
                "after-poll" => Self::AfterPoll,
                "after-insert" => Self::AfterInsert,
                "after-publish" => Self::AfterPublish,
                "before-confirm" => Self::BeforeConfirm,
                "after-confirm" => Self::AfterConfirm,
                "on-reply" => Self::OnReply,
                "before-aws" => Self::BeforeAws,
                "after-aws" => Self::AfterAws,
                "before-ack" => Self::BeforeAck,
                "after-ack" => Self::AfterAck,
                "before-removal" => Self::BeforeRemoval,
                "after-removal" => Self::AfterRemoval,
                _ => return None,
            })
        }
    }

    /// A task reaches this point. It does not return if the process is to be killed here.
    pub fn crash_point(point: CrashPoint) {
        let Some((at, left)) = &*CRASH_AT else {
            return;
        };
        if *at == point && left.fetch_sub(1, Relaxed) == 1 {
            eprintln!("crash point {point:?}");
            let kill = Command::new("kill")
                .args(["-9", &id().to_string()])
                .status();
            unreachable!("killed, or there is no `kill`: {kill:?}");
        }
    }
}
