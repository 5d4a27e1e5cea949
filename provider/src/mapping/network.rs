//! Names and addresses as a pod sees them: DNS, hosts file, host name, and where the API server is.

use k8s_openapi::api::core::v1::{HostAlias, PodDNSConfig};

use super::annotated::{field, split};
use super::annotations as ours;
use super::group_options::{self, CustomDns};
use super::rejection::Findings;
use super::services::{ServiceLink, ServicePort};
use super::{Context, ServiceVips, Settings, names};
use crate::request::{self, Dns};

/// Limits a kubelet cuts to, because resolvers do.
const MAX_NAME_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
/// Where the Service `kubernetes` listens, and the relay for it.
const HTTPS: u16 = 443;

/// `dnsPolicy` and `dnsConfig`. ECI itself knows only `Default` and an explicit configuration.
pub(super) fn dns(
    cx: &Context<'_>,
    policy: Option<&str>,
    config: Option<&PodDNSConfig>,
    findings: &mut Findings,
) -> Dns {
    let config = config.map(Config::of).unwrap_or_default();
    let custom = CustomDns::read(cx.annotated(), findings).map(Config::custom);
    if custom.is_some() && policy != Some("Default") {
        findings.warn(
            field(ours::CUSTOM_DNS_CONFIG),
            "it takes the place of ECI's resolver, so it has an effect with dnsPolicy Default only; use dnsConfig",
        );
    }
    let cluster = match policy {
        None | Some("" | "ClusterFirst" | "ClusterFirstWithHostNet") => cluster_dns(cx),
        // ECI's own resolver, unless the pod names one in its place.
        Some("Default") if custom.is_some() => custom,
        Some("Default") => {
            if config != Config::default() {
                findings.refuse(
                    "spec.dnsConfig",
                    "with dnsPolicy Default ECI uses its host's resolver, which cannot be added to; use dnsPolicy None \
                     with a complete dnsConfig",
                );
            }
            return Dns::Default;
        }
        Some("None") => {
            if config.name_servers.is_empty() {
                findings.invalid(
                    "spec.dnsConfig.nameservers",
                    "dnsPolicy None needs at least one name server",
                );
            }
            Some(Config::default())
        }
        Some(other) => {
            findings.invalid("spec.dnsPolicy", format!("`{other}` is not a DNS policy"));
            return Dns::Default;
        }
    };
    let Some(mut dns) = cluster else {
        findings.warn(
            "spec.dnsPolicy",
            "MissingClusterDNS: the node has no cluster DNS address; ECI's own resolver is used, which does not know \
             Services",
        );
        return Dns::Default;
    };
    dns.append(config);
    for (list, limit, field) in [
        (&mut dns.name_servers, MAX_NAME_SERVERS, "spec.dnsConfig.nameservers"),
        (&mut dns.searches, MAX_SEARCHES, "spec.dnsConfig.searches"),
    ] {
        if list.len() > limit {
            list.truncate(limit);
            findings.warn(
                field,
                format!("DNSConfigForming: only the first {limit} are used, those of the cluster included"),
            );
        }
    }
    Dns::None {
        name_servers: dns.name_servers,
        searches: dns.searches,
        options: dns.options,
    }
}

/// A resolver configuration.
#[derive(Debug, Default, PartialEq, Eq)]
struct Config {
    name_servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<(String, String)>,
}

impl Config {
    fn of(config: &PodDNSConfig) -> Self {
        let PodDNSConfig {
            nameservers,
            options,
            searches,
        } = config;
        Self {
            name_servers: nameservers.clone().unwrap_or_default(),
            searches: searches.clone().unwrap_or_default(),
            options: options
                .iter()
                .flatten()
                .map(|option| {
                    (
                        option.name.clone().unwrap_or_default(),
                        option.value.clone().unwrap_or_default(),
                    )
                })
                .collect(),
        }
    }

    fn custom(custom: CustomDns) -> Self {
        let options = split(&custom.options).into_iter().map(|option| {
            let (name, value) = option.split_once(':').unwrap_or((&option, ""));
            (name.to_owned(), value.to_owned())
        });
        Self {
            name_servers: split(&custom.nameservers),
            searches: split(&custom.searches),
            options: options.collect(),
        }
    }

    /// The pod's own entries after these, without repetition; its options replace those of the same name.
    fn append(&mut self, own: Self) {
        extend_unique(&mut self.name_servers, own.name_servers);
        extend_unique(&mut self.searches, own.searches);
        for (name, value) in own.options {
            match self.options.iter_mut().find(|(known, _)| *known == name) {
                Some(option) => option.1 = value,
                None => self.options.push((name, value)),
            }
        }
    }
}

