//! Merging the sources of each setting, and collecting the mistakes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use provider::pricing::{Currency, PriceList};
use serde::Deserialize;
use serde_json::Value;

use super::parse::{
    check_node_name, parse_bool, parse_duration, parse_endpoint, parse_host_port, parse_ip, parse_labels, parse_list,
    parse_log_format, parse_number, parse_object_name, parse_outage_toleration, parse_qualified_name, parse_socket,
    parse_vcpu, parse_wait, scalar_text, zone_of,
};
use super::{
    BurstConfig, ConfigErrors, CostConfig, DEFAULT_LOG_ARCHIVE_SELECTOR, ElectionConfig, LogArchiveConfig, NodeConfig,
    ServiceVips, ServingCertificate, ServingFiles, WebhookConfig,
};
use crate::args::LogArgs;
use crate::budget::BudgetSettings;
use crate::budget::terms::{ACTIONS, Action, FORMS, Limit, PERIODIC_FORMS, Period};
use crate::burst::outages::OutageToleration;
use crate::burst::policy::Policy;
use crate::burst::scene::ProfileName;
use crate::cost::price_table::PriceTable;
use crate::node::Bounds;
use crate::object_store::Location;
use crate::telemetry::{self, LogSettings};
use crate::webhook::{Impossible, Times};

const DEFAULT_KUBELET_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 10250);
/// A day: who looks after an agent finds the time to bring it back.
const DEFAULT_OUTAGE_TOLERATION: OutageToleration = OutageToleration::Seconds(24 * 3600);
/// A month and no more: what is to be kept for longer belongs into a store of its own (`virtual-node cost --output json`).
const DEFAULT_COST_MAX_AGE: Duration = LONGEST_MONTH;
/// A budget of a month needs the records of one.
const LONGEST_MONTH: Duration = Duration::from_secs(31 * 24 * 3600);
/// Some 100,000 groups.
const DEFAULT_COST_MAX_MIB: u32 = 16;
/// Name of the webhook configuration.
const DEFAULT_WEBHOOK: &str = "virtual-node";
/// Name of the Secret for the webhook's certificate.
const DEFAULT_WEBHOOK_SECRET: &str = "virtual-node-webhook";
/// Name of the Lease by which replicas elect one among them.
const DEFAULT_ELECTION: &str = "virtual-node";

/// The settings of the short form's one node, as text.
pub(super) struct NodeText {
    pub(super) node_name: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) vswitch_ids: Option<String>,
    pub(super) max_vcpu: Option<String>,
    pub(super) max_pods: Option<String>,
    pub(super) node_ip: Option<String>,
    pub(super) kubelet_listen: Option<String>,
}

/// The settings of records of cost, as text.
pub(super) struct CostText {
    pub(super) records: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) kubeconfig: Option<String>,
    pub(super) impersonate: Option<String>,
    pub(super) max_age: Option<String>,
    pub(super) max_mib: Option<String>,
    pub(super) currency: Option<String>,
    pub(super) price_table: Option<String>,
}

/// The settings of burst, as text.
pub(super) struct BurstText {
    pub(super) burst: Option<String>,
    pub(super) outage_toleration: Option<String>,
    pub(super) kubeconfig: Option<String>,
    pub(super) impersonate: Option<String>,
    pub(super) policy: Option<String>,
    pub(super) wait: Option<String>,
    pub(super) profile: Option<String>,
}

/// The settings of the webhook, as text.
pub(super) struct WebhookText {
    pub(super) listen: Option<String>,
    pub(super) impossible: Option<String>,
    pub(super) configuration: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) life: Option<String>,
    pub(super) overlap: Option<String>,
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
    max_vcpu: Option<Value>,
    #[serde(default)]
    max_pods: Option<Value>,
    #[serde(default)]
    kubelet_listen: Option<String>,
    #[serde(default)]
    node_ip: Option<String>,
}

/// The price table in the file at `path`, which must say something of `region`.
fn price_table(path: &str, region: &str) -> Result<PriceTable, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let table = PriceTable::parse(&text)?;
    if table.region(region).is_empty() {
        return Err(format!(
            "it says nothing of {region}: add that under `regions`, or prices or a discount for all regions beside it"
        ));
    }
    Ok(table)
}

