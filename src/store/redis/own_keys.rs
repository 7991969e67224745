//! The set of tasks and the inbox of this process. Nothing about them can prevent the renewal of the lease.

use super::{
    format,
    limits::SET_TTL,
    redis_store::RedisStore,
    scripts,
    shared::{self, Messages},
};
use crate::store::StoreError;

/// Maximum number of messages that are read with one renewal. There are five renewals a second.
const MAX_MESSAGES_PER_RENEWAL: usize = 5_000;

/// The messages as Redis has them.
type Raw = Vec<(String, Vec<Vec<u8>>)>;

impl RedisStore {
    /// Returns the messages from the inbox. They stay there until the next call says that they were read. Messages that can't be
    /// read are left out.
    pub(super) async fn read_inbox(&self) -> Result<Messages, StoreError> {
        let keys = &self.own_keys;
        let mut script = scripts::READ_INBOX.key(&keys.tasks);
        script
            .key(&keys.inbox)
            .arg(format::millis(SET_TTL))
            .arg(self.lease.last_read())
            .arg(MAX_MESSAGES_PER_RENEWAL);
        let (has_set, messages): (bool, Raw) = match self.connection.run(&script).await {
            Err(StoreError::Unreadable(why)) => {
                self.set_aside(&keys.inbox, "stream", &why).await?;
                return Ok(Messages::new());
            }
            answer => answer?,
        };
        if !has_set {
            self.set_tasks_aside("it is no set").await?;
        }
        Ok(messages
            .into_iter()
            .map(|message| self.legible(message))
            .collect())
    }

    /// A message without fields is one that can't be read.
    fn legible(&self, (id, fields): (String, Vec<Vec<u8>>)) -> (String, Vec<String>) {
        let texts = fields.into_iter().map(String::from_utf8);
        let texts = texts.collect::<Result<Vec<_>, _>>().ok();
        let legible = texts.filter(|texts| shared::is_legible(texts));
        if legible.is_none() {
            let why = format!("the message {id} has another form");
            self.unreadable.note(&self.own_keys.inbox, &why);
        }
        (id, legible.unwrap_or_default())
    }

    /// Makes room for this process's set of tasks. Each task must be added again then, which the next renewal asks for.
    pub(super) async fn set_tasks_aside(&self, why: &str) -> Result<(), StoreError> {
        self.set_aside(&self.own_keys.tasks, "set", why).await?;
        self.lease.lost_tasks();
        Ok(())
    }

    /// Renames a key of this process that has another type. Its name has the id of this process, so nobody else needs it.
    async fn set_aside(&self, key: &str, kind: &str, why: &str) -> Result<(), StoreError> {
        let aside = format!("{key}:unreadable");
        let mut script = scripts::SET_ASIDE.key(key);
        script.key(&aside);
        script.arg(kind).arg(format::millis(SET_TTL));
        let is_renamed: bool = self.connection.run(&script).await?;
        if is_renamed {
            let why = format!("it was renamed, because of this process's own key: {why}");
            self.unreadable.note(&aside, &why);
        }
        Ok(())
    }
}
