//! The messages that the bridge itself sends: tasks, parked replies, cancels, answers.

use super::{
    message::Message, properties::Properties, properties_builder::PropertiesBuilder,
    table_builder::TableBuilder,
};
use crate::{
    broker::{
        Announcement, ParkedMessage, PublishError, TaskMessage,
        names::{APP_ID, CONTROL_EXCHANGE, PARKED_BECAUSE, PARKING_QUEUE, is_of_parked},
    },
    task::{HeaderValue, Status, TaskId},
};
use bytes::Bytes;

/// The message of a task.
pub(super) fn task(task: &TaskMessage<'_>, reply_to: &str) -> Result<Message, PublishError> {
    let id = task.id.reveal();
    let headers = table(task.headers.iter().copied())?;
    let mut properties = PropertiesBuilder::new()
        .app_id(APP_ID)
        .delivery_mode(2)
        .content_type(task.content_type)
        .content_encoding("utf-8")
        .message_id(&id)
        .correlation_id(&id)
        .kind(short(task.activity))
        .reply_to(reply_to)
        .headers(headers);
    if let Some(seconds) = task.timestamp_secs {
        properties = properties.timestamp(seconds);
    }
    if let Some(milliseconds) = task.expiration_ms {
        properties = properties.expiration_ms(milliseconds);
    }
    Ok(Message {
        exchange: "".into(),
        routing_key: task.routing_key.into(),
        properties: finish(properties)?,
        body: Bytes::copy_from_slice(task.body),
    })
}

/// A message that can't be used, with the reason.
pub(super) fn parked(parked: &ParkedMessage<'_>, because: &str) -> Result<Message, PublishError> {
    let because = HeaderValue::Text(because.to_owned());
    let own = parked
        .own_headers
        .iter()
        .map(|(name, value)| (*name, value));
    let own = [(PARKED_BECAUSE, &because)].into_iter().chain(own);
    let theirs = parked.headers.iter().copied();
    let headers = own.chain(theirs.filter(|(name, _)| !is_of_parked(name)));
    let mut properties = PropertiesBuilder::new()
        .app_id(APP_ID)
        .delivery_mode(2)
        .headers(table(headers)?);
    if let Some(text) = parked.content_type {
        properties = properties.content_type(short(text));
    }
    if let Some(text) = parked.correlation_id {
        properties = properties.correlation_id(short(text));
    }
    if let Some(text) = parked.kind {
        properties = properties.kind(short(text));
    }
    if let Some(text) = parked.reply_to {
        properties = properties.reply_to(short(text));
    }
    Ok(Message {
        exchange: "".into(),
        routing_key: PARKING_QUEUE.into(),
        properties: finish(properties)?,
        body: Bytes::copy_from_slice(parked.body),
    })
}

/// What a worker of a task is told.
pub(super) fn announcement(task: TaskId, what: Announcement) -> Result<Message, PublishError> {
    let id = task.reveal();
    let reason = HeaderValue::Text(what.label().to_owned());
    let properties = PropertiesBuilder::new()
        .app_id(APP_ID)
        .correlation_id(&id)
        .kind("cancel")
        .headers(table([("reason", &reason)])?);
    Ok(Message {
        exchange: CONTROL_EXCHANGE.into(),
        routing_key: id.into(),
        properties: finish(properties)?,
        body: Bytes::from_static(what.label().as_bytes()),
    })
}

/// The answer to a sign of life.
pub(super) fn answer(
    reply_to: &str,
    correlation_id: Option<&str>,
    status: Status,
) -> Result<Message, PublishError> {
    let label = HeaderValue::Text(status.label().to_owned());
    let mut properties = PropertiesBuilder::new()
        .app_id(APP_ID)
        .kind("status")
        .headers(table([("status", &label)])?);
    if let Some(id) = correlation_id {
        properties = properties.correlation_id(short(id));
    }
    Ok(Message {
        exchange: "".into(),
        routing_key: short(reply_to).into(),
        properties: finish(properties)?,
        body: Bytes::from_static(status.label().as_bytes()),
    })
}

/// A text that fits a short string.
fn short(text: &str) -> &str {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn table<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a HeaderValue)>,
) -> Result<Bytes, PublishError> {
    let mut table = TableBuilder::new();
    for (name, value) in headers {
        table = match value {
            HeaderValue::Text(text) => table.text(short(name), text),
            HeaderValue::Integer(number) => table.integer(short(name), *number),
        };
    }
    table.finish().map_err(refused)
}

fn finish(properties: PropertiesBuilder) -> Result<Properties, PublishError> {
    properties.finish().map_err(refused)
}

fn refused(error: impl ToString) -> PublishError {
    PublishError::Refused(error.to_string())
}
