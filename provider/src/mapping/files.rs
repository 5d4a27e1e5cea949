//! Files made of ConfigMaps, Secrets, tokens and the downward API: what a kubelet writes into such a volume.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapProjection, ConfigMapVolumeSource, DownwardAPIProjection, DownwardAPIVolumeFile,
    DownwardAPIVolumeSource, KeyToPath, ProjectedVolumeSource, Secret, SecretProjection, SecretVolumeSource,
    VolumeProjection,
};

use super::rejection::Findings;
use super::{Context, downward, references};
use crate::request::{ConfigFile, VolumeSource};

/// Files by path; a later source replaces an earlier one's file, as in a kubelet.
#[derive(Default)]
struct Files {
    by_path: BTreeMap<String, ConfigFile>,
    /// Bits added to every mode, see [`Files::finish`].
    widen: i32,
}

/// What a ConfigMap or Secret holds, by key.
type Payload<'a> = BTreeMap<&'a str, &'a [u8]>;

/// How the source of some files is called in findings.
struct Origin<'a> {
    /// Path of the field.
    field: String,
    /// `configmap` or `secret`.
    kind: &'static str,
    name: &'a str,
    optional: bool,
}

/// A `configMap` volume.
pub(super) fn config_map(
    cx: &Context<'_>,
    source: &ConfigMapVolumeSource,
    field: &str,
    findings: &mut Findings,
) -> VolumeSource {
    let ConfigMapVolumeSource {
        default_mode,
        items,
        name,
        optional,
    } = source;
    let origin = Origin {
        field: field.to_owned(),
        kind: "configmap",
        name,
        optional: optional.unwrap_or(false),
    };
    let mut files = Files::new(cx);
    files.select(
        cx.refs.config_map(name).map(config_map_payload),
        items.as_deref(),
        &origin,
        findings,
    );
    files.finish(*default_mode)
}

/// A `secret` volume.
pub(super) fn secret(
    cx: &Context<'_>,
    source: &SecretVolumeSource,
    field: &str,
    findings: &mut Findings,
) -> VolumeSource {
    let SecretVolumeSource {
        default_mode,
        items,
        optional,
        secret_name,
    } = source;
    let name = secret_name.as_deref().unwrap_or_default();
    let origin = Origin {
        field: field.to_owned(),
        kind: "secret",
        name,
        optional: optional.unwrap_or(false),
    };
    let mut files = Files::new(cx);
    files.select(
        cx.refs.secret(name).map(secret_payload),
        items.as_deref(),
        &origin,
        findings,
    );
    files.finish(*default_mode)
}

/// A `downwardAPI` volume.
pub(super) fn downward_api(
    cx: &Context<'_>,
    source: &DownwardAPIVolumeSource,
    field: &str,
    findings: &mut Findings,
) -> VolumeSource {
    let DownwardAPIVolumeSource { default_mode, items } = source;
    let mut files = Files::new(cx);
    files.downward(cx, items.as_deref(), field, findings);
    files.finish(*default_mode)
}

/// A `projected` volume: all its sources in one directory.
pub(super) fn projected(
    cx: &Context<'_>,
    volume: &str,
    source: &ProjectedVolumeSource,
    field: &str,
    findings: &mut Findings,
) -> VolumeSource {
    let ProjectedVolumeSource { default_mode, sources } = source;
    let mut files = Files::new(cx);
    for (index, source) in sources.iter().flatten().enumerate() {
        files.project(cx, volume, source, &format!("{field}.sources[{index}]"), findings);
    }
    files.finish(*default_mode)
}

impl Files {
    fn new(cx: &Context<'_>) -> Self {
        // ECI cannot give files to the group `fsGroup` names; whoever would have read them as its member still can.
        let group = cx.spec.security_context.as_ref().and_then(|security| security.fs_group);
        Self {
            by_path: BTreeMap::new(),
            widen: if group.is_some() { 0o444 } else { 0 },
        }
    }

    /// The volume. An empty one becomes an emptyDir: for its containers that is the same, and a ConfigFile volume
    /// without files is not documented.
    fn finish(self, default_mode: Option<i32>) -> VolumeSource {
        if self.by_path.is_empty() {
            return VolumeSource::EmptyDir {
                medium: None,
                size_limit: None,
            };
        }
        let widen = self.widen;
        VolumeSource::ConfigFile {
            files: self.by_path.into_values().collect(),
            default_mode: default_mode.map(|mode| mode | widen),
        }
    }

