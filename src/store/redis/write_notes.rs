//! Writes the pending notes to Redis.

use super::{
    format,
    notes::{Noted, Written},
    redis_store::RedisStore,
    scripts,
};
use crate::task::TaskId;
use futures_util::future::join_all;

impl RedisStore {
    /// Writes at most `most` notes. A note that can't be written stays pending.
    pub(crate) async fn write_notes(&self, most: usize) -> Written {
        let notes = self.notes.remove_some(most);
        let write = async |(id, noted): (TaskId, Noted)| {
            let flag = |set: bool| if set { "1" } else { "" };
            let script = &scripts::NOTE;
            let mut script = script.key(self.keys.task(id));
            let failed = noted.failed_deliveries.map(|count| count.to_string());
            let learnt = noted.learnt.map(format::timeouts).transpose();
            script
                .arg(flag(noted.begun))
                .arg(format::moment(noted.heard))
                .arg(flag(noted.cancel))
                .arg(flag(noted.released))
                .arg(failed.unwrap_or_default())
                .arg(learnt.ok().flatten().unwrap_or_default())
                .arg(format::ttl_millis(noted.learnt.unwrap_or_default()));
            let answer = self.about_task(id, self.connection.run(&script).await);
            let answer = answer.inspect_err(|_| self.notes.put_back(id, noted));
            // A note about a record that can't be read is lost.
            let answer: Vec<Vec<u8>> = answer.ok()??;
            let texts = answer.into_iter().map(String::from_utf8);
            Some((id, texts.collect::<Result<Vec<_>, _>>().ok()?))
        };
        let mut written = Written::default();
        for (id, answer) in join_all(notes.into_iter().map(write))
            .await
            .into_iter()
            .flatten()
        {
            match answer.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["noted", owner, epoch] if owner != self.owner => {
                    let epoch = epoch.parse().unwrap_or_default();
                    written.taken.push((id, epoch));
                }
                ["ended"] => written.taken.push((id, u64::MAX)),
                ["unknown"] => written.missing |= self.owned.has(id),
                _ => {}
            }
        }
        written
    }
}
