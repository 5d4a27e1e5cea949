//! From the ConfigMap's texts to a profile, or to all that is wrong with them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::super::names;
use super::super::policy::{Policy, Said, said};
use super::{Map, Profile, Selector};

/// vSwitches that ACK lets a profile name.
pub const MAX_VSWITCHES: usize = 10;

/// Something about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Key of the ConfigMap's `data`.
    pub key: String,
    /// What, and what to do about it.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data.{} {}", self.key, self.what)
    }
}

/// A selector as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace_selector: Option<Labels>,
    #[serde(default)]
    object_selector: Option<Labels>,
    #[serde(default)]
    effect: Effect,
    #[serde(default)]
    policy: Option<String>,
}

/// Only `matchLabels`: an expression that was passed over would match too much.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Labels {
    #[serde(default)]
    match_labels: Option<Map>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Effect {
    #[serde(default)]
    annotations: Option<Map>,
    #[serde(default)]
    labels: Option<Map>,
}

/// What becomes of a switch.
enum Switch {
    /// It asks for what is so anyway.
    Given(bool),
    /// Whichever way it stands, it makes no difference here.
    Moot,
}

/// Switches of ACK, what they may say without a word from us, and what is to be said otherwise.
const SWITCHES: [(&str, Switch, &str); 8] = [
    (
        "enableClusterIp",
        Switch::Given(true),
        "has no effect: whether groups reach service addresses is the agent's setting --service-vips",
    ),
    (
        "enableHybridMode",
        Switch::Given(false),
        "has no effect: pods come from one cluster, whatever network it is in",
    ),
    (
        "enableLinuxArm64Node",
        Switch::Given(false),
        "has no effect: no arm64 node is offered",
    ),
    (
        "enableLogController",
        Switch::Given(false),
        "has no effect: no AliyunLogConfig is read; annotate pods for SLS instead",
    ),
    (
        "enablePVCController",
        Switch::Given(false),
        "has no effect: disks do not grow while their group runs",
    ),
    (
        "enablePrivateZone",
        Switch::Given(false),
        "has no effect: no record is written to PrivateZone",
    ),
    // One key pair serves a node here, not one each pod.
    ("enableReuseSSLKey", Switch::Moot, ""),
    ("enableLeaderElection", Switch::Moot, ""),
];

/// Keys that the agent's own settings stand above.
const SET_ELSEWHERE: [(&str, &str); 3] = [
    (
        "vSwitchIds",
        "has no effect: the nodes and their vSwitches are the agent's setting --vswitch-ids (or `nodes`); annotation \
         k8s.aliyun.com/eci-vswitch sets them for a pod",
    ),
    (
        "securityGroupId",
        "has no effect: it is the agent's setting --security-group-id; annotation k8s.aliyun.com/eci-security-group sets it for a pod",
    ),
    ("vpcId", "has no effect: the VPC is that of the vSwitches"),
];

