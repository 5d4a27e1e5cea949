//! Reading bodies within bounds: of one body, and of all that are under way at the same time.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Largest body: config files of 20 volumes of 60 kB, in base64, percent-encoded at worst.
pub(crate) const MAX_BODY: usize = 8 * 1024 * 1024;
/// Bodies up to this size are read at once; there can be no more of them than connections.
const SMALL: usize = 64 * 1024;
/// All larger ones together may have this size, in units of 1 KiB; others wait for their turn.
const BUDGET_KIB: usize = 128 * 1024;
/// How long a caller may take to send its body, and how long it may wait until there is room for it.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoBody {
    /// It is larger than [`MAX_BODY`].
    TooLarge,
    /// Too many large ones are under way.
    Busy,
    /// The caller is gone, or too slow to be worth an answer.
    Broken,
}

/// A body, and the room it takes until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) body: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Takes bodies in; clones share one budget.
#[derive(Clone, Debug)]
pub(crate) struct Intake(Arc<Semaphore>);

impl Default for Intake {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET_KIB)))
    }
}

impl Intake {
    /// Reads a body to its end.
    pub(crate) async fn take<B>(&self, body: B) -> Result<Taken, NoBody>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        // One that does not say its size may turn out to have the largest.
        let announced = body.size_hint().upper().and_then(|n| usize::try_from(n).ok());
        let size = announced.unwrap_or(MAX_BODY).min(MAX_BODY);
        let room = match size <= SMALL {
            true => None,
            false => {
                // All of it beforehand: two that each waited for the other's rest would wait for ever.
                let units = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
                let room = timeout(BODY_TIMEOUT, self.0.clone().acquire_many_owned(units)).await;
                Some(room.map_err(|_| NoBody::Busy)?.map_err(|_| NoBody::Busy)?)
            }
        };
        let body = timeout(BODY_TIMEOUT, collect(body))
            .await
            .map_err(|_| NoBody::Broken)??;
        Ok(Taken { body, _room: room })
    }

    /// Room for something of this size that is no body, if there is any now.
    pub(crate) fn try_room(&self, kib: u32) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_many_owned(kib).ok()
    }
}

/// All data of a body, copied together: kept apart, chunks of one byte would take forty times what they hold.
async fn collect<B>(mut body: B) -> Result<Bytes, NoBody>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| NoBody::Broken)?.into_data() else {
            continue;
        };
        if first.len() + all.len() + data.len() > MAX_BODY {
            return Err(NoBody::TooLarge);
        }
        match (first.is_empty(), all.is_empty()) {
            // Most bodies are one frame, and are not copied.
            (true, true) => first = data,
            _ => {
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&data);
            }
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    /// A body in chunks that does not say how long it is.
    fn chunks(count: usize, chunk: &'static [u8]) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        StreamBody::new(stream::iter(
            (0..count).map(move |_| Ok(Frame::data(Bytes::from_static(chunk)))),
        ))
    }

    #[tokio::test]
    async fn chunks_are_put_together() {
        let intake = Intake::default();
        for count in [0, 1, 2, 1_000] {
            let taken = intake.take(chunks(count, b"ab")).await.expect("a body");
            assert_eq!(taken.body, "ab".repeat(count));
        }
    }

    #[tokio::test]
    async fn a_body_without_end_is_given_up() {
        static CHUNK: [u8; 4096] = [b'x'; 4096];
        let ended = Intake::default().take(chunks(usize::MAX, &CHUNK)).await;
        assert_eq!(ended.map(|t| t.body.len()), Err(NoBody::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_share_a_budget_and_small_ones_do_not_wait() {
        let intake = Intake::default();
        let large = || Full::new(Bytes::from(vec![0; MAX_BODY]));
        let mut taken = Vec::new();
        for _ in 0..BUDGET_KIB * 1024 / MAX_BODY {
            taken.push(intake.take(large()).await.expect("room"));
        }
        assert_eq!(intake.take(large()).await.map(|t| t.body.len()), Err(NoBody::Busy));
        let small = intake.take(Full::new(Bytes::from_static(b"a=b"))).await;
        assert_eq!(small.map(|t| t.body), Ok(Bytes::from_static(b"a=b")));
        taken.pop();
        assert!(intake.take(large()).await.is_ok(), "what is answered makes room");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_given_up() {
        let never = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(Intake::default().take(never).await.map(|t| t.body), Err(NoBody::Broken));
    }
}
