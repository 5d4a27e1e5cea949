//! What was typed: the command line and its environment, not yet judged.
//!
//! Every setting of `run` has three sources, in order of precedence: the flag, the environment variable
//! `VIRTUAL_NODE_<FLAG>`, and the key of the same name in the file given by `--config`. Values stay text here, so that
//! [`crate::config`] can read all three sources alike and report every bad value at once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A Kubernetes virtual node that runs its pods as container groups of Alibaba Cloud ECI.
#[derive(Debug, Parser)]
#[command(name = "virtual-node", version, about, disable_version_flag = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the agent: register the virtual node and run its pods as container groups
    ///
    /// Credentials of ECI come from the environment (ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET) or the
    /// other sources of Alibaba Cloud's default chain, never from a flag.
    Run(Box<RunArgs>),
    /// Check that all is there that the agent needs, and say what to do where it is not
    ///
    /// Takes the settings of `run`; run it where the agent runs. It changes nothing and prints no secret. The exit code is 0 when
    /// all is well, 1 when something should be looked at, 2 when something does not work.
    Check(Box<CheckArgs>),
    /// Say what applications cost, by the records that the agent keeps and the pods that run
    ///
    /// Runs anywhere with a kubeconfig that may list pods, and ConfigMaps in the namespace of the records.
    Cost(Box<CostArgs>),
    /// Run the relay: forward TCP 443 to the API server and port 53 to the cluster's DNS, for container groups that
    /// cannot reach service addresses
    Relay(Box<RelayArgs>),
    /// Print the version
    Version,
}

/// Settings of `virtual-node cost`.
#[derive(Args, Clone, Debug)]
pub struct CostArgs {
    /// What to say [default: list]
    #[command(subcommand)]
    pub action: Option<CostAction>,

    /// Kubeconfig file [default: KUBECONFIG, then ~/.kube/config, then the service account of the pod this runs in]
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,

    /// Namespace of the ConfigMaps with the records
    #[arg(
        long,
        env = "VIRTUAL_NODE_COST_NAMESPACE",
        value_name = "NAME",
        default_value = "virtual-node",
        global = true
    )]
    pub cost_namespace: String,

    /// Only applications of this namespace [default: all]
    #[arg(long, short, value_name = "NAME", global = true)]
    pub namespace: Option<String>,

    /// Only what was billed within this time, such as 24h [default: all that is kept]
    #[arg(long, value_name = "DURATION", global = true)]
    pub since: Option<String>,

    /// Form of the answer; amounts in JSON are whole 10⁻⁹ of the currency's unit
    #[arg(long, short, value_enum, default_value_t, global = true)]
    pub output: CostOutput,
}

/// What `virtual-node cost` says.
#[derive(Clone, Debug, Subcommand)]
pub enum CostAction {
    /// Applications, with the cost of drivers and executors
    List,
    /// One application's container groups: times, sizes, and what the money went into
    Show {
        /// Its id, its name, or the operator's id of the run, or the beginning of one of them
        #[arg(value_name = "APPLICATION")]
        application: String,

        /// What Spark tells of it.
        #[command(flatten)]
        log: EventLogArgs,
    },
    /// What the same application would have cost otherwise, each answer with what it takes for granted
    WhatIf(WhatIfArgs),
}

/// Where Spark's event log is.
#[derive(Args, Clone, Debug, Default)]
pub struct EventLogArgs {
    /// Where event logs are (spark.eventLog.dir), or the log itself: a path, or s3://, s3a:// or oss://BUCKET/PREFIX
    ///
    /// Endpoint, region and keys of a store come from the environment (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY, those of Alibaba Cloud for oss).
    #[arg(long, env = "VIRTUAL_NODE_COST_EVENT_LOG", value_name = "PLACE")]
    pub event_log: Option<String>,
}

/// What `virtual-node cost what-if` is asked.
#[derive(Args, Clone, Debug, Default)]
pub struct WhatIfArgs {
    /// Its id, its name, or the operator's id of the run, or the beginning of one of them
    #[arg(value_name = "APPLICATION")]
    pub application: String,

    /// What Spark tells of it.
    #[command(flatten)]
    pub log: EventLogArgs,

