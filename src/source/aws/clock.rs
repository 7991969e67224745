//! AWS's clock, from the header `Date` of its answers.

use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::date_time::{DateTime, Format};
use parking_lot::Mutex;
use std::{sync::Arc, time::SystemTime};

/// The difference between AWS's clock and this machine's. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Mutex<Option<i64>>>);

impl Clock {
    /// AWS's time less this machine's when the last answer came, in seconds; `None` if there was no answer with a time.
    #[must_use]
    pub fn difference(&self) -> Option<i64> {
        *self.0.lock()
    }

    /// Forgets what the answers so far have told.
    pub fn clear(&self) {
        *self.0.lock() = None;
    }

    fn note(&self, date: &str, now: SystemTime) {
        if let Ok(date) = DateTime::from_str(date, Format::HttpDate) {
            let difference = date.secs() - DateTime::from(now).secs();
            *self.0.lock() = Some(difference);
        }
    }
}

/// The same HTTP client, which tells the clock of each answer.
pub(super) fn observed(client: SharedHttpClient, clock: Clock) -> SharedHttpClient {
    SharedHttpClient::new(Observed {
        inner: client,
        clock,
    })
}

#[derive(Debug)]
struct Observed<C> {
    inner: C,
    clock: Clock,
}

impl HttpConnector for Observed<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = self.inner.call(request);
        let clock = self.clock.clone();
        HttpConnectorFuture::new(async move {
            let answer = call.await?;
            if let Some(date) = answer.headers().get("date") {
                clock.note(date, SystemTime::now());
            }
            Ok(answer)
        })
    }
}

impl HttpClient for Observed<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Observed {
            inner: self.inner.http_connector(settings, components),
            clock: self.clock.clone(),
        })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_difference_is_that_of_the_last_answer_with_a_time() {
        let clock = Clock::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        clock.note("today", now);
        assert_eq!(clock.difference(), None);
        clock.note("Sun, 06 Nov 1994 08:49:37 GMT", now);
        assert_eq!(clock.difference(), Some(0));
        clock.note("Sun, 06 Nov 1994 08:39:37 GMT", now);
        assert_eq!(clock.difference(), Some(-600));
        clock.note("", now);
        assert_eq!(clock.difference(), Some(-600));
        clock.clear();
        assert_eq!(clock.difference(), None);
    }
}
