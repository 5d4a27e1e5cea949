//! Who is at the other end of a connection, by the certificate that was shown in its handshake.
//!
//! As with a kubelet the handshake only proves that the client has the certificate's key. Whether the certificate counts is
//! asked at each request: it may expire, or its authority be withdrawn, while a connection lives; and a client whose
//! certificate counts for nothing may still have a token.

use std::collections::BTreeMap;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use x509_parser::der_parser::{Oid, oid};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::User;
use crate::clock;
use crate::kubelet::tls::Tls;

/// The attribute of a certificate's subject that carries a user's UID; Kubernetes' own.
const UID: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);
/// Under this name an audit finds the certificate.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// The other end of a connection.
#[derive(Clone)]
pub struct Peer {
    /// What it showed, its own certificate first.
    chain: Vec<CertificateDer<'static>>,
    /// Who signs certificates that count, as of now.
    tls: watch::Receiver<Tls>,
}

impl Peer {
    /// One that showed these certificates, if any.
    pub fn new(chain: Vec<CertificateDer<'static>>, tls: watch::Receiver<Tls>) -> Self {
        Self { chain, tls }
    }

    /// The user its certificate speaks for; `None` = it showed none that says so.
    ///
    /// # Errors
    /// It showed one that does not count.
    pub(super) fn user(&self) -> Result<Option<User>, rustls::Error> {
        let Some((own, others)) = self.chain.split_first() else {
            return Ok(None);
        };
        let Some(clients) = self.tls.borrow().clients.clone() else {
            return Ok(None);
        };
        let now = Duration::from_secs(clock::now().as_second().unsigned_abs());
        clients.verify_client_cert(own, others, UnixTime::since_unix_epoch(now))?;
        Ok(user_of(own))
    }
}

/// The user a certificate speaks for; `None` for one without a common name.
fn user_of(der: &CertificateDer<'_>) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject
        .iter_organization()
        .filter_map(|o| o.as_str().ok())
        .map(str::to_owned)
        .collect();
    let uid = match subject.iter_by_oid(&UID).map(|uid| uid.as_str()).collect::<Vec<_>>()[..] {
        [] => None,
        [Ok(uid)] if !uid.is_empty() => Some(uid.to_owned()),
        // Whoever signed this meant somebody, and it does not say whom.
        _ => return None,
    };
    let fingerprint = Sha256::digest(der)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let credential = vec![format!("X509SHA256={fingerprint}")];
    Some(User {
        name,
        uid,
        groups,
        extra: BTreeMap::from([(CREDENTIAL_ID.to_owned(), credential)]),
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(subject: &[(DnType, &str)]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).expect("valid");
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().expect("generates");
        params.self_signed(&key).expect("signs").der().clone()
    }

    #[test]
    fn a_certificate_names_its_user_groups_and_uid() {
        let uid = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2]);
        let user = user_of(&certificate(&[
            (DnType::CommonName, "kube-apiserver-kubelet-client"),
            (DnType::OrganizationName, "system:masters"),
            (uid.clone(), "1-2-3"),
        ]))
        .expect("has a name");
        assert_eq!(user.name, "kube-apiserver-kubelet-client");
        assert_eq!(user.groups, ["system:masters"]);
        assert_eq!(user.uid.as_deref(), Some("1-2-3"));
        let credential = &user.extra[CREDENTIAL_ID][0];
        assert!(
            credential.len() == 75 && credential.starts_with("X509SHA256="),
            "{credential}"
        );
        assert_eq!(user_of(&certificate(&[(DnType::CommonName, "a"), (uid, "")])), None);
        assert_eq!(user_of(&certificate(&[(DnType::OrganizationName, "nobody")])), None);
        assert_eq!(user_of(&CertificateDer::from_slice(b"no certificate")), None);
    }
}