/// Merges the sources and collects the mistakes.
pub(super) struct Resolver {
    /// Keys of the file that were not asked for yet; what remains at the end is unknown.
    file: BTreeMap<String, Value>,
    errors: Vec<String>,
}

impl Resolver {
    pub(super) fn new(file: &str) -> Self {
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

    pub(super) fn finish<T>(mut self, value: T) -> Result<T, ConfigErrors> {
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
    pub(super) fn fail<T>(&mut self, key: &str, what: impl fmt::Display) -> Option<T> {
        let variable = key.to_uppercase().replace('-', "_");
        self.errors.push(format!(
            "--{key} (VIRTUAL_NODE_{variable}, or `{key}` in the file of --config) {what}"
        ));
        None
    }

    /// The text of setting `key`, empty counting as not set.
    pub(super) fn text(&mut self, key: &str, typed: Option<String>) -> Option<String> {
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

    pub(super) fn required(&mut self, key: &str, typed: Option<String>) -> String {
        match self.text(key, typed) {
            Some(text) => text,
            None => self.fail(key, "is missing").unwrap_or_default(),
        }
    }

    pub(super) fn path(&mut self, key: &str, typed: Option<String>) -> Option<PathBuf> {
        self.text(key, typed).map(PathBuf::from)
    }

    pub(super) fn parse<T>(&mut self, key: &str, text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(text) {
            Ok(value) => Some(value),
            Err(what) => self.fail(key, format!("is `{text}`: {what}")),
        }
    }

    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        typed: Option<String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(key, typed)?;
        self.parse(key, &text, parse)
    }

    pub(super) fn parsed_even_empty<T>(
        &mut self,
        key: &str,
        typed: Option<String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text_even_empty(key, typed)?;
        self.parse(key, &text, parse)
    }

    pub(super) fn log(&mut self, args: LogArgs) -> LogSettings {
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

    pub(super) fn serving_certificate(
        &mut self,
        mode: Option<String>,
        cert: Option<String>,
        key: Option<String>,
    ) -> ServingCertificate {
        let mode = self.text("serving-certificate", mode);
        let files = match (self.path("tls-cert-file", cert), self.path("tls-private-key-file", key)) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(ServingFiles { cert, key }),
            (Some(_), None) => return self.unserved("tls-private-key-file", "is needed together with --tls-cert-file"),
            (None, Some(_)) => return self.unserved("tls-cert-file", "is needed together with --tls-private-key-file"),
        };
        match (mode.as_deref(), files) {
            (None | Some("files"), Some(files)) => ServingCertificate::Files(files),
            (Some("files"), None) => self.unserved("tls-cert-file", "is needed with --serving-certificate files"),
            (None | Some("request"), None) => ServingCertificate::Request,
            (Some("self-signed"), None) => ServingCertificate::SelfSigned,
            (Some(mode @ ("request" | "self-signed")), Some(_)) => {
                let what = format!("is `{mode}`, but --tls-cert-file names one: one of the two is too many");
                self.unserved("serving-certificate", &what)
            }
            (Some(other), _) => {
                let what = format!("is `{other}`: it must be files, request or self-signed");
                self.unserved("serving-certificate", &what)
            }
        }
    }

    fn unserved(&mut self, key: &str, what: &str) -> ServingCertificate {
        self.fail(key, what).unwrap_or(ServingCertificate::Request)
    }

    pub(super) fn log_archive(
        &mut self,
        url: Option<String>,
        endpoint: Option<String>,
        region: Option<String>,
        selector: Option<String>,
    ) -> Option<LogArchiveConfig> {
        let text = self.text("log-archive", url);
        let endpoint = self.parsed("log-archive-endpoint", endpoint, parse_endpoint);
        let region = self.text("log-archive-region", region);
        let selector = self.parsed("log-archive-selector", selector, parse_labels);
        let Some(text) = text else {
            if endpoint.is_some() || region.is_some() || selector.is_some() {
                return self.fail(
                    "log-archive",
                    "is missing, and other settings of the log archive are given",
                );
            }
            return None;
        };
        let location = self.parse("log-archive", &text, Location::parse)?;
        let selector = selector.unwrap_or_else(|| {
            let (key, value) = DEFAULT_LOG_ARCHIVE_SELECTOR;
            BTreeMap::from([(key.to_owned(), value.to_owned())])
        });
        Some(LogArchiveConfig {
            store: Location {
                endpoint,
                region,
                ..location
            },
            selector,
        })
    }

    pub(super) fn service_vips(
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

    pub(super) fn election(
        &mut self,
        elect: Option<String>,
        name: Option<String>,
        namespace: Option<String>,
    ) -> Option<ElectionConfig> {
        let elect = self.parsed("leader-elect", elect, parse_bool).unwrap_or(false);
        let name = self.parsed("leader-elect-resource-name", name, parse_object_name);
        let namespace = self.parsed("leader-elect-resource-namespace", namespace, parse_object_name);
        elect.then(|| ElectionConfig {
            name: name.unwrap_or_else(|| DEFAULT_ELECTION.to_owned()),
            namespace,
        })
    }

    pub(super) fn cost(&mut self, region: &str, text: CostText) -> Option<CostConfig> {
        let on = self.parsed("cost-records", text.records, parse_bool).unwrap_or(true);
        let mib = self.parsed("cost-max-mib", text.max_mib, parse_number::<u32>);
        let currency = self.parsed("cost-currency", text.currency, |code| {
            let list = PriceList::by_currency(code).map(|list| list.currency);
            list.ok_or_else(|| "it must be CNY or USD".to_owned())
        });
        let price_table = self.parsed("price-table", text.price_table, |path| price_table(path, region));
        let tables = price_table.as_ref().map(|table| table.currency);
        if let (Some(said), Some(tables)) = (currency, tables)
            && said != tables
        {
            let (said, tables) = (said.as_str(), tables.as_str());
            self.fail::<()>(
                "cost-currency",
                format!("is {said}, but the prices of --price-table are in {tables}: leave it out"),
            );
        }
        let cost = CostConfig {
            namespace: self.parsed("cost-namespace", text.namespace, parse_object_name),
            kubeconfig: self.path("cost-kubeconfig", text.kubeconfig),
            impersonate: self.text("cost-impersonate", text.impersonate),
            max_age: self
                .parsed("cost-max-age", text.max_age, parse_duration)
                .unwrap_or(DEFAULT_COST_MAX_AGE),
            max_bytes: u64::from(mib.unwrap_or(DEFAULT_COST_MAX_MIB)) << 20,
            currency: currency.or(tables).unwrap_or(Currency::Cny),
            price_table,
        };
        on.then_some(cost)
    }

    pub(super) fn budgets(
        &mut self,
        records: Option<&CostConfig>,
        application: Option<String>,
        namespace: Option<String>,
        action: Option<String>,
    ) -> BudgetSettings {
        let limit = |text: &str| Limit::parse(text).ok_or_else(|| format!("it must be {FORMS}"));
        let budgets = BudgetSettings {
            application: self.parsed("application-budget", application, limit),
            namespace: self.parsed("namespace-budget", namespace, |text| {
                Limit::parse_periodic(text).ok_or_else(|| format!("it must be {PERIODIC_FORMS}"))
            }),
            action: self
                .parsed("budget-action", action, |text| {
                    Action::parse(text).ok_or_else(|| format!("it must be {ACTIONS}"))
                })
                .unwrap_or_default(),
            forgets_months: records.is_some_and(|records| records.max_age < LONGEST_MONTH),
        };
        for (key, limit) in [
            ("application-budget", budgets.application),
            ("namespace-budget", budgets.namespace),
        ] {
            let Some(limit) = limit else { continue };
            match records {
                None => {
                    self.fail::<()>(key, "needs records of cost: --cost-records must not be false");
                }
                Some(records) if limit.period == Period::Month && records.max_age < LONGEST_MONTH => {
                    self.fail::<()>(
                        key,
                        "needs records of a whole month: --cost-max-age must be 744h or more",
                    );
                }
                Some(_) => {}
            }
        }
        budgets
    }

    pub(super) fn burst(&mut self, text: BurstText) -> Option<BurstConfig> {
        let on = self.parsed("burst", text.burst, parse_bool).unwrap_or(false);
        let burst = BurstConfig {
            kubeconfig: self.path("burst-kubeconfig", text.kubeconfig),
            impersonate: self.text("burst-impersonate", text.impersonate),
            policy: self.parsed("burst-policy", text.policy, |text| {
                Policy::parse(text).ok_or_else(|| "it must be ecs-first, eci-only, ecs-only or eci-first".to_owned())
            }),
            outage_toleration: self
                .parsed("outage-toleration", text.outage_toleration, parse_outage_toleration)
                .unwrap_or(DEFAULT_OUTAGE_TOLERATION),
            wait: self.parsed("burst-wait", text.wait, parse_wait).unwrap_or_default(),
            profile: self
                .parsed("burst-profile", text.profile, parse_qualified_name)
                .map_or_else(ProfileName::default, |(namespace, name)| ProfileName {
                    namespace,
                    name,
                }),
        };
        on.then_some(burst)
    }

    /// `burst` = there is an identity for it, and there are policies.
    pub(super) fn webhook(&mut self, burst: bool, text: WebhookText) -> Option<WebhookConfig> {
        let listen = self.parsed("webhook-listen", text.listen, parse_socket);
        let impossible = self.parsed("webhook-impossible", text.impossible, |text| match text {
            "warn" => Ok(Impossible::Warn),
            "refuse" => Ok(Impossible::Refuse),
            _ => Err("it must be warn or refuse".to_owned()),
        });
        let configuration = self.parsed("webhook-configuration", text.configuration, parse_object_name);
        let secret = self.parsed("webhook-secret", text.secret, parse_qualified_name);
        let usual = Times::default();
        let times = Times {
            life: self
                .parsed("webhook-certificate-life", text.life, parse_duration)
                .unwrap_or(usual.life),
            overlap: self
                .parsed("webhook-ca-overlap", text.overlap, parse_duration)
                .unwrap_or(usual.overlap),
        };
        if times.overlap.saturating_mul(4) > times.life {
            // It is renewed when a third is left, and the new CA must be in use well before the end.
            return self.fail(
                "webhook-ca-overlap",
                "must be at most a quarter of --webhook-certificate-life",
            );
        }
        let webhook = WebhookConfig {
            listen: listen?,
            impossible: impossible.unwrap_or_default(),
            configuration: configuration.unwrap_or_else(|| DEFAULT_WEBHOOK.to_owned()),
            secret: match secret {
                Some((namespace, name)) => (Some(namespace), name),
                None => (None, DEFAULT_WEBHOOK_SECRET.to_owned()),
            },
            times,
        };
        if !burst {
            return self.fail("webhook-listen", "needs --burst, whose policies and identity it uses");
        }
        Some(webhook)
    }

    pub(super) fn nodes(&mut self, region: &str, text: NodeText) -> Vec<NodeConfig> {
        let NodeText {
            node_name,
            zone,
            vswitch_ids,
            max_vcpu,
            max_pods,
            node_ip,
            kubelet_listen,
        } = text;
        let name = self.text("node-name", node_name);
        let zone = self.text("zone", zone);
        let vswitch_ids = self.parsed("vswitch-ids", vswitch_ids, parse_list);
        let max_vcpu = self.text("max-vcpu", max_vcpu).map(Value::String);
        let max_pods = self.text("max-pods", max_pods).map(Value::String);
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
                    max_vcpu,
                    max_pods,
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
                        max_vcpu: node.max_vcpu.or_else(|| max_vcpu.clone()),
                        max_pods: node.max_pods.or_else(|| max_pods.clone()),
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
            max_vcpu,
            max_pods,
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
        let bounds = Bounds {
            cpu: self.scalar("max-vcpu", max_vcpu, parse_vcpu),
            pods: self.scalar("max-pods", max_pods, parse_number::<u64>),
        };
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
            bounds,
            kubelet_listen,
            node_ip,
        })
    }

    fn scalar<T>(&mut self, key: &str, value: Option<Value>, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match scalar_text(&value?) {
            Some(text) => self.parse(key, &text, parse),
            None => self.fail(key, "must be a number"),
        }
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
