//! Budgets by the annotations of Namespaces: what they say, and a watch that tells it where burst's does not.
//!
//! Who may write those administers the cluster, so that they beat the agent's settings for their namespace, up and down.
//!
//! # Guarantees
//! - No group is made before they are known: any namespace may have a budget that holds.
//! - What is known stays in force while nothing can be read.
//! - Without the right to read them they say nothing, and the settings alone hold. Only where those hold or stop themselves, pods
//!   wait for that right: somebody wants a guard, and it may be tighter than it looks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch_objects};
use kube::{Api, Client, ResourceExt as _};
use provider::annotations;

use crate::budget::terms::{Budget, Limit, PERIODIC_FORMS};
use crate::budget::{BudgetSettings, Budgets, read_annotations};
use crate::chain::chain;
use crate::metrics::Health;
use crate::shutdown::Shutdown;

/// After how many refusals in a row the right is taken to be missing: an API server that has just started refuses, too.
const REFUSALS: u32 = 3;

/// What Namespaces say of themselves.
#[derive(Default)]
pub(super) struct Namespaces {
    /// Budgets of those whose annotations say something.
    pub(super) own: HashMap<Arc<str>, Budget>,
    /// Mistakes that nobody was told of.
    pub(super) mistakes: Vec<(ObjectReference, String)>,
    known: bool,
}

impl Namespaces {
    /// Whether all were told once, or cannot be.
    pub(super) fn are_known(&self) -> bool {
        self.known
    }

    /// What the annotations of that one say; none = nothing.
    pub(super) fn budget(&self, name: &str) -> Option<Budget> {
        self.own.get(name).copied()
    }

    /// Whether that is something new.
    fn set(&mut self, name: &str, budget: Option<Budget>) -> bool {
        let before = match budget {
            Some(budget) => self.own.insert(name.into(), budget),
            None => self.own.remove(name),
        };
        before != budget
    }
}

/// The budget that the annotations of a Namespace give it, and what is wrong with them. Amount and action beat the settings each by
/// itself; none = the settings hold.
fn read(annotations: &BTreeMap<String, String>, settings: &BudgetSettings) -> (Option<Budget>, Vec<String>) {
    let text = |name: &str| annotations.get(name).map(String::as_str);
    let (limit, action, mut wrong) = read_annotations(text, Limit::parse_periodic, PERIODIC_FORMS, settings);
    if limit.is_none() && action.is_none() {
        return (None, wrong);
    }
    let Some(limit) = limit.or(settings.namespace) else {
        if wrong.is_empty() {
            let (action, budget) = (annotations::BUDGET_ACTION, annotations::BUDGET);
            wrong.push(format!(
                "metadata.annotations[{action}] is about a budget, and there is none: metadata.annotations[{budget}] must be {PERIODIC_FORMS}"
            ));
        }
        return (None, wrong);
    };
    let action = action.unwrap_or(settings.action);
    (Some(Budget { limit, action }), wrong)
}

impl Budgets {
    /// A Namespace is there, with these annotations.
    pub fn namespace_is(&self, metadata: &ObjectMeta) {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        let (Some((inner, mut state)), Some(name)) = (self.lock(), &metadata.name) else {
            return;
        };
        let (budget, wrong) = read(metadata.annotations.as_ref().unwrap_or(&NONE), &inner.settings);
        let news = state.namespaces.set(name, budget) || !wrong.is_empty();
        let on = || ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Namespace".to_owned()),
            name: Some(name.clone()),
            uid: metadata.uid.clone(),
            ..ObjectReference::default()
        };
        let mistakes = wrong.into_iter().map(|note| (on(), note));
        state.namespaces.mistakes.extend(mistakes);
        if news {
            inner.asked.notify_one();
        }
    }

    /// A Namespace is gone.
    pub fn namespace_is_gone(&self, name: &str) {
        if let Some((inner, mut state)) = self.lock()
            && state.namespaces.set(name, None)
        {
            inner.asked.notify_one();
        }
    }

    /// All that are there were told: those of these names.
    pub fn namespaces_are(&self, there: impl Fn(&str) -> bool) {
        if let Some((_, mut state)) = self.lock() {
            state.namespaces.own.retain(|name, _| there(name));
        }
        self.namespaces_say_no_more();
    }

    /// Nothing more will be known of them for now, and nobody waits for it.
    fn namespaces_say_no_more(&self) {
        if let Some((inner, mut state)) = self.lock() {
            state.namespaces.known = true;
            inner.asked.notify_one();
        }
    }

    /// Whether pods wait for the right to read Namespaces, should it be missing.
    fn insist_on_namespaces(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.settings.hold())
    }
}

/// Tells `budgets` of the Namespaces until shutdown.
pub async fn keep(kube: Client, budgets: Budgets, health: Health, shutdown: Shutdown) {
    let _: Option<()> = shutdown.race(watch(kube, &budgets, &health)).await;
}

