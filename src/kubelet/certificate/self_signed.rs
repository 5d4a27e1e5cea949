//! A certificate that the agent signs itself, for clusters whose API server does not verify kubelets' certificates.

use std::io;
use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use thiserror::Error;

use super::{Subject, pair};
use crate::clock;

/// Why there is none.
#[derive(Debug, Error)]
pub(super) enum SigningError {
    #[error("cannot make a key and a certificate")]
    Crypto(#[from] rcgen::Error),
    #[error("cannot keep the certificate")]
    Io(#[from] io::Error),
}

/// Makes one for a year, and puts it into `file`.
pub(super) fn make(subject: &Subject, file: &Path) -> Result<(), SigningError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![subject.node.clone(), subject.node_ip.to_string()])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject.node.clone());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // From yesterday on: not all clocks are the same.
    let today = clock::now().to_zoned(TimeZone::UTC);
    let date = |day: &Zoned| date_time_ymd(day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs());
    params.not_before = date(&today.saturating_sub(1.day()));
    params.not_after = date(&today.saturating_add(1.year()));
    let certificate = params.self_signed(&key)?;
    pair::write(file, &certificate.pem(), &key.serialize_pem())?;
    Ok(())
}
