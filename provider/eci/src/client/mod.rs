//! The client: one function per action.

mod call;
mod config;
mod pages;
pub(crate) mod scrub;
mod signer;

pub use config::{ClientConfig, ConfigError};
pub use pages::{Created, EventsPage, GroupPage, StatusEntry, StatusPage};

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use provider::error::ErrorClass;
use provider::group::ObservedGroup;
use provider::params;
use provider::request::{CreateContainerGroup, Volume};
use provider::response::{
    CreateAnswer, EventsAnswer, GroupEvents, GroupMetrics, GroupsAnswer, LogAnswer, MetricsAnswer, Price, PriceAnswer,
    Region, RegionsAnswer, StatusAnswer, Usage, UsageAnswer,
};
use serde::Deserialize;

use crate::clock::{Clock, Skew, SystemClock};
use crate::limits::{Limiter, Limits};
use crate::query::{MAX_IDS, base, metric_params};
use crate::{
    Action, Error, EventsQuery, GroupQuery, LogQuery, Observer, PriceQuery, ProvideCredentials, RetryPolicies,
    StatusQuery, Transport,
};

use signer::Signer;

/// A client of one endpoint and region. Clones share buckets, credentials and connections.
#[derive(Clone)]
pub struct Client {
    region: Arc<str>,
    signer: Arc<Signer>,
    limiter: Arc<Limiter>,
    skew: Arc<Skew>,
    credentials: Arc<dyn ProvideCredentials>,
    pub(crate) transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    observer: Option<Arc<dyn Observer>>,
    retries: RetryPolicies,
}

