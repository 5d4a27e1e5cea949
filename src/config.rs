//! What the settings mean: flags, environment and file merged, checked and resolved.
//!
//! Nothing here stops at the first mistake: all of them are reported at once, each by the flag, the environment variable
//! and the key of the file that could have set it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use k8s_openapi::api::core::v1::Taint;
use serde::Deserialize;
use serde_json::Value;

use crate::args::{LogArgs, RelayArgs, RunArgs};
use crate::telemetry::{self, LogFormat, LogSettings};

/// The taint that keeps pods off the node which did not ask for it; ACK's name.
pub const DEFAULT_TAINT: &str = "virtual-kubelet.io/provider=alibabacloud:NoSchedule";
/// Prefix of the node names ACK gives, followed by the zone.
pub const ACK_NODE_NAME_PREFIX: &str = "virtual-kubelet-";

const DEFAULT_KUBELET_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 10250);
const DEFAULT_METRICS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10255);
const DEFAULT_CLUSTER_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));
const DEFAULT_CERT_DIR: &str = "/var/lib/virtual-node/pki";
const DEFAULT_CLUSTER_DOMAIN: &str = "cluster.local";
const DEFAULT_MAX_CONNECTIONS: usize = 10_000;

/// Settings of `virtual-node run`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The virtual nodes this process serves; at least one, with distinct names and kubelet addresses.
    pub nodes: Vec<NodeConfig>,
    /// Kubeconfig file; `None` = the service account of the pod the agent runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Whether each node acts as `system:node:<name>` in `system:nodes` by impersonation.
    pub impersonate_node: bool,
    /// URL of the ECI OpenAPI, with scheme.
    pub eci_endpoint: String,
    /// Region.
    pub region: String,
    /// Security group of the container groups.
    pub security_group_id: String,
    /// Name of this cluster, unique in the account.
    pub cluster_id: String,
    /// Limits of calls to ECI.
    pub eci_limits: EciLimits,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub metrics_listen: SocketAddr,
    /// Serving certificate of the kubelet API; `None` = requested from the cluster.
    pub tls: Option<ServingFiles>,
    /// Where a requested serving certificate is kept.
    pub cert_dir: PathBuf,
    /// CA of the client certificates the kubelet API accepts; `None` = bearer tokens only.
    pub client_ca_file: Option<PathBuf>,
    /// Whether groups can reach service addresses.
    pub service_vips: ServiceVips,
    /// Name servers of pods with dnsPolicy ClusterFirst; at least one.
    pub cluster_dns: Vec<IpAddr>,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Taints a newly registered node carries.
    pub taints: Vec<Taint>,
    /// Labels of every node besides the agent's own.
    pub node_labels: BTreeMap<String, String>,
    /// What happens to pod fields that ECI cannot express and that only tighten security.
    pub unenforceable: Unenforceable,
    /// How logs are written.
    pub log: LogSettings,
}

/// One virtual node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Name of the Node object.
    pub name: String,
    /// Zone, where known.
    pub zone: Option<String>,
    /// VSwitches the groups are created in, tried in order; at least one.
    pub vswitch_ids: Vec<String>,
    /// Where the kubelet API of this node is served.
    pub kubelet_listen: SocketAddr,
    /// InternalIP of the node: where the API server reaches [`Self::kubelet_listen`].
    pub node_ip: IpAddr,
}

/// Limits of calls to ECI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EciLimits {
    /// What ECI documents.
    Documented,
    /// No limit of our own.
    None,
    /// As a file says.
    File(PathBuf),
}

/// A serving certificate on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingFiles {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// Whether groups can reach service addresses (decision 11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceVips {
    /// They can: the network routes them (ACK).
    Routed,
    /// They cannot: the API server is named by its real address, and DNS and `kubernetes.default.svc` by the relay's.
    Relay {
        /// Address of `virtual-node relay`.
        ip: IpAddr,
        /// The API server, as groups reach it.
        api_server: HostPort,
    },
}

/// A host name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

/// What happens to pod fields that ECI cannot express and that only tighten security.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unenforceable {
    /// The pod runs, one Event and a metric tell.
    #[default]
    Warn,
    /// The pod is refused.
    Refuse,
}

