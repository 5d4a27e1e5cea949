//! A queue whose memory is bounded in bytes, not in items: who fills it waits until there is room. Several queues can share
//! one budget.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What an item costs at least: its place in the queue is memory, too.
const LEAST: usize = 64;

/// Bytes that may wait at one time.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    room: Arc<Semaphore>,
    total: usize,
}

impl Budget {
    pub(super) fn new(total: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(total)),
            total,
        }
    }
}

/// Nobody takes from the queue any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

struct Item<T> {
    value: T,
    /// Given back when the item is taken, or dropped with the queue.
    _room: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
pub(super) struct Sender<T> {
    items: mpsc::UnboundedSender<Item<T>>,
    budget: Budget,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            items: self.items.clone(),
            budget: self.budget.clone(),
        }
    }
}

pub(super) struct Receiver<T>(mpsc::UnboundedReceiver<Item<T>>);

pub(super) fn channel<T>(budget: &Budget) -> (Sender<T>, Receiver<T>) {
    let (items, receiver) = mpsc::unbounded_channel();
    let sender = Sender {
        items,
        budget: budget.clone(),
    };
    (sender, Receiver(receiver))
}

impl<T> Sender<T> {
    /// Adds an item of so many bytes as soon as there is room. One that is larger than the budget takes all of it.
    pub(super) async fn send(&self, value: T, bytes: usize) -> Result<(), Closed> {
        let bytes = bytes.max(LEAST).min(self.budget.total);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = tokio::select! {
            biased;
            () = self.items.closed() => return Err(Closed),
            room = self.budget.room.clone().acquire_many_owned(bytes) => room.map_err(|_| Closed)?,
        };
        self.items
            .send(Item {
                value,
                _room: Some(room),
            })
            .map_err(|_| Closed)
    }

    /// Adds an item at once, outside the budget: for those whose number is bounded by something else, such as a permit that
    /// is given back when the item is taken.
    pub(super) fn send_now(&self, value: T, permit: Option<OwnedSemaphorePermit>) -> Result<(), Closed> {
        self.items.send(Item { value, _room: permit }).map_err(|_| Closed)
    }
}

impl<T> Receiver<T> {
    /// The next item; `None` = there is no sender any more.
    pub(super) async fn recv(&mut self) -> Option<T> {
        self.0.recv().await.map(|item| item.value)
    }

    /// The next item, if there is one now.
    pub(super) fn try_recv(&mut self) -> Option<T> {
        self.0.try_recv().ok().map(|item| item.value)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_full_budget_makes_senders_wait() {
        let budget = Budget::new(200);
        let (first, mut taken) = channel(&budget);
        let (second, _kept) = channel(&budget);
        first.send("a", 100).await.expect("room");
        second.send("b", 100).await.expect("room");
        assert!(
            first.send("c", 1).now_or_never().is_none(),
            "all queues share the budget"
        );
        first.send_now("free", None).expect("open");
        assert_eq!(taken.recv().await, Some("a"));
        assert!(first.send("c", 1).now_or_never().is_some());
        assert_eq!(taken.try_recv(), Some("free"));
    }

    #[tokio::test]
    async fn what_is_too_large_takes_all_there_is() {
        let (sender, mut receiver) = channel(&Budget::new(100));
        sender.send("large", 1_000_000).await.expect("room");
        assert_eq!(receiver.recv().await, Some("large"));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_receiver_that_is_gone() {
        let (sender, receiver) = channel(&Budget::new(100));
        sender.send((), 100).await.expect("room");
        let waiting = sender.send((), 100);
        drop(receiver);
        assert_eq!(waiting.await, Err(Closed));
        assert_eq!(sender.send_now((), None), Err(Closed));
    }
}
