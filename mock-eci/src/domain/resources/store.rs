//! Records of one kind: in the order of creation, by id, by page, each with its tags and what time does to it.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::tags::{self, Tags};
use crate::domain::query::{Page, PageToken};

/// One record with what all kinds have in common.
#[derive(Clone, Debug)]
pub struct Item<R> {
    /// Its id.
    pub id: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// `ResourceGroupId`.
    pub resource_group_id: String,
    /// `Tag.N`.
    pub tags: Tags,
    /// When its next step by itself is due; none = it takes none.
    pub step_at: Option<Timestamp>,
    /// When it is forgotten; none = never.
    pub expires_at: Option<Timestamp>,
    /// What is of its kind.
    pub record: R,
}

/// A kind of records.
pub trait Record: Sized {
    /// Takes the step that is due at this time, and says when the next one is by [`Item::step_at`].
    fn step(item: &mut Item<Self>, at: Timestamp);
}

/// Conditions every list knows, joined by AND; empty ones match everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only these ids.
    pub ids: Option<Vec<String>>,
    /// Tags that must be there; an empty value matches any.
    pub tags: Tags,
    /// Resource group.
    pub resource_group_id: Option<String>,
}

impl Filter {
    /// Whether a record meets all of them.
    pub fn matches<R>(&self, item: &Item<R>) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&item.id))
            && self
                .resource_group_id
                .as_ref()
                .is_none_or(|id| *id == item.resource_group_id)
            && tags::has_all(&item.tags, &self.tags)
    }
}

/// All records of one kind.
#[derive(Debug)]
pub struct Store<R> {
    items: BTreeMap<u64, Item<R>>,
    by_id: HashMap<String, u64>,
    added: u64,
}

impl<R> Default for Store<R> {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            by_id: HashMap::new(),
            added: 0,
        }
    }
}

impl<R: Record> Store<R> {
    /// Adds one as the newest.
    pub fn add(&mut self, item: Item<R>) {
        self.added += 1;
        self.by_id.insert(item.id.clone(), self.added);
        self.items.insert(self.added, item);
    }

    /// Forgets the oldest where there are `most`, so that one more may come.
    pub fn make_room(&mut self, most: usize) {
        while self.items.len() >= most
            && let Some((_, oldest)) = self.items.pop_first()
        {
            self.by_id.remove(&oldest.id);
        }
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<&Item<R>> {
        self.items.get(self.by_id.get(id)?)
    }

    /// One of them, to change.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Item<R>> {
        self.items.get_mut(self.by_id.get(id)?)
    }

    /// Forgets one and gives it.
    pub fn remove(&mut self, id: &str) -> Option<Item<R>> {
        let seq = self.by_id.remove(id)?;
        self.items.remove(&seq)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Item<R>> {
        self.items.values()
    }

    /// Oldest first, with each one's place in the order of creation, from a place on.
    pub fn from(&self, seq: u64) -> impl Iterator<Item = (u64, &Item<R>)> {
        self.items.range(seq..).map(|(seq, item)| (*seq, item))
    }

    /// At most `limit` of those that meet a condition, in the order of creation, and where the next page begins. What is
    /// added or removed while pages are read moves nothing to another page.
    pub fn page(
        &self,
        limit: usize,
        from: Option<PageToken>,
        matches: impl Fn(&Item<R>) -> bool,
    ) -> (Vec<&Item<R>>, Page) {
        let after = from.map_or(0, |token| token.after.1);
        let (mut items, mut last, mut more) = (Vec::new(), after, false);
        for (seq, item) in self.from(after.saturating_add(1)).filter(|(_, item)| matches(item)) {
            if items.len() >= limit {
                more = true;
                break;
            }
            items.push(item);
            last = seq;
        }
        let total = from.map_or_else(|| self.iter().filter(|item| matches(item)).count(), |token| token.total);
        let next = more.then_some(PageToken {
            after: (Timestamp::UNIX_EPOCH, last),
            total,
        });
        (items, Page { total, next })
    }

    /// Does what is due for one of them, each thing as of its own time, and gives when the next thing is.
    pub fn advance(&mut self, id: &str, now: Timestamp) -> Option<Timestamp> {
        loop {
            let item = self.get_mut(id)?;
            let due = item.due()?;
            if due > now {
                return Some(due);
            }
            if item.expires_at == Some(due) {
                self.remove(id);
                return None;
            }
            item.step_at = None;
            R::step(item, due);
        }
    }
}

impl<R> Item<R> {
    /// When something is to be done next; to expire comes before a step.
    pub fn due(&self) -> Option<Timestamp> {
        self.step_at.into_iter().chain(self.expires_at).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::timers::after;

    /// Counts its steps, one a second.
    #[derive(Clone, Debug)]
    struct Counter(Vec<Timestamp>);

    impl Record for Counter {
        fn step(item: &mut Item<Self>, at: Timestamp) {
            item.record.0.push(at);
            item.step_at = (item.record.0.len() < 3).then(|| second(item.record.0.len() as u64 + 1));
        }
    }

    fn second(n: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, Duration::from_secs(n))
    }