/// Settings of `virtual-node relay`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// Where TCP is accepted for the API server.
    pub api_listen: SocketAddr,
    /// Where UDP and TCP are accepted for DNS.
    pub dns_listen: SocketAddr,
    /// Kubeconfig file; `None` = the service account of the pod the relay runs in.
    pub kubeconfig: Option<PathBuf>,
    /// API servers, instead of watching EndpointSlices; empty = watch.
    pub api_servers: Vec<HostPort>,
    /// DNS servers, instead of watching EndpointSlices; empty = watch.
    pub dns_servers: Vec<SocketAddr>,
    /// TCP connections and DNS queries held at the same time, each kind.
    pub max_connections: usize,
    /// Where metrics and health are served; `None` = nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// How logs are written.
    pub log: LogSettings,
}

/// Every mistake in the settings, one a line.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "{one}"),
            many => write!(f, "{} settings are wrong:\n  {}", many.len(), many.join("\n  ")),
        }
    }
}

impl std::error::Error for ConfigErrors {}

impl Config {
    /// Merges and checks the settings of `virtual-node run`, reading the file of `--config` if there is one.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn load(args: RunArgs) -> Result<Self, ConfigErrors> {
        let file = match &args.config {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|e| ConfigErrors(vec![format!("--config: cannot read {}: {e}", path.display())]))?,
        };
        Self::resolve(args, &file)
    }

    /// As [`Config::load`], with the text of the file.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn resolve(args: RunArgs, file: &str) -> Result<Self, ConfigErrors> {
        // Destructured in full, so that a new flag cannot be forgotten here.
        let RunArgs {
            config: _,
            node_name,
            zone,
            vswitch_ids,
            node_ip,
            kubelet_listen,
            kubeconfig,
            impersonate_node,
            eci_endpoint,
            region,
            security_group_id,
            cluster_id,
            eci_limits,
            metrics_listen,
            tls_cert_file,
            tls_private_key_file,
            cert_dir,
            client_ca_file,
            service_vips,
            relay_ip,
            api_server,
            cluster_dns,
            cluster_domain,
            register_with_taints,
            node_labels,
            unenforceable,
            log,
        } = args;
        let mut r = Resolver::new(file);

        let region = r.required("region", region);
        let nodes = r.nodes(
            &region,
            NodeText {
                node_name,
                zone,
                vswitch_ids,
                node_ip,
                kubelet_listen,
            },
        );
        let kubeconfig = r.path("kubeconfig", kubeconfig);
        let impersonate_node = r
            .parsed("impersonate-node", impersonate_node, parse_bool)
            .unwrap_or(false);
        let eci_endpoint = r
            .parsed("eci-endpoint", eci_endpoint, parse_endpoint)
            .unwrap_or_else(|| format!("https://eci.{region}.aliyuncs.com"));
        let security_group_id = r.required("security-group-id", security_group_id);
        let cluster_id = r.required("cluster-id", cluster_id);
        let eci_limits = r
            .parsed("eci-limits", eci_limits, parse_limits)
            .unwrap_or(EciLimits::Documented);
        let metrics_listen = r
            .parsed("metrics-listen", metrics_listen, parse_socket)
            .unwrap_or(DEFAULT_METRICS_LISTEN);
        let tls = match (
            r.path("tls-cert-file", tls_cert_file),
            r.path("tls-private-key-file", tls_private_key_file),
        ) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(ServingFiles { cert, key }),
            (Some(_), None) => r.fail("tls-private-key-file", "is needed together with --tls-cert-file"),
            (None, Some(_)) => r.fail("tls-cert-file", "is needed together with --tls-private-key-file"),
        };
        let cert_dir = r
            .path("cert-dir", cert_dir)
            .unwrap_or_else(|| PathBuf::from(DEFAULT_CERT_DIR));
        let client_ca_file = r.path("client-ca-file", client_ca_file);
        let service_vips = r.service_vips(service_vips, relay_ip, api_server);
        let cluster_dns = r
            .parsed("cluster-dns", cluster_dns, parse_ips)
            .unwrap_or_else(|| match &service_vips {
                ServiceVips::Routed => vec![DEFAULT_CLUSTER_DNS],
                ServiceVips::Relay { ip, .. } => vec![*ip],
            });
        let cluster_domain = r
            .parsed("cluster-domain", cluster_domain, parse_domain)
            .unwrap_or_else(|| DEFAULT_CLUSTER_DOMAIN.to_owned());
        let taints = r
            .parsed_even_empty("register-with-taints", register_with_taints, parse_taints)
            .unwrap_or_else(|| parse_taints(DEFAULT_TAINT).unwrap_or_default());
        let node_labels = r.parsed("node-labels", node_labels, parse_labels).unwrap_or_default();
        let unenforceable = r
            .parsed("unenforceable", unenforceable, parse_unenforceable)
            .unwrap_or_default();
        let log = r.log(log);

        r.finish(Self {
            nodes,
            kubeconfig,
            impersonate_node,
            eci_endpoint,
            region,
            security_group_id,
            cluster_id,
            eci_limits,
            metrics_listen,
            tls,
            cert_dir,
            client_ca_file,
            service_vips,
            cluster_dns,
            cluster_domain,
            taints,
            node_labels,
            unenforceable,
            log,
        })
    }
}

