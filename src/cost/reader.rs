//! Reads records back: what `virtual-node cost` and everything on top of it begin with.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;

use crate::cost::chunks::{self, SELECTOR};
use crate::cost::record::CostRecord;

/// ConfigMaps on one page of a list: a megabyte or two.
const PAGE: u32 = 16;

/// All that is kept.
#[derive(Debug, Default)]
pub struct Records {
    /// One for each group, by when it was created.
    pub records: Vec<CostRecord>,
    /// How many could not be read.
    pub unreadable: usize,
}

/// Reads the records in `namespace`; with `since`, at least those that were written then or later.
///
/// # Errors
/// The API server cannot be asked, or refuses.
pub async fn read(kube: &kube::Client, namespace: &str, since: Option<Timestamp>) -> Result<Records, kube::Error> {
    let mut all = Merge::default();
    visit(kube, namespace, |stored| {
        let old = since.is_some_and(|since| chunks::span_of(stored).is_some_and(|(_, to)| to < since));
        if !old {
            all.take(chunks::contents(stored));
        }
    })
    .await?;
    Ok(all.finish())
}

/// Shows each ConfigMap with records to `take`, a page at a time.
pub(super) async fn visit(
    kube: &kube::Client,
    namespace: &str,
    mut take: impl FnMut(&ConfigMap),
) -> Result<(), kube::Error> {
    let api: Api<ConfigMap> = Api::namespaced(kube.clone(), namespace);
    let mut params = ListParams::default().labels(SELECTOR).limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        page.items.iter().for_each(&mut take);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// Records of chunks, of those of one group the best.
#[derive(Debug, Default)]
struct Merge {
    by_group: BTreeMap<String, CostRecord>,
    unreadable: usize,
}

impl Merge {
    fn take(&mut self, contents: chunks::Contents) {
        self.unreadable += contents.unreadable;
        for record in contents.records {
            match self.by_group.entry(record.group.clone()) {
                Entry::Vacant(free) => {
                    free.insert(record);
                }
                Entry::Occupied(mut known) => {
                    let better = known.get().clone().better_of(record);
                    known.insert(better);
                }
            }
        }
    }

    fn finish(self) -> Records {
        let mut records: Vec<CostRecord> = self.by_group.into_values().collect();
        records.sort_by(|a, b| (a.created, &a.group).cmp(&(b.created, &b.group)));
        Records {
            records,
            unreadable: self.unreadable,
        }
    }
}
