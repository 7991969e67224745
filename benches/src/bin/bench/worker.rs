//! The worker that all sides share: sends every task's body back as its result.

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicConsumeOptions, BasicPublishOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

/// Consumes from the queues for as long as the connection lives.
///
/// Without acknowledgements, confirms or a prefetch, so that it is never what the others wait for.
pub(crate) async fn start(uri: &str, queues: &[String]) -> Result<Connection, lapin::Error> {
    let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
    for queue in queues {
        let channel = connection.create_channel().await?;
        let mut arguments = FieldTable::default();
        let quorum = AMQPValue::LongString("quorum".into());
        arguments.insert("x-queue-type".into(), quorum);
        let durable = QueueDeclareOptions::durable();
        let declared = channel.queue_declare(queue.as_str().into(), durable, arguments);
        declared.await?;
        let options = BasicConsumeOptions {
            no_ack: true,
            ..Default::default()
        };
        let consumer = channel.basic_consume(
            queue.as_str().into(),
            "".into(),
            options,
            FieldTable::default(),
        );
        let mut consumer = consumer.await?;
        tokio::spawn(async move {
            while let Some(Ok(task)) = consumer.next().await {
                let Some(reply_to) = task.properties.reply_to().clone() else {
                    continue;
                };
                let mut properties = BasicProperties::default();
                if let Some(id) = task.properties.correlation_id() {
                    properties = properties.with_correlation_id(id.clone());
                }
                let options = BasicPublishOptions::default();
                let sent =
                    channel.basic_publish("".into(), reply_to, options, &task.data, properties);
                if let Err(error) = sent.await {
                    eprintln!("bench: the worker can't reply: {error}");
                    break;
                }
            }
        });
    }
    Ok(connection)
}
