//! A certificate and its key in one file, so that the two always fit: a kubelet keeps its own like that.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::Subject;
use crate::kubelet::tls::TlsFiles;

/// A certificate is renewed when so much of its life is over; a kubelet does it between 70 % and 90 %.
const RENEW_AT: f64 = 0.8;

/// The file as those see it who serve with it.
pub(in crate::kubelet) fn files(file: &Path, client_ca: Option<&Path>) -> TlsFiles {
    TlsFiles {
        cert: file.to_owned(),
        key: file.to_owned(),
        client_ca: client_ca.map(Path::to_owned),
    }
}

/// What a serving certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    /// The addresses it is for.
    pub(crate) addresses: Vec<IpAddr>,
    /// From when on it counts.
    pub(crate) begin: Timestamp,
    /// Until when.
    pub(crate) end: Timestamp,
}

impl Serving {
    /// Reads a certificate; `None` = it is none.
    pub(crate) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok()?;
        let names = names
            .map(|names| names.value.general_names.as_slice())
            .unwrap_or_default();
        let addresses = names.iter().filter_map(|name| match name {
            GeneralName::IPAddress(octets) => address(octets),
            _ => None,
        });
        let validity = certificate.validity();
        Some(Self {
            addresses: addresses.collect(),
            begin: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            end: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
        })
    }

    /// When it is to be replaced.
    pub(crate) fn renew_at(&self) -> Timestamp {
        let (begin, end) = (self.begin.as_second(), self.end.as_second());
        let good_for = (end.saturating_sub(begin) as f64 * RENEW_AT) as i64;
        Timestamp::from_second(begin.saturating_add(good_for)).unwrap_or(self.begin)
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
    }
}

/// Until when the certificate in `file` serves `subject` without being renewed; `None` if it does not at all.
pub(super) fn good_until(file: &Path, subject: &Subject) -> Option<Timestamp> {
    let der = CertificateDer::from_pem_file(file).ok()?;
    let serving = Serving::of(&der)?;
    let covers = serving.addresses.contains(&subject.node_ip);
    (covers && files(file, None).check().is_ok()).then(|| serving.renew_at())
}

/// Writes both at once, for the owner alone.
pub(super) fn write(file: &Path, certificate: &str, key: &str) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let new = file.with_extension("new");
    // An old one of a crash may have another mode.
    let _ = fs::remove_file(&new);
    let mut open = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    open.write_all(certificate.as_bytes())?;
    open.write_all(key.as_bytes())?;
    open.sync_all()?;
    fs::rename(&new, file)
}
