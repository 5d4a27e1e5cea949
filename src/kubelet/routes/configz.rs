//! (pure) `/configz`: a `KubeletConfiguration` of those fields that mean something here, with what is true of them.

use serde_json::{Value, json};

use crate::config::{Config, NodeConfig};

/// What `/configz` of `node` says.
pub(in crate::kubelet) fn configz(config: &Config, node: &NodeConfig) -> Value {
    json!({ "kubeletconfig": {
        "enableServer": true,
        "address": node.kubelet_listen.ip(),
        "port": node.kubelet_listen.port(),
        "authentication": {
            "x509": config.client_ca_file.as_ref().map_or(json!({}), |file| json!({ "clientCAFile": file })),
            "webhook": { "enabled": true, "cacheTTL": "2m0s" },
            "anonymous": { "enabled": false },
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": { "cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s" },
        },
        "streamingConnectionIdleTimeout": format!("{}s", config.streaming_idle_timeout.as_secs()),
        "clusterDomain": config.cluster_domain,
        "clusterDNS": config.cluster_dns,
        "registerNode": true,
        "registerWithTaints": config.taints,
        "enableDebuggingHandlers": true,
        "enableProfilingHandler": false,
        "enableSystemLogHandler": false,
        "enableDebugFlagsHandler": false,
    } })
}
