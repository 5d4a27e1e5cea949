//! Pods and what becomes of them on the wire. A case has `pod.{yaml,json}`, perhaps `refs` (objects the pod names) and
//! `settings`; expected is `request.json` or `rejections.json`.

mod golden_support;

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use golden_support::{cases, compare, read};
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use provider::mapping::{
    self, Candidate, Candidates, References, Refs, Rejections, ServiceLink, ServicePort, ServiceVips, Settings, Spec,
    Unenforceable,
};
use provider::params::create_params;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct RefsFile {
    config_maps: Vec<ConfigMap>,
    secrets: Vec<Secret>,
    claims: Vec<PersistentVolumeClaim>,
    volumes: Vec<PersistentVolume>,
    services: Vec<ServiceFile>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServiceFile {
    name: String,
    cluster_ip: String,
    /// Name and number, TCP.
    ports: BTreeMap<String, u16>,
}

impl From<&ServiceFile> for ServiceLink {
    fn from(file: &ServiceFile) -> Self {
        let ports = file.ports.iter().map(|(name, port)| ServicePort {
            name: name.clone(),
            port: *port,
            protocol: "TCP".to_owned(),
        });
        Self {
            name: file.name.clone(),
            cluster_ip: file.cluster_ip.clone(),
            ports: ports.collect(),
        }
    }
}

/// What a case changes of [`usual`].
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct SettingsFile {
    relay: Option<Relay>,
    refuse_unenforceable: bool,
    no_cluster_dns: bool,
    no_tokens: bool,
    attempt: u32,
    candidate: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Relay {
    ip: String,
    api_server_host: String,
    api_server_port: u16,
}

fn usual() -> Settings {
    Settings {
        node_name: "virtual-node-h".to_owned(),
        node_ip: "10.0.0.10".to_owned(),
        region_id: "cn-hangzhou".to_owned(),
        vswitch_ids: vec!["vsw-1".to_owned(), "vsw-2".to_owned()],
        security_group_id: "sg-1".to_owned(),
        zone_id: "cn-hangzhou-h".to_owned(),
        cluster_id: "c-1".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        cluster_dns: vec!["172.21.0.10".to_owned()],
        kubernetes_service: ("172.21.0.1".to_owned(), 443),
        ..Settings::default()
    }
}

#[test]
fn pods_become_what_is_expected() {
    let failures: Vec<String> = cases("mapping").iter().filter_map(|dir| run(dir)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn run(dir: &Path) -> Option<String> {
    let pod: Pod = read(dir, "pod").unwrap_or_else(|| panic!("{}: no pod", dir.display()));
    let objects: RefsFile = read(dir, "refs").unwrap_or_default();
    let changes: SettingsFile = read(dir, "settings").unwrap_or_default();
    let mut settings = usual();
    if let Some(Relay {
        ip,
        api_server_host,
        api_server_port,
    }) = changes.relay
    {
        settings.service_vips = ServiceVips::Relay {
            ip,
            api_server_host,
            api_server_port,
        };
    }
    if changes.refuse_unenforceable {
        settings.unenforceable = Unenforceable::Refuse;
    }
    if changes.no_cluster_dns {
        settings.cluster_dns.clear();
    }
    let references = mapping::references(&pod);
    let refs = fetched(&references, &objects, !changes.no_tokens);
    let none = BTreeMap::new();
    let annotations = pod.metadata.annotations.as_ref().unwrap_or(&none);
    let ties = pod.spec.as_ref().map(mapping::Ties::of).unwrap_or_default();
    let Candidates {
        list: mut candidates,
        turns,
        places: _,
    } = mapping::candidates(annotations, ties, &settings);
    // Further turns differ in the order of vSwitches alone.
    candidates.retain(|candidate| candidate.turn == 0);
    match mapping::map_candidate(&pod, &refs, &settings, changes.attempt, changes.candidate * turns) {
        Ok(mapped) => {
            let notes = |notes: Vec<(&str, &str)>| {
                notes
                    .into_iter()
                    .map(|(field, text)| format!("{field}: {text}"))
                    .collect::<Vec<_>>()
            };
            let mut actual = json!({
                "references": references_json(&references),
                "asked": format!("{} / {}", mapped.asked.0, mapped.asked.1),
                "size": mapped.size.to_string(),
                "weakened": notes(mapped.weakened.iter().map(|w| (w.field.as_str(), w.why.as_str())).collect()),
                "warnings": notes(mapped.warnings.iter().map(|w| (w.field.as_str(), w.message.as_str())).collect()),
                "parameters": parameters(&mapped.request),
            });
            if candidates.len() > 1 {
                actual["candidates"] = candidates.iter().map(candidate_text).collect();
            }
            compare(dir, "request.json", &["rejections.json"], &actual)
        }
        Err(rejections) => {
            let actual = json!({
                "references": references_json(&references),
                "waitingReason": rejections.waiting_reason(),
                "eventReason": rejections.event_reason(),
                "retryable": rejections.is_retryable(),
                "rejections": rejections_json(&rejections),
            });
            compare(dir, "rejections.json", &["request.json"], &actual)
        }
    }
}

fn candidate_text(candidate: &Candidate) -> String {
    let spec = match &candidate.spec {
        Spec::Containers => "what the containers ask for".to_owned(),
        Spec::Pair(size) => size.to_string(),
        Spec::InstanceType(name) => name.clone(),
    };
    let how = match (candidate.spot, candidate.spot_degraded) {
        (true, _) => ", spot",
        (false, true) => ", in place of spot",
        (false, false) => "",
    };
    format!("{spec}{how}, in {}", candidate.vswitch_ids.join(" "))
}

/// What an agent that reads `references` finds: the objects of the case, and nothing else.
fn fetched(references: &References, objects: &RefsFile, tokens: bool) -> Refs {
    fn find<K: Metadata<Ty = ObjectMeta> + Clone>(objects: &[K], name: &str) -> Option<K> {
        let mut objects = objects.iter();
        objects
            .find(|object| object.metadata().name.as_deref() == Some(name))
            .cloned()
    }
    let mut refs = Refs {
        config_maps: references
            .config_maps
            .iter()
            .map(|r| (r.name.clone(), find(&objects.config_maps, &r.name)))
            .collect(),
        secrets: references
            .secrets
            .iter()
            .map(|r| (r.name.clone(), find(&objects.secrets, &r.name)))
            .collect(),
        tokens: references
            .tokens
            .iter()
            .filter(|_| tokens)
            .map(|token| (token.clone(), format!("TOKEN of {} s", token.expiration_seconds).into()))
            .collect(),
        claims: references
            .claims
            .iter()
            .map(|name| (name.clone(), find(&objects.claims, name)))
            .collect(),
        services: objects
            .services
            .iter()
            .filter(|_| references.services)
            .map(ServiceLink::from)
            .collect(),
        ..Refs::default()
    };
    for name in refs.volumes_to_read() {
        refs.volumes.insert(name.clone(), find(&objects.volumes, &name));
    }
    for (namespace, name) in refs.volume_secrets_to_read() {
        let there: Vec<Secret> = objects
            .secrets
            .iter()
            .filter(|secret| secret.metadata.namespace.as_ref() == Some(&namespace))
            .cloned()
            .collect();
        let found = find(&there, &name);
        refs.volume_secrets.insert((namespace, name), found);
    }
    refs
}

fn references_json(references: &References) -> Value {
    let names = |refs: &std::collections::BTreeSet<mapping::Ref>| {
        refs.iter()
            .map(|r| format!("{}{}", r.name, if r.optional { " (optional)" } else { "" }))
            .collect::<Vec<_>>()
    };
    let tokens: Vec<String> = references
        .tokens
        .iter()
        .map(|token| {
            let audience = token.audience.as_deref().unwrap_or("the API server");
            format!(
                "{}/{} for {audience}, {} s",
                token.volume, token.path, token.expiration_seconds
            )
        })
        .collect();
    let mut all = json!({ "configMaps": names(&references.config_maps), "secrets": names(&references.secrets), "tokens": tokens });
    if !references.claims.is_empty() {
        all["claims"] = json!(references.claims);
    }
    all
}

fn rejections_json(rejections: &Rejections) -> Value {
    let lines = rejections
        .0
        .iter()
        .map(|r| format!("{:?} {}: {}", r.kind, r.field, r.advice));
    Value::from(lines.collect::<Vec<_>>())
}

/// The parameters as sent, but for files that are text: these are shown as such.
fn parameters(request: &provider::request::CreateContainerGroup) -> Value {
    let pairs = create_params(request).into_iter().map(|(key, value)| {
        let decoded = key
            .ends_with(".Content")
            .then(|| STANDARD.decode(&value).ok())
            .flatten()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        (key, Value::from(decoded.map_or(value, |text| format!("text:{text}"))))
    });
    Value::Object(pairs.collect())
}