    /// Instance type of workers to put all pods on; may be given several times [default: some usual ones]
    #[arg(long, value_name = "TYPE")]
    pub worker: Vec<String>,

    /// What an hour of that --worker costs [default: what --price-table says, else ECI's list price of its size]
    #[arg(long, value_name = "AMOUNT")]
    pub worker_price: Vec<String>,

    /// File with prices of this account, as of `virtual-node run`: what other sizes cost, and workers [default: ECI's list prices]
    #[arg(long, env = "VIRTUAL_NODE_PRICE_TABLE", value_name = "FILE")]
    pub price_table: Option<PathBuf>,

    /// What spot costs, in percent of the list price [default: 30]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub spot_percent: Option<u32>,

    /// Numbers of executors to try [default: half, one more, and twice of what there were]
    #[arg(long, value_name = "COUNT,...", value_delimiter = ',')]
    pub executors: Vec<usize>,

    /// Cores of each of those [default: as they had]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub executor_cores: Option<u32>,

    /// Memory that each of their pods asks for, such as 8Gi [default: as they asked for, by core]
    #[arg(long, value_name = "QUANTITY")]
    pub executor_memory: Option<String>,

    /// Executors that Spark asks for at a time (spark.kubernetes.allocation.batch.size) [default: as it was]
    #[arg(long, value_name = "COUNT")]
    pub batch_size: Option<usize>,
}

/// Forms of what `virtual-node cost` says.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum CostOutput {
    /// Tables for people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For spreadsheets.
    Csv,
    /// One page with pictures, of one application.
    Html,
}

