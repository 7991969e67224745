//! The format of records and messages: JSON. Fields that a later version adds are ignored. The store `redis` keeps each
//! field of a record separately, and uses only the messages and timeouts from here.
//!
//! Each record has a schema version. Fields that an older version may ignore need no new version.

use super::record::{OwnRoute, Record};
use crate::{
    task::{
        HeaderValue, Input, SourceKind, Task, TaskId, TaskToken, Timeout, Timeouts, unix_millis,
    },
    util::Label,
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The newest version of a record's schema that this version of the bridge can read. A record without a version has this one, so
/// it is not written. The scripts of the store `redis` know it too.
pub(in crate::store) const SCHEMA: u32 = 1;

/// Why a record, or its message, can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// A newer version of the bridge wrote the record.
    #[error("a newer version of the bridge wrote it, with the schema version {0}")]
    Newer(u32),
    /// Something else wrote it, or it is damaged. The error itself may quote a token.
    #[error("it has another form at byte {}", .0.column())]
    Json(#[from] serde_json::Error),
    /// The same, for a field of this name.
    #[error("the field {0} is missing or has another form")]
    Field(&'static str),
}

/// A record without its id. The id is in the key.
#[derive(Deserialize, Serialize)]
pub(in crate::store) struct StoredRecord<'a> {
    #[serde(borrow)]
    route: Cow<'a, str>,
    /// The label; empty if an earlier version wrote the record.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    source: Cow<'a, str>,
    #[serde(borrow)]
    token: Cow<'a, str>,
    /// Empty if an earlier version wrote the record.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    activity: Cow<'a, str>,
    /// Milliseconds since 1970.
    polled_at: i64,
    /// The version of the schema.
    #[serde(default = "schema", skip_serializing_if = "is_schema")]
    schema: u32,
    #[serde(default)]
    heartbeat: StoredTimeout,
    #[serde(default)]
    start_to_close: StoredTimeout,
    #[serde(default)]
    published: bool,
    #[serde(default)]
    begun: bool,
    /// Written only with a broker that keeps no messages.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    durable: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    failed_deliveries: u32,
    /// Whether the outcome of the task is stored in place of its message.
    #[serde(default, skip_serializing_if = "is_no")]
    has_outcome: bool,
}

/// The version alone, of a record that may lack anything else.
#[derive(Deserialize)]
struct Versioned {
    #[serde(default = "schema")]
    schema: u32,
}

fn schema() -> u32 {
    SCHEMA
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_schema(value: &u32) -> bool {
    *value == SCHEMA
}

fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_yes(value: &bool) -> bool {
    *value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_no(value: &bool) -> bool {
    !*value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// A [`Timeout`], in milliseconds.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::store) enum StoredTimeout {
    #[default]
    Unknown,
    Never,
    Usually(u64),
    After(u64),
}

/// What the message of a task needs beyond the record.
#[derive(Deserialize, Serialize)]
struct StoredMessage<'a> {
    #[serde(borrow)]
    activity: Cow<'a, str>,
    headers: Vec<(Cow<'a, str>, StoredHeader<'a>)>,
    #[serde(borrow)]
    input: Cow<'a, str>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum StoredHeader<'a> {
    Integer(i64),
    Text(Cow<'a, str>),
}

/// The bytes of a new task's record.
pub(in crate::store) fn record(route: &OwnRoute, task: &Task) -> Result<Vec<u8>, Unreadable> {
    let bytes = serde_json::to_vec(&StoredRecord {
        route: route.name.as_str().into(),
        source: route.source.label().into(),
        token: task.token.reveal().into(),
        activity: task.activity.as_str().into(),
        polled_at: unix_millis(task.polled_at),
        schema: SCHEMA,
        heartbeat: task.timeouts.heartbeat.into(),
        start_to_close: task.timeouts.start_to_close.into(),
        published: false,
        begun: false,
        durable: true,
        failed_deliveries: 0,
        has_outcome: false,
    });
    Ok(bytes?)
}

/// The bytes of a new task's message.
pub(in crate::store) fn message(task: &Task) -> Result<Vec<u8>, Unreadable> {
    let headers = task.headers.iter().map(|(name, value)| {
        let value = match value {
            HeaderValue::Integer(value) => StoredHeader::Integer(*value),
            HeaderValue::Text(value) => StoredHeader::Text(value.into()),
        };
        (Cow::Borrowed(&**name), value)
    });
    let bytes = serde_json::to_vec(&StoredMessage {
        activity: Cow::Borrowed(&task.activity),
        headers: headers.collect(),
        input: task.input.text().into(),
    });
    Ok(bytes?)
}

/// The task from its record, and from the bytes that [`message`] wrote.
pub(in crate::store) fn task(record: Record, message: &[u8]) -> Result<Task, Unreadable> {
    let StoredMessage {
        activity,
        headers,
        input,
    } = serde_json::from_slice(message)?;
    let headers = headers.into_iter().map(|(name, value)| {
        let value = match value {
            StoredHeader::Integer(value) => HeaderValue::Integer(value),
            StoredHeader::Text(value) => HeaderValue::Text(value.into_owned()),
        };
        (Cow::Owned(name.into_owned()), value)
    });
    Ok(Task {
        id: record.id,
        token: record.token,
        activity: activity.into_owned(),
        input: Input::from(input.into_owned()),
        headers: headers.collect(),
        polled_at: record.polled_at,
        timeouts: record.timeouts,
    })
}

impl<'a> StoredRecord<'a> {
    /// Reads the bytes that [`record`] or [`Self::bytes`] wrote.
    pub(in crate::store) fn read(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let record: Result<Self, _> = serde_json::from_slice(bytes);
        let schema = match &record {
            Ok(record) => record.schema,
            Err(_) => serde_json::from_slice(bytes).map_or(SCHEMA, |found: Versioned| found.schema),
        };
        if schema > SCHEMA {
            return Err(Unreadable::Newer(schema));
        }
        Ok(record?)
    }

    pub(in crate::store) fn bytes(&self) -> Result<Vec<u8>, Unreadable> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Notes that a durable broker has the message, and the timeouts that are known now.
    pub(in crate::store) fn confirm(&mut self, timeouts: Timeouts) {
        self.published = true;
        self.durable = true;
        self.learn(timeouts);
    }

    /// Notes that a durable broker has lost the message. A worker that has begun has it.
    pub(in crate::store) fn lose_message(&mut self) {
        self.published &= self.begun || !self.durable;
    }

    /// Whether the message may have to be published, now or later: a durable broker may lose it until a worker has begun.
    pub(in crate::store) fn needs_message(&self) -> bool {
        !(self.published && self.begun)
    }

    /// Notes the timeouts that are known now.
    pub(in crate::store) fn learn(&mut self, timeouts: Timeouts) {
        self.heartbeat = timeouts.heartbeat.into();
        self.start_to_close = timeouts.start_to_close.into();
    }

    /// Notes that a worker works on the task.
    pub(in crate::store) fn begin(&mut self) {
        self.begun = true;
    }

    /// Notes the number of failed deliveries, of which only a broker that keeps no messages tells.
    pub(in crate::store) fn fail_deliveries(&mut self, count: u32) {
        self.durable = false;
        self.failed_deliveries = count;
    }

    /// Notes that a worker has begun for good, of which only a broker that keeps no messages tells.
    pub(in crate::store) fn release(&mut self) {
        self.durable = false;
        self.begun = true;
        self.published = true;
    }

    /// Notes that the outcome is stored in place of the message.
    pub(in crate::store) fn keep_outcome(&mut self) {
        self.durable = false;
        self.published = true;
        self.has_outcome = true;
    }

    /// Whether the outcome is stored in place of the message.
    pub(in crate::store) fn has_outcome(&self) -> bool {
        self.has_outcome
    }

    /// The record with its id.
    pub(in crate::store) fn with(self, id: TaskId) -> Result<Record, Unreadable> {
        let token = TaskToken::new(&self.token);
        Ok(Record {
            id,
            source: source(&self.source)?,
            token: token.ok_or(Unreadable::Field("token"))?,
            activity: self.activity.into(),
            route: self.route.into_owned(),
            polled_at: at(self.polled_at),
            timeouts: Timeouts {
                heartbeat: self.heartbeat.into(),
                start_to_close: self.start_to_close.into(),
            },
            published: self.published,
            begun: self.begun,
            heard: None,
            durable: self.durable,
            failed_deliveries: self.failed_deliveries,
            has_outcome: self.has_outcome,
        })
    }
}

/// The service with this label; `None` for no label.
pub(in crate::store) fn source(label: &str) -> Result<Option<SourceKind>, Unreadable> {
    let mut known = SourceKind::ALL.iter().copied();
    match known.find(|source| source.label() == label) {
        None if !label.is_empty() => Err(Unreadable::Field("source")),
        found => Ok(found),
    }
}

/// The time from milliseconds since 1970.
pub(in crate::store) fn at(unix_millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(unix_millis).unwrap_or(0))
}

impl From<Timeout> for StoredTimeout {
    fn from(timeout: Timeout) -> Self {
        let millis = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        match timeout {
            Timeout::Unknown => Self::Unknown,
            Timeout::Never => Self::Never,
            Timeout::Usually(limit) => Self::Usually(millis(limit)),
            Timeout::After(limit) => Self::After(millis(limit)),
        }
    }
}

impl From<StoredTimeout> for Timeout {
    fn from(timeout: StoredTimeout) -> Self {
        match timeout {
            StoredTimeout::Unknown => Self::Unknown,
            StoredTimeout::Never => Self::Never,
            StoredTimeout::Usually(limit) => Self::Usually(Duration::from_millis(limit)),
            StoredTimeout::After(limit) => Self::After(Duration::from_millis(limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record and a message as version 1 of the schema wrote them. They must be readable for as long as the version is 1.
    const RECORD: &str = r#"{"route":"payments","token":"\"€","polled_at":1700000000123,"heartbeat":{"usually":90500},
        "start_to_close":"never","published":true,"begun":true,"of a later version":[{}]}"#;
    const MESSAGE: &str = r#"{"activity":"charge","headers":[["domain","shop"],["attempt",-1]],"input":"{\"n\": 1}",
        "of a later version":null}"#;

    #[test]
    fn records_and_messages_of_version_1_are_read() {
        let id = TaskId::random();
        let record = StoredRecord::read(RECORD.as_bytes()).and_then(|stored| stored.with(id));
        let record = record.expect("a record");
        assert_eq!((record.id, &*record.route), (id, "payments"));
        assert_eq!(record.token.reveal(), "\"€");
        let later = (&*record.activity, record.source);
        assert_eq!(later, ("", None), "version 1 did not have them at first");
        assert_eq!(unix_millis(record.polled_at), 1_700_000_000_123);
        let timeouts = Timeouts {
            heartbeat: Timeout::Usually(Duration::from_millis(90_500)),
            start_to_close: Timeout::Never,
        };
        assert_eq!(record.timeouts, timeouts);
        assert!(record.published && record.begun && record.durable);
        assert_eq!(record.failed_deliveries, 0);

        let task = task(record, MESSAGE.as_bytes()).expect("a task");
        assert_eq!(task.activity, "charge");
        assert_eq!(task.input.text(), "{\"n\": 1}");
        let headers = [
            ("domain".into(), HeaderValue::Text("shop".to_owned())),
            ("attempt".into(), HeaderValue::Integer(-1)),
        ];
        assert_eq!(task.headers, headers);
    }

    /// The reply queue may have copies of it as `type` after the message has gone.
    #[test]
    fn the_record_keeps_the_activity_and_the_service_and_a_change_of_the_record_does_too() {
        let task = Task {
            id: TaskId::random(),
            token: TaskToken::new("token").expect("not empty"),
            activity: "charge".to_owned(),
            input: Input::from("{}".to_owned()),
            headers: Vec::new(),
            polled_at: UNIX_EPOCH,
            timeouts: Timeouts::default(),
        };
        let route = OwnRoute {
            name: "payments".to_owned(),
            source: SourceKind::StepFunctions,
        };
        let bytes = record(&route, &task).expect("bytes");
        let mut stored = StoredRecord::read(&bytes).expect("a record");
        stored.confirm(Timeouts::default());
        let bytes = stored.bytes().expect("bytes");
        let read = StoredRecord::read(&bytes).and_then(|stored| stored.with(task.id));
        let read = read.expect("a record");
        assert_eq!(&*read.activity, "charge");
        assert_eq!(read.source, Some(SourceKind::StepFunctions));
    }

    /// What a broker that keeps no messages adds is read by a version that does not know it, because it is left out otherwise.
    #[test]
    fn what_became_of_deliveries_is_written_only_where_a_broker_tells_it() {
        let mut record = StoredRecord::read(RECORD.as_bytes()).expect("a record");
        record.fail_deliveries(7);
        let bytes = record.bytes().expect("bytes");
        let text = String::from_utf8(bytes.clone()).expect("text");
        assert!(text.ends_with(r#","durable":false,"failed_deliveries":7}"#));
        let read = StoredRecord::read(&bytes).and_then(|stored| stored.with(TaskId::random()));
        let read = read.expect("a record");
        assert_eq!((read.durable, read.failed_deliveries), (false, 7));
    }

    #[test]
    fn records_are_written_as_version_1() {
        let record = StoredRecord::read(RECORD.as_bytes()).and_then(|stored| stored.bytes());
        let record = String::from_utf8(record.expect("bytes")).expect("text");
        let first = RECORD.replace("\n        ", "");
        assert_eq!(record, first.replace(r#","of a later version":[{}]"#, ""));
    }

    /// It may have any other form.
    #[test]
    fn a_record_of_a_newer_schema_is_known_as_such() {
        let same = RECORD.replacen('{', r#"{"schema":2,"#, 1);
        for newer in [
            r#"{"schema":2}"#,
            r#"{"schema":2,"route":[1],"of":null}"#,
            &same,
        ] {
            match StoredRecord::read(newer.as_bytes()) {
                Err(Unreadable::Newer(2)) => {}
                Err(other) => panic!("{newer}: {other}"),
                Ok(_) => panic!("{newer}: read"),
            }
        }
        let own = RECORD.replacen('{', r#"{"schema":1,"#, 1);
        assert!(StoredRecord::read(own.as_bytes()).is_ok());
    }

    #[test]
    fn unreadable_bytes_are_an_error() {
        for bytes in [
            "",
            "{}",
            r#"{"route":"a","token":"","polled_at":0}"#,
            r#"{"route":"a","token":"t","polled_at":0,"heartbeat":"soon"}"#,
            r#"{"route":"a","source":"of a later version","token":"t","polled_at":0}"#,
        ] {
            let record = StoredRecord::read(bytes.as_bytes());
            let record = record.and_then(|stored| stored.with(TaskId::random()));
            assert!(record.is_err(), "{bytes}");
        }
    }
}
