//! The connection, where its client does not mend it.

use super::{Kind::Cluster, PATIENT_CLUSTER, Replica, Server, redis_config};
use crate::harness::{in_time, well};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Its client may have stopped for good.
#[tokio::test]
async fn a_cluster_that_says_nothing_for_long_is_connected_to_anew() {
    let server = Server::start_kind(Cluster, &[PATIENT_CLUSTER]);
    let replica = Replica::start(&redis_config(&server)).await;
    in_time(async || {
        let before = server.clients().await;
        server.pause();
        // The attempt to connect anew lasts until the servers go on.
        sleep(Duration::from_millis(6_300)).await;
        server.resume();
        let resumed = Instant::now();
        while !server.clients().await.is_disjoint(&before) {
            if resumed.elapsed() > Duration::from_secs(5) {
                return None;
            }
        }
        Some(())
    })
    .await;
    well(&*replica).await;
}
