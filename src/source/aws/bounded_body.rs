//! A bound on the bodies of AWS's answers, each and together. It holds while a body is read, before the SDK has it whole in
//! memory.

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        connector_metadata::ConnectorMetadata,
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpClient, SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum size of the body of an answer. The longest task is one of Step Functions with an input of 1 MiB. In JSON each of
/// its characters takes up to three times the bytes, and there is a token of 2 kB beside it. Tasks of SWF are far smaller.
const MAX_BODY: usize = 4 << 20;

/// Maximum size of all bodies that one SDK client reads at once. Further answers wait before they are read.
const MAX_BODIES: usize = 16 << 20;

/// The body of an answer is too large.
#[derive(Debug, thiserror::Error)]
#[error("the answer has more than {} MiB, and is not read further", MAX_BODY >> 20)]
struct TooLarge;

/// The same HTTP client, which reads no body beyond [`MAX_BODY`].
pub(super) fn bounded(client: SharedHttpClient) -> SharedHttpClient {
    SharedHttpClient::new(Bounded {
        inner: client,
        room: None,
    })
}

/// The same HTTP client for one SDK client, which reads no more than [`MAX_BODIES`] at once. Each SDK client has room of its
/// own, so that slow answers to polls do not hold up heartbeats and results.
pub(super) fn with_shared_room(client: SharedHttpClient) -> SharedHttpClient {
    SharedHttpClient::new(Bounded {
        inner: client,
        room: Some(Arc::new(Semaphore::new(MAX_BODIES))),
    })
}

/// A client or a connector whose answers are bounded.
#[derive(Debug)]
struct Bounded<C> {
    inner: C,
    room: Option<Arc<Semaphore>>,
}

/// Bounds the body of an answer. If the room is shared, waits until there is enough.
async fn bound(answer: HttpResponse, room: Option<Arc<Semaphore>>) -> HttpResponse {
    let length = answer.headers().get("content-length");
    let length = length.and_then(|length| length.parse::<usize>().ok());
    // A body that is larger than it says is cut by the HTTP client. Without a length it may have the maximum.
    let reserved = u32::try_from(length.unwrap_or(MAX_BODY).min(MAX_BODY)).unwrap_or_default();
    let permit = match room {
        // An error would mean that the semaphore is closed, which nobody does.
        Some(room) => room.acquire_many_owned(reserved).await.ok(),
        None => None,
    };
    let permit = Arc::new(permit);
    answer.map(|body| bounded_body(body, Arc::clone(&permit)))
}

fn bounded_body(body: SdkBody, permit: Arc<Option<OwnedSemaphorePermit>>) -> SdkBody {
    let limited = Limited::new(body, MAX_BODY);
    SdkBody::from_body_1_x(limited.map_err(move |error| -> BoxError {
        // The permit lives as long as the body.
        let _ = &permit;
        match error.is::<LengthLimitError>() {
            true => TooLarge.into(),
            false => error,
        }
    }))
}

impl HttpConnector for Bounded<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = self.inner.call(request);
        let room = self.room.clone();
        HttpConnectorFuture::new(async move { Ok(bound(call.await?, room).await) })
    }
}

impl HttpClient for Bounded<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Bounded {
            inner: self.inner.http_connector(settings, components),
            room: self.room.clone(),
        })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::{FutureExt, stream};
    use http_body_util::StreamBody;
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    const CHUNK: usize = 1 << 16;

    /// An answer whose body has this many chunks. The counter says how many were read.
    fn answer(chunks: usize) -> (HttpResponse, Arc<AtomicUsize>) {
        let read = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&read);
        let frames = (0..chunks).map(move |_| {
            counter.fetch_add(1, Relaxed);
            let data = Bytes::from_static(&[b' '; CHUNK]);
            Ok::<_, Infallible>(http_body::Frame::data(data))
        });
        let body = SdkBody::from_body_1_x(StreamBody::new(stream::iter(frames)));
        let status = 200.try_into().expect("a status");
        (HttpResponse::new(status, body), read)
    }

    async fn read(answer: HttpResponse) -> Result<usize, String> {
        let whole = answer.into_body().collect().await;
        let whole = whole.map_err(|error| error.to_string())?;
        Ok(whole.to_bytes().len())
    }

    #[tokio::test]
    async fn a_body_of_the_maximum_is_read_whole() {
        let (answer, _) = answer(MAX_BODY / CHUNK);
        assert_eq!(read(bound(answer, None).await).await, Ok(MAX_BODY));
    }

    #[tokio::test]
    async fn an_endless_body_is_read_to_the_maximum_and_no_further() {
        let (answer, chunks) = answer(usize::MAX);
        let error = read(bound(answer, None).await).await;
        let words = "the answer has more than 4 MiB, and is not read further";
        assert_eq!(error, Err(words.to_owned()));
        assert_eq!(chunks.load(Relaxed), MAX_BODY / CHUNK + 1);
    }

    #[tokio::test]
    async fn bodies_that_do_not_fit_together_are_read_one_after_the_other() {
        let room = Arc::new(Semaphore::new(MAX_BODIES));
        let bound = |answer| bound(answer, Some(Arc::clone(&room)));
        let mut open = Vec::new();
        for _ in 0..MAX_BODIES / MAX_BODY {
            open.push(bound(answer(usize::MAX).0).await);
        }
        let mut small = answer(1).0;
        small
            .headers_mut()
            .insert("content-length", CHUNK.to_string());
        let waiting = bound(small);
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        // Whether it was read or not.
        drop(open.pop());
        let small = waiting.now_or_never().expect("there is room now");
        assert_eq!(read(small).await, Ok(CHUNK));
        assert_eq!(room.available_permits(), MAX_BODY);
    }

    #[tokio::test]
    async fn small_answers_take_little_room() {
        let room = Arc::new(Semaphore::new(MAX_BODIES));
        for length in [0, 2, CHUNK, MAX_BODY, 1 << 40] {
            let mut answer = answer(1).0;
            answer
                .headers_mut()
                .insert("content-length", length.to_string());
            let bounded = bound(answer, Some(Arc::clone(&room))).await;
            let taken = MAX_BODIES - room.available_permits();
            assert_eq!(taken, length.min(MAX_BODY));
            drop(bounded);
        }
    }
}
