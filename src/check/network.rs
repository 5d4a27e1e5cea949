//! Whether what container groups need of the network is there: DNS, and the API server at the address they are given.
//!
//! It is asked from where this runs. What a security group lets through between the groups and these addresses is known to the VPC
//! alone, whose API is another product's: each finding names the ports, so that they can be looked for in it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dns::{self, Answer};
use super::{Finding, TIMEOUT};
use crate::chain::chain;
use crate::cluster;
use crate::config::{Config, HostPort, ServiceVips};
use crate::kube_client;

const DNS: &str = "dns";
const DNS_ADDRESS: &str = "dns-address";
const UPSTREAM: &str = "dns-upstream";
const API: &str = "api-endpoint";
const HTTPS: u16 = 443;

pub(super) async fn check(config: &Config, connection: &kube::Config) -> Vec<Finding> {
    let mut servers: BTreeSet<IpAddr> = config.cluster_dns.iter().copied().collect();
    if let ServiceVips::Relay { ip, .. } = &config.service_vips {
        servers.insert(*ip);
    }
    let mut found = Vec::new();
    for server in &servers {
        found.extend(name_server(*server, config).await);
    }
    // The Services that a node may look at.
    let node = config.nodes.first().map(|node| node.name.as_str());
    match kube_client::client(connection, node.filter(|_| config.impersonate_node)) {
        Ok(client) => {
            if config.service_vips == ServiceVips::Routed {
                found.extend(dns_address(&client, &servers).await);
            }
            found.extend(endpoints(config, &client).await);
        }
        Err(error) => found.push(Finding::fail(API, format!("{error:#}"), "see --kubeconfig")),
    }
    found
}

/// Whether a name server knows the cluster, and the world.
async fn name_server(server: IpAddr, config: &Config) -> Vec<Finding> {
    let own = format!("kubernetes.default.svc.{}", config.cluster_domain);
    let world = host_of(&config.eci_endpoint).filter(|host| host.parse::<IpAddr>().is_err());
    let (own_answer, world_answer) = tokio::join!(dns::ask(server, &own), async {
        match world {
            Some(name) if name != "localhost" => Some((name, dns::ask(server, name).await)),
            _ => None,
        }
    });
    let answers = own_answer.is_ok();
    let mut found = vec![judge_own(server, &own, own_answer)];
    // One that does not answer at all has been told of.
    found.extend(
        world_answer
            .filter(|_| answers)
            .map(|(name, answer)| judge_world(server, name, answer)),
    );
    found
}

fn judge_own(server: IpAddr, name: &str, answer: Result<Answer, String>) -> Finding {
    match answer {
        Ok(Answer::Found(1..)) => Finding::ok(DNS, format!("{server} knows {name}")),
        Ok(Answer::Found(0) | Answer::NoSuchName) => Finding::fail(
            DNS,
            format!("{server} does not know {name}, and pods with dnsPolicy ClusterFirst ask it for such names"),
            "is --cluster-domain that of the cluster, and --cluster-dns the Service kube-system/kube-dns?",
        ),
        Ok(Answer::Failed(code)) => Finding::fail(
            DNS,
            format!("{server} answers {name} with code {code}"),
            "is --cluster-domain that of the cluster, and has the Service kube-system/kube-dns ready endpoints? \
             kubectl --namespace kube-system get endpointslices",
        ),
        Err(error) => Finding::warn(
            DNS,
            format!("{server}, port 53: {error}; pods with dnsPolicy ClusterFirst ask it"),
            "has kube-system/kube-dns ready pods, and may container groups reach that address by UDP and TCP, in their security group \
             and in that of the nodes? Where nobody routes service addresses to them, use --service-vips relay",
        ),
    }
}

fn judge_world(server: IpAddr, name: &str, answer: Result<Answer, String>) -> Finding {
    match answer {
        Ok(Answer::Found(1..)) => Finding::ok(UPSTREAM, format!("{server} finds names outside of the cluster")),
        Ok(other) => Finding::warn(
            UPSTREAM,
            format!("{server} does not find {name} ({other:?})"),
            "see `forward` in the Corefile: CoreDNS asks the resolver of where it runs",
        ),
        Err(error) => Finding::warn(
            UPSTREAM,
            format!("{server} is asked for {name}: {error}"),
            "see `forward` in the Corefile: CoreDNS asks the resolver of where it runs",
        ),
    }
}

