//! A CA and what it signed. The CA signs once and its key is gone then: nobody can make it sign anything else.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Not all clocks are the same.
const SKEW: SignedDuration = SignedDuration::from_hours(1);
const NAME: &str = "virtual-node webhook";

/// Why a generation cannot be made or used. Nothing of a key is in it.
#[derive(Debug, Error)]
pub(crate) enum PkiError {
    /// It cannot be made.
    #[error("cannot make a key and a certificate")]
    Making(#[from] rcgen::Error),
    /// It is not what it should be.
    #[error("it holds no {0}")]
    Malformed(&'static str),
    /// Key and certificate do not belong together.
    #[error("it cannot be served with")]
    Unusable(#[from] rustls::Error),
}

/// All of it as PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Generation {
    /// The CA's certificate.
    pub(crate) ca: String,
    /// The serving certificate.
    pub(crate) certificate: String,
    /// Its key.
    pub(crate) key: String,
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("ca", &self.ca)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl Generation {
    /// A new one for these names, good for `life` from `now` on.
    pub(crate) fn make(names: &BTreeSet<String>, now: Timestamp, life: Duration) -> Result<Self, PkiError> {
        let end = now.saturating_add(life).unwrap_or(Timestamp::MAX);
        let begin = now.saturating_sub(SKEW).unwrap_or(Timestamp::MIN);
        let params = |names: Vec<String>, name: String| -> Result<CertificateParams, rcgen::Error> {
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            let epoch = date_time_ymd(1970, 1, 1);
            params.not_before = epoch + since_epoch(begin);
            params.not_after = epoch + since_epoch(end);
            params.use_authority_key_identifier_extension = true;
            Ok(params)
        };
        // CAs of one name would be told apart by their keys alone.
        let mut ca = params(Vec::new(), format!("{NAME} CA {:016x}", rand::random::<u64>()))?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca_key = KeyPair::generate()?;
        let ca_certificate = ca.self_signed(&ca_key)?;
        let mut serving = params(names.iter().cloned().collect(), NAME.to_owned())?;
        serving.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = serving.signed_by(&key, &Issuer::new(ca, ca_key))?;
        Ok(Self {
            ca: ca_certificate.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Until when its certificate is good; none = it is no certificate.
    pub(crate) fn end(&self) -> Option<Timestamp> {
        end_of(&self.certificate)
    }

    /// Whether its certificate is for all of these names.
    pub(crate) fn covers(&self, names: &BTreeSet<String>) -> bool {
        let Ok(der) = CertificateDer::from_pem_slice(self.certificate.as_bytes()) else {
            return false;
        };
        let Ok((_, certificate)) = X509Certificate::from_der(&der) else {
            return false;
        };
        let Ok(Some(has)) = certificate.subject_alternative_name() else {
            return false;
        };
        let has = &has.value.general_names;
        names.iter().all(|name| match name.parse::<IpAddr>() {
            Ok(ip) => has
                .iter()
                .any(|h| matches!(h, GeneralName::IPAddress(o) if *o == octets(ip))),
            Err(_) => has.iter().any(|h| matches!(h, GeneralName::DNSName(n) if n == name)),
        })
    }

    /// How connections begin with it.
    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>, PkiError> {
        let chain = vec![
            CertificateDer::from_pem_slice(self.certificate.as_bytes())
                .map_err(|_| PkiError::Malformed("certificate"))?,
        ];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|_| PkiError::Malformed("private key"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Until when the first certificate of `pem` is good.
pub(crate) fn end_of(pem: &str) -> Option<Timestamp> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

/// The certificates of a bundle, whatever their order and the text between them.
pub(crate) fn certificates(bundle: &[u8]) -> BTreeSet<Vec<u8>> {
    let found = CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok);
    found.map(|der| der.to_vec()).collect()
}

/// What a client trusts by a bundle.
pub(crate) fn roots(bundle: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok));
    roots
}

/// Whether one of the bundle's CAs signed what `generation` serves with.
pub(crate) fn is_signed_by(generation: &Generation, bundle: &[u8]) -> bool {
    certificates(bundle).is_superset(&certificates(generation.ca.as_bytes()))
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default())
}
