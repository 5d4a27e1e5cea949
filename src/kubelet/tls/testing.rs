//! Certificates for tests.

use super::*;

/// What serves with a certificate of its own, and asks clients for none.
pub(in crate::kubelet) fn tls() -> Tls {
    let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("generates");
    let files = TlsFiles {
        cert: "cert".into(),
        key: "key".into(),
        client_ca: None,
    };
    let contents = Contents {
        cert: key.cert.pem().into_bytes(),
        key: key.signing_key.serialize_pem().into_bytes(),
        client_ca: None,
    };
    files.tls(&contents).expect("usable")
}
