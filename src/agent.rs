//! Wiring of `virtual-node run`: clients, stores and tasks, the order in which they start, and how they end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use eci::clock::SystemClock;
use eci::credentials::{Chain, Environment};
use eci::{Action, Client, ClientConfig, Limits, Outcome, ReqwestTransport};
use futures::future::join_all;
use provider::mapping::{self, OtherZone};
use provider::pricing::PriceList;
use provider::units::MilliCpu;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::budget::{self, Budgets};
use crate::burst::{self, BurstConnections, BurstSettings};
use crate::caps::{self, Cap, Caps};
use crate::config::{BurstConfig, Config, CostConfig, EciLimits, NodeConfig, ServiceVips, Unenforceable};
use crate::cost::prices::Prices;
use crate::cost::recorder::{self, Recorder, RecorderSettings};
use crate::kubelet::archive::{Archive, Keeper, LogKeeper};
use crate::kubelet::figures::sampler::Sampler;
use crate::kubelet::{self, EciLogs, Figures, LogAccess, LogBudget};
use crate::leader::{self, LeaderSettings, Times};
use crate::metrics::{self, Gate, Health, Metrics};
use crate::node::{self, Capacity, CloudConditions, CpuUsage, NodeSettings, OwnUse};
use crate::object_store::S3Store;
use crate::pods::store::Store;
use crate::pods::{self, Connections, PodsSettings, lanes::Parallel};
use crate::shutdown::Shutdown;
use crate::webhook::{self, Terms, WebhookSettings};
use crate::{cluster, kube_client};

/// Calls a minute that ECI documents for DescribeContainerGroupStatus.
const STATUS_CALLS_PER_MINUTE: f64 = 10_000.0;
/// Our part of them: other tools of the account ask too.
const OUR_SHARE: f64 = 0.8;

/// How long the last records of cost may take to be written when the agent ends.
const LAST_RECORDS: Duration = Duration::from_secs(5);

/// Runs the agent until `shutdown`.
///
/// # Errors
/// Only what makes a start impossible: unreadable files, an address in use, no credentials. What fails later is retried.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let metrics = Metrics::new().context("registering metrics")?;
    let health = Health::new();
    let eci = eci_client(&config, &metrics)?;
    let serving = metrics::serve(
        config.metrics_listen,
        metrics.registry().clone(),
        health.clone(),
        shutdown.clone(),
    );
    let working = lead(&config, &eci, &health, &metrics, &shutdown);
    let working = async {
        let result = working.await;
        // Whatever made it end, nothing is left to serve metrics of.
        shutdown.trigger();
        result
    };
    let serving = async { serving.await.context("serving metrics") };
    let certificates = async { shutdown.race(keep_certificates(&config)).await.unwrap_or(Ok(())) };
    let webhook = serve_webhook(&config, &health, &metrics, &shutdown);
    tokio::try_join!(working, serving, certificates, webhook)?;
    Ok(())
}

/// Serves the admission webhook, whether this replica leads or not.
async fn serve_webhook(config: &Config, health: &Health, metrics: &Metrics, shutdown: &Shutdown) -> anyhow::Result<()> {
    let (Some(webhook), Some(burst)) = (&config.webhook, &config.burst) else {
        return Ok(());
    };
    let listen = webhook.listen;
    let listener = webhook::listen(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} for the webhook"))?;
    let node = config.nodes.first().context("no node is served")?;
    let (namespace, name) = &webhook.secret;
    let settings = WebhookSettings {
        policy: burst.policy,
        profile: burst.profile.clone(),
        taints: config.taints.clone(),
        terms: Terms {
            mapping: Arc::new(mapping_settings(config, node, Default::default())),
            outage_toleration: burst.outage_toleration,
            impossible: webhook.impossible,
        },
        configuration: webhook.configuration.clone(),
        secret: (leader::namespace_of(namespace.as_deref()), name.clone()),
        times: webhook.times,
    };
    let kube = burst_client(config, burst).await?;
    webhook::run(
        settings,
        kube,
        listener,
        health.clone(),
        metrics.clone(),
        shutdown.clone(),
    )
    .await;
    Ok(())
}

/// A client by the identity of burst.
///
/// # Errors
/// The kubeconfig cannot be used.
pub(crate) async fn burst_client(config: &Config, burst: &BurstConfig) -> anyhow::Result<kube::Client> {
    let kubeconfig = burst.kubeconfig.as_deref().or(config.kubeconfig.as_deref());
    let connection = kube_client::config(kubeconfig).await?;
    kube_client::client_as(&connection, burst.impersonate.as_deref())
}

