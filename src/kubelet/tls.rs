//! The certificate the kubelet API is served with, and who signs the certificates of its clients; read again when the files
//! change, as certificates are renewed under running servers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use thiserror::Error;
use tokio::sync::watch;

use crate::chain::chain;
use crate::metrics::Metrics;

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(10);

/// The files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// CA of client certificates, PEM; `None` = client certificates are not asked for.
    pub client_ca: Option<PathBuf>,
}

/// Why the files cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// A file is not what it should be.
    #[error("{} holds no {what}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What the parser said.
        source: rustls::pki_types::pem::Error,
    },
    /// Key and certificate do not belong together, or are of a kind that is not supported.
    #[error("the certificate {} cannot be served with", .0.display())]
    Unusable(PathBuf, #[source] rustls::Error),
    /// The CA file cannot be used.
    #[error("the client CA {} cannot be used", .0.display())]
    ClientCa(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What the files mean.
#[derive(Clone)]
pub struct Tls {
    /// How connections begin. Versions before 1.2 and ciphers without forward secrecy are not there at all.
    pub server: Arc<ServerConfig>,
    /// Which client certificates count; `None` = none.
    pub clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// Lets a handshake go on whatever certificate the client shows, or none: as with a kubelet, the answer to one that does not
/// count is a 401 at its first request. That the client has the key of what it shows is proven nevertheless.
#[derive(Debug)]
struct AnyClient(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The bytes of the files, to see whether they changed.
#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl TlsFiles {
    fn contents(&self) -> Result<Contents, TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|e| TlsError::Unreadable(path.to_owned(), e));
        Ok(Contents {
            cert: read(&self.cert)?,
            key: read(&self.key)?,
            client_ca: self.client_ca.as_deref().map(read).transpose()?,
        })
    }

    /// Whether the files can be used.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn check(&self) -> Result<(), TlsError> {
        self.tls(&self.contents()?).map(drop)
    }

    fn tls(&self, contents: &Contents) -> Result<Tls, TlsError> {
        let malformed = |path: &Path, what| {
            let path = path.to_owned();
            move |source| TlsError::Malformed { path, what, source }
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&contents.cert)
            .collect::<Result<_, _>>()
            .map_err(malformed(&self.cert, "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(malformed(&self.key, "private key"))?;
        let clients = match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(pem)) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(malformed(path, "certificate"))?;
                    roots
                        .add(certificate)
                        .map_err(|e| TlsError::ClientCa(path.clone(), e.into()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                    .build()
                    .map_err(|e| TlsError::ClientCa(path.clone(), e.into()))?;
                Some(verifier)
            }
            _ => None,
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| TlsError::Unusable(self.cert.clone(), e))?;
        let builder = match clients.clone() {
            Some(clients) => builder.with_client_cert_verifier(Arc::new(AnyClient(clients))),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|e| TlsError::Unusable(self.cert.clone(), e))?;
        // The upgrades of exec and port-forward exist in HTTP/1.1 only.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls {
            server: Arc::new(config),
            clients,
        })
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What the files mean now; later changes arrive in the receiver for as long as someone keeps it. The contents count, so a
/// link that is moved to other files, as Kubernetes does it with mounted secrets, is a change.
/// Changed files that cannot be used are reported and counted, and the former ones kept.
///
/// # Errors
/// The files cannot be used now.
pub fn follow_files(files: TlsFiles, metrics: Metrics) -> Result<watch::Receiver<Tls>, TlsError> {
    let mut known = files.contents()?;
    let (sender, receiver) = watch::channel(files.tls(&known)?);
    tokio::spawn(async move {
        let mut failing = false;
        loop {
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            match reload(&files, &known) {
                Ok(None) => failing = false,
                Ok(Some((contents, tls))) => {
                    tracing::info!(cert = %files.cert.display(), "the serving certificate or client CA changed");
                    known = contents;
                    failing = false;
                    sender.send_replace(tls);
                }
                Err(error) => {
                    metrics.kubelet_tls_reload_failures.inc();
                    if !failing {
                        tracing::warn!(error = chain(&error), "the former certificates stay in use");
                    }
                    failing = true;
                }
            }
        }
    });
    Ok(receiver)
}

fn reload(files: &TlsFiles, known: &Contents) -> Result<Option<(Contents, Tls)>, TlsError> {
    let contents = files.contents()?;
    if contents == *known {
        return Ok(None);
    }
    let tls = files.tls(&contents)?;
    Ok(Some((contents, tls)))
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) mod testing;
