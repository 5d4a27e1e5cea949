//! The environment of a container: `envFrom`, then `env`, then the variables of Services, as a kubelet composes them.

use std::collections::HashMap;
use std::rc::Rc;

use k8s_openapi::api::core::v1::{
    ConfigMapEnvSource, ConfigMapKeySelector, Container, EnvFromSource, EnvVar, EnvVarSource, SecretEnvSource,
    SecretKeySelector,
};

use super::Context;
use super::downward::{self, FieldValue};
use super::expand::{Lookup, expand};
use super::rejection::Findings;
use crate::request::{self, EnvValue, Sensitive};

/// Resolved variables: in order of first definition, each name once, the last definition's value.
pub(super) struct Environment {
    vars: Vec<request::EnvVar>,
    index: HashMap<String, usize>,
    /// Variables a kubelet adds where the pod does not define them itself.
    service: Rc<[(String, String)]>,
    /// Whether something could not be resolved, so that a name without value proves nothing.
    incomplete: bool,
}

impl Environment {
    /// Resolves the environment of `container`, whose path is `path`.
    pub(super) fn resolve(cx: &Context<'_>, container: &Container, path: &str, findings: &mut Findings) -> Self {
        let mut this = Self {
            vars: Vec::new(),
            index: HashMap::new(),
            service: cx.services.clone(),
            incomplete: false,
        };
        let rejections_before = findings.rejections.len();
        for (index, source) in container.env_from.iter().flatten().enumerate() {
            this.add_all(cx, source, &format!("{path}.envFrom[{index}]"), findings);
        }
        for (index, var) in container.env.iter().flatten().enumerate() {
            let field = format!("{path}.env[{index}]");
            if let Some(value) = this.value(cx, container, var, &field, findings) {
                this.set(&var.name, value);
            }
        }
        this.incomplete = findings.rejections.len() > rejections_before;
        this
    }

    /// All variables, those of Services last, as far as there is room for them; and how many there is none for.
    pub(super) fn into_vars(mut self, room: usize) -> (Vec<request::EnvVar>, usize) {
        let mut left_out = 0;
        for (name, value) in self.service.clone().iter() {
            if self.index.contains_key(name) {
                continue;
            }
            if self.vars.len() < room {
                self.set(name, EnvValue::Literal(value.as_str().into()));
            } else {
                left_out += 1;
            }
        }
        (self.vars, left_out)
    }

    /// `text` with its references replaced; `None` after a finding.
    pub(super) fn expand(&self, text: &str, field: &str, findings: &mut Findings) -> Option<String> {
        let expanded = expand(text, |name| self.lookup(name));
        if let Some(name) = expanded.pod_ip.first() {
            findings.refuse(
                field,
                format!(
                    "$({name}) is the pod's IP, which is not known when the container group is described to ECI. Read \
                     the variable where the program runs, such as with `sh -c`"
                ),
            );
            return None;
        }
        Some(expanded.text)
    }

    /// As [`Self::expand`], but a name without value is an error, as in `subPathExpr`.
    pub(super) fn expand_strictly(&self, text: &str, field: &str, findings: &mut Findings) -> Option<String> {
        let unset = expand(text, |name| self.lookup(name)).unset;
        if let Some(name) = unset.first().filter(|_| !self.incomplete) {
            findings.invalid(
                field,
                format!("$({name}) is not defined in the container's environment"),
            );
            return None;
        }
        self.expand(text, field, findings)
    }