/// Reads the `data` of the ConfigMap.
///
/// # Errors
/// All mistakes at once, each with its key. Keys that are unknown or have no effect here are no mistakes: they are in
/// [`Profile::ignored`].
pub fn parse(data: &Map) -> Result<Profile, Vec<Problem>> {
    let mut profile = Profile::default();
    let mut wrong = Vec::new();
    for (key, text) in data {
        let problem = |what: String| Problem { key: key.clone(), what };
        let value = text.trim();
        let switch = SWITCHES.iter().find(|(name, ..)| name == key);
        let elsewhere = SET_ELSEWHERE.iter().find(|(name, _)| name == key);
        if let Some((_, switch, word)) = switch {
            match (parse_switch(value), switch) {
                (Err(what), _) => wrong.push(problem(what)),
                (Ok(on), Switch::Given(given)) if on != *given => profile.ignored.push(problem((*word).to_owned())),
                (Ok(_), _) => {}
            }
        } else if let Some((name, word)) = elsewhere {
            let ids: Vec<&str> = value.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
            let most = if *name == "vSwitchIds" { MAX_VSWITCHES } else { 1 };
            if ids.len() > most {
                wrong.push(problem(format!("names {}, and may name {most}", ids.len())));
            } else if !ids.is_empty() {
                profile.ignored.push(problem((*word).to_owned()));
            }
        } else {
            match key.as_str() {
                "selectors" => match selectors(value) {
                    Ok(selectors) => profile.selectors = selectors,
                    Err(what) => wrong.push(problem(what)),
                },
                "resourceGroupId" if value.contains([',', ' ']) => {
                    wrong.push(problem(format!("is `{value}`: it must be one id")));
                }
                "resourceGroupId" => {
                    profile.resource_group_id = Some(value.to_owned()).filter(|id| !id.is_empty());
                }
                "featureGates" => match feature_gates(value) {
                    Ok(gates) if gates.is_empty() => {}
                    Ok(gates) => {
                        let names: Vec<String> = gates.into_keys().collect();
                        profile
                            .ignored
                            .push(problem(format!("has no effect: {} are ACK's own", names.join(", "))));
                    }
                    Err(what) => wrong.push(problem(what)),
                },
                "slsMachineGroup" if value.is_empty() => {}
                "slsMachineGroup" => profile.ignored.push(problem(
                    "has no effect: no AliyunLogConfig is read; annotate pods for SLS instead".to_owned(),
                )),
                _ => profile
                    .ignored
                    .push(problem("is not known and has no effect".to_owned())),
            }
        }
    }
    if wrong.is_empty() { Ok(profile) } else { Err(wrong) }
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" | "" => Ok(false),
        other => Err(format!("is `{other}`: it must be \"true\" or \"false\"")),
    }
}

fn feature_gates(text: &str) -> Result<BTreeMap<String, bool>, String> {
    let gates = text.split(',').map(str::trim).filter(|gate| !gate.is_empty());
    gates
        .map(|gate| match gate.split_once('=') {
            Some((name, "true")) => Ok((name.to_owned(), true)),
            Some((name, "false")) => Ok((name.to_owned(), false)),
            _ => Err(format!(
                "holds `{gate}`: it must be Name=true or Name=false, with commas between"
            )),
        })
        .collect()
}

fn selectors(text: &str) -> Result<Vec<Selector>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let written: Vec<Written> =
        serde_json::from_str(text).map_err(|e| format!("is not a JSON list of selectors: {e}"))?;
    written
        .into_iter()
        .enumerate()
        .map(|(n, written)| selector(n, written))
        .collect()
}

fn selector(index: usize, written: Written) -> Result<Selector, String> {
    let at = |what: String| match written.name.as_str() {
        "" => format!("[{index}] {what}"),
        name => format!("[{index}] ({name}) {what}"),
    };
    let labels = |selector: &Option<Labels>| {
        selector
            .as_ref()
            .and_then(|s| s.match_labels.clone())
            .unwrap_or_default()
    };
    let mut selector = Selector {
        name: written.name.clone(),
        namespace_labels: labels(&written.namespace_selector),
        pod_labels: labels(&written.object_selector),
        annotations: written.effect.annotations.clone().unwrap_or_default(),
        labels: written.effect.labels.clone().unwrap_or_default(),
        policy: None,
    };
    let by_effect = said(&selector.labels, &selector.annotations).map_err(|e| at(format!("effect: {e}")))?;
    let by_name = match &written.policy {
        None => None,
        Some(name) => Some(Policy::parse(name).ok_or_else(|| {
            at(format!(
                "policy is `{name}`: it must be ecs-first, eci-only, ecs-only or eci-first"
            ))
        })?),
    };
    if selector.is_empty() {
        if by_name.is_some() || by_effect != Said::Nothing {
            return Err(at(format!(
                "chooses no pods, so it cannot say where they run: name labels, or use the agent's setting --burst-policy \
                 (policy, {}, {} and {} are only for selectors with labels)",
                names::ECI,
                names::BURST_POLICY,
                names::BURST_RESOURCE
            )));
        }
        return Ok(selector);
    }
    selector.policy = match (by_name, by_effect) {
        (Some(policy), _) => Some(policy),
        (None, Said::Policy { policy, .. }) => Some(policy),
        (None, Said::Nothing) => Some(Policy::EcsFirst),
        (None, Said::OptedOut) => None,
    };
    Ok(selector)
}