impl Client {
    /// A client with the machine's clock, the default retry policies and no observer.
    ///
    /// # Errors
    /// If the endpoint, the region or the user agent cannot be used. Nothing is sent.
    pub fn new(
        config: ClientConfig,
        credentials: Arc<dyn ProvideCredentials>,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, ConfigError> {
        let ClientConfig {
            endpoint,
            region,
            limits,
            user_agent,
        } = config;
        Ok(Self {
            signer: Arc::new(Signer::new(&endpoint, &user_agent)?),
            region: config::region(region)?.into(),
            limiter: Arc::new(Limiter::new(&limits)),
            skew: Arc::default(),
            credentials,
            transport,
            clock: Arc::new(SystemClock),
            observer: None,
            retries: RetryPolicies::default(),
        })
    }

    /// The same client, with every attempt reported to `observer`.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The same client, dating its requests by `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The same client, as patient as `retries` says.
    #[must_use]
    pub fn with_retries(mut self, retries: RetryPolicies) -> Self {
        self.retries = retries;
        self
    }

    /// The same client, with buckets of its own for `limits`.
    #[must_use]
    pub fn with_limits(mut self, limits: &Limits) -> Self {
        self.limiter = Arc::new(Limiter::new(limits));
        self
    }

    /// The region it asks about.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Creates a group. `request.region_id` may be empty; the client's region is sent then.
    ///
    /// Repeated attempts carry the same ClientToken and body.
    ///
    /// # Errors
    /// `UnknownOutcome`: there may be a group now; look for its tags before another attempt number.
    /// `AlreadyAccepted`: there is one, or soon will be. `DryRunOk` cannot occur.
    pub async fn create_container_group(&self, request: &CreateContainerGroup) -> Result<Created, Error> {
        const ACTION: Action = Action::CreateContainerGroup;
        let answer = self
            .call(ACTION, self.create_body(request), |message| {
                scrub::parameters(message, request)
            })
            .await?;
        let CreateAnswer {
            request_id,
            container_group_id: id,
        } = decode(ACTION, &answer)?;
        if id.is_empty() {
            return Err(
                Error::new(ACTION, ErrorClass::UnknownOutcome, "the answer names no group").answered(
                    200,
                    String::new(),
                    request_id,
                ),
            );
        }
        Ok(Created { id, request_id })
    }

    /// Asks whether ECI would create such a group: names and rights are checked, and nothing is created.
    ///
    /// # Errors
    /// What a create would fail with, except for stock, of which nothing is said.
    pub async fn dry_run(&self, request: &CreateContainerGroup) -> Result<(), Error> {
        const ACTION: Action = Action::CreateContainerGroup;
        let body = format!("{}&DryRun=true", self.create_body(request));
        let answer = self.call(ACTION, body, |message| scrub::parameters(message, request));
        let answer = match answer.await {
            Err(error) if error.class() == ErrorClass::DryRunOk => return Ok(()),
            other => other?,
        };
        // Something that knows no dry runs has created it.
        let CreateAnswer {
            container_group_id: id, ..
        } = decode(ACTION, &answer)?;
        if !id.is_empty() {
            self.delete_container_group(&id, true).await?;
        }
        let why = "the endpoint knows no dry runs: it created a group, which was deleted";
        Err(Error::new(ACTION, ErrorClass::Permanent, why))
    }

    fn create_body(&self, request: &CreateContainerGroup) -> String {
        if !request.region_id.is_empty() {
            return params::create_form(request);
        }
        params::create_form(&CreateContainerGroup {
            region_id: self.region.as_ref().to_owned(),
            ..request.clone()
        })
    }

    /// Deletes a group; `force` skips the grace period.
    ///
    /// # Errors
    /// `NotFound` if there is none of this id: the caller decides whether that is good news.
    pub async fn delete_container_group(&self, id: &str, force: bool) -> Result<(), Error> {
        let mut params = base(&self.region);
        params.push(("ContainerGroupId".to_owned(), id.to_owned()));
        if force {
            params.push(("Force".to_owned(), "true".to_owned()));
        }
        self.ask(Action::DeleteContainerGroup, &params).await.map(drop)
    }

    /// Replaces files of a running group's ConfigFile volumes. ECI may restart containers that mount them.
    ///
    /// # Errors
    /// `NotFound` if there is no such group; `Permanent` also where the group is in a state that allows no update now.
    pub async fn update_files(&self, id: &str, volumes: &[Volume]) -> Result<(), Error> {
        let body = params::update_files_form(&self.region, id, volumes);
        // ECI's words may repeat what was sent: no message of an answer is kept.
        let hide = |message: &mut String| message.clear();
        self.call(Action::UpdateContainerGroup, body, hide).await.map(drop)
    }

    /// Reads one page of statuses, its records not yet decoded.
    ///
    /// # Errors
    /// Any class but `Stock`, `AlreadyAccepted` and `DryRunOk`. More than 20 ids are refused here.
    pub async fn describe_status(&self, query: &StatusQuery) -> Result<StatusPage, Error> {
        const ACTION: Action = Action::DescribeContainerGroupStatus;
        check_ids(ACTION, &query.ids)?;
        let body = self.ask(ACTION, &query.params(&self.region)).await?;
        let answer: StatusAnswer<'_> = decode(ACTION, &body)?;
        Ok(StatusPage {
            total: answer
                .total_count
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or_default(),
            records: answer
                .data
                .iter()
                .map(|raw| StatusEntry(body.slice_ref(raw.get().as_bytes())))
                .collect(),
            next_token: non_empty(answer.next_token),
        })
    }

    /// Reads one page of groups in full, tags included.
    ///
    /// # Errors
    /// As [`Self::describe_status`].
    pub async fn describe_container_groups(&self, query: &GroupQuery) -> Result<GroupPage, Error> {
        const ACTION: Action = Action::DescribeContainerGroups;
        check_ids(ACTION, &query.ids)?;
        let body = self.ask(ACTION, &query.params(&self.region)).await?;
        let mut answer: GroupsAnswer = decode(ACTION, &body)?;
        let mut events = Vec::new();
        for group in &mut answer.container_groups {
            if !group.events.is_empty() {
                let found = std::mem::take(&mut group.events);
                events.push(GroupEvents {
                    group_id: group.id().to_owned(),
                    events: found,
                });
            }
        }
        Ok(GroupPage {
            groups: answer.container_groups.into_iter().map(ObservedGroup::from).collect(),
            events,
            next_token: non_empty(answer.next_token),
            total: answer
                .total_count
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or_default(),
        })
    }

    /// Reads all groups with all of `tags`, page by page, each group once. The list is complete, or it is an error.
    ///
    /// Complete means: every page was read. Groups made or deleted meanwhile may or may not be in it.
    ///
    /// # Errors
    /// As [`Self::describe_status`]; also if the pages do not end.
    pub async fn list_container_groups(&self, tags: &[(String, String)]) -> Result<Vec<ObservedGroup>, Error> {
        let mut query = GroupQuery {
            tags: tags.to_vec(),
            ..GroupQuery::default()
        };
        let mut groups = Vec::new();
        let mut ids = HashSet::new();
        let mut tokens = HashSet::new();
        loop {
            let page = self.describe_container_groups(&query).await?;
            groups.extend(page.groups.into_iter().filter(|group| ids.insert(group.id.clone())));
            let Some(token) = page.next_token else {
                return Ok(groups);
            };
            if !tokens.insert(token.clone()) {
                let message = "the pages lead in a circle: a NextToken came twice";
                return Err(Error::new(
                    Action::DescribeContainerGroups,
                    ErrorClass::Transient,
                    message,
                ));
            }
            query.next_token = Some(token);
        }
    }

    /// Reads one page of events of groups.
    ///
    /// # Errors
    /// As [`Self::describe_status`].
    pub async fn describe_events(&self, query: &EventsQuery) -> Result<EventsPage, Error> {
        const ACTION: Action = Action::DescribeContainerGroupEvents;
        check_ids(ACTION, &query.ids)?;
        let body = self.ask(ACTION, &query.params(&self.region)).await?;
        let answer: EventsAnswer = decode(ACTION, &body)?;
        Ok(EventsPage {
            groups: answer.data,
            next_token: non_empty(answer.next_token),
        })
    }

    /// Reads what up to [`MAX_IDS`] groups use, as of the newest sample of each. Groups that are not there are left out.
    ///
    /// # Errors
    /// As [`Self::describe_status`]. More than 20 ids, or none, are refused here.
    pub async fn describe_metrics(&self, ids: &[String]) -> Result<Vec<GroupMetrics>, Error> {
        const ACTION: Action = Action::DescribeMultiContainerGroupMetric;
        check_ids(ACTION, ids)?;
        if ids.is_empty() {
            return Err(Error::new(
                ACTION,
                ErrorClass::Permanent,
                "no ids: ECI needs at least one",
            ));
        }
        let body = self.ask(ACTION, &metric_params(&self.region, ids)).await?;
        Ok(decode::<MetricsAnswer>(ACTION, &body)?.groups)
    }

    /// Reads a container's log as it is now: at most the newest 2000 lines or 1 MiB.
    ///
    /// # Errors
    /// `NotFound` if there is no such group or container.
    pub async fn describe_log(&self, query: &LogQuery) -> Result<String, Error> {
        const ACTION: Action = Action::DescribeContainerLog;
        let body = self.ask(ACTION, &query.params(&self.region)).await?;
        Ok(decode::<LogAnswer>(ACTION, &body)?.content)
    }

    /// Asks what a size costs.
    ///
    /// # Errors
    /// `Permanent` if ECI does not sell the size; also if the answer names no price.
    pub async fn describe_price(&self, query: &PriceQuery) -> Result<Price, Error> {
        const ACTION: Action = Action::DescribeContainerGroupPrice;
        let body = self.ask(ACTION, &query.params(&self.region)).await?;
        Price::try_from(decode::<PriceAnswer>(ACTION, &body)?)
            .map_err(|error| Error::new(ACTION, ErrorClass::Permanent, error.to_string()))
    }

    /// Reads the account's quotas and use in the region.
    ///
    /// # Errors
    /// As [`Self::describe_status`].
    pub async fn list_usage(&self) -> Result<Usage, Error> {
        let body = self.ask(Action::ListUsage, &base(&self.region)).await?;
        Ok(decode::<UsageAnswer>(Action::ListUsage, &body)?.into())
    }

    /// Lists the regions ECI is in.
    ///
    /// # Errors
    /// As [`Self::describe_status`].
    pub async fn describe_regions(&self) -> Result<Vec<Region>, Error> {
        let body = self.ask(Action::DescribeRegions, &base(&self.region)).await?;
        Ok(decode::<RegionsAnswer>(Action::DescribeRegions, &body)?.regions)
    }

    /// Where requests go.
    pub(crate) fn endpoint(&self) -> &http::Uri {
        self.signer.endpoint()
    }

    async fn ask(&self, action: Action, params: &[(String, String)]) -> Result<Bytes, Error> {
        self.call(action, params::form(params), |_| {}).await
    }
}

/// Shows where it points, never who it is.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.signer.endpoint())
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Reads a successful answer. One that cannot be read leaves open what the request did.
pub(crate) fn decode<'a, T: Deserialize<'a>>(action: Action, body: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| {
        // serde_json quotes no content of strings in errors of this kind, only what it expected and where.
        Error::new(action, ErrorClass::UnknownOutcome, "the answer cannot be read")
            .answered(200, String::new(), String::new())
            .because(error)
    })
}

fn check_ids(action: Action, ids: &[String]) -> Result<(), Error> {
    if ids.len() > MAX_IDS {
        let message = format!("{} ids in one call, ECI takes {MAX_IDS}", ids.len());
        return Err(Error::new(action, ErrorClass::Permanent, message));
    }
    Ok(())
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
