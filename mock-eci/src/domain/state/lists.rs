//! Lists: which groups a caller is shown, page by page, and what that costs.

use std::collections::HashMap;

use jiff::Timestamp;

use super::State;
use crate::{
    domain::{
        group::Group,
        query::{Filter, Page, PageToken},
    },
    spec::GroupId,
};

impl State {
    /// Shows the groups of one page to `show`, in a stable order, and tells where the next one begins. Costs what it
    /// shows for ids and changes; other conditions are looked at group by group.
    pub fn select(
        &mut self,
        filter: &Filter,
        limit: usize,
        from: Option<PageToken>,
        mut show: impl FnMut(&mut Group),
    ) -> Page {
        if !self.may_list {
            return Page { total: 0, next: None };
        }
        if let Some(ids) = &filter.ids {
            self.looked_at += ids.len() as u64;
            let mut total = 0;
            for id in ids {
                if let Some(group) = self.groups.get_mut(id)
                    && filter.changed_since.is_none_or(|since| group.changed.0 >= since)
                    && filter.matches(group)
                {
                    total += 1;
                    if total <= limit {
                        show(group);
                    }
                }
            }
            return Page { total, next: None };
        }
        let (groups, by_change, by_age) = (&mut self.groups, &self.by_change, &self.by_age);
        let (page, looked_at) = match filter.changed_since {
            Some(since) => {
                let start = from.map_or((since, 0), |t| (t.after.0, t.after.1 + 1));
                let keys = by_change.range(start..).map(|(key, id)| (*key, id));
                page(groups, keys, filter, limit, from, None, show)
            }
            None => {
                let start = from.map_or(0, |t| t.after.1 + 1);
                let keys = by_age
                    .range(start..)
                    .map(|(seq, id)| ((Timestamp::UNIX_EPOCH, *seq), id));
                // Where all match there is nothing to count.
                let total = filter.is_empty().then_some(by_age.len());
                page(groups, keys, filter, limit, from, total, show)
            }
        };
        self.looked_at += looked_at;
        page
    }

    /// How many records lists have looked at so far: what they cost, whatever the time.
    pub fn looked_at(&self) -> u64 {
        self.looked_at
    }
}

/// One page of an index, and how many records were looked at for it. `total` is how many match, where that is known.
fn page<'a>(
    groups: &mut HashMap<GroupId, Group>,
    mut keys: impl Iterator<Item = ((Timestamp, u64), &'a GroupId)>,
    filter: &Filter,
    limit: usize,
    from: Option<PageToken>,
    total: Option<usize>,
    mut show: impl FnMut(&mut Group),
) -> (Page, u64) {
    // Later pages bring the count of the first one along.
    let known = from.map(|t| t.total).or(total);
    let all = filter.is_empty();
    let (mut looked_at, mut shown, mut counted, mut last, mut more) = (0, 0, 0, None, false);
    while let Some((key, id)) = keys.next() {
        looked_at += 1;
        let Some(group) = groups.get_mut(id).filter(|g| all || filter.matches(g)) else {
            continue;
        };
        counted += 1;
        if shown < limit {
            shown += 1;
            last = Some(key);
            show(group);
        } else {
            more = true;
            if known.is_some() {
                break;
            }
            if all {
                // The index counts them, their records are not looked at.
                counted += keys.count();
                break;
            }
        }
    }
    let total = known.unwrap_or(counted);
    let page = Page {
        total,
        next: last.filter(|_| more).map(|after| PageToken { after, total }),
    };
    (page, looked_at)
}