/// A client by the identity that keeps records of cost: a node may write no ConfigMap, and read no Namespace.
///
/// # Errors
/// The kubeconfig cannot be used.
pub(crate) async fn cost_client(config: &Config, cost: &CostConfig) -> anyhow::Result<kube::Client> {
    let kubeconfig = cost.kubeconfig.as_deref().or(config.kubeconfig.as_deref());
    kube_client::client_as(&kube_client::config(kubeconfig).await?, cost.impersonate.as_deref())
}

/// Looks after the kubelet APIs' certificates, whether this replica leads or not.
async fn keep_certificates(config: &Config) -> anyhow::Result<()> {
    let connection = kube_client::config(config.kubeconfig.as_deref()).await?;
    let mut keeping = Vec::new();
    for node in &config.nodes {
        let client = kube_client::client(&connection, config.impersonate_node.then_some(node.name.as_str()))?;
        keeping.push(kubelet::keep_certificate(config, node, client));
    }
    join_all(keeping).await;
    Ok(())
}

/// Runs the nodes, with several replicas as soon as this one leads and for as long as it does.
async fn lead(
    config: &Config,
    eci: &Client,
    health: &Health,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let Some(election) = &config.election else {
        return run_nodes(config, eci, health, metrics, shutdown).await;
    };
    // By this process's own identity: a node may write no Lease but its own.
    let connection = kube_client::config(config.kubeconfig.as_deref()).await?;
    let settings = LeaderSettings {
        namespace: leader::namespace_of(election.namespace.as_deref()),
        name: election.name.clone(),
        identity: leader::identity(),
        times: Times::default(),
    };
    let client = kube_client::client(&connection, None)?;
    let Some(mut leadership) = leader::campaign(client, settings, metrics.clone(), shutdown).await else {
        return Ok(());
    };
    let ended = tokio::select! {
        ended = run_nodes(config, eci, health, metrics, shutdown) => ended,
        // At once, with calls under way cut off: another replica acts from here on, and it repeats them by the same tokens.
        why = leadership.keep() => return Err(anyhow!("this replica no longer leads: {why}")),
    };
    // After everything has ended, so that two replicas never work at the same time.
    leadership.release().await;
    ended
}

async fn run_nodes(
    config: &Config,
    eci: &Client,
    health: &Health,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    // Before anything is awaited: without gates the process would be ready.
    let gate = |node: &NodeConfig| health.require(format!("node {} started", node.name), "starting");
    let starting: Vec<Gate> = config.nodes.iter().map(gate).collect();
    let limits = eci_limits(config)?;
    let caps = caps(config);
    let (recorder, recording) = recorder(config, eci, metrics)
        .await
        .context("keeping records of cost")?
        .unzip();
    let budgets = match &recorder {
        Some(recorder) => {
            let budgets = Budgets::new(config.budgets, config.nodes.len());
            recorder.feed(budgets.clone());
            budgets
        }
        None => Budgets::none(),
    };
    let shared = Shared {
        eci: eci.clone(),
        logs: LogBudget::new(limits.rate(Action::DescribeContainerLog).map(|rate| rate.per_minute)),
        archive: log_archive(config, metrics)?,
        sampler: Sampler::new(Arc::new(eci.clone()), metrics.clone()),
        stores: config.nodes.iter().map(|_| Store::default()).collect(),
        caps: caps.clone(),
        budgets: budgets.clone(),
        recorder,
        health: health.clone(),
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
    };
    let mut tasks = JoinSet::new();
    if let Some(recorder) = shared.recorder.as_ref().filter(|_| config.burst.is_none()) {
        // First of all: before it is known what they may cost, no pod gets a group. With burst it is told by what burst keeps.
        let listing = budget::namespaces::keep(recorder.kube(), budgets.clone(), health.clone(), shutdown.clone());
        tasks.spawn(async move {
            listing.await;
            Ok(())
        });
    }
    for ((index, node), starting) in config.nodes.iter().enumerate().zip(starting) {
        start_node(&mut tasks, config, (index, node), starting, &shared)
            .await
            .with_context(|| format!("starting node {}", node.name))?;
    }
    if let Some(recorder) = &shared.recorder {
        // After the nodes have joined.
        let looking = budget::look::run(budgets.clone(), recorder.clone(), metrics.clone(), shutdown.clone());
        tasks.spawn(async move {
            looking.await;
            Ok(())
        });
    }
    let stores = shared.stores.clone();
    if let Some(burst) = &config.burst {
        start_burst(
            &mut tasks, config, burst, &caps, &budgets, stores, health, metrics, shutdown,
        )
        .await
        .context("starting burst")?;
    }
    drop(shared);
    let mut records = JoinSet::new();
    if let Some(recording) = recording {
        records.spawn(recording);
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended.context("a task ended badly").and_then(|result| result) {
            shutdown.trigger();
            return Err(error);
        }
    }
    // The nodes have ended: what they gave is written now, or is told again by the next agent.
    let _ = tokio::time::timeout(LAST_RECORDS, records.join_all()).await;
    Ok(())
}