async fn watch(kube: Client, budgets: &Budgets, health: &Health) {
    let gate = health.require("budgets: namespaces listed", "not listed yet");
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(kube);
    let mut events = pin!(watch_objects(api, watcher::Config::default()).default_backoff());
    let mut listed = HashSet::new();
    let mut refusals = 0;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(namespace)) => {
                listed.insert(namespace.name_any());
                budgets.namespace_is(&namespace.metadata);
            }
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut listed);
                budgets.namespaces_are(|name| listed.contains(name));
                refusals = 0;
                gate.open();
            }
            Ok(Event::Apply(namespace)) => budgets.namespace_is(&namespace.metadata),
            Ok(Event::Delete(namespace)) => budgets.namespace_is_gone(&namespace.name_any()),
            Err(error) if is_refusal(&error) => {
                refusals += 1;
                if budgets.insist_on_namespaces() {
                    gate.close(
                        "the identity of --cost-impersonate may not list namespaces, which may have budgets: pods wait",
                    );
                    tracing::warn!(
                        error = chain(&error),
                        "pods wait, as budgets of namespaces cannot be read; will retry"
                    );
                } else if refusals == REFUSALS {
                    budgets.namespaces_say_no_more();
                    gate.open();
                    tracing::warn!(
                        error = chain(&error),
                        "budgets by annotations of Namespaces are not in force, for want of the right to read them"
                    );
                } else {
                    tracing::debug!(
                        error = chain(&error),
                        "budgets of namespaces cannot be read; will retry"
                    );
                }
            }
            Err(error) => tracing::warn!(error = chain(&error), "watching namespaces failed; will retry"),
        }
    }
}

/// Whether the API server understood the question, and does not answer this identity.
fn is_refusal(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 403,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::terms::Action;

    fn budget(limit: &str, action: Action) -> Option<Budget> {
        Limit::parse(limit).map(|limit| Budget { limit, action })
    }

    fn annotated(name: &str, pairs: &[(&str, &str)]) -> ObjectMeta {
        let pairs = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        ObjectMeta {
            name: Some(name.to_owned()),
            annotations: Some(pairs.collect()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn annotations_beat_the_settings_each_by_itself() {
        const BUDGET: &str = annotations::BUDGET;
        const ACTION: &str = annotations::BUDGET_ACTION;
        let settings = BudgetSettings {
            namespace: Limit::parse("100/day"),
            action: Action::Hold,
            ..BudgetSettings::default()
        };
        let of = |pairs: &[(&str, &str)], settings: &BudgetSettings| {
            read(&annotated("a", pairs).annotations.expect("some"), settings)
        };
        for (pairs, wanted) in [
            (&[][..], None),
            (&[("other", "1")], None),
            (&[(BUDGET, "5/day")], budget("5/day", Action::Hold)),
            (&[(ACTION, "stop")], budget("100/day", Action::Stop)),
            (
                &[(BUDGET, "2000/month"), (ACTION, "warn")],
                budget("2000/month", Action::Warn),
            ),
        ] {
            assert_eq!(of(pairs, &settings), (wanted, vec![]), "{pairs:?}");
        }
        // A mistake in one leaves the other in force.
        let (kept, wrong) = of(&[(BUDGET, "5"), (ACTION, "stop")], &settings);
        assert_eq!(kept, budget("100/day", Action::Stop));
        assert_eq!(
            wrong,
            [
                "metadata.annotations[k8s.aliyun.com/eci-budget] is `5`: it must be an amount in the currency of the prices with a period \
                 in UTC, such as 100/day or 2000/month; the agent's setting holds"
            ]
        );
        let (kept, wrong) = of(&[(BUDGET, "5/day"), (ACTION, "explode")], &settings);
        assert_eq!(kept, budget("5/day", Action::Hold));
        assert!(
            wrong[0].contains("eci-budget-action] is `explode`: it must be warn, hold or stop"),
            "{wrong:?}"
        );
        // One that sees less than it says holds, and is told of.
        let forgetful = BudgetSettings {
            forgets_months: true,
            ..settings
        };
        assert_eq!(of(&[(BUDGET, "5/day")], &forgetful).1, Vec::<String>::new());
        let (kept, wrong) = of(&[(BUDGET, "2000/month")], &forgetful);
        assert_eq!(kept, budget("2000/month", Action::Hold));
        assert!(
            wrong[0].contains("is `2000/month`") && wrong[0].contains("--cost-max-age"),
            "{wrong:?}"
        );
        // Nothing is done about a budget that is nowhere.
        let (kept, wrong) = of(&[(ACTION, "stop")], &BudgetSettings::default());
        assert_eq!(kept, None);
        assert!(
            wrong[0].contains("there is none") && wrong[0].contains("100/day"),
            "{wrong:?}"
        );
    }

    #[test]
    fn what_is_not_listed_any_more_says_nothing() {
        let budgets = Budgets::new(BudgetSettings::default(), 1);
        let own = |name: &str| {
            let (_, state) = budgets.lock().expect("there are budgets");
            (state.namespaces.are_known(), state.namespaces.budget(name))
        };
        for name in ["a", "b", "c"] {
            budgets.namespace_is(&annotated(name, &[(annotations::BUDGET, "5/day")]));
        }
        assert_eq!(own("a"), (false, budget("5/day", Action::Warn)));
        budgets.namespaces_are(|name| name != "b");
        assert_eq!(own("a"), (true, budget("5/day", Action::Warn)));
        assert_eq!(own("b"), (true, None));
        budgets.namespace_is_gone("a");
        budgets.namespace_is(&annotated("c", &[]));
        assert_eq!((own("a"), own("c")), ((true, None), (true, None)));
    }
}
