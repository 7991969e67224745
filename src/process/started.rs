//! When the start is over.

use crate::intake::gate::Gate;
use tokio::sync::watch;

/// Waits until the queue of each route was looked for, and found or found unusable. The gates begin after the recovery has read
/// the store. Returns false if the process ends before.
pub async fn started(gates: Vec<watch::Receiver<Gate>>) -> bool {
    for mut gate in gates {
        if gate.wait_for(Gate::has_observed).await.is_err() {
            return false;
        }
    }
    true
}