/// Records of what groups cost, if they are kept, and the task that writes them.
async fn recorder(
    config: &Config,
    eci: &Client,
    metrics: &Metrics,
) -> anyhow::Result<Option<(Recorder, impl Future<Output = ()> + use<>)>> {
    let Some(cost) = &config.cost else {
        return Ok(None);
    };
    let kube = cost_client(config, cost).await?;
    let nodes = config.nodes.iter().map(|node| node.name.as_str());
    let settings = RecorderSettings {
        namespace: leader::namespace_of(cost.namespace.as_deref()),
        writer: recorder::writer_name(&config.cluster_id, nodes),
        max_age: cost.max_age,
        max_bytes: cost.max_bytes,
    };
    let list = PriceList::by_currency(cost.currency.as_str()).unwrap_or_default();
    let table = cost
        .price_table
        .as_ref()
        .map(|table| table.region(&config.region).clone());
    let (prices, asking) = Prices::asked(list, table.unwrap_or_default(), eci.clone());
    let whose = (config.cluster_id.as_str(), config.region.as_str());
    let (recorder, writing) = Recorder::new(kube, settings, prices, whose, metrics.clone());
    let working = async {
        tokio::join!(asking, writing);
    };
    Ok(Some((recorder, working)))
}

/// The caps of namespaces: none where nothing could set one.
fn caps(config: &Config) -> Caps {
    if config.namespace_cap == Cap::default() && config.burst.is_none() {
        return Caps::none();
    }
    let nodes = config.nodes.iter().map(|node| node.name.clone());
    let namespaces = config.burst.as_ref().map(|_| caps::NAMESPACES.to_owned());
    Caps::new(config.namespace_cap, nodes.chain(namespaces))
}

#[expect(clippy::too_many_arguments, reason = "what all parts share, passed once")]
async fn start_burst(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    config: &Config,
    burst: &BurstConfig,
    caps: &Caps,
    budgets: &Budgets,
    stores: Vec<Store>,
    health: &Health,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let kube = burst_client(config, burst).await?;
    let streaming_lists = cluster::streams_lists(&kube, shutdown).await;
    let node = config.nodes.first().context("no node is served")?;
    let settings = BurstSettings {
        policy: burst.policy,
        wait: burst.wait,
        profile: burst.profile.clone(),
        nodes: config.nodes.iter().map(|node| node.name.clone()).collect(),
        taints: config.taints.clone(),
        outage_toleration: burst.outage_toleration,
        // What a pod asks of the pool does not depend on the zone, nor on where the API server is.
        mapping: Arc::new(mapping_settings(config, node, Default::default())),
        streaming_lists,
    };
    let connections = BurstConnections {
        kube,
        caps: caps.clone(),
        budgets: budgets.clone(),
        stores,
        health: health.clone(),
        metrics: metrics.clone(),
    };
    let running = burst::run(settings, connections, shutdown.clone());
    tasks.spawn(async move {
        running.await;
        Ok(())
    });
    Ok(())
}

/// The limits of calls that these settings name.
///
/// # Errors
/// Their file cannot be used.
pub(crate) fn eci_limits(config: &Config) -> anyhow::Result<Limits> {
    Ok(match &config.eci_limits {
        EciLimits::Documented => Limits::Documented,
        EciLimits::None => Limits::None,
        EciLimits::File(path) => Limits::from_file(path).context("reading --eci-limits")?,
    })
}