/// Settings of `virtual-node run`, as text. `None` = neither flag nor environment variable was given.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// YAML file with the same settings (keys are the names of the flags) and, under `nodes`, several nodes
    #[arg(long, env = "VIRTUAL_NODE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Name of the one node to register; for several use `nodes` in the --config file
    #[arg(long, env = "VIRTUAL_NODE_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,

    /// Zone of the node [default: taken from a node name of the form virtual-kubelet-<zone>]
    #[arg(long, env = "VIRTUAL_NODE_ZONE", value_name = "ID")]
    pub zone: Option<String>,

    /// VSwitches the groups are created in, in order of preference
    #[arg(long, env = "VIRTUAL_NODE_VSWITCH_IDS", value_name = "ID,...")]
    pub vswitch_ids: Option<String>,

    /// Order in which vSwitches are tried: VSwitchOrdered or VSwitchRandom; a pod's annotation beats it [default: VSwitchOrdered]
    #[arg(
        long,
        env = "VIRTUAL_NODE_SCHEDULE_STRATEGY",
        value_name = "VSwitchOrdered|VSwitchRandom"
    )]
    pub schedule_strategy: Option<String>,

    /// Create groups in the zones of the other `nodes` when the node's own has no stock, for pods that nothing ties to a zone (true or
    /// false) [default: true]
    #[arg(long, env = "VIRTUAL_NODE_ZONE_FAILOVER", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub zone_failover: Option<String>,

    /// The most vCPU that a node offers, of what the account may use [default: all of it]
    #[arg(long, env = "VIRTUAL_NODE_MAX_VCPU", value_name = "VCPU")]
    pub max_vcpu: Option<String>,

    /// The most pods that a node offers [default: by vCPU, 20000 at most]
    #[arg(long, env = "VIRTUAL_NODE_MAX_PODS", value_name = "COUNT")]
    pub max_pods: Option<String>,

    /// Address the API server reaches this agent at (the node's InternalIP) [default: the address of --kubelet-listen]
    #[arg(long, env = "VIRTUAL_NODE_NODE_IP", value_name = "IP")]
    pub node_ip: Option<String>,

    /// Where the kubelet API (logs) is served [default: 0.0.0.0:10250]
    #[arg(long, env = "VIRTUAL_NODE_KUBELET_LISTEN", value_name = "IP:PORT")]
    pub kubelet_listen: Option<String>,

    /// Kubeconfig file [default: the service account of the pod the agent runs in]
    #[arg(long, env = "VIRTUAL_NODE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<String>,

    /// Act as system:node:<node-name> in system:nodes by impersonation (true or false) [default: false]
    ///
    /// For agents that run under a service account: the Node authorizer then confines each node to its own pods.
    #[arg(long, env = "VIRTUAL_NODE_IMPERSONATE_NODE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub impersonate_node: Option<String>,

    /// Elect one of several replicas by a Lease; the others stand by (true or false) [default: false]
    ///
    /// The Lease is written by the identity of --kubeconfig or of the service account, not by the node's.
    #[arg(long, env = "VIRTUAL_NODE_LEADER_ELECT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub leader_elect: Option<String>,

    /// Name of that Lease; replicas of the same nodes share it [default: virtual-node]
    #[arg(long, env = "VIRTUAL_NODE_LEADER_ELECT_RESOURCE_NAME", value_name = "NAME")]
    pub leader_elect_resource_name: Option<String>,

    /// Namespace of that Lease [default: the namespace of the pod the agent runs in, else kube-system]
    #[arg(long, env = "VIRTUAL_NODE_LEADER_ELECT_RESOURCE_NAMESPACE", value_name = "NAME")]
    pub leader_elect_resource_namespace: Option<String>,

    /// URL of the ECI OpenAPI [default: https://eci.<region>.aliyuncs.com]
    #[arg(long, env = "VIRTUAL_NODE_ECI_ENDPOINT", value_name = "URL")]
    pub eci_endpoint: Option<String>,

    /// Region, such as cn-hangzhou
    #[arg(long, env = "VIRTUAL_NODE_REGION", value_name = "ID")]
    pub region: Option<String>,

    /// Security group of the container groups
    #[arg(long, env = "VIRTUAL_NODE_SECURITY_GROUP_ID", value_name = "ID")]
    pub security_group_id: Option<String>,

    /// Name of this cluster, unique in the account: it marks the groups that belong to it
    #[arg(long, env = "VIRTUAL_NODE_CLUSTER_ID", value_name = "ID")]
    pub cluster_id: Option<String>,

    /// Limits of calls to ECI: documented, none, or a file [default: documented]
    #[arg(long, env = "VIRTUAL_NODE_ECI_LIMITS", value_name = "documented|none|FILE")]
    pub eci_limits: Option<String>,

    /// Where /metrics, /healthz and /readyz are served [default: 127.0.0.1:10255]
    #[arg(long, env = "VIRTUAL_NODE_METRICS_LISTEN", value_name = "IP:PORT")]
    pub metrics_listen: Option<String>,

    /// Where the serving certificate of the kubelet API comes from [default: files with --tls-cert-file, else request]
    ///
    /// `request` makes a CertificateSigningRequest, which an administrator approves (`virtual-node check` prints the command).
    /// `self-signed` is for API servers without --kubelet-certificate-authority, which verify no kubelet's certificate.
    #[arg(
        long,
        env = "VIRTUAL_NODE_SERVING_CERTIFICATE",
        value_name = "files|request|self-signed"
    )]
    pub serving_certificate: Option<String>,

    /// Serving certificate of the kubelet API, PEM; read again when it changes
    #[arg(long, env = "VIRTUAL_NODE_TLS_CERT_FILE", value_name = "FILE")]
    pub tls_cert_file: Option<String>,

    /// Private key of --tls-cert-file, PEM
    #[arg(long, env = "VIRTUAL_NODE_TLS_PRIVATE_KEY_FILE", value_name = "FILE")]
    pub tls_private_key_file: Option<String>,

    /// Where a serving certificate that is not from files is kept [default: /var/lib/virtual-node/pki]
    #[arg(long, env = "VIRTUAL_NODE_CERT_DIR", value_name = "DIRECTORY")]
    pub cert_dir: Option<String>,

    /// How long exec, attach and port-forward may be without data before they are ended, such as 30m [default: 4h]
    #[arg(
        long,
        env = "VIRTUAL_NODE_STREAMING_CONNECTION_IDLE_TIMEOUT",
        value_name = "DURATION"
    )]
    pub streaming_connection_idle_timeout: Option<String>,

    /// CA of the client certificates the kubelet API accepts, PEM [default: none accepted, bearer tokens only]
    #[arg(long, env = "VIRTUAL_NODE_CLIENT_CA_FILE", value_name = "FILE")]
    pub client_ca_file: Option<String>,

    /// Whether service addresses are reachable from container groups: routed or relay [default: routed]
    #[arg(long, env = "VIRTUAL_NODE_SERVICE_VIPS", value_name = "routed|relay")]
    pub service_vips: Option<String>,

    /// Address of `virtual-node relay`, for --service-vips relay
    #[arg(long, env = "VIRTUAL_NODE_RELAY_IP", value_name = "IP")]
    pub relay_ip: Option<String>,

    /// Address of the API server as reachable from container groups, for --service-vips relay
    #[arg(long, env = "VIRTUAL_NODE_API_SERVER", value_name = "HOST:PORT")]
    pub api_server: Option<String>,

    /// Name servers of pods with dnsPolicy ClusterFirst [default: the relay with --service-vips relay, else 10.96.0.10]
    #[arg(long, env = "VIRTUAL_NODE_CLUSTER_DNS", value_name = "IP,...")]
    pub cluster_dns: Option<String>,

    /// DNS domain of the cluster [default: cluster.local]
    #[arg(long, env = "VIRTUAL_NODE_CLUSTER_DOMAIN", value_name = "DOMAIN")]
    pub cluster_domain: Option<String>,

    /// Taints a newly registered node carries; empty = none [default: virtual-kubelet.io/provider=alibabacloud:NoSchedule]
    #[arg(long, env = "VIRTUAL_NODE_REGISTER_WITH_TAINTS", value_name = "KEY=VALUE:EFFECT,...")]
    pub register_with_taints: Option<String>,

    /// Labels of the node besides its own
    #[arg(long, env = "VIRTUAL_NODE_NODE_LABELS", value_name = "KEY=VALUE,...")]
    pub node_labels: Option<String>,

    /// Pod fields that only tighten security and that ECI cannot express: warn or refuse [default: warn]
    #[arg(long, env = "VIRTUAL_NODE_UNENFORCEABLE", value_name = "warn|refuse")]
    pub unenforceable: Option<String>,

    /// Let pods onto the virtual nodes by their burst policy, and read the eci-profile and the caps of namespaces (true or false)
    /// [default: false]
    #[arg(long, env = "VIRTUAL_NODE_BURST", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub burst: Option<String>,

    /// How long pods stay when no agent runs and their node is not ready, with --burst: a duration, forever or off [default: 24h]
    ///
    /// Their groups run on all the while. A pod that has been here for half a minute and would be evicted earlier is given longer
    /// tolerations for not-ready and unreachable.
    #[arg(long, env = "VIRTUAL_NODE_OUTAGE_TOLERATION", value_name = "DURATION|forever|off")]
    pub outage_toleration: Option<String>,

    /// Kubeconfig file for --burst, whose rights are not a node's [default: as --kubeconfig, without --impersonate-node]
    #[arg(long, env = "VIRTUAL_NODE_BURST_KUBECONFIG", value_name = "FILE")]
    pub burst_kubeconfig: Option<String>,

    /// User that --burst acts as by impersonation, such as system:serviceaccount:virtual-node:virtual-node-burst
    #[arg(long, env = "VIRTUAL_NODE_BURST_IMPERSONATE", value_name = "USER")]
    pub burst_impersonate: Option<String>,

    /// Policy of pods for which neither themselves nor their namespace nor the eci-profile have one: ecs-first, eci-only, ecs-only
    /// or eci-first [default: none, they are left alone]
    #[arg(long, env = "VIRTUAL_NODE_BURST_POLICY", value_name = "POLICY")]
    pub burst_policy: Option<String>,

    /// How long the scheduler is left to find room on workers before a pod of ecs-first is let onto the virtual nodes; annotation
    /// k8s.aliyun.com/eci-burst-wait of the pod or its namespace beats this [default: 0s]
    #[arg(long, env = "VIRTUAL_NODE_BURST_WAIT", value_name = "DURATION")]
    pub burst_wait: Option<String>,

    /// Where the eci-profile is [default: kube-system/eci-profile]
    #[arg(long, env = "VIRTUAL_NODE_BURST_PROFILE", value_name = "NAMESPACE/NAME")]
    pub burst_profile: Option<String>,

    /// Where the admission webhook is served, with --burst [default: not served]
    ///
    /// It shapes pods by their policies as they are created. manifests/webhook has what belongs to it in the cluster.
    #[arg(long, env = "VIRTUAL_NODE_WEBHOOK_LISTEN", value_name = "IP:PORT")]
    pub webhook_listen: Option<String>,

    /// What becomes of a pod that can go nowhere but to the virtual nodes and could never run there: warn (it is created) or refuse
    /// [default: warn]
    #[arg(long, env = "VIRTUAL_NODE_WEBHOOK_IMPOSSIBLE", value_name = "warn|refuse")]
    pub webhook_impossible: Option<String>,

    /// MutatingWebhookConfiguration into which the webhook's CA is written [default: virtual-node]
    #[arg(long, env = "VIRTUAL_NODE_WEBHOOK_CONFIGURATION", value_name = "NAME")]
    pub webhook_configuration: Option<String>,

    /// Secret in which replicas share the webhook's certificate [default: virtual-node-webhook, in the namespace of the pod the agent
    /// runs in]
    #[arg(long, env = "VIRTUAL_NODE_WEBHOOK_SECRET", value_name = "NAMESPACE/NAME")]
    pub webhook_secret: Option<String>,

    /// How long the webhook's CA and certificate are good; renewed when two thirds are over [default: 2160h]
    #[arg(
        long,
        env = "VIRTUAL_NODE_WEBHOOK_CERTIFICATE_LIFE",
        value_name = "DURATION",
        hide_short_help = true
    )]
    pub webhook_certificate_life: Option<String>,

    /// How long a new CA of the webhook is trusted before it is used [default: 10m]
    #[arg(
        long,
        env = "VIRTUAL_NODE_WEBHOOK_CA_OVERLAP",
        value_name = "DURATION",
        hide_short_help = true
    )]
    pub webhook_ca_overlap: Option<String>,

    /// Pods that a namespace may have on virtual nodes at a time; its annotation k8s.aliyun.com/eci-max-pods beats this, with
    /// --burst [default: no limit]
    #[arg(long, env = "VIRTUAL_NODE_NAMESPACE_MAX_PODS", value_name = "COUNT")]
    pub namespace_max_pods: Option<String>,

    /// vCPU, as bought, that a namespace may have on virtual nodes at a time; its annotation k8s.aliyun.com/eci-max-vcpu beats
    /// this, with --burst [default: no limit]
    #[arg(long, env = "VIRTUAL_NODE_NAMESPACE_MAX_VCPU", value_name = "VCPU")]
    pub namespace_max_vcpu: Option<String>,
    /// Where logs are kept beyond their container groups, such as s3://bucket/prefix or oss://bucket/prefix [default: nowhere]
    ///
    /// Credentials of s3 come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or the shared credentials file, of
    /// oss from where those of ECI come.
    #[arg(long, env = "VIRTUAL_NODE_LOG_ARCHIVE", value_name = "URL")]
    pub log_archive: Option<String>,

    /// Endpoint of the log archive's store [default: AWS_ENDPOINT_URL or that of AWS for s3, that of the region for oss]
    #[arg(long, env = "VIRTUAL_NODE_LOG_ARCHIVE_ENDPOINT", value_name = "URL")]
    pub log_archive_endpoint: Option<String>,

    /// Region of the log archive's store [default: AWS_REGION for s3, --region for oss]
    #[arg(long, env = "VIRTUAL_NODE_LOG_ARCHIVE_REGION", value_name = "ID")]
    pub log_archive_region: Option<String>,

    /// Labels of the pods whose logs are kept; a pod must have all of them [default: spark-role=driver]
    #[arg(long, env = "VIRTUAL_NODE_LOG_ARCHIVE_SELECTOR", value_name = "KEY=VALUE,...")]
    pub log_archive_selector: Option<String>,

    /// Keep records of what container groups cost, in ConfigMaps (true or false) [default: true]
    #[arg(long, env = "VIRTUAL_NODE_COST_RECORDS", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub cost_records: Option<String>,

    /// Namespace of those ConfigMaps [default: the namespace of the pod the agent runs in, else kube-system]
    #[arg(long, env = "VIRTUAL_NODE_COST_NAMESPACE", value_name = "NAME")]
    pub cost_namespace: Option<String>,

    /// Kubeconfig file by which they are written [default: --kubeconfig, without the impersonation of a node]
    #[arg(long, env = "VIRTUAL_NODE_COST_KUBECONFIG", value_name = "FILE")]
    pub cost_kubeconfig: Option<String>,

    /// User that is impersonated for that, such as system:serviceaccount:virtual-node:virtual-node [default: nobody]
    #[arg(long, env = "VIRTUAL_NODE_COST_IMPERSONATE", value_name = "USER")]
    pub cost_impersonate: Option<String>,

    /// How long they are kept, such as 744h [default: 744h]
    #[arg(long, env = "VIRTUAL_NODE_COST_MAX_AGE", value_name = "DURATION")]
    pub cost_max_age: Option<String>,

    /// MiB of them that are kept; the oldest go first [default: 16]
    #[arg(long, env = "VIRTUAL_NODE_COST_MAX_MIB", value_name = "COUNT")]
    pub cost_max_mib: Option<String>,

    /// Currency of the list prices that are used where no other are known: CNY or USD [default: that of
    /// --price-table, else CNY]
    #[arg(long, env = "VIRTUAL_NODE_COST_CURRENCY", value_name = "CNY|USD")]
    pub cost_currency: Option<String>,

    /// File with prices or a discount of this account, in YAML or JSON (docs/cost.md); what it does not say is asked of ECI
    #[arg(long, env = "VIRTUAL_NODE_PRICE_TABLE", value_name = "FILE")]
    pub price_table: Option<String>,

    /// What each application may cost on virtual nodes, such as 12.50 or 100/day, in the currency of the prices; the annotation
    /// k8s.aliyun.com/eci-budget of its pods beats this [default: no limit]
    #[arg(long, env = "VIRTUAL_NODE_APPLICATION_BUDGET", value_name = "AMOUNT")]
    pub application_budget: Option<String>,

    /// What each namespace may cost on virtual nodes in a day or month of UTC, such as 100/day or 2000/month; the annotation
    /// k8s.aliyun.com/eci-budget of the Namespace beats this [default: no limit]
    #[arg(long, env = "VIRTUAL_NODE_NAMESPACE_BUDGET", value_name = "AMOUNT/PERIOD")]
    pub namespace_budget: Option<String>,

    /// What follows when a budget is spent: warn, hold (no new container groups) or stop (its pods are deleted); the annotation
    /// k8s.aliyun.com/eci-budget-action beats this, of a Namespace for it, of pods for their application [default: warn]
    #[arg(long, env = "VIRTUAL_NODE_BUDGET_ACTION", value_name = "ACTION")]
    pub budget_action: Option<String>,

    /// How often all container groups are listed, such as 30s or 1m [default: 30s]
    ///
    /// A group counts as gone when two lists in a row lack it. Only tests have a reason to change this or the next two.
    #[arg(
        long,
        env = "VIRTUAL_NODE_LIST_PERIOD",
        value_name = "DURATION",
        hide_short_help = true
    )]
    pub list_period: Option<String>,

    /// A group made this shortly before a list began may be missing from it [default: 10s]
    #[arg(long, env = "VIRTUAL_NODE_LIST_LAG", value_name = "DURATION", hide_short_help = true)]
    pub list_lag: Option<String>,

    /// A group of this cluster and node that no pod owns is deleted when it is this old [default: 60s]
    #[arg(
        long,
        env = "VIRTUAL_NODE_ORPHAN_AGE",
        value_name = "DURATION",
        hide_short_help = true
    )]
    pub orphan_age: Option<String>,

    /// How logs are written.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Settings of `virtual-node check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The agent's settings.
    #[command(flatten)]
    pub run: RunArgs,

    /// Form of what is found
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Form of what `virtual-node check` finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A line for each finding.
    #[default]
    Text,
    /// An object with `result` and `checks`.
    Json,
}

