//! Watches for ECI's announcements that it takes spot resources back: some three minutes before it does, in an event of the group.
//!
//! One question for all groups of the node, and only while a pod here runs on spot resources: events are many, and no other kind
//! of them is needed.

use std::time::Duration;

use eci::{Client, EventsQuery};
use tokio::sync::mpsc;

use crate::chain::chain;
use crate::pods::conditions::SPOT_TO_BE_RELEASED;
use crate::pods::figures::Figures;
use crate::pods::input::Input;
use crate::pods::record::Uid;
use crate::pods::store::Store;
use crate::shutdown::Shutdown;

/// The window of the first question: longer than any notice, for what was announced while no agent ran.
const FIRST_WINDOW_SECONDS: u32 = 600;
/// The window of later ones; ECI's minimum.
const WINDOW_SECONDS: u32 = 60;
/// Groups on one page.
const PAGE: u32 = 200;
/// Ids in one call, ECI's bound.
const IDS_PER_CALL: usize = 20;

/// Reads announcements and hands them to the reconciler.
pub struct Releases {
    /// The client.
    pub eci: Client,
    /// The records.
    pub store: Store,
    /// Where announcements go.
    pub inputs: mpsc::Sender<Input>,
    /// Tags that every group of this node carries.
    pub ownership: Vec<(String, String)>,
    /// Figures.
    pub figures: Figures,
    /// How often it asks.
    pub period: Duration,
}

impl Releases {
    /// Asks until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        let asking = async {
            let mut window = FIRST_WINDOW_SECONDS;
            loop {
                tokio::time::sleep(self.period).await;
                if self.spot_groups().is_empty() {
                    // What begins later is announced later, and what was adopted is asked about from further back.
                    continue;
                }
                match self.ask(window).await {
                    Ok(()) => window = WINDOW_SECONDS,
                    Err(error) => {
                        // Nothing is concluded; the next question looks further back.
                        window = FIRST_WINDOW_SECONDS;
                        self.figures.trouble(error.class().label());
                        tracing::warn!(
                            error = chain(&error),
                            "asking for announced releases of spot resources failed; will retry"
                        );
                    }
                }
            }
        };
        shutdown.race(asking).await;
    }

    /// Ids of the groups that may be taken back.
    fn spot_groups(&self) -> Vec<String> {
        let records = self.store.lock();
        let spot = records
            .iter()
            .filter(|(_, r)| r.desired.spot && r.release().is_none() && !r.group_ended());
        spot.filter_map(|(_, r)| r.group_id().map(|id| id.to_string()))
            .collect()
    }

    async fn ask(&self, window: u32) -> Result<(), eci::Error> {
        let mut query = EventsQuery {
            since_seconds: Some(window),
            tags: self.ownership.clone(),
            source: Some("EciService"),
            limit: Some(PAGE),
            ..EventsQuery::default()
        };
        loop {
            let page = self.eci.describe_events(&query).await?;
            let full = page.groups.len() >= PAGE as usize;
            self.take(&page.groups).await;
            match page.next_token {
                Some(token) => query.next_token = Some(token),
                // ECI's documented answer cannot name a next page: then the groups in question are named.
                None if full && query.next_token.is_none() => return self.ask_by_id(window).await,
                None => return Ok(()),
            }
        }
    }

    async fn ask_by_id(&self, window: u32) -> Result<(), eci::Error> {
        for ids in self.spot_groups().chunks(IDS_PER_CALL) {
            let query = EventsQuery {
                ids: ids.to_vec(),
                since_seconds: Some(window),
                ..EventsQuery::default()
            };
            let page = self.eci.describe_events(&query).await?;
            self.take(&page.groups).await;
        }
        Ok(())
    }

    async fn take(&self, groups: &[eci::GroupEvents]) {
        for group in groups {
            let Some(event) = group.events.iter().find(|event| event.reason == SPOT_TO_BE_RELEASED) else {
                continue;
            };
            let uid: Option<Uid> = self.store.lock().uid_of_group(&group.group_id).cloned();
            if let Some(uid) = uid {
                // A closed channel means shutdown.
                let _ = self
                    .inputs
                    .send(Input::Release(uid, event.message.as_str().into()))
                    .await;
            }
        }
    }
}