/// The client of ECI that these settings describe.
///
/// # Errors
/// A setting or a file cannot be used.
pub(crate) fn eci_client(config: &Config, metrics: &Metrics) -> anyhow::Result<Client> {
    let limits = eci_limits(config)?;
    let settings = ClientConfig {
        endpoint: config.eci_endpoint.clone(),
        region: config.region.clone(),
        limits,
        user_agent: concat!("virtual-node/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let transport = Arc::new(ReqwestTransport::new().context("setting up HTTP")?);
    let credentials = Chain::full_order(&Environment::process(), transport.clone(), Arc::new(SystemClock));
    let client = Client::new(settings, Arc::new(credentials), transport).context("--eci-endpoint")?;
    Ok(client.with_observer(Arc::new(CallCounter(metrics.clone()))))
}

/// Where logs are kept beyond their groups, if they are.
fn log_archive(config: &Config, metrics: &Metrics) -> anyhow::Result<Option<Archive>> {
    let Some(settings) = &config.log_archive else {
        return Ok(None);
    };
    let transport = Arc::new(ReqwestTransport::new().context("setting up HTTP")?);
    let environment = Environment::process();
    let store = S3Store::new(
        &settings.store,
        &config.region,
        &environment,
        Arc::new(SystemClock),
        transport,
    )
    .context("--log-archive")?;
    let place = settings.store.to_string();
    tracing::info!(place, "logs are kept beyond their container groups");
    Ok(Some(Archive::new(
        Arc::new(store),
        &config.cluster_id,
        &place,
        metrics.clone(),
    )))
}

/// Counts calls to ECI.
struct CallCounter(Metrics);

impl eci::Observer for CallCounter {
    fn called(&self, action: Action, outcome: Outcome, latency: Duration) {
        self.0
            .eci_calls
            .with_label_values(&[action.name(), outcome.label()])
            .inc();
        self.0
            .eci_call_seconds
            .with_label_values(&[action.name()])
            .observe(latency.as_secs_f64());
    }
}

/// What the nodes of the process share: one account's limits, and one process to watch.
struct Shared {
    eci: Client,
    logs: LogBudget,
    archive: Option<Archive>,
    sampler: Sampler,
    /// The pods of each node.
    stores: Vec<Store>,
    caps: Caps,
    budgets: Budgets,
    recorder: Option<Recorder>,
    health: Health,
    metrics: Metrics,
    shutdown: Shutdown,
}

async fn start_node(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    config: &Config,
    (index, node): (usize, &NodeConfig),
    starting: Gate,
    shared: &Shared,
) -> anyhow::Result<()> {
    let Shared {
        eci,
        logs: budget,
        archive,
        sampler,
        stores,
        caps,
        budgets,
        recorder,
        health,
        metrics,
        shutdown,
    } = shared;
    let connection = kube_client::config(config.kubeconfig.as_deref()).await?;
    let kube = kube_client::client(&connection, config.impersonate_node.then_some(node.name.as_str()))?;
    let cluster = cluster::ask(&kube, shutdown).await;
    let mut others = stores.clone();
    let store = others.swap_remove(index);
    let (capacity_in, capacity) = watch::channel(Capacity::default());
    let (conditions_in, conditions) = watch::channel(CloudConditions::default());

    let usage = {
        let (eci, own) = (eci.clone(), store.clone());
        node::follow_usage(
            node::USAGE_PERIOD,
            move || {
                let eci = eci.clone();
                async move { to_cpu_usage(&eci.list_usage().await?) }
            },
            move || OwnUse {
                cpu: own.lock().requested_by_placed(),
                promised_elsewhere: MilliCpu(others.iter().map(|pods| pods.lock().requested_by_waiting().0).sum()),
            },
            node.bounds,
            capacity_in,
            metrics.clone(),
            shutdown.clone(),
        )
    };
    let settings = NodeSettings {
        name: node.name.clone(),
        region: config.region.clone(),
        zone: node.zone.clone(),
        node_ip: node.node_ip,
        kubelet_port: node.kubelet_listen.port(),
        cluster_id: config.cluster_id.clone(),
        taints: config.taints.clone(),
        labels: config.node_labels.clone(),
    };
    let figures = Figures::new(
        node.name.clone(),
        capacity.clone(),
        Arc::new(store.clone()),
        sampler.clone(),
        kube.clone(),
        metrics.registry().clone(),
    );
    let registration = node::run(
        kube.clone(),
        settings,
        capacity,
        conditions,
        health.clone(),
        metrics.clone(),
        shutdown.clone(),
    );
    let pods_here = Arc::new(store.clone());
    let mut logs = LogAccess::new(
        Arc::new(EciLogs(eci.clone())),
        pods_here,
        budget.clone(),
        metrics.clone(),
    );
    let mut keeper: Option<Arc<dyn LogKeeper>> = None;
    if let (Some(archive), Some(settings)) = (archive, &config.log_archive) {
        logs = logs.with_archive(archive.clone());
        keeper = Some(Arc::new(Keeper::new(
            archive.clone(),
            logs.clone(),
            settings.selector.clone(),
        )));
    }
    let kubelet = kubelet::start(
        config,
        node,
        kube.clone(),
        logs,
        eci.clone(),
        figures,
        metrics,
        shutdown,
    )
    .await?;
    let pods = pods::run(
        PodsSettings {
            mapping: Arc::new(mapping_settings(config, node, cluster.kubernetes_service)),
            poll_calls_per_second: poll_rate(config),
            patience: config.patience,
            parallel: Parallel::default(),
            streaming_lists: cluster.streams_lists,
        },
        Connections {
            kube,
            eci: eci.clone(),
            store,
            conditions: conditions_in,
            keeper,
            recorder: recorder.clone(),
            health: health.clone(),
            caps: caps.clone(),
            budgets: budgets.clone(),
            metrics: metrics.clone(),
        },
        shutdown.clone(),
    );
    tasks.spawn(async move {
        // Opened when the others have begun, so that their own gates are there.
        let started = async { starting.open() };
        tokio::join!(usage, registration, kubelet, pods, started);
        Ok(())
    });
    Ok(())
}

/// Why the account's usage is not known.
#[derive(Debug, thiserror::Error)]
enum UsageError {
    #[error("asking for the account's usage failed")]
    Asking(#[from] eci::Error),
    #[error("ListUsage names no vCPU quota")]
    NoQuota,
}

fn to_cpu_usage(usage: &eci::Usage) -> Result<CpuUsage, UsageError> {
    let milli = |vcpu: f64| MilliCpu((vcpu * 1000.0).max(0.0) as u64);
    Ok(CpuUsage {
        max: milli(usage.max_cpu.ok_or(UsageError::NoQuota)?),
        used: milli(usage.used_cpu.unwrap_or_default()),
    })
}

fn poll_rate(config: &Config) -> Option<f64> {
    match config.eci_limits {
        EciLimits::None => None,
        // The limit is the account's, and each node has a poller.
        EciLimits::Documented | EciLimits::File(_) => {
            Some(STATUS_CALLS_PER_MINUTE / 60.0 * OUR_SHARE / config.nodes.len().max(1) as f64)
        }
    }
}

/// The zones of the other nodes, in their order: where the account has vSwitches, and maybe stock.
fn other_zones(config: &Config, node: &NodeConfig) -> Vec<OtherZone> {
    let others = config.nodes.iter().filter(|_| config.zone_failover);
    let other = others.filter_map(|other| {
        let zone_id = other.zone.clone().filter(|zone| node.zone.as_ref() != Some(zone))?;
        Some(OtherZone {
            zone_id,
            node_name: other.name.clone(),
            vswitch_ids: other.vswitch_ids.clone(),
        })
    });
    other.collect()
}

fn mapping_settings(config: &Config, node: &NodeConfig, kubernetes_service: (String, u16)) -> mapping::Settings {
    mapping::Settings {
        node_name: node.name.clone(),
        node_ip: node.node_ip.to_string(),
        region_id: config.region.clone(),
        vswitch_ids: node.vswitch_ids.clone(),
        schedule_strategy: config.schedule_strategy,
        other_zones: other_zones(config, node),
        security_group_id: config.security_group_id.clone(),
        resource_group_id: String::new(),
        zone_id: node.zone.clone().unwrap_or_default(),
        cluster_id: config.cluster_id.clone(),
        cluster_domain: config.cluster_domain.clone(),
        cluster_dns: config.cluster_dns.iter().map(ToString::to_string).collect(),
        service_vips: match &config.service_vips {
            ServiceVips::Routed => mapping::ServiceVips::Routed,
            ServiceVips::Relay { ip, api_server } => mapping::ServiceVips::Relay {
                ip: ip.to_string(),
                api_server_host: api_server.host.clone(),
                api_server_port: api_server.port,
            },
        },
        kubernetes_service,
        unenforceable: match config.unenforceable {
            Unenforceable::Warn => mapping::Unenforceable::Warn,
            Unenforceable::Refuse => mapping::Unenforceable::Refuse,
        },
        prices: PriceList::default(),
    }
}
