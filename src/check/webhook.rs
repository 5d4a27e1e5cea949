//! Whether the admission webhook is configured, and answers as the API server will ask it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, WebhookClientConfig};
use kube::Api;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Finding, TIMEOUT};
use crate::agent;
use crate::chain::chain;
use crate::config::Config;
use crate::webhook::pki;

const CONFIGURATION: &str = "webhook-configuration";
const CERTIFICATE: &str = "webhook-certificate";
const SERVICE: &str = "webhook-service";
/// The port of a service where the configuration names none.
const HTTPS: u16 = 443;
const STATUS_LINE: u64 = 64;

/// Where one webhook of the configuration is.
struct Target {
    host: String,
    port: u16,
    bundle: Vec<u8>,
    /// Names of the webhooks that are there.
    of: Vec<String>,
    /// Whether pods are refused while it is away.
    strict: bool,
}

/// Why it does not answer.
enum Away {
    Unreachable(String),
    Untrusted(String),
    Wrong(String),
}

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let (Some(webhook), Some(burst)) = (&config.webhook, &config.burst) else {
        return Vec::new();
    };
    let client = match agent::burst_client(config, burst).await {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::fail(
                CONFIGURATION,
                format!("{error:#}"),
                "see --burst-kubeconfig",
            )];
        }
    };
    let name = &webhook.configuration;
    let api: Api<MutatingWebhookConfiguration> = Api::all(client);
    let configuration = match timeout(TIMEOUT, api.get_opt(name)).await {
        Ok(Ok(Some(configuration))) => configuration,
        Ok(Ok(None)) => {
            let what = format!("there is no MutatingWebhookConfiguration {name}: nobody calls the webhook");
            let remedy = "apply manifests/webhook, or set --webhook-configuration to its name";
            return vec![Finding::fail(CONFIGURATION, what, remedy)];
        }
        Ok(Err(error)) => {
            let remedy = "may the identity of --burst-impersonate get it (manifests/webhook/webhook-rbac.yaml)?";
            return vec![Finding::fail(CONFIGURATION, chain(&error), remedy)];
        }
        Err(_) => {
            return vec![Finding::fail(
                CONFIGURATION,
                format!("no answer within {TIMEOUT:?}"),
                "try again",
            )];
        }
    };
    let (mut found, targets) = read(&configuration);
    for target in targets {
        found.extend(ask(&target).await);
    }
    found
}

/// What the configuration says, and where its webhooks are.
fn read(configuration: &MutatingWebhookConfiguration) -> (Vec<Finding>, Vec<Target>) {
    let webhooks = configuration.webhooks.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    let mut targets: BTreeMap<(String, u16, Vec<u8>), Target> = BTreeMap::new();
    for webhook in webhooks {
        let client = &webhook.client_config;
        let bundle = client.ca_bundle.clone().unwrap_or_default().0;
        if bundle.is_empty() {
            let what = format!("{} trusts no CA, so no call reaches the webhook", webhook.name);
            let remedy = "the agent writes its CA there within seconds: its log says what keeps it (manifests/webhook/webhook-rbac.yaml has its rights)";
            found.push(Finding::fail(CONFIGURATION, what, remedy));
            continue;
        }
        let Some((host, port)) = place(client) else {
            let what = format!("{} names neither a service nor a URL", webhook.name);
            found.push(Finding::fail(CONFIGURATION, what, "apply manifests/webhook"));
            continue;
        };
        let strict = webhook.failure_policy.as_deref() == Some("Fail");
        let target = targets.entry((host.clone(), port, bundle.clone())).or_insert(Target {
            host,
            port,
            bundle,
            of: Vec::new(),
            strict: false,
        });
        target.of.push(webhook.name.clone());
        target.strict |= strict;
    }
    if found.is_empty() {
        let names: Vec<&str> = webhooks.iter().map(|w| w.name.as_str()).collect();
        found.push(match names.as_slice() {
            [] => Finding::fail(CONFIGURATION, "has no webhook", "apply manifests/webhook"),
            names => Finding::ok(CONFIGURATION, format!("has {}, with a CA", names.join(", "))),
        });
    }
    (found, targets.into_values().collect())
}

/// Host and port that the API server calls.
fn place(client: &WebhookClientConfig) -> Option<(String, u16)> {
    let host = pki::name(client)?;
    let port = match &client.service {
        Some(service) => service.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(HTTPS),
        None => url::Url::parse(client.url.as_deref()?).ok()?.port_or_known_default()?,
    };
    Some((host, port))
}

