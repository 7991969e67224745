//! The connection, where its client does not mend it.

use super::{Kind::Cluster, PATIENT_CLUSTER, Replica, Server, redis_config};
use crate::harness::{eventually, well};
use activity_bridge::store::Store;

/// Its client may have stopped for good.
#[tokio::test]
async fn a_cluster_that_says_nothing_for_long_is_connected_to_anew() {
    let server = Server::start_kind(Cluster, &[PATIENT_CLUSTER]);
    let replica = Replica::start(&redis_config(&server)).await;
    let before = server.clients().await;
    server.pause();
    // Then an attempt to connect anew is under way, which lasts until the servers go on.
    eventually("six seconds of silence", async || {
        let trouble = replica.trouble()?;
        let (_, silent) = trouble.split_once(" for ")?;
        let (secs, _) = silent.split_once(" s: ")?;
        (secs.parse::<u64>().ok()? >= 6).then_some(())
    })
    .await;
    server.resume();
    eventually("other connections alone", async || {
        server.clients().await.is_disjoint(&before).then_some(())
    })
    .await;
    well(&*replica).await;
}
