//! A serving certificate from the cluster, for agents that were given none: requested by a CertificateSigningRequest for
//! `kubernetes.io/kubelet-serving`, kept in files, and renewed before it expires.
//!
//! Nobody but an administrator (or a controller they installed) approves these requests: whoever can approve their own can
//! be any node. Until then the kubelet API is closed, and a log line and an Event on the Node say what to run.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::chain::chain;
use crate::clock;
use crate::kubelet::tls::TlsFiles;

const SIGNER: &str = "kubernetes.io/kubelet-serving";
/// A certificate is renewed when so much of its life is over; a kubelet does it between 70 % and 90 %.
const RENEW_AT: f64 = 0.8;
/// How often a request is looked at.
const PERIOD: Duration = Duration::from_secs(5);
/// How often a waiting request is called to mind.
const REMINDER: Duration = Duration::from_secs(10 * 60);
/// After a failure, and between looks at a certificate that is still good.
const PAUSE: Duration = Duration::from_secs(30);
/// After a denial: someone decided, so asking again soon would be begging.
const AFTER_DENIAL: Duration = Duration::from_secs(60 * 60);

/// For whom a certificate is requested.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The node.
    pub(super) node: String,
    /// Its InternalIP, at which the API server dials.
    pub(super) node_ip: IpAddr,
}