    fn lookup(&self, name: &str) -> Lookup<'_> {
        if let Some(&at) = self.index.get(name) {
            return match &self.vars[at].value {
                EnvValue::Literal(Sensitive(value)) => Lookup::Known(value),
                EnvValue::PodIp => Lookup::PodIp,
            };
        }
        match self.service.iter().find(|(service, _)| service == name) {
            Some((_, value)) => Lookup::Known(value),
            None => Lookup::Unset,
        }
    }

    fn set(&mut self, name: &str, value: EnvValue) {
        match self.index.get(name) {
            Some(&at) => self.vars[at].value = value,
            None => {
                self.index.insert(name.to_owned(), self.vars.len());
                self.vars.push(request::EnvVar {
                    key: name.to_owned(),
                    value,
                });
            }
        }
    }

    fn add_all(&mut self, cx: &Context<'_>, source: &EnvFromSource, field: &str, findings: &mut Findings) {
        let EnvFromSource {
            config_map_ref,
            prefix,
            secret_ref,
        } = source;
        let prefix = prefix.as_deref().unwrap_or_default();
        if let Some(ConfigMapEnvSource { name, optional }) = config_map_ref {
            match cx.refs.config_map(name) {
                Some(config_map) => {
                    for (key, value) in config_map.data.iter().flatten() {
                        self.set(&format!("{prefix}{key}"), EnvValue::Literal(value.as_str().into()));
                    }
                }
                None if *optional == Some(true) => {}
                None => findings.missing(
                    format!("{field}.configMapRef"),
                    format!("configmap \"{name}\" not found"),
                ),
            }
        }
        if let Some(SecretEnvSource { name, optional }) = secret_ref {
            match cx.refs.secret(name) {
                Some(secret) => {
                    for (key, bytes) in secret.data.iter().flatten() {
                        match text(&bytes.0) {
                            Some(value) => self.set(&format!("{prefix}{key}"), EnvValue::Literal(value)),
                            None => findings.invalid(format!("{field}.secretRef"), not_text(name, key)),
                        }
                    }
                }
                None if *optional == Some(true) => {}
                None => findings.missing(format!("{field}.secretRef"), format!("secret \"{name}\" not found")),
            }
        }
    }

    /// Value of one variable; `None` = it is left out (optional and absent, or after a finding).
    fn value(
        &self,
        cx: &Context<'_>,
        container: &Container,
        var: &EnvVar,
        field: &str,
        findings: &mut Findings,
    ) -> Option<EnvValue> {
        let EnvVar {
            name: _,
            value,
            value_from,
        } = var;
        if let Some(literal) = value.as_deref().filter(|literal| !literal.is_empty()) {
            return self
                .expand(literal, &format!("{field}.value"), findings)
                .map(|text| EnvValue::Literal(text.into()));
        }
        let Some(source) = value_from else {
            return Some(EnvValue::Literal(Sensitive::default()));
        };
        let EnvVarSource {
            config_map_key_ref,
            field_ref,
            file_key_ref,
            resource_field_ref,
            secret_key_ref,
        } = source;
        let field = format!("{field}.valueFrom");
        if file_key_ref.is_some() {
            findings.refuse(
                format!("{field}.fileKeyRef"),
                "a file in a volume cannot be read before the container group exists; use a ConfigMap or Secret key",
            );
            return None;
        }
        if let Some(selector) = field_ref {
            return match downward::env_field(cx, selector) {
                Ok(FieldValue::PodIp) => Some(EnvValue::PodIp),
                Ok(FieldValue::Text(text)) => Some(EnvValue::Literal(text.into())),
                Err(why) => {
                    findings.invalid(format!("{field}.fieldRef.fieldPath"), why);
                    None
                }
            };
        }
        if let Some(selector) = resource_field_ref {
            return match downward::resource(cx, selector, Some(container)) {
                Ok(text) => Some(EnvValue::Literal(text.into())),
                Err(why) => {
                    findings.refuse(format!("{field}.resourceFieldRef"), why);
                    None
                }
            };
        }
        if let Some(selector) = config_map_key_ref {
            return config_map_key(cx, selector, &format!("{field}.configMapKeyRef"), findings);
        }
        if let Some(selector) = secret_key_ref {
            return secret_key(cx, selector, &format!("{field}.secretKeyRef"), findings);
        }
        findings.invalid(field, "it names no source");
        None
    }
}

fn config_map_key(
    cx: &Context<'_>,
    selector: &ConfigMapKeySelector,
    field: &str,
    findings: &mut Findings,
) -> Option<EnvValue> {
    let ConfigMapKeySelector { key, name, optional } = selector;
    let config_map = cx.refs.config_map(name);
    let value = config_map
        .and_then(|config_map| config_map.data.as_ref())
        .and_then(|data| data.get(key));
    match value {
        Some(value) => Some(EnvValue::Literal(value.as_str().into())),
        None => {
            report_absent(
                *optional,
                config_map.is_some(),
                ("configmap", "ConfigMap"),
                name,
                key,
                field,
                findings,
            );
            None
        }
    }
}

fn secret_key(
    cx: &Context<'_>,
    selector: &SecretKeySelector,
    field: &str,
    findings: &mut Findings,
) -> Option<EnvValue> {
    let SecretKeySelector { key, name, optional } = selector;
    let secret = cx.refs.secret(name);
    let value = secret
        .and_then(|secret| secret.data.as_ref())
        .and_then(|data| data.get(key));
    match value {
        Some(bytes) => {
            let value = text(&bytes.0);
            if value.is_none() {
                findings.invalid(field, not_text(name, key));
            }
            value.map(EnvValue::Literal)
        }
        None => {
            report_absent(
                *optional,
                secret.is_some(),
                ("secret", "Secret"),
                name,
                key,
                field,
                findings,
            );
            None
        }
    }
}

fn report_absent(
    optional: Option<bool>,
    object_exists: bool,
    (lower, kind): (&str, &str),
    name: &str,
    key: &str,
    field: &str,
    findings: &mut Findings,
) {
    match (optional, object_exists) {
        (Some(true), _) => {}
        (_, true) => findings.missing(field, format!("couldn't find key {key} in {kind} {name}")),
        (_, false) => findings.missing(field, format!("{lower} \"{name}\" not found")),
    }
}

fn text(bytes: &[u8]) -> Option<Sensitive> {
    std::str::from_utf8(bytes).ok().map(Sensitive::from)
}

fn not_text(secret: &str, key: &str) -> String {
    format!(
        "key {key} of secret \"{secret}\" is not UTF-8 text, and an environment carries text only; mount it as a file"
    )
}