    fn add(&mut self, path: &str, content: Vec<u8>, mode: Option<i32>, field: &str, findings: &mut Findings) {
        let unsafe_path = path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..");
        if unsafe_path {
            findings.invalid(field, format!("`{path}` must be a relative path without `..`"));
            return;
        }
        let mode = mode.map(|mode| mode | self.widen);
        self.by_path.insert(
            path.to_owned(),
            ConfigFile {
                path: path.to_owned(),
                content,
                mode,
            },
        );
    }

    /// All of `payload`, or the keys that `items` picks. `None` = the object does not exist.
    fn select(
        &mut self,
        payload: Option<Payload<'_>>,
        items: Option<&[KeyToPath]>,
        origin: &Origin<'_>,
        findings: &mut Findings,
    ) {
        let Origin {
            field,
            kind,
            name,
            optional,
        } = origin;
        let Some(payload) = payload else {
            if !optional {
                findings.missing(field, format!("{kind} \"{name}\" not found"));
            }
            return;
        };
        let items = items.unwrap_or_default();
        if items.is_empty() {
            for (key, content) in payload {
                self.add(key, content.to_vec(), None, field, findings);
            }
            return;
        }
        for (index, item) in items.iter().enumerate() {
            let KeyToPath { key, mode, path } = item;
            let field = format!("{field}.items[{index}]");
            match payload.get(key.as_str()) {
                Some(content) => self.add(path, content.to_vec(), *mode, &field, findings),
                None if *optional => {}
                None => findings.missing(field, format!("{kind} \"{name}\" references non-existent key: {key}")),
            }
        }
    }

    fn downward(
        &mut self,
        cx: &Context<'_>,
        items: Option<&[DownwardAPIVolumeFile]>,
        field: &str,
        findings: &mut Findings,
    ) {
        for (index, item) in items.unwrap_or_default().iter().enumerate() {
            let DownwardAPIVolumeFile {
                field_ref,
                mode,
                path,
                resource_field_ref,
            } = item;
            let field = format!("{field}.items[{index}]");
            let content = match (field_ref, resource_field_ref) {
                (Some(selector), _) => downward::file_field(cx, selector),
                (None, Some(selector)) => downward::resource(cx, selector, None),
                (None, None) => Err("it names no source".to_owned()),
            };
            match content {
                Ok(content) => self.add(path, content.into_bytes(), *mode, &field, findings),
                Err(why) => findings.invalid(field, why),
            }
        }
    }

    fn project(
        &mut self,
        cx: &Context<'_>,
        volume: &str,
        source: &VolumeProjection,
        field: &str,
        findings: &mut Findings,
    ) {
        let VolumeProjection {
            cluster_trust_bundle,
            config_map,
            downward_api,
            pod_certificate,
            secret,
            service_account_token,
        } = source;
        findings.refuse_if_set(
            cluster_trust_bundle,
            format!("{field}.clusterTrustBundle"),
            "trust bundles are not read by this node yet; project a ConfigMap with the certificates",
        );
        findings.refuse_if_set(
            pod_certificate,
            format!("{field}.podCertificate"),
            "pod certificates are not requested by this node; mount a Secret with a certificate",
        );
        if let Some(ConfigMapProjection { items, name, optional }) = config_map {
            let optional = optional.unwrap_or(false);
            let origin = Origin {
                field: format!("{field}.configMap"),
                kind: "configmap",
                name,
                optional,
            };
            self.select(
                cx.refs.config_map(name).map(config_map_payload),
                items.as_deref(),
                &origin,
                findings,
            );
        }
        if let Some(SecretProjection { items, name, optional }) = secret {
            let optional = optional.unwrap_or(false);
            let origin = Origin {
                field: format!("{field}.secret"),
                kind: "secret",
                name,
                optional,
            };
            self.select(
                cx.refs.secret(name).map(secret_payload),
                items.as_deref(),
                &origin,
                findings,
            );
        }
        if let Some(DownwardAPIProjection { items }) = downward_api {
            self.downward(cx, items.as_deref(), &format!("{field}.downwardAPI"), findings);
        }
        if let Some(token) = service_account_token {
            let field = format!("{field}.serviceAccountToken");
            match cx.refs.tokens.get(&references::token_ref(volume, token)) {
                Some(value) => self.add(&token.path, value.0.clone().into_bytes(), None, &field, findings),
                None => findings.missing(field, "the service account's token has not been issued yet"),
            }
        }
    }
}

fn config_map_payload(config_map: &ConfigMap) -> Payload<'_> {
    let text = config_map
        .data
        .iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary = config_map
        .binary_data
        .iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.0.as_slice()));
    text.chain(binary).collect()
}

fn secret_payload(secret: &Secret) -> Payload<'_> {
    secret
        .data
        .iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.0.as_slice()))
        .collect()
}
