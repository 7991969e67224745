//! A worker that is a process of its own: this test binary, started once more with one test. It handles no signal.

use crate::harness::{Answer, TaskMessage, reply};
use futures_util::StreamExt;
use lapin::{
    Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions},
    types::FieldTable,
};
use std::{env, process::Stdio, time::Duration};
use tokio::{
    process::{Child, Command},
    time::sleep,
};

const URI: &str = "POD_WORKER_URI";

const QUEUE: &str = "POD_WORKER_QUEUE";

const WORK_MILLIS: &str = "POD_WORKER_WORK_MILLIS";

/// More tasks than it works on: what it has not begun is in its hands too.
const PREFETCH: u16 = 10;

/// Starts a worker that takes this time for a task.
pub fn spawn(uri: &str, queue: &str, work: Duration) -> Child {
    let own = env::current_exe().expect("the path of this program");
    let worker = Command::new(own)
        .args([
            "pod::worker::process",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(URI, uri)
        .env(QUEUE, queue)
        .env(WORK_MILLIS, work.as_millis().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    worker.expect("it starts")
}

fn told(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: other tests start this one"))
}

/// It declares nothing and tries nothing twice: when it is started, its queue is there.
#[tokio::test]
#[ignore = "it is the worker's process, which the tests of this folder start"]
async fn process() {
    let work = Duration::from_millis(told(WORK_MILLIS).parse().expect("a number"));
    let uri = told(URI);
    let connecting = Connection::connect(&uri, ConnectionProperties::default());
    let connection = connecting.await.expect("the broker listens");
    let channel = connection.create_channel().await.expect("a channel");
    let confirms = channel.confirm_select(ConfirmSelectOptions::default());
    confirms.await.expect("confirms");
    let qos = channel.basic_qos(PREFETCH, BasicQosOptions::default());
    qos.await.expect("a prefetch");
    let (options, table) = (BasicConsumeOptions::default(), FieldTable::default());
    let consuming = channel.basic_consume(told(QUEUE).into(), "worker".into(), options, table);
    let mut consumer = consuming.await.expect("the queue is there");
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery.expect("a delivery");
        let task = TaskMessage::of(&delivery);
        sleep(work).await;
        let answer = Answer::done("ok").remove(0);
        reply(&channel, &task, answer)
            .await
            .expect("the reply is taken");
        delivery
            .ack(BasicAckOptions::default())
            .await
            .expect("sent");
    }
}
