//! What a user may settle.

use super::client::{Client, PAYMENTS, ack};
use crate::harness::{Answer, Broker, HOLD, Inbox, Route, Store, TaskMessage, World};
use activity_sim::TaskState;
use lapin::{BasicProperties, Confirmation, options::BasicPublishOptions};
use rstest::rstest;
use std::time::Duration;
use tokio::time::timeout;

/// Deadline for an answer.
const SOON: Duration = Duration::from_secs(30);

/// The users `payments` and `refunds`, each with the route of its name, and `operator`, who reads parked replies. The
/// password of each is secret.
fn users(world: &World) -> String {
    let file = world.dir().join("password");
    std::fs::write(&file, "secret").expect("the file can be written");
    let user = |name: &str, routes: &str, parked: bool| {
        format!(
            "[[amqp.users]]\nname = \"{name}\"\npassword_file = {file:?}\nroutes = [{routes}]\nparked = {parked}\n"
        )
    };
    [
        user("payments", "\"payments\"", false),
        user("refunds", "\"refunds\"", false),
        user("operator", "", true),
    ]
    .concat()
}

/// The address for a user.
fn uri(world: &World, user: &str) -> String {
    let Broker::Endpoint(port) = world.broker else {
        panic!("the bridge is the broker");
    };
    format!("amqp://{user}:secret@127.0.0.1:{port}/%2f")
}

/// Publishes a reply to a task, and returns what the broker says to it.
async fn publish(from: &Inbox, task: &TaskMessage, kind: &str) -> Confirmation {
    let properties = BasicProperties::default()
        .with_correlation_id(task.id().into())
        .with_type(kind.into());
    let sent = async {
        let options = BasicPublishOptions::default();
        let to = task.reply_to();
        let confirm = from
            .channel()
            .basic_publish("".into(), to.into(), options, b"", properties);
        confirm.await?.await
    };
    let confirm = timeout(SOON, sent).await.expect("an answer in time");
    confirm.expect("a confirm, or a refusal")
}

#[rstest]
#[tokio::test]
async fn a_task_that_was_released_before_a_restart_is_settled_by_its_own_users_alone(
    #[values("completed", "failed", "heartbeat")] kind: &str,
) {
    let world = World::of_the_endpoint(HOLD).await.kept_in(Store::File);
    let routes = || [PAYMENTS, "refunds"].map(|name| Route::new(name).with("ack = \"releases\""));
    let settings = format!("{}\n[shutdown]\ngrace_secs = 5\n", users(&world));
    let mut bridge = world.bridge_with(&settings, &routes()).await;
    let mut worker = Client::consuming(&uri(&world, "payments"), 1).await;
    let id = world.schedule(PAYMENTS, 1).remove(0);
    let (task, delivery) = worker.next().await;
    ack(&delivery).await;
    // The next task shows that the acknowledgement was read; the end of the process writes the note of it.
    world.schedule(PAYMENTS, 1);
    worker.next().await;
    assert!(bridge.terminate().await.success());
    let bridge = world.bridge_with(&settings, &routes()).await;

    let other = Inbox::connect(&uri(&world, "refunds")).await;
    let told = publish(&other, &task, kind).await;
    assert!(matches!(told, Confirmation::Nack(_)), "{told:?}");
    bridge.logged("may not settle this task").await;
    let parked = Inbox::connect(&uri(&world, "operator")).await;
    let parked = parked.next("activity-bridge.parked").await;
    assert_eq!(parked.id(), task.id());
    let because = parked.header("parked-because").expect("a reason");
    assert!(because.contains("may not settle this task"), "{because}");

    let own = Inbox::connect(&uri(&world, "payments")).await;
    own.reply(&task, Answer::of("completed", "done")).await;
    let ended = world.closed(&id).await;
    assert_eq!(
        (ended.state, ended.result.as_deref()),
        (TaskState::Completed, Some("done"))
    );
}
