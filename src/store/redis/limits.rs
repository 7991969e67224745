//! How long things last in Redis, and how long its answers may take.

use redis::io::tcp::TcpSettings;
use std::time::Duration;

/// The length of a lease.
pub(super) const LEASE: Duration = Duration::from_secs(5);

/// How long the end of a task is remembered.
pub(super) const REMEMBERED: Duration = Duration::from_secs(3_600);

/// Longer than any record is kept.
pub(super) const SET_KEPT: Duration = Duration::from_secs(400 * 86_400);

/// How long an answer may take.
pub(super) const ANSWER: Duration = Duration::from_secs(2);

/// A connection whose other end is gone without a word is given up after this time.
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

pub(super) fn tcp() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNACKNOWLEDGED);
    settings
}
