//! Replicas against an API server in memory, by a clock that jumps.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::super::roots;
use super::*;
use crate::metrics::Health;
use crate::scripted_api::{Answer, scripted};

const TIMES: Times = Times {
    life: Duration::from_secs(3_600),
    overlap: Duration::from_secs(60),
};

/// The two objects, each with its version.
struct Cluster(Mutex<[Value; 2]>);

const CONFIGURATION: usize = 0;
const SECRET: usize = 1;

impl Cluster {
    fn new() -> Arc<Self> {
        let configuration = json!({
            "metadata": { "name": "virtual-node", "uid": "c", "resourceVersion": "1" },
            "webhooks": [
                { "name": "pods.burst.virtual-node", "clientConfig": { "service": { "name": "webhook", "namespace": "home" } },
                  "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore" },
                { "name": "strict.burst.virtual-node", "clientConfig": { "service": { "name": "webhook", "namespace": "home" } },
                  "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail" },
            ],
        });
        let secret = json!({ "metadata": { "name": "virtual-node-webhook", "namespace": "home", "uid": "s", "resourceVersion": "1" } });
        Arc::new(Self(Mutex::new([configuration, secret])))
    }

    fn object(&self, which: usize) -> Value {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[which].clone()
    }

    fn set(&self, which: usize, object: Value) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[which] = object;
    }

    /// The bundle of each webhook.
    fn bundles(&self) -> Vec<Vec<u8>> {
        let configuration = self.object(CONFIGURATION);
        let webhooks = configuration["webhooks"].as_array().expect("a list").iter();
        let bundle = |webhook: &Value| {
            webhook["clientConfig"]["caBundle"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        webhooks
            .map(|w| BASE64_STANDARD.decode(bundle(w)).expect("base64"))
            .collect()
    }

    fn client(self: &Arc<Self>) -> Client {
        let cluster = self.clone();
        scripted(move |method, path, patch| {
            let which = match path {
                "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/virtual-node" => CONFIGURATION,
                "/api/v1/namespaces/home/secrets/virtual-node-webhook" => SECRET,
                other => panic!("nobody may ask for {other}"),
            };
            let mut objects = cluster.0.lock().unwrap_or_else(PoisonError::into_inner);
            let object = &mut objects[which];
            if object.is_null() {
                return Answer::not_found();
            }
            if *method == Method::PATCH {
                if patch["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
                    return Answer::error(409, "Conflict", "the object has been modified");
                }
                apply(object, patch);
            }
            Answer::ok(object.clone())
        })
    }
}

/// Of both kinds of patch as much as is used here.
fn apply(object: &mut Value, patch: &Value) {
    let version: u64 = object["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|v| v.parse().ok())
        .expect("a number");
    for (key, value) in patch["data"].as_object().into_iter().flatten() {
        let data = object["data"].as_object_mut();
        match (value, data) {
            (Value::Null, Some(data)) => drop(data.remove(key)),
            (Value::Null, None) => {}
            (value, _) => object["data"][key] = value.clone(),
        }
    }
    for change in patch["webhooks"].as_array().into_iter().flatten() {
        let webhooks = object["webhooks"].as_array_mut().expect("a list");
        let webhook = webhooks
            .iter_mut()
            .find(|w| w["name"] == change["name"])
            .expect("it is there");
        webhook["clientConfig"]["caBundle"] = change["clientConfig"]["caBundle"].clone();
    }
    object["metadata"]["resourceVersion"] = json!((version + 1).to_string());
}

struct Replica {
    serving: watch::Receiver<Option<Arc<ServerConfig>>>,
    health: Health,
    task: JoinHandle<()>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn replica(cluster: &Arc<Cluster>) -> Replica {
    let (sender, serving) = watch::channel(None);
    let health = Health::new();
    let keeper = Keeper {
        kube: cluster.client(),
        configuration: "virtual-node".to_owned(),
        secret: ("home".to_owned(), "virtual-node-webhook".to_owned()),
        times: TIMES,
        serving: sender,
        gate: health.require("webhook: certificate", "there is none yet"),
    };
    Replica {
        serving,
        health,
        task: tokio::spawn(keeper.run()),
    }
}

fn simulate() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Certificates are checked by the real time of day, so it must be one at which they are good.
    clock::simulate(Timestamp::now());
}

/// Shakes hands as the API server does, trusting that bundle at the simulated time.
async fn handshake(replica: &Replica, bundle: &[u8]) -> Result<(), String> {
    let server = replica.serving.borrow().clone().ok_or("it serves with nothing yet")?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(roots(bundle).into(), provider.clone());
    let verifier = AtItsTime(verifier.build().map_err(|e| e.to_string())?);
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let serving = async {
        let (stream, _) = listener.accept().await?;
        TlsAcceptor::from(server).accept(stream).await.map(drop)
    };
    let calling = async {
        let stream = tokio::net::TcpStream::connect(address).await?;
        let name = ServerName::try_from("webhook.home.svc").expect("a name");
        TlsConnector::from(Arc::new(client))
            .connect(name, stream)
            .await
            .map(drop)
    };
    let (_, called) = tokio::join!(serving, calling);
    called.map_err(|e| e.to_string())
}

/// The verifier of every client, by the simulated time of day.
#[derive(Debug)]
struct AtItsTime(Arc<rustls::client::WebPkiServerVerifier>);

impl rustls::client::danger::ServerCertVerifier for AtItsTime {
    fn verify_server_cert(
        &self,
        end_entity: &rustls::pki_types::CertificateDer<'_>,
        intermediates: &[rustls::pki_types::CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        let now = Duration::from_secs(u64::try_from(clock::now().as_second()).expect("after 1970"));
        let now = rustls::pki_types::UnixTime::since_unix_epoch(now);
        self.0.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn replicas_share_one_certificate_and_rotate_it_without_a_gap() {
    simulate();
    let cluster = Cluster::new();
    let replicas = [replica(&cluster), replica(&cluster)];
    pass(15).await;
    let mut cas = BTreeSet::new();
    let mut most = 0;
    // Three lives and a half, looked at every 50 s: the overlap is 60.
    for _ in 0..(TIMES.life.as_secs() * 7 / 2 / 50) {
        let bundles = cluster.bundles();
        assert_eq!(bundles[0], bundles[1]);
        for replica in &replicas {
            handshake(replica, &bundles[0])
                .await
                .expect("the API server may connect at any time");
            assert!(replica.health.is_ready());
        }
        let found = super::super::generation::certificates(&bundles[0]);
        most = most.max(found.len());
        cas.extend(found);
        pass(50).await;
    }
    // Renewed when two thirds are over, each time.
    assert!(cas.len() >= 5, "{} CAs", cas.len());
    assert_eq!(most, 2, "no more CAs are trusted than need be");
    let secret = cluster.object(SECRET)["data"].clone();
    assert_eq!(
        secret
            .as_object()
            .map(|data| data.keys().filter(|key| key.contains("ca.key")).count()),
        Some(0),
        "no key of a CA is kept"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_somebody_takes_away_comes_back_and_a_lost_secret_begins_anew() {
    simulate();
    let cluster = Cluster::new();
    let replica = replica(&cluster);
    pass(15).await;
    let mut configuration = cluster.object(CONFIGURATION);
    configuration["webhooks"][0]["clientConfig"]["caBundle"] = Value::Null;
    cluster.set(CONFIGURATION, configuration);
    pass(11).await;
    let bundles = cluster.bundles();
    handshake(&replica, &bundles[0]).await.expect("it is back");
    // Emptied, as `kubectl replace` with the manifest does it.
    let mut secret = cluster.object(SECRET);
    secret["data"] = json!({});
    secret["metadata"]["resourceVersion"] = json!("100");
    cluster.set(SECRET, secret);
    pass(11).await;
    handshake(&replica, &bundles[0]).await.expect_err("another CA signed");
    handshake(&replica, &cluster.bundles()[0])
        .await
        .expect("and it is in the bundle");
}

#[tokio::test(start_paused = true)]
async fn without_a_configuration_nobody_is_kept_from_being_ready_and_without_a_secret_they_are() {
    simulate();
    let cluster = Cluster::new();
    let (configuration, secret) = (cluster.object(CONFIGURATION), cluster.object(SECRET));
    cluster.set(SECRET, Value::Null);
    let replica = replica(&cluster);
    pass(5).await;
    assert!(!replica.health.is_ready(), "it could be called, and has no certificate");
    cluster.set(CONFIGURATION, Value::Null);
    pass(5).await;
    assert!(replica.health.is_ready(), "nobody calls");
    cluster.set(CONFIGURATION, configuration);
    cluster.set(SECRET, secret);
    pass(15).await;
    handshake(&replica, &cluster.bundles()[1])
        .await
        .expect("all is there now");
}
