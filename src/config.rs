//! What the settings mean: flags, environment and file merged, checked and resolved.
//!
//! Nothing here stops at the first mistake: all of them are reported at once, each by the flag, the environment variable
//! and the key of the file that could have set it.

mod parse;
mod resolver;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Taint;
use provider::pricing::Currency;
use provider::request::ScheduleStrategy;

use crate::args::{RelayArgs, RunArgs};
use crate::budget::BudgetSettings;
use crate::burst::outages::OutageToleration;
use crate::burst::policy::Policy;
use crate::burst::scene::ProfileName;
use crate::caps::Cap;
use crate::cost::price_table::PriceTable;
use crate::kubelet::streams::IDLE_TIMEOUT;
use crate::node::Bounds;
use crate::object_store::Location;
use crate::pods::patience::Patience;
use crate::telemetry::LogSettings;
use crate::webhook::{Impossible, Times};
use parse::{
    parse_bool, parse_domain, parse_duration, parse_endpoint, parse_host_ports, parse_ip, parse_ips, parse_labels,
    parse_limits, parse_number, parse_schedule_strategy, parse_socket, parse_sockets, parse_taints,
    parse_unenforceable, parse_vcpu,
};
use resolver::{BurstText, CostText, NodeText, Resolver, WebhookText};

/// The taint that keeps pods off the node which did not ask for it; ACK's name.
pub const DEFAULT_TAINT: &str = "virtual-kubelet.io/provider=alibabacloud:NoSchedule";
/// Prefix of the node names ACK gives, followed by the zone.
pub const ACK_NODE_NAME_PREFIX: &str = "virtual-kubelet-";

const DEFAULT_METRICS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10255);
const DEFAULT_CLUSTER_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));
const DEFAULT_CERT_DIR: &str = "/var/lib/virtual-node/pki";
/// Label of the pods whose logs are kept.
pub const DEFAULT_LOG_ARCHIVE_SELECTOR: (&str, &str) = ("spark-role", "driver");
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
    /// Election among replicas; `None` = this is the only one.
    pub election: Option<ElectionConfig>,
    /// URL of the ECI OpenAPI, with scheme.
    pub eci_endpoint: String,
    /// Region.
    pub region: String,
    /// Order in which vSwitches are tried.
    pub schedule_strategy: ScheduleStrategy,
    /// Whether groups are created in the zones of other nodes when the own one has no stock.
    pub zone_failover: bool,
    /// Security group of the container groups.
    pub security_group_id: String,
    /// Name of this cluster, unique in the account.
    pub cluster_id: String,
    /// Limits of calls to ECI.
    pub eci_limits: EciLimits,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub metrics_listen: SocketAddr,
    /// Where the serving certificate of the kubelet API comes from.
    pub serving: ServingCertificate,
    /// Where a serving certificate that the agent looks after itself is kept.
    pub cert_dir: PathBuf,
    /// How long streams of the kubelet API may be without data.
    pub streaming_idle_timeout: Duration,
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
    /// Where logs of some pods are kept beyond their groups; `None` = nowhere.
    pub log_archive: Option<LogArchiveConfig>,
    /// Where records of what groups cost are kept; none = nowhere.
    pub cost: Option<CostConfig>,
    /// What applications and namespaces may cost.
    pub budgets: BudgetSettings,
    /// How long the cloud is given before something is concluded from what it does not show.
    pub patience: Patience,
    /// What each namespace may have on virtual nodes at a time.
    pub namespace_cap: Cap,
    /// How pods are let onto the virtual nodes; none = they come by themselves.
    pub burst: Option<BurstConfig>,
    /// How the admission webhook is served; none = it is not. Only with [`Self::burst`].
    pub webhook: Option<WebhookConfig>,
    /// How logs are written.
    pub log: LogSettings,
}