impl RelayConfig {
    /// Checks the settings of `virtual-node relay`.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn resolve(args: RelayArgs) -> Result<Self, ConfigErrors> {
        let RelayArgs {
            listen_address,
            api_port,
            dns_port,
            kubeconfig,
            api_server,
            dns,
            max_connections,
            metrics_listen,
            log,
        } = args;
        let mut r = Resolver::new("");
        let address: IpAddr = match r.text("listen-address", listen_address) {
            Some(text) => r
                .parse("listen-address", &text, parse_ip)
                .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            None => r
                .fail("listen-address", "is missing")
                .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        };
        let api_port = r.parsed("api-port", api_port, parse_number::<u16>).unwrap_or(443);
        let dns_port = r.parsed("dns-port", dns_port, parse_number::<u16>).unwrap_or(53);
        let kubeconfig = r.path("kubeconfig", kubeconfig);
        let api_servers = r.parsed("api-server", api_server, parse_host_ports).unwrap_or_default();
        let dns_servers = r.parsed("dns", dns, parse_sockets).unwrap_or_default();
        let max_connections = r
            .parsed("max-connections", max_connections, parse_number::<usize>)
            .unwrap_or(DEFAULT_MAX_CONNECTIONS);
        let metrics_listen = r.parsed("metrics-listen", metrics_listen, parse_socket);
        let log = r.log(log);
        r.finish(Self {
            api_listen: SocketAddr::new(address, api_port),
            dns_listen: SocketAddr::new(address, dns_port),
            kubeconfig,
            api_servers,
            dns_servers,
            max_connections,
            metrics_listen,
            log,
        })
    }
}

/// The settings of the short form's one node, as text.
struct NodeText {
    node_name: Option<String>,
    zone: Option<String>,
    vswitch_ids: Option<String>,
    node_ip: Option<String>,
    kubelet_listen: Option<String>,
}

/// An entry of `nodes` in the file.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileNode {
    name: String,
    #[serde(default)]
    zone: Option<String>,
    vswitch_ids: Vec<String>,
    #[serde(default)]
    kubelet_listen: Option<String>,
    #[serde(default)]
    node_ip: Option<String>,
}

/// Merges the sources and collects the mistakes.
struct Resolver {
    /// Keys of the file that were not asked for yet; what remains at the end is unknown.
    file: BTreeMap<String, Value>,
    errors: Vec<String>,
}

impl Resolver {
    fn new(file: &str) -> Self {
        let mut errors = Vec::new();
        let file = if file.trim().is_empty() {
            BTreeMap::new()
        } else {
            serde_saphyr::from_str(file).unwrap_or_else(|e| {
                errors.push(format!("--config: not a YAML map of settings: {e}"));
                BTreeMap::new()
            })
        };
        Self { file, errors }
    }

    fn finish<T>(mut self, value: T) -> Result<T, ConfigErrors> {
        for key in self.file.keys() {
            self.errors.push(format!("--config: key `{key}` is not a setting"));
        }
        if self.errors.is_empty() {
            Ok(value)
        } else {
            Err(ConfigErrors(self.errors))
        }
    }

