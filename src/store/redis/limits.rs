//! Times: how long keys live in Redis, and how long Redis may take to answer.

use redis::io::tcp::TcpSettings;
use std::time::Duration;

/// Time to live of a lease after a renewal.
pub(super) const LEASE: Duration = Duration::from_secs(5);

/// Time to live of an ended task's tombstone.
pub(super) const TOMBSTONE_TTL: Duration = Duration::from_secs(3_600);

/// Time to live of an owner's set of tasks. It is longer than that of any record.
pub(super) const SET_TTL: Duration = Duration::from_secs(400 * 86_400);

/// Timeout for an answer of Redis.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Minimum interval between attempts to connect. It is short so that all owners are connected again before one may adopt
/// another's tasks.
pub(super) const MIN_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Maximum interval between attempts to connect.
pub(super) const MAX_RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Timeout for the acknowledgement of sent bytes by TCP. After it the connection counts as broken.
pub(super) const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn tcp() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(TCP_USER_TIMEOUT);
    settings
}
