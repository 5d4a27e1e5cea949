//! Who asks, and what they are told.

use std::collections::BTreeMap;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    /// The API server, by its certificate.
    ApiServer,
    /// By the token of somebody who may.
    RightToken,
    /// By the token of somebody who may read figures and pods, as metrics-server does, and nothing else.
    FiguresToken,
    /// By the token of somebody who may do nothing.
    TokenWithoutRights,
    /// Without anything.
    Nobody,
    /// As the API server, by a certificate of another cluster.
    Foreign,
}

/// All of them.
pub const CLIENTS: [Client; 6] = [
    Client::ApiServer,
    Client::RightToken,
    Client::FiguresToken,
    Client::TokenWithoutRights,
    Client::Nobody,
    Client::Foreign,
];

/// What a client was told, with the names of this node and namespace replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub allow: String,
    pub location: String,
    pub body: String,
}

impl Answer {
    /// Reads a response to its end; of one that becomes a connection there is no end to read to.
    pub async fn read(response: reqwest::Response, replace: &BTreeMap<String, &'static str>) -> Self {
        let header = |name: &str| {
            let value = response.headers().get(name).map(|value| value.to_str().expect("text"));
            value.unwrap_or_default().to_owned()
        };
        let status = match response.status().as_u16() {
            // The same to a client; which one depends on the Go that built the kubelet.
            301 => 307,
            status => status,
        };
        let (content_type, allow, location) = (header("content-type"), header("allow"), header("location"));
        let mut body = match status {
            101 => String::new(),
            _ => response.text().await.expect("a body"),
        };
        for (from, to) in replace {
            body = body.replace(from, to);
        }
        body = body.replace("Moved Permanently", "Temporary Redirect");
        Self {
            status,
            content_type,
            allow,
            location,
            body,
        }
    }
}

/// An HTTP client that trusts `authority`, with a certificate and key in PEM, or none.
pub fn http(authority: &str, identity: Option<&str>) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(authority.as_bytes()).expect("PEM");
    let mut builder = reqwest::Client::builder()
        .tls_certs_only([root])
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(30));
    if let Some(identity) = identity {
        builder = builder.identity(reqwest::Identity::from_pem(identity.as_bytes()).expect("PEM"));
    }
    builder.build().expect("a client")
}

/// Certificate and key that say they are the API server's, by an authority that nobody knows.
pub fn foreign_identity() -> String {
    let mut authority = CertificateParams::new(Vec::new()).expect("valid");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(authority, KeyPair::generate().expect("generates"));
    let mut params = CertificateParams::new(Vec::new()).expect("valid");
    params
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver-kubelet-client");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "system:masters");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().expect("generates");
    let certificate = params.signed_by(&key, &issuer).expect("signs");
    certificate.pem() + &key.serialize_pem()
}