    /// Records a mistake of setting `key`; `None` so that it can stand where a value would.
    fn fail<T>(&mut self, key: &str, what: impl fmt::Display) -> Option<T> {
        let variable = key.to_uppercase().replace('-', "_");
        self.errors.push(format!(
            "--{key} (VIRTUAL_NODE_{variable}, or `{key}` in the file of --config) {what}"
        ));
        None
    }

    /// The text of setting `key`, empty counting as not set.
    fn text(&mut self, key: &str, typed: Option<String>) -> Option<String> {
        self.text_even_empty(key, typed).filter(|text| !text.is_empty())
    }

    fn text_even_empty(&mut self, key: &str, typed: Option<String>) -> Option<String> {
        let from_file = self.file.remove(key);
        if let Some(text) = typed {
            return Some(text.trim().to_owned());
        }
        match from_file? {
            Value::Null => None,
            value => match scalar_text(&value) {
                Some(text) => Some(text),
                None => self.fail(key, "must be a text, a number, a boolean or a list of them"),
            },
        }
    }

    fn required(&mut self, key: &str, typed: Option<String>) -> String {
        match self.text(key, typed) {
            Some(text) => text,
            None => self.fail(key, "is missing").unwrap_or_default(),
        }
    }

    fn path(&mut self, key: &str, typed: Option<String>) -> Option<PathBuf> {
        self.text(key, typed).map(PathBuf::from)
    }

    fn parse<T>(&mut self, key: &str, text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(text) {
            Ok(value) => Some(value),
            Err(what) => self.fail(key, format!("is `{text}`: {what}")),
        }
    }

    fn parsed<T>(&mut self, key: &str, typed: Option<String>, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(key, typed)?;
        self.parse(key, &text, parse)
    }

    fn parsed_even_empty<T>(
        &mut self,
        key: &str,
        typed: Option<String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text_even_empty(key, typed)?;
        self.parse(key, &text, parse)
    }

    fn log(&mut self, args: LogArgs) -> LogSettings {
        let LogArgs { log_format, log_level } = args;
        let default = LogSettings::default();
        LogSettings {
            format: self
                .parsed("log-format", log_format, parse_log_format)
                .unwrap_or(default.format),
            directives: self
                .parsed("log-level", log_level, |text| {
                    telemetry::check(text).map(|()| text.to_owned())
                })
                .unwrap_or(default.directives),
        }
    }

    fn service_vips(
        &mut self,
        mode: Option<String>,
        relay_ip: Option<String>,
        api_server: Option<String>,
    ) -> ServiceVips {
        let mode = self.text("service-vips", mode);
        let ip = self.parsed("relay-ip", relay_ip, parse_ip);
        let api_server = self.parsed("api-server", api_server, parse_host_port);
        match mode.as_deref() {
            None | Some("routed") => ServiceVips::Routed,
            Some("relay") => match (ip, api_server) {
                (Some(ip), Some(api_server)) => ServiceVips::Relay { ip, api_server },
                (ip, api_server) => {
                    if ip.is_none() {
                        let _: Option<()> = self.fail("relay-ip", "is needed with --service-vips relay");
                    }
                    if api_server.is_none() {
                        let _: Option<()> = self.fail("api-server", "is needed with --service-vips relay");
                    }
                    ServiceVips::Routed
                }
            },
            Some(other) => self
                .fail("service-vips", format!("is `{other}`: it must be routed or relay"))
                .unwrap_or(ServiceVips::Routed),
        }
    }