/// Where records of what container groups cost are kept, and by which prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostConfig {
    /// Namespace of the ConfigMaps; `None` = that of the pod the agent runs in, else `kube-system`.
    pub namespace: Option<String>,
    /// Kubeconfig file; `None` = the node's, without its impersonation.
    pub kubeconfig: Option<PathBuf>,
    /// User that is impersonated.
    pub impersonate: Option<String>,
    /// How long they are kept.
    pub max_age: Duration,
    /// Bytes of them that are kept.
    pub max_bytes: u64,
    /// Currency of the embedded list prices, and of the table.
    pub currency: Currency,
    /// What the account's prices are by its user.
    pub price_table: Option<PriceTable>,
}

/// By which Lease replicas elect one among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionConfig {
    /// Name of the Lease.
    pub name: String,
    /// Its namespace; `None` = that of the pod the agent runs in, else `kube-system`.
    pub namespace: Option<String>,
}

/// How pods are let onto the virtual nodes by their policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BurstConfig {
    /// Kubeconfig file; `None` = the node's, without its impersonation.
    pub kubeconfig: Option<PathBuf>,
    /// User that is impersonated.
    pub impersonate: Option<String>,
    /// Policy of pods for which nobody else has one.
    pub policy: Option<Policy>,
    /// How long pods stay when their node is not ready.
    pub outage_toleration: OutageToleration,
    /// How long the scheduler is left to find room on workers.
    pub wait: Duration,
    /// Where the eci-profile is.
    pub profile: ProfileName,
}

/// How the admission webhook is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where.
    pub listen: SocketAddr,
    /// What becomes of pods that could never run.
    pub impossible: Impossible,
    /// Name of the MutatingWebhookConfiguration.
    pub configuration: String,
    /// Namespace and name of the Secret for the certificate; no namespace = that of the pod the agent runs in.
    pub secret: (Option<String>, String),
    /// Times of certificates.
    pub times: Times,
}

/// One virtual node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Name of the Node object.
    pub name: String,
    /// Zone, where known.
    pub zone: Option<String>,
    /// VSwitches the groups are created in, in order of preference; at least one.
    pub vswitch_ids: Vec<String>,
    /// The most that the node offers.
    pub bounds: Bounds,
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

/// Where logs of some pods are kept beyond their groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogArchiveConfig {
    /// Where.
    pub store: Location,
    /// Labels that a pod must have.
    pub selector: BTreeMap<String, String>,
}

/// Where the serving certificate of the kubelet API comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServingCertificate {
    /// Files of the administrator's.
    Files(ServingFiles),
    /// Requested from the cluster, where somebody approves it.
    Request,
    /// Signed by the agent itself, for API servers that do not verify kubelets' certificates.
    SelfSigned,
}