    fn item(id: usize, tag: Option<u8>, group: u8) -> Item<Counter> {
        Item {
            id: format!("x-{id}"),
            created_at: Timestamp::UNIX_EPOCH,
            resource_group_id: format!("rg-{group}"),
            tags: tag.map(|t| ("k".to_owned(), t.to_string())).into_iter().collect(),
            step_at: Some(second(1)),
            expires_at: None,
            record: Counter(Vec::new()),
        }
    }

    #[test]
    fn every_step_is_taken_at_its_own_time_however_far_time_jumps() {
        let mut store = Store::default();
        store.add(item(1, None, 0));
        assert_eq!(store.advance("x-1", second(0)), Some(second(1)));
        assert_eq!(store.advance("x-1", second(100)), None);
        assert_eq!(
            store.get("x-1").expect("there").record.0,
            [second(1), second(2), second(3)]
        );
    }

    #[test]
    fn what_has_expired_is_gone() {
        let mut store = Store::default();
        store.add(Item {
            expires_at: Some(second(2)),
            ..item(1, None, 0)
        });
        assert_eq!(store.advance("x-1", second(1)), Some(second(2)));
        assert_eq!(store.advance("x-1", second(2)), None);
        assert!(store.is_empty() && store.get("x-1").is_none());
        assert_eq!(store.advance("x-1", second(3)), None, "a late timer finds nothing");
    }

    proptest! {
        /// Pages put together are what the condition selects, in the order of creation, whatever the limit; and what is
        /// removed or added between two pages changes nothing but itself.
        #[test]
        fn pages_are_the_filtered_list(
            made in prop::collection::vec((prop::option::of(0..3_u8), 0..3_u8), 0..40),
            removed in prop::collection::vec(0..40_usize, 0..10),
            removed_later in prop::collection::vec(0..40_usize, 0..5),
            tag in prop::option::of(prop::option::of(0..3_u8)),
            group in prop::option::of(0..3_u8),
            limit in 1..10_usize,
        ) {
            let mut store = Store::default();
            for (id, (tag, group)) in made.iter().enumerate() {
                store.add(item(id, *tag, *group));
            }
            for id in removed {
                store.remove(&format!("x-{id}"));
            }
            let filter = Filter {
                ids: None,
                // Key alone, key and value, or no tag at all.
                tags: tag.map(|t| ("k".to_owned(), t.map(|t| t.to_string()).unwrap_or_default())).into_iter().collect(),
                resource_group_id: group.map(|g| format!("rg-{g}")),
            };
            let expected: Vec<String> = store.iter().filter(|i| {
                let value = i.tags.first().map(|(_, v)| v.as_str());
                tag.is_none_or(|t| value.is_some_and(|v| t.is_none_or(|t| t.to_string() == v)))
                    && group.is_none_or(|g| i.resource_group_id == format!("rg-{g}"))
            }).map(|i| i.id.clone()).collect();
            let late: Vec<String> = removed_later.iter().map(|id| format!("x-{id}")).collect();

            let (mut seen, mut token, mut pages) = (Vec::new(), None, 0);
            loop {
                let (items, page) = store.page(limit, token, |i| filter.matches(i));
                prop_assert!(items.len() <= limit);
                prop_assert_eq!(page.total, expected.len());
                seen.extend(items.iter().map(|i| i.id.clone()));
                pages += 1;
                if pages == 1 {
                    for id in &late {
                        store.remove(id);
                    }
                    store.add(item(1_000, None, 9));
                }
                match page.next {
                    Some(next) => token = Some(next),
                    None => break,
                }
            }
            seen.retain(|id| id != "x-1000");
            let first = limit.min(expected.len());
            let still: Vec<String> = expected[..first].iter().cloned()
                .chain(expected[first..].iter().filter(|id| !late.contains(id)).cloned()).collect();
            prop_assert_eq!(seen, still);
        }
    }
}