/// What ClusterFirst means; `None` = the node knows no cluster DNS.
fn cluster_dns(cx: &Context<'_>) -> Option<Config> {
    let name_servers = match &cx.settings.service_vips {
        ServiceVips::Routed => cx.settings.cluster_dns.clone(),
        ServiceVips::Relay { ip, .. } => vec![ip.clone()],
    };
    if name_servers.iter().all(String::is_empty) {
        return None;
    }
    let domain = &cx.settings.cluster_domain;
    let namespace = cx.namespace();
    let mut searches = vec![
        format!("{namespace}.svc.{domain}"),
        format!("svc.{domain}"),
        domain.clone(),
    ];
    if domain.is_empty() {
        searches = Vec::new();
    }
    Some(Config {
        name_servers,
        searches,
        options: vec![("ndots".to_owned(), "5".to_owned())],
    })
}

fn extend_unique(list: &mut Vec<String>, more: Vec<String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

/// `hostAliases`, and in relay mode the API server's Service names. The pod's own come first: the first match wins.
pub(super) fn host_aliases(
    cx: &Context<'_>,
    aliases: Option<&[HostAlias]>,
    findings: &mut Findings,
) -> Vec<request::HostAlias> {
    let mut all: Vec<_> = aliases
        .unwrap_or_default()
        .iter()
        .map(|HostAlias { hostnames, ip }| request::HostAlias {
            ip: ip.clone(),
            hostnames: hostnames.clone().unwrap_or_default(),
        })
        .chain(group_options::custom_hosts(cx.annotated(), findings))
        .collect();
    if let ServiceVips::Relay { ip, .. } = &cx.settings.service_vips {
        let mut hostnames = vec!["kubernetes.default.svc".to_owned(), "kubernetes.default".to_owned()];
        if !cx.settings.cluster_domain.is_empty() {
            hostnames.push(format!("kubernetes.default.svc.{}", cx.settings.cluster_domain));
        }
        if cx.namespace() == "default" {
            // There the search path makes the short name mean the Service.
            hostnames.push("kubernetes".to_owned());
        }
        for hidden in hostnames
            .iter()
            .filter(|name| all.iter().any(|alias| alias.hostnames.contains(name)))
        {
            findings.warn(
                "spec.hostAliases",
                format!("`{hidden}` hides the API server's address the node gives it"),
            );
        }
        all.push(request::HostAlias {
            ip: ip.clone(),
            hostnames,
        });
    }
    all
}

/// The host name: `hostnameOverride`, else `hostname` or the pod's name, with `setHostnameAsFQDN` and a subdomain the
/// full name.
pub(super) fn host_name(cx: &Context<'_>, findings: &mut Findings) -> String {
    if let Some(name) = cx.spec.hostname_override.as_ref().filter(|name| !name.is_empty()) {
        return name.clone();
    }
    let short = match cx.spec.hostname.as_ref().filter(|name| !name.is_empty()) {
        Some(name) => name.clone(),
        None => names::short_host_name(cx.pod.metadata.name.as_deref().unwrap_or_default()),
    };
    let subdomain = cx.spec.subdomain.as_deref().unwrap_or_default();
    if cx.spec.set_hostname_as_fqdn != Some(true) || subdomain.is_empty() {
        return short;
    }
    let full = format!(
        "{short}.{subdomain}.{}.svc.{}",
        cx.namespace(),
        cx.settings.cluster_domain
    );
    if full.len() > 64 {
        findings.invalid(
            "spec.setHostnameAsFQDN",
            format!(
                "the full name `{full}` has {} characters, and Linux allows 64; shorten hostname or subdomain",
                full.len()
            ),
        );
    }
    full
}

/// The variables of Services: those of the Service `kubernetes`, which every container gets, and, unless the pod does not
/// want them, those of its namespace. In relay mode Services' addresses lead nowhere, so nothing tells of them.
pub(super) fn services_env(cx: &Context<'_>) -> Vec<(String, String)> {
    let mut all = kubernetes_env(cx.settings);
    let wanted = cx.spec.enable_service_links != Some(false) && cx.settings.service_vips == ServiceVips::Routed;
    let known = |link: &&ServiceLink| link.name == "kubernetes" && cx.namespace() == "default";
    for link in cx.refs.services.iter().filter(|link| wanted && !known(link)) {
        all.extend(link.variables());
    }
    all
}

/// The variables every container gets for the Service `kubernetes`, whatever `enableServiceLinks` says.
fn kubernetes_env(settings: &Settings) -> Vec<(String, String)> {
    let (host, port) = match &settings.service_vips {
        ServiceVips::Routed => (settings.kubernetes_service.0.as_str(), settings.kubernetes_service.1),
        ServiceVips::Relay {
            api_server_host,
            api_server_port,
            ..
        } => (api_server_host.as_str(), *api_server_port),
    };
    if host.is_empty() {
        return Vec::new();
    }
    let link = ServiceLink {
        name: "kubernetes".to_owned(),
        cluster_ip: host.to_owned(),
        ports: vec![ServicePort {
            name: "https".to_owned(),
            port: if port == 0 { HTTPS } else { port },
            protocol: String::new(),
        }],
    };
    link.variables()
}