/// Whether the cluster's DNS is where pods are told to ask.
async fn dns_address(client: &kube::Client, servers: &BTreeSet<IpAddr>) -> Option<Finding> {
    let api: Api<Service> = Api::namespaced(client.clone(), "kube-system");
    // A cluster may call it otherwise: then nothing can be said.
    let service = timeout(TIMEOUT, api.get_opt("kube-dns")).await.ok()?.ok()??;
    let spec = service.spec?;
    let addresses = spec.cluster_ips.unwrap_or_default();
    let known = addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok());
    let known: Vec<IpAddr> = known.collect();
    Some(if known.iter().any(|address| servers.contains(address)) {
        Finding::ok(DNS_ADDRESS, "pods ask the Service kube-system/kube-dns")
    } else {
        let what = format!(
            "the Service kube-system/kube-dns is at {}, and pods ask elsewhere",
            addresses.join(", ")
        );
        Finding::warn(DNS_ADDRESS, what, format!("--cluster-dns {}", addresses.join(",")))
    })
}

/// Whether something answers where groups look for the API server.
async fn endpoints(config: &Config, client: &kube::Client) -> Vec<Finding> {
    match &config.service_vips {
        ServiceVips::Relay { ip, api_server } => {
            let relay = HostPort {
                host: ip.to_string(),
                port: HTTPS,
            };
            let at_relay = "is the relay running (manifests/relay), and may container groups reach it by TCP 443 and by UDP and TCP 53?";
            let at_server = "is --api-server the API server's own address, and may container groups reach it there?";
            let both = [
                (&relay, "the relay", at_relay),
                (api_server, "the API server", at_server),
            ];
            join_all(both.map(|(place, who, remedy)| endpoint(place, who, remedy))).await
        }
        ServiceVips::Routed => match timeout(TIMEOUT, cluster::kubernetes_service(client)).await {
            Ok(Ok((host, port))) => {
                let place = HostPort { host, port };
                let remedy = "does a kube-proxy serve service addresses here? Where nobody routes them to container groups, use \
                              --service-vips relay";
                vec![endpoint(&place, "the Service default/kubernetes", remedy).await]
            }
            Ok(Err(error)) => vec![Finding::warn(API, chain(&error), "see the rights above")],
            Err(_) => vec![Finding::warn(API, format!("no answer within {TIMEOUT:?}"), "try again")],
        },
    }
}

async fn endpoint(place: &HostPort, who: &str, remedy: &str) -> Finding {
    let HostPort { host, port } = place;
    let why = match timeout(TIMEOUT, TcpStream::connect((host.as_str(), *port))).await {
        Ok(Ok(_)) => return Finding::ok(API, format!("{who} accepts connections at {host}, port {port}")),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {TIMEOUT:?}"),
    };
    let what = format!("{who} at {host}, port {port}, where pods look for the API server: {why}");
    Finding::warn(API, what, remedy)
}

/// The host in a URL.
fn host_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next()?;
    if let Some(v6) = authority.strip_prefix('[') {
        return v6.split(']').next();
    }
    authority.split(':').next().filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::Result;
    use super::*;

    #[test]
    fn a_name_server_is_judged_by_what_it_knows() {
        let server = IpAddr::from([10, 96, 0, 10]);
        let of = |answer| judge_own(server, "kubernetes.default.svc.cluster.local", answer).result;
        assert_eq!(of(Ok(Answer::Found(1))), Result::Ok);
        assert_eq!(of(Ok(Answer::NoSuchName)), Result::Fail);
        assert_eq!(of(Ok(Answer::Failed(2))), Result::Fail);
        // It may answer the groups all the same.
        assert_eq!(of(Err("no answer".to_owned())), Result::Warn);
        let world = |answer| judge_world(server, "example.com", answer).result;
        assert_eq!(world(Ok(Answer::Found(1))), Result::Ok);
        assert_eq!(world(Ok(Answer::Failed(2))), Result::Warn);
    }

    #[test]
    fn hosts_of_urls() {
        for (url, host) in [
            (
                "https://eci.cn-hangzhou.aliyuncs.com",
                Some("eci.cn-hangzhou.aliyuncs.com"),
            ),
            ("http://127.0.0.1:8090/", Some("127.0.0.1")),
            ("http://[::1]:80", Some("::1")),
            ("http://", None),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
