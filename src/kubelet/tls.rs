//! The certificate the kubelet API is served with, and who signs the certificates of its clients; read again when the files
//! change, as certificates are renewed under running servers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::sync::watch;

use crate::chain::chain;

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

/// The bytes of the files, to see whether they changed.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl TlsFiles {
    pub(super) fn contents(&self) -> Result<Contents, TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|e| TlsError::Unreadable(path.to_owned(), e));
        Ok(Contents {
            cert: read(&self.cert)?,
            key: read(&self.key)?,
            client_ca: self.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn server_config(&self, contents: &Contents) -> Result<ServerConfig, TlsError> {
        let malformed = |path: &Path, what| {
            let path = path.to_owned();
            move |source| TlsError::Malformed { path, what, source }
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&contents.cert)
            .collect::<Result<_, _>>()
            .map_err(malformed(&self.cert, "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(malformed(&self.key, "private key"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| TlsError::Unusable(self.cert.clone(), e))?;
        let builder = match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(pem)) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(malformed(path, "certificate"))?;
                    roots
                        .add(certificate)
                        .map_err(|e| TlsError::ClientCa(path.clone(), e.into()))?;
                }
                // Without a certificate a client may still have a bearer token; with a bad one it is refused at once.
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|e| TlsError::ClientCa(path.clone(), e.into()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|e| TlsError::Unusable(self.cert.clone(), e))?;
        // The upgrades of exec and port-forward exist in HTTP/1.1 only.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The server's settings as the files say now; later changes arrive in the receiver for as long as someone keeps it.
/// Changed files that cannot be used are reported and the former ones kept.
///
/// # Errors
/// The files cannot be used now.
pub fn follow_files(files: TlsFiles) -> Result<watch::Receiver<Arc<ServerConfig>>, TlsError> {
    let mut known = files.contents()?;
    let config = Arc::new(files.server_config(&known)?);
    let (sender, receiver) = watch::channel(config);
    tokio::spawn(async move {
        let mut failing = false;
        loop {
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            match reload(&files, &known) {
                Ok(None) => failing = false,
                Ok(Some((contents, config))) => {
                    tracing::info!(cert = %files.cert.display(), "the serving certificate or client CA changed");
                    known = contents;
                    failing = false;
                    sender.send_replace(Arc::new(config));
                }
                Err(error) => {
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

pub(super) fn reload(files: &TlsFiles, known: &Contents) -> Result<Option<(Contents, ServerConfig)>, TlsError> {
    let contents = files.contents()?;
    if contents == *known {
        return Ok(None);
    }
    let config = files.server_config(&contents)?;
    Ok(Some((contents, config)))
}