/// Settings of `virtual-node relay`.
#[derive(Args, Clone, Debug, Default)]
pub struct RelayArgs {
    /// Address to listen on, ports 443 and 53
    #[arg(long, env = "VIRTUAL_NODE_LISTEN_ADDRESS", value_name = "IP")]
    pub listen_address: Option<String>,

    /// Port that is forwarded to the API server [default: 443]
    #[arg(long, env = "VIRTUAL_NODE_API_PORT", value_name = "PORT")]
    pub api_port: Option<String>,

    /// Port that is forwarded to the cluster's DNS [default: 53]
    #[arg(long, env = "VIRTUAL_NODE_DNS_PORT", value_name = "PORT")]
    pub dns_port: Option<String>,

    /// Kubeconfig file [default: the service account of the pod the relay runs in]
    #[arg(long, env = "VIRTUAL_NODE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<String>,

    /// Addresses of API servers, instead of the EndpointSlices of default/kubernetes
    #[arg(long, env = "VIRTUAL_NODE_API_SERVER", value_name = "HOST:PORT,...")]
    pub api_server: Option<String>,

    /// Addresses of DNS servers, instead of the EndpointSlices of kube-system/kube-dns
    #[arg(long, env = "VIRTUAL_NODE_DNS", value_name = "IP:PORT,...")]
    pub dns: Option<String>,