    fn nodes(&mut self, region: &str, text: NodeText) -> Vec<NodeConfig> {
        let NodeText {
            node_name,
            zone,
            vswitch_ids,
            node_ip,
            kubelet_listen,
        } = text;
        let name = self.text("node-name", node_name);
        let zone = self.text("zone", zone);
        let vswitch_ids = self.parsed("vswitch-ids", vswitch_ids, parse_list);
        let node_ip = self.text("node-ip", node_ip);
        let kubelet_listen = self.text("kubelet-listen", kubelet_listen);
        let nodes = match (name, self.file.remove("nodes")) {
            (Some(name), None) => {
                let vswitch_ids = vswitch_ids
                    .or_else(|| self.fail("vswitch-ids", "is missing"))
                    .unwrap_or_default();
                vec![FileNode {
                    name,
                    zone,
                    vswitch_ids,
                    kubelet_listen,
                    node_ip,
                }]
            }
            (None, Some(list)) => match serde_json::from_value::<Vec<FileNode>>(list) {
                Ok(nodes) if nodes.is_empty() => self.fail("nodes", "is empty").unwrap_or_default(),
                Ok(nodes) => nodes
                    .into_iter()
                    // What is the same for all nodes need not be written at each.
                    .map(|node| FileNode {
                        zone: node.zone.or_else(|| zone.clone()),
                        kubelet_listen: node.kubelet_listen.or_else(|| kubelet_listen.clone()),
                        node_ip: node.node_ip.or_else(|| node_ip.clone()),
                        ..node
                    })
                    .collect(),
                Err(e) => {
                    self.errors
                        .push(format!("--config: `nodes` is not a list of nodes: {e}"));
                    Vec::new()
                }
            },
            (Some(_), Some(_)) => self
                .fail(
                    "node-name",
                    "is the short form for one node and cannot be used together with `nodes`",
                )
                .unwrap_or_default(),
            (None, None) => self.fail("node-name", "is missing").unwrap_or_default(),
        };
        let nodes: Vec<NodeConfig> = nodes.into_iter().filter_map(|node| self.node(region, node)).collect();
        self.distinct(&nodes);
        nodes
    }

    fn node(&mut self, region: &str, node: FileNode) -> Option<NodeConfig> {
        let FileNode {
            name,
            zone,
            vswitch_ids,
            kubelet_listen,
            node_ip,
        } = node;
        let before = self.errors.len();
        if let Err(what) = check_node_name(&name) {
            let _: Option<()> = self.fail("node-name", format!("is `{name}`: {what}"));
        }
        if vswitch_ids.iter().any(String::is_empty) || vswitch_ids.is_empty() {
            let _: Option<()> = self.fail("vswitch-ids", format!("of node {name} names no VSwitch"));
        }
        let kubelet_listen = match kubelet_listen {
            Some(text) => self.parse("kubelet-listen", &text, parse_socket)?,
            None => DEFAULT_KUBELET_LISTEN,
        };
        let node_ip = match node_ip {
            Some(text) => self.parse("node-ip", &text, parse_ip)?,
            None if kubelet_listen.ip().is_unspecified() => self.fail(
                "node-ip",
                format!("of node {name} is missing: {kubelet_listen} names no address"),
            )?,
            None => kubelet_listen.ip(),
        };
        let zone = zone.or_else(|| zone_of(&name, region));
        (self.errors.len() == before).then_some(NodeConfig {
            name,
            zone,
            vswitch_ids,
            kubelet_listen,
            node_ip,
        })
    }

    fn distinct(&mut self, nodes: &[NodeConfig]) {
        for (index, node) in nodes.iter().enumerate() {
            for other in &nodes[..index] {
                if other.name == node.name {
                    let _: Option<()> = self.fail("nodes", format!("names {} twice", node.name));
                }
                // metrics-server and the API server tell nodes apart by address and port alone.
                let clash = other.kubelet_listen == node.kubelet_listen
                    || (other.node_ip == node.node_ip && other.kubelet_listen.port() == node.kubelet_listen.port());
                if clash {
                    let what = format!(
                        "of {} and {} is the same: each node needs its own",
                        other.name, node.name
                    );
                    let _: Option<()> = self.fail("kubelet-listen", what);
                }
            }
        }
    }
}

/// The zone in a node name of ACK's form, `virtual-kubelet-<zone>`.
fn zone_of(node_name: &str, region: &str) -> Option<String> {
    let zone = node_name.strip_prefix(ACK_NODE_NAME_PREFIX)?;
    let suffix = zone.strip_prefix(region)?;
    (!region.is_empty() && suffix.starts_with('-') && suffix.len() > 1).then(|| zone.to_owned())
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(scalar_text).collect();
            items.map(|items| items.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// A Node's name must be a DNS subdomain: lower-case alphanumerics, `-` and `.`, beginning and ending alphanumerically.
fn check_node_name(name: &str) -> Result<(), String> {
    let ok = name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        });
    if ok {
        Ok(())
    } else {
        Err("it must be lower-case letters, digits, `-` and `.`".to_owned())
    }
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("it must be true or false".to_owned()),
    }
}

