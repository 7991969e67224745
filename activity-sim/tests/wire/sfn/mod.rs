//! What is special to AWS Step Functions. The tests on SWF cover what both services share. It is tested
//! here again where it has another form.

mod executions;
mod refusals;
mod tasks;

use std::time::Duration;

use activity_sim::{Options, Sim};

/// A simulator with the domain `shop` and the activity `charge`, and the activity's ARN.
async fn sim() -> (Sim, String) {
    sim_holding(Duration::from_secs(60)).await
}

async fn sim_holding(hold: Duration) -> (Sim, String) {
    let options = Options {
        hold,
        domains: vec!["shop".to_owned()],
        activities: vec!["charge".to_owned()],
        ..Options::default()
    };
    let sim = Sim::start(options).await.unwrap();
    (sim, activity_sim::activity_arn("charge"))
}
