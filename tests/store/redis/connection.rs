//! The connection, where its client does not mend it.

use super::{Kind::Cluster, PATIENT_CLUSTER, Replica, Server, redis_config};
use crate::harness::{eventually, well};
use activity_bridge::store::Store;
use std::{
    io::{Result, Write},
    sync::{Arc, Mutex},
};

/// What is logged on the thread of a test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn says(&self, words: &str) -> bool {
        let bytes = self.0.lock().expect("no panic holds it");
        String::from_utf8_lossy(&bytes).contains(words)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.lock().expect("no panic holds it").write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Its client may have stopped for good.
#[tokio::test]
async fn a_cluster_that_says_nothing_for_long_is_connected_to_anew() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    // Everything runs on the thread of the test.
    let _logged = tracing::subscriber::set_default(subscriber);
    let server = Server::start_kind(Cluster, &[PATIENT_CLUSTER]);
    let replica = Replica::start(&redis_config(&server)).await;
    let before = server.clients().await;
    server.pause();
    // Then an attempt to connect anew is under way, which lasts until the servers go on.
    eventually("six seconds of silence", async || {
        let unavailable = replica.unavailable()?;
        let (_, silent) = unavailable.split_once(" for ")?;
        let (secs, _) = silent.split_once(" s: ")?;
        (secs.parse::<u64>().ok()? >= 6).then_some(())
    })
    .await;
    server.resume();
    eventually("other connections alone", async || {
        // An attempt that a busy machine let come to nothing leaves the old ones, which answer again.
        let in_vain = log.says("connect to the Redis Cluster anew");
        (in_vain || server.clients().await.is_disjoint(&before)).then_some(())
    })
    .await;
    well(&*replica).await;
}
