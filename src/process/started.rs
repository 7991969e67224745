//! When the start is over.

use crate::intake::gate::Gate;
use tokio::sync::watch;

/// Waits until the queue of each route was looked for, and found or found unusable. The gates begin after the recovery has read
/// the store. A route that a reload has removed meanwhile is not waited for.
pub async fn started(gates: Vec<watch::Receiver<Gate>>) {
    for mut gate in gates {
        drop(gate.wait_for(Gate::has_observed).await);
    }
}