async fn ask(target: &Target) -> Vec<Finding> {
    let place = format!("{}:{}", target.host, target.port);
    let meanwhile = match target.strict {
        true => "meanwhile pods with its labels are refused (a strict webhook), and others created as they are",
        false => "meanwhile pods are created as they are",
    };
    let away = match timeout(TIMEOUT, call(target)).await {
        Ok(Ok(())) => {
            return vec![
                Finding::ok(SERVICE, format!("{place} answers, for {}", target.of.join(", "))),
                Finding::ok(
                    CERTIFICATE,
                    format!("its certificate is for {}, by a CA of the configuration", target.host),
                ),
            ];
        }
        Ok(Err(away)) => away,
        Err(_) => Away::Unreachable(format!("no answer within {TIMEOUT:?}")),
    };
    vec![match away {
        Away::Unreachable(error) => Finding::fail(
            SERVICE,
            format!("{place}: {error}; {meanwhile}"),
            "is the agent ready, does the Service select it, and may the API server (and whoever runs this) reach its port?",
        ),
        Away::Untrusted(error) => Finding::fail(
            CERTIFICATE,
            format!("{place}: {error}; {meanwhile}"),
            "the agent's log says what keeps it from writing its CA into the configuration; does anything else write there?",
        ),
        Away::Wrong(answer) => Finding::fail(
            SERVICE,
            format!("{place} answers `{answer}`"),
            "something else than this agent listens there",
        ),
    }]
}

/// Calls as the API server does: it trusts the configuration's CAs and nothing else.
async fn call(target: &Target) -> Result<(), Away> {
    let unreachable = |error: io::Error| Away::Unreachable(error.to_string());
    let untrusted = |error: String| Away::Untrusted(error);
    let roots: RootCertStore = pki::roots(&target.bundle);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| untrusted(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(target.host.clone()).map_err(|e| untrusted(e.to_string()))?;
    let stream = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(unreachable)?;
    let mut tls = match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(tls) => tls,
        // What the verifier has to say is inside.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(untrusted(error.to_string())),
        Err(error) => return Err(unreachable(error)),
    };
    let request = format!(
        "GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        target.host
    );
    tls.write_all(request.as_bytes()).await.map_err(unreachable)?;
    let mut line = Vec::new();
    match tls.take(STATUS_LINE).read_to_end(&mut line).await {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(unreachable(error)),
        _ => {}
    }
    let line = String::from_utf8_lossy(&line);
    match line.lines().next().unwrap_or_default() {
        ok if ok.split(' ').nth(1) == Some("200") => Ok(()),
        other => Err(Away::Wrong(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Result;
    use super::*;

    fn configuration(webhooks: Value) -> MutatingWebhookConfiguration {
        serde_json::from_value(json!({ "metadata": { "name": "virtual-node" }, "webhooks": webhooks })).expect("one")
    }

    fn webhook(name: &str, client: Value) -> Value {
        json!({ "name": name, "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore" })
    }

    #[test]
    fn webhooks_without_a_ca_or_a_place_are_found() {
        let service = json!({ "service": { "name": "w", "namespace": "home" } });
        let (found, targets) = read(&configuration(json!([webhook("a", service)])));
        assert_eq!((found[0].result, targets.len()), (Result::Fail, 0));
        assert!(found[0].what.contains("a trusts no CA"), "{found:?}");
        let (found, _) = read(&configuration(json!([webhook("a", json!({ "caBundle": "eA==" }))])));
        assert!(found[0].what.contains("neither a service nor a URL"), "{found:?}");
        assert_eq!(read(&configuration(json!([]))).0[0].result, Result::Fail);
    }

    #[test]
    fn webhooks_at_one_place_are_asked_once() {
        let service =
            |port: Value| json!({ "service": { "name": "w", "namespace": "home", "port": port }, "caBundle": "eA==" });
        let url = json!({ "url": "https://[fd00::1]:9443/mutate", "caBundle": "eA==" });
        let mut strict = webhook("b", service(json!(443)));
        strict["failurePolicy"] = json!("Fail");
        let (found, targets) = read(&configuration(json!([
            webhook("a", service(Value::Null)),
            strict,
            webhook("c", url)
        ])));
        assert_eq!(found, [Finding::ok(CONFIGURATION, "has a, b, c, with a CA")]);
        let places: Vec<(&str, u16, bool, usize)> = targets
            .iter()
            .map(|t| (t.host.as_str(), t.port, t.strict, t.of.len()))
            .collect();
        assert_eq!(places, [("fd00::1", 9443, false, 1), ("w.home.svc", 443, true, 2)]);
    }
}