/// A serving certificate on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingFiles {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// Whether groups can reach service addresses (docs/decisions/0003-the-relay.md).
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
            schedule_strategy,
            zone_failover,
            max_vcpu,
            max_pods,
            node_ip,
            kubelet_listen,
            kubeconfig,
            impersonate_node,
            leader_elect,
            leader_elect_resource_name,
            leader_elect_resource_namespace,
            eci_endpoint,
            region,
            security_group_id,
            cluster_id,
            eci_limits,
            metrics_listen,
            serving_certificate,
            tls_cert_file,
            tls_private_key_file,
            cert_dir,
            streaming_connection_idle_timeout,
            client_ca_file,
            service_vips,
            relay_ip,
            api_server,
            cluster_dns,
            cluster_domain,
            register_with_taints,
            node_labels,
            unenforceable,
            log_archive,
            log_archive_endpoint,
            log_archive_region,
            log_archive_selector,
            cost_records,
            cost_namespace,
            cost_kubeconfig,
            cost_impersonate,
            cost_max_age,
            cost_max_mib,
            cost_currency,
            price_table,
            application_budget,
            namespace_budget,
            budget_action,
            list_period,
            list_lag,
            orphan_age,
            burst,
            outage_toleration,
            burst_kubeconfig,
            burst_impersonate,
            burst_policy,
            burst_wait,
            burst_profile,
            webhook_listen,
            webhook_impossible,
            webhook_configuration,
            webhook_secret,
            webhook_certificate_life,
            webhook_ca_overlap,
            namespace_max_pods,
            namespace_max_vcpu,
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
                max_vcpu,
                max_pods,
                node_ip,
                kubelet_listen,
            },
        );
        let schedule_strategy = r
            .parsed("schedule-strategy", schedule_strategy, parse_schedule_strategy)
            .unwrap_or_default();
        let zone_failover = r.parsed("zone-failover", zone_failover, parse_bool).unwrap_or(true);
        let kubeconfig = r.path("kubeconfig", kubeconfig);
        let impersonate_node = r
            .parsed("impersonate-node", impersonate_node, parse_bool)
            .unwrap_or(false);
        let election = r.election(
            leader_elect,
            leader_elect_resource_name,
            leader_elect_resource_namespace,
        );
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
        let serving = r.serving_certificate(serving_certificate, tls_cert_file, tls_private_key_file);
        let cert_dir = r
            .path("cert-dir", cert_dir)
            .unwrap_or_else(|| PathBuf::from(DEFAULT_CERT_DIR));
        let streaming_idle_timeout = r
            .parsed(
                "streaming-connection-idle-timeout",
                streaming_connection_idle_timeout,
                parse_duration,
            )
            .unwrap_or(IDLE_TIMEOUT);
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
        let log_archive = r.log_archive(
            log_archive,
            log_archive_endpoint,
            log_archive_region,
            log_archive_selector,
        );
        let cost = r.cost(
            &region,
            CostText {
                records: cost_records,
                namespace: cost_namespace,
                kubeconfig: cost_kubeconfig,
                impersonate: cost_impersonate,
                max_age: cost_max_age,
                max_mib: cost_max_mib,
                currency: cost_currency,
                price_table,
            },
        );
        let budgets = r.budgets(cost.as_ref(), application_budget, namespace_budget, budget_action);
        let usual = Patience::default();
        let patience = Patience {
            list_period: r
                .parsed("list-period", list_period, parse_duration)
                .unwrap_or(usual.list_period),
            list_lag: r.parsed("list-lag", list_lag, parse_duration).unwrap_or(usual.list_lag),
            orphan_age: r
                .parsed("orphan-age", orphan_age, parse_duration)
                .unwrap_or(usual.orphan_age),
            ..usual
        };
        let namespace_cap = Cap {
            pods: r.parsed("namespace-max-pods", namespace_max_pods, parse_number::<u64>),
            cpu: r.parsed("namespace-max-vcpu", namespace_max_vcpu, parse_vcpu),
        };
        let burst = r.burst(BurstText {
            burst,
            outage_toleration,
            kubeconfig: burst_kubeconfig,
            impersonate: burst_impersonate,
            policy: burst_policy,
            wait: burst_wait,
            profile: burst_profile,
        });
        let webhook = r.webhook(
            burst.is_some(),
            WebhookText {
                listen: webhook_listen,
                impossible: webhook_impossible,
                configuration: webhook_configuration,
                secret: webhook_secret,
                life: webhook_certificate_life,
                overlap: webhook_ca_overlap,
            },
        );
        let log = r.log(log);

        r.finish(Self {
            nodes,
            kubeconfig,
            impersonate_node,
            election,
            eci_endpoint,
            region,
            schedule_strategy,
            zone_failover,
            security_group_id,
            cluster_id,
            eci_limits,
            metrics_listen,
            serving,
            cert_dir,
            streaming_idle_timeout,
            client_ca_file,
            service_vips,
            cluster_dns,
            cluster_domain,
            taints,
            node_labels,
            unenforceable,
            log_archive,
            cost,
            budgets,
            patience,
            namespace_cap,
            burst,
            webhook,
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

#[cfg(test)]
mod tests;
