//! How long a confirm has been missing. The time in which the broker takes no messages does not count.

use std::{future::pending, time::Duration};
use tokio::{sync::watch, time::sleep};

/// Waits until the broker has not been blocked for this long, from now on or from the end of its last block.
pub(super) async fn silent_for(time: Duration, mut blocked: watch::Receiver<bool>) {
    loop {
        until(&mut blocked, false).await;
        tokio::select! {
            () = sleep(time) => return,
            () = until(&mut blocked, true) => {}
        }
    }
}

async fn until(blocked: &mut watch::Receiver<bool>, wanted: bool) {
    if blocked
        .wait_for(|blocked| *blocked == wanted)
        .await
        .is_err()
    {
        // The generation has ended, and the caller sees that.
        pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_block_that_ends_just_before_the_timeout_begins_it_anew() {
        let (blocked, receiver) = watch::channel(false);
        let begun = Instant::now();
        let blocking = async {
            sleep(Duration::from_secs(20)).await;
            blocked.send_replace(true);
            sleep(Duration::from_millis(9_900)).await;
            blocked.send_replace(false);
        };
        tokio::join!(blocking, silent_for(Duration::from_secs(30), receiver));
        assert_eq!(begun.elapsed(), Duration::from_millis(59_900));
    }
}
