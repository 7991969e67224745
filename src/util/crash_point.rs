//! Named points in the processing of a task, and in each loop, at which a test can kill the process or make it panic. A release
//! build has none.

pub use points::{crash_point, crash_point_over};

/// The points: first those of a task, in its order, then one in each loop.
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
    /// A worker of the bridge as the broker is about to get the message.
    AfterDeliver,
    /// A worker of the bridge as the broker has acknowledged the message.
    OnAck,
    /// The bridge as the broker got a whole message of a worker.
    OnMessage,
    /// The bridge as the broker is about to read a method of a worker.
    OnMethod,
    /// A message from a worker is about to be converted to the bridge's terms.
    OnRead,
    /// The task of a reply or a dead letter is about to be looked up.
    OnLookup,
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
    /// The loop of the admin endpoint.
    AdminLoop,
    /// The loop that connects to the broker.
    BrokerLoop,
    /// The loop that does what is due in the bridge as the broker.
    ClockLoop,
    /// The loop that drains the process on request.
    DrainLoop,
    /// The loop that reads the files of users and TLS again.
    FilesLoop,
    /// The loop of a route's gate.
    GateLoop,
    /// The loop of the heartbeats.
    HeartbeatLoop,
    /// The loop of the lease.
    LeaseLoop,
    /// The loop that takes the connections of workers.
    ListenerLoop,
    /// The loop of the log's thread.
    LogLoop,
    /// The loop of the lost queues.
    LostQueueLoop,
    /// The loop of the thread of the parked replies.
    ParkLoop,
    /// The loop of a route's poller.
    PollerLoop,
    /// The loop that reads replies from RabbitMQ.
    ReaderLoop,
    /// The loop that reloads the configuration.
    ReloadLoop,
    /// The loop of the replies.
    ReplyLoop,
    /// The loop of the file store's thread.
    StoreLoop,
    /// The loop that adopts the tasks of dead processes.
    TakeoverLoop,
    /// The loop that tells the service manager that the process is alive.
    WatchdogLoop,
}

#[cfg(not(debug_assertions))]
mod points {
    use super::CrashPoint;

    /// A task or a loop reaches this point. Nothing happens in a release build.
    pub fn crash_point(_point: CrashPoint) {}

    /// A task reaches this point with this text.
    pub fn crash_point_over(_point: CrashPoint, _text: &[u8]) {}
}

#[cfg(debug_assertions)]
mod points {
    use super::CrashPoint;
    use std::{
        process::{Command, id},
        sync::{
            LazyLock,
            atomic::{AtomicU32, Ordering::Relaxed},
        },
    };

    /// `ACTIVITY_BRIDGE_CRASH_AT=after-poll`, or `after-poll:3` for the third time that a task reaches the point.
    static CRASH_AT: LazyLock<Option<(CrashPoint, AtomicU32)>> =
        LazyLock::new(|| at(&std::env::var("ACTIVITY_BRIDGE_CRASH_AT").ok()?));

    /// `ACTIVITY_BRIDGE_PANIC_AT` in the same form.
    static PANIC_AT: LazyLock<Option<(CrashPoint, AtomicU32)>> =
        LazyLock::new(|| at(&std::env::var("ACTIVITY_BRIDGE_PANIC_AT").ok()?));

    /// `ACTIVITY_BRIDGE_PANIC_OVER=on-reply:TEXT`: a panic each time that a task reaches the point with a text that contains this one.
    static PANIC_OVER: LazyLock<Option<(CrashPoint, String)>> = LazyLock::new(|| {
        let set = std::env::var("ACTIVITY_BRIDGE_PANIC_OVER").ok()?;
        let (name, text) = set.split_once(':')?;
        Some((CrashPoint::named(name)?, text.to_owned()))
    });

    fn at(set: &str) -> Option<(CrashPoint, AtomicU32)> {
        let (name, times) = set.split_once(':').unwrap_or((set, "1"));
        Some((
            CrashPoint::named(name)?,
            AtomicU32::new(times.parse().ok()?),
        ))
    }

    fn is_reached(at: Option<&(CrashPoint, AtomicU32)>, point: CrashPoint) -> bool {
        at.is_some_and(|(at, left)| *at == point && left.fetch_sub(1, Relaxed) == 1)
    }

    impl CrashPoint {
        fn named(name: &str) -> Option<Self> {
            Some(match name {
                "after-poll" => Self::AfterPoll,
                "after-insert" => Self::AfterInsert,
                "after-publish" => Self::AfterPublish,
                "after-deliver" => Self::AfterDeliver,
                "on-ack" => Self::OnAck,
                "before-confirm" => Self::BeforeConfirm,
                "after-confirm" => Self::AfterConfirm,
                "on-message" => Self::OnMessage,
                "on-method" => Self::OnMethod,
                "on-read" => Self::OnRead,
                "on-lookup" => Self::OnLookup,
                "on-reply" => Self::OnReply,
                "before-aws" => Self::BeforeAws,
                "after-aws" => Self::AfterAws,
                "before-ack" => Self::BeforeAck,
                "after-ack" => Self::AfterAck,
                "before-removal" => Self::BeforeRemoval,
                "after-removal" => Self::AfterRemoval,
                "admin-loop" => Self::AdminLoop,
                "broker-loop" => Self::BrokerLoop,
                "clock-loop" => Self::ClockLoop,
                "drain-loop" => Self::DrainLoop,
                "files-loop" => Self::FilesLoop,
                "gate-loop" => Self::GateLoop,
                "heartbeat-loop" => Self::HeartbeatLoop,
                "lease-loop" => Self::LeaseLoop,
                "listener-loop" => Self::ListenerLoop,
                "log-loop" => Self::LogLoop,
                "lost-queue-loop" => Self::LostQueueLoop,
                "park-loop" => Self::ParkLoop,
                "poller-loop" => Self::PollerLoop,
                "reader-loop" => Self::ReaderLoop,
                "reload-loop" => Self::ReloadLoop,
                "reply-loop" => Self::ReplyLoop,
                "store-loop" => Self::StoreLoop,
                "takeover-loop" => Self::TakeoverLoop,
                "watchdog-loop" => Self::WatchdogLoop,
                _ => return None,
            })
        }
    }

    /// A task or a loop reaches this point. It does not return if the process is to be killed or to panic here.
    pub fn crash_point(point: CrashPoint) {
        assert!(
            !is_reached(PANIC_AT.as_ref(), point),
            "panic point {point:?}"
        );
        if is_reached(CRASH_AT.as_ref(), point) {
            eprintln!("crash point {point:?}");
            let kill = Command::new("kill")
                .args(["-9", &id().to_string()])
                .status();
            unreachable!("killed, or there is no `kill`: {kill:?}");
        }
    }

    /// A task reaches this point with this text.
    pub fn crash_point_over(point: CrashPoint, text: &[u8]) {
        if let Some((at, over)) = &*PANIC_OVER {
            let found = text
                .windows(over.len())
                .any(|window| window == over.as_bytes());
            assert!(*at != point || !found, "panic point {point:?} over a text");
        }
        crash_point(point);
    }
}
