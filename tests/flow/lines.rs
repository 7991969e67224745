//! The log lines about replies that can't be used: few, whatever comes.

use super::{
    log::Did,
    world::{World, secs},
};
use activity_bridge::task::TaskId;
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};
use tracing::subscriber::DefaultGuard;

/// The log of this thread, where a test on paused time runs.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn begin() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    /// The lines with this text.
    fn with(&self, text: &str) -> Vec<String> {
        let all = String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned();
        let lines = all.lines().filter(|line| line.contains(text));
        lines.map(str::to_owned).collect()
    }
}

const UNKNOWN: &str = "no task of this bridge has this correlation_id";

#[tokio::test(start_paused = true)]
async fn a_thousand_replies_that_can_not_be_used_cause_a_line_in_ten_seconds_with_their_count() {
    let (lines, _guard) = Lines::begin();
    let world = World::new();
    for _ in 0..1_000 {
        world.reply(TaskId::random(), "completed", "").await;
    }
    world.log.wait_for(Did::Ack(1_000)).await;
    let first = lines.with(UNKNOWN);
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].contains("a reply can't be used; parking it"));
    assert!(
        first[0].contains("queue=\"activity-bridge.replies.flow\""),
        "{first:?}"
    );
    world.at(secs(9.9)).await;
    assert_eq!(lines.with(UNKNOWN).len(), 1);
    world.at(secs(30.0)).await;
    let counted = lines.with(UNKNOWN);
    assert_eq!(counted.len(), 2, "{counted:?}");
    assert!(counted[1].contains("left_out=999"), "{counted:?}");
    assert_eq!(world.log.parked(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_flood_for_one_reason_hides_no_other_reason_and_delays_no_reply_to_an_open_task() {
    let (lines, _guard) = Lines::begin();
    let world = World::new();
    let id = world.dispatch().await;
    let other = world.dispatch().await;
    // Nothing can be parked meanwhile.
    let parks: Vec<_> = (0..=1_000).map(|_| world.broker.parks.hold()).collect();
    for _ in 0..1_000 {
        world.reply(TaskId::random(), "completed", "").await;
    }
    world.reply(id, "completed", "done").await;
    world.reply(other, "finished", "?").await;
    world.settle_down().await;
    assert_eq!(world.log.settles(), 1, "the reply to the open task waits");
    assert_eq!(lines.with(UNKNOWN).len(), 1);
    assert_eq!(lines.with("its type").len(), 1);
    drop(parks);
}

#[tokio::test(start_paused = true)]
async fn no_line_has_a_whole_id() {
    let (lines, _guard) = Lines::begin();
    let world = World::new();
    let id = world.dispatch().await;
    world.reply(id, "finished", "?").await;
    world.all_ended().await;
    assert!(!lines.with(&format!("task={id} ")).is_empty());
    assert_eq!(lines.with(&id.reveal()), [""; 0]);
}