    /// Connections held at the same time [default: 10000]
    #[arg(long, env = "VIRTUAL_NODE_MAX_CONNECTIONS", value_name = "COUNT")]
    pub max_connections: Option<String>,

    /// Where /metrics, /healthz and /readyz are served [default: not served]
    #[arg(long, env = "VIRTUAL_NODE_METRICS_LISTEN", value_name = "IP:PORT")]
    pub metrics_listen: Option<String>,

    /// How logs are written.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The command line as it is meant: a program that is called `kubectl-…`, as kubectl calls its plugins, is `virtual-node cost`.
pub fn as_called(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let program = arguments
        .first()
        .and_then(|program| Path::new(program).file_name()?.to_str());
    if program.is_some_and(|program| program.starts_with("kubectl-")) {
        arguments.insert(1, OsString::from("cost"));
    }
    arguments
}

/// How logs are written.
#[derive(Args, Clone, Debug, Default)]
pub struct LogArgs {
    /// Form of log lines: text or json [default: text]
    #[arg(long, env = "VIRTUAL_NODE_LOG_FORMAT", value_name = "text|json")]
    pub log_format: Option<String>,

    /// What is logged: a level, or directives such as info,virtual_node::pods=debug [default: info]
    #[arg(long, env = "VIRTUAL_NODE_LOG_LEVEL", value_name = "DIRECTIVES")]
    pub log_level: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_of_kubectl_is_the_command_cost() {
        let parsed = |line: &str| Cli::try_parse_from(as_called(line.split(' ').map(OsString::from)));
        for line in [
            "/usr/local/bin/kubectl-eci_cost show spark-1 --event-log s3a://b/events",
            "virtual-node cost show spark-1 --event-log s3a://b/events",
        ] {
            match parsed(line).map(|cli| cli.command) {
                Ok(Command::Cost(args)) => match args.action {
                    Some(CostAction::Show { application, log }) => {
                        assert_eq!(
                            (application.as_str(), log.event_log.as_deref()),
                            ("spark-1", Some("s3a://b/events"))
                        );
                    }
                    other => panic!("{line} is {other:?}"),
                },
                other => panic!("{line} is {other:?}"),
            }
        }
        assert!(matches!(
            parsed("virtual-node version").map(|cli| cli.command),
            Ok(Command::Version)
        ));
        let line = "kubectl-eci_cost what-if a --executors 1,3 --worker ecs.g7.xlarge --worker-price 1.1 -o html";
        assert!(
            matches!(parsed(line).map(|cli| cli.command), Ok(Command::Cost(args)) if matches!(&args.action,
            Some(CostAction::WhatIf(wanted)) if wanted.executors == [1, 3] && wanted.worker == ["ecs.g7.xlarge"]))
        );
    }
}
