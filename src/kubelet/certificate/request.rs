//! The CertificateSigningRequest: made, awaited, and found again by an agent that was started anew meanwhile.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use rcgen::{CertificateParams, DnType, KeyPair};
use thiserror::Error;

use super::{Subject, pair};
use crate::chain::chain;
use crate::clock;

/// Who signs kubelets' serving certificates.
pub(crate) const SIGNER: &str = "kubernetes.io/kubelet-serving";
/// How often a request is looked at.
const PERIOD: Duration = Duration::from_secs(5);
/// How often a waiting request is called to mind.
const REMINDER: Duration = Duration::from_secs(10 * 60);

/// What an administrator is to run.
pub(crate) fn approve_command(request: &str) -> String {
    format!("kubectl certificate approve {request}")
}

/// Why there is no certificate yet.
#[derive(Debug, Error)]
pub(super) enum RequestError {
    #[error("the request was denied ({0})")]
    Denied(String),
    #[error("the request failed ({0})")]
    Failed(String),
    #[error("the request is gone")]
    Gone,
    #[error("the certificate that was issued does not serve: it is not for this key and address")]
    Unfit,
    #[error("cannot make a key and a request")]
    Crypto(#[from] rcgen::Error),
    #[error("the API server refuses")]
    Api(#[from] kube::Error),
    #[error("cannot keep the certificate")]
    Io(#[from] io::Error),
}

/// A request that waits, and the key it is for. It is kept beside the certificate, so that an agent that is started anew goes
/// on with it: the command that was printed stays right, and requests do not pile up.
struct Pending {
    request: String,
    key: String,
}

impl Pending {
    fn file(certificate: &Path) -> PathBuf {
        certificate.with_extension("pending")
    }

    /// The first line says what it is for; PEM lets lines before the key be.
    fn load(certificate: &Path, subject: &Subject) -> Option<Self> {
        let text = fs::read_to_string(Self::file(certificate)).ok()?;
        let (line, key) = text.split_once('\n')?;
        let (request, address) = line.split_once(' ')?;
        (address == subject.node_ip.to_string()).then(|| Self {
            request: request.to_owned(),
            key: key.to_owned(),
        })
    }

    fn save(&self, certificate: &Path, subject: &Subject) -> io::Result<()> {
        let line = format!("{} {}\n", self.request, subject.node_ip);
        pair::write(&Self::file(certificate), &line, &self.key)
    }

    fn forget(certificate: &Path) {
        let _ = fs::remove_file(Self::file(certificate));
    }
}

/// Gets a certificate for `subject` into `file`, however long it takes somebody to approve it.
pub(super) async fn request(client: &kube::Client, subject: &Subject, file: &Path) -> Result<(), RequestError> {
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let known = match Pending::load(file, subject) {
        // Not when the API server is away: then it may be there.
        Some(pending) if !matches!(api.get_opt(&pending.request).await, Ok(None)) => Some(pending),
        _ => None,
    };
    let pending = match known {
        Some(pending) => pending,
        None => {
            let pending = make(&api, subject).await?;
            pending.save(file, subject)?;
            pending
        }
    };
    let outcome = wait(client, &api, subject, &pending).await;
    // Whatever became of it, it is over.
    Pending::forget(file);
    pair::write(file, &outcome?, &pending.key)?;
    pair::good_until(file, subject).map(drop).ok_or(RequestError::Unfit)
}

/// What the signer demands is the node's user and group as subject.
async fn make(api: &Api<CertificateSigningRequest>, subject: &Subject) -> Result<Pending, RequestError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![subject.node.clone(), subject.node_ip.to_string()])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params
        .distinguished_name
        .push(DnType::CommonName, format!("system:node:{}", subject.node));
    let request = params.serialize_request(&key)?.pem()?;
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
    let made = api.create(&PostParams::default(), &csr).await?;
    Ok(Pending {
        request: made.metadata.name.unwrap_or_default(),
        key: key.serialize_pem(),
    })
}

/// The certificate, once it is issued. An API server that is away only makes it take longer.
async fn wait(
    client: &kube::Client,
    api: &Api<CertificateSigningRequest>,
    subject: &Subject,
    pending: &Pending,
) -> Result<String, RequestError> {
    let mut reminded = None;
    loop {
        let status = match api.get_opt(&pending.request).await {
            Ok(Some(request)) => request.status.unwrap_or_default(),
            Ok(None) => return Err(RequestError::Gone),
            Err(error) => {
                tracing::debug!(
                    error = chain(&error),
                    "the request for a certificate could not be looked at"
                );
                tokio::time::sleep(PERIOD).await;
                continue;
            }
        };
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
            return String::from_utf8(certificate).map_err(|_| RequestError::Unfit);
        }
        let now = clock::monotonic();
        if reminded.is_none_or(|at| now.duration_since(at) >= REMINDER) {
            reminded = Some(now);
            remind(client, subject, &pending.request).await;
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn remind(client: &kube::Client, subject: &Subject, request: &str) {
    let note = format!(
        "kubectl logs and exec work after an administrator has run: {}",
        approve_command(request)
    );
    tracing::warn!(
        node = subject.node,
        request,
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