/// Why there is no certificate yet.
#[derive(Debug, Error)]
enum RequestError {
    #[error("the request was denied ({0})")]
    Denied(String),
    #[error("the request failed ({0})")]
    Failed(String),
    #[error("the request is gone")]
    Gone,
    #[error("cannot make a key and a request")]
    Crypto(#[from] rcgen::Error),
    #[error("the API server cannot be asked")]
    Api(#[from] kube::Error),
    #[error("cannot keep the certificate")]
    Io(#[from] io::Error),
}

/// Keeps a good certificate in `files` for ever, requesting one whenever there is none.
pub(super) async fn keep(client: kube::Client, subject: Subject, files: TlsFiles) {
    loop {
        let good_until = good_until(&files.cert, &subject).filter(|_| files.key.is_file());
        if good_until.is_some_and(|until| clock::now() < until) {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let pause = match request(&client, &subject, &files).await {
            Ok(()) => {
                tracing::info!(node = subject.node, "serving certificate received");
                PAUSE
            }
            Err(error) => {
                tracing::warn!(node = subject.node, error = chain(&error), "no serving certificate");
                if matches!(error, RequestError::Denied(_)) {
                    AFTER_DENIAL
                } else {
                    PAUSE
                }
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Until when the certificate in `path` serves `subject` without being renewed; `None` if it does not at all.
fn good_until(path: &Path, subject: &Subject) -> Option<Timestamp> {
    let der = CertificateDer::from_pem_file(path).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let octets = match subject.node_ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let has_address = names
        .value
        .general_names
        .iter()
        .any(|name| matches!(name, GeneralName::IPAddress(ip) if *ip == octets));
    let (begin, end) = (
        certificate.validity().not_before.timestamp(),
        certificate.validity().not_after.timestamp(),
    );
    let good_for = (end.saturating_sub(begin) as f64 * RENEW_AT) as i64;
    Timestamp::from_second(begin.saturating_add(good_for))
        .ok()
        .filter(|_| has_address)
}

/// Key (PEM) and request (PEM): what the signer demands is the node's user and group as subject.
fn build_request(subject: &Subject) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![subject.node.clone(), subject.node_ip.to_string()])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params
        .distinguished_name
        .push(DnType::CommonName, format!("system:node:{}", subject.node));
    let request = params.serialize_request(&key)?.pem()?;
    Ok((key.serialize_pem(), request))
}

async fn request(client: &kube::Client, subject: &Subject, files: &TlsFiles) -> Result<(), RequestError> {
    let (key, request) = build_request(subject)?;
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let csr = CertificateSigningRequest {
        metadata: ObjectMeta {
            generate_name: Some("csr-".to_owned()),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.into_bytes()),
            signer_name: SIGNER.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), "server auth".to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    let name = api
        .create(&PostParams::default(), &csr)
        .await?
        .metadata
        .name
        .unwrap_or_default();
    let mut reminded = None;
    loop {
        let status = api
            .get_opt(&name)
            .await?
            .ok_or(RequestError::Gone)?
            .status
            .unwrap_or_default();
        for condition in status.conditions.iter().flatten() {
            let why = condition
                .message
                .clone()
                .or_else(|| condition.reason.clone())
                .unwrap_or_default();
            match condition.type_.as_str() {
                "Denied" => return Err(RequestError::Denied(why)),
                "Failed" => return Err(RequestError::Failed(why)),
                _ => {}
            }
        }
        if let Some(ByteString(certificate)) = status.certificate {
            write_pair(files, &certificate, key.as_bytes())?;
            return Ok(());
        }
        let now = clock::monotonic();
        if reminded.is_none_or(|at| now.duration_since(at) >= REMINDER) {
            reminded = Some(now);
            remind(client, subject, &name).await;
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// The key first: a certificate without its key would be served by nobody, and the pair is only read as a pair that fits.
fn write_pair(files: &TlsFiles, certificate: &[u8], key: &[u8]) -> io::Result<()> {
    for (path, content, mode) in [(&files.key, key, 0o600), (&files.cert, certificate, 0o644)] {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let new = path.with_extension("new");
        // An old one of a crash may have another mode.
        let _ = fs::remove_file(&new);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
    }
    Ok(())
}

async fn remind(client: &kube::Client, subject: &Subject, name: &str) {
    let note = format!("kubectl logs works after an administrator has run: kubectl certificate approve {name}");
    tracing::warn!(
        node = subject.node,
        request = name,
        "waiting for the serving certificate: {note}"
    );
    let reporter = Reporter {
        controller: "virtual-node".to_owned(),
        instance: Some(subject.node.clone()),
    };
    let event = Event {
        type_: EventType::Warning,
        reason: "ServingCertificatePending".to_owned(),
        note: Some(note),
        action: "RequestCertificate".to_owned(),
        secondary: None,
    };
    let node = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(subject.node.clone()),
        // As a kubelet refers to its Node, so that `kubectl describe node` finds it.
        uid: Some(subject.node.clone()),
        ..ObjectReference::default()
    };
    if let Err(error) = Recorder::new(client.clone(), reporter).publish(&event, &node).await {
        tracing::debug!(error = chain(&error), "the Event could not be written");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rcgen::{BasicConstraints, CertificateSigningRequestParams, IsCa, Issuer};
    use serde_json::{Value, json};

    use super::*;
    use crate::scripted_api::{Answer, scripted};

    fn subject() -> Subject {
        Subject {
            node: "n".to_owned(),
            node_ip: [172, 31, 0, 10].into(),
        }
    }

    fn files(directory: &Path) -> TlsFiles {
        TlsFiles {
            cert: directory.join("pki/n.crt"),
            key: directory.join("pki/n.key"),
            client_ca: None,
        }
    }

    /// An API server whose signer signs when asked the second time, as if approved in between.
    fn signing(denies: bool) -> (kube::Client, Arc<Mutex<Vec<Value>>>) {
        let mut ca = CertificateParams::new(Vec::new()).expect("valid");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = Issuer::new(ca, KeyPair::generate().expect("generates"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let client = scripted(move |method, path, body| {
            if path.contains("/events") {
                return Answer::ok(body.clone());
            }
            if *method == http::Method::POST {
                log.lock().expect("no panics").push(body.clone());
                return Answer::ok(json!({ "metadata": { "name": "csr-1" }, "spec": body["spec"] }));
            }
            let spec = log.lock().expect("no panics")[0]["spec"].clone();
            let status = if denies {
                json!({ "conditions": [{ "type": "Denied", "status": "True", "message": "no" }] })
            } else {
                let request: ByteString = serde_json::from_value(spec["request"].clone()).expect("bytes");
                let request = String::from_utf8(request.0).expect("PEM");
                let request = CertificateSigningRequestParams::from_pem(&request).expect("a request");
                let certificate = request.signed_by(&issuer).expect("signs").pem();
                json!({ "certificate": ByteString(certificate.into_bytes()) })
            };
            Answer::ok(json!({ "metadata": { "name": "csr-1" }, "spec": spec, "status": status }))
        });
        (client, seen)
    }

    #[tokio::test]
    async fn a_signed_request_becomes_a_pair_that_serves() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = files(directory.path());
        let (client, seen) = signing(false);
        request(&client, &subject(), &files).await.expect("signed");
        let spec = seen.lock().expect("no panics")[0]["spec"].clone();
        assert_eq!(spec["signerName"], SIGNER);
        assert_eq!(spec["usages"], json!(["digital signature", "server auth"]));
        assert!(good_until(&files.cert, &subject()).is_some_and(|until| until > clock::now()));
        let elsewhere = Subject {
            node_ip: [172, 31, 0, 11].into(),
            ..subject()
        };
        assert_eq!(
            good_until(&files.cert, &elsewhere),
            None,
            "a new address needs a new certificate"
        );
        crate::kubelet::tls::follow_files(files.clone(), crate::metrics::Metrics::new().expect("registers"))
            .expect("the pair can be served with");
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&files.key).expect("there").permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_denial_is_told_as_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let (client, _) = signing(true);
        let error = request(&client, &subject(), &files(directory.path()))
            .await
            .expect_err("denied");
        assert_eq!(error.to_string(), "the request was denied (no)");
    }
}