fn parse_number<T: FromStr>(text: &str) -> Result<T, String>
where
    T::Err: fmt::Display,
{
    text.parse().map_err(|e: T::Err| e.to_string())
}

fn parse_ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "it must be an IP address".to_owned())
}

fn parse_ips(text: &str) -> Result<Vec<IpAddr>, String> {
    parse_list(text)?.iter().map(|item| parse_ip(item)).collect()
}

fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "it must be IP:PORT".to_owned())
}

fn parse_sockets(text: &str) -> Result<Vec<SocketAddr>, String> {
    parse_list(text)?.iter().map(|item| parse_socket(item)).collect()
}

fn parse_host_port(text: &str) -> Result<HostPort, String> {
    let (host, port) = text.rsplit_once(':').ok_or("it must be HOST:PORT")?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().map_err(|_| "it must be HOST:PORT".to_owned())?;
    if host.is_empty() {
        return Err("it must be HOST:PORT".to_owned());
    }
    Ok(HostPort {
        host: host.to_owned(),
        port,
    })
}

fn parse_host_ports(text: &str) -> Result<Vec<HostPort>, String> {
    parse_list(text)?.iter().map(|item| parse_host_port(item)).collect()
}

/// Items between commas; at least one.
fn parse_list(text: &str) -> Result<Vec<String>, String> {
    let items: Vec<String> = text
        .split(',')
        .map(str::trim)
        .filter(|i| !i.is_empty())
        .map(str::to_owned)
        .collect();
    if items.is_empty() {
        Err("it names nothing".to_owned())
    } else {
        Ok(items)
    }
}

fn parse_endpoint(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|e: http::uri::InvalidUri| e.to_string())?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("it must be a URL that begins with http:// or https://".to_owned()),
    }
}

fn parse_limits(text: &str) -> Result<EciLimits, String> {
    match text {
        "documented" => Ok(EciLimits::Documented),
        "none" => Ok(EciLimits::None),
        file if Path::new(file).is_file() => Ok(EciLimits::File(PathBuf::from(file))),
        _ => Err("it must be documented, none, or a file, and there is no such file".to_owned()),
    }
}

fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("it must be text or json".to_owned()),
    }
}

fn parse_unenforceable(text: &str) -> Result<Unenforceable, String> {
    match text {
        "warn" => Ok(Unenforceable::Warn),
        "refuse" => Ok(Unenforceable::Refuse),
        _ => Err("it must be warn or refuse".to_owned()),
    }
}

fn parse_domain(text: &str) -> Result<String, String> {
    let domain = text.trim_matches('.');
    check_node_name(domain).map_err(|_| "it must be a DNS domain".to_owned())?;
    Ok(domain.to_owned())
}

fn parse_labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    parse_list(text)?
        .iter()
        .map(|item| match item.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(format!("`{item}` is not KEY=VALUE")),
        })
        .collect()
}

/// Taints as kubelet's `--register-with-taints` takes them: `key=value:Effect` or `key:Effect`, separated by commas.
fn parse_taints(text: &str) -> Result<Vec<Taint>, String> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (pair, effect) = item
                .rsplit_once(':')
                .ok_or_else(|| format!("`{item}` is not KEY=VALUE:EFFECT or KEY:EFFECT"))?;
            if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
                return Err(format!("`{effect}` is not NoSchedule, PreferNoSchedule or NoExecute"));
            }
            let (key, value) = match pair.split_once('=') {
                Some((key, value)) => (key, (!value.is_empty()).then(|| value.to_owned())),
                None => (pair, None),
            };
            if key.is_empty() {
                return Err(format!("`{item}` has no key"));
            }
            Ok(Taint {
                key: key.to_owned(),
                value,
                effect: effect.to_owned(),
                time_added: None,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
