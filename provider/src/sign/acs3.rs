//! Signature version 3, ACS3-HMAC-SHA256: sent as header `Authorization`.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{canonical_query, hex};

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// An ACS3 signature and the texts it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acs3 {
    /// Method, path, query, headers and body hash. Holds a session token if there is one, so it must not be logged.
    pub canonical_request: String,
    /// Algorithm and hash of the canonical request.
    pub string_to_sign: String,
    /// Hex of the MAC.
    pub signature: String,
    /// The whole `Authorization` header.
    pub authorization: String,
}

/// Hex SHA-256 of a body: the value of `x-acs-content-sha256`.
pub fn body_hash(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

/// Signs a request to path `/`.
///
/// `query` is in any order. `headers` are the ones to sign, names in lower case, in any order, `x-acs-content-sha256`
/// with the value `body_hash` among them: a verifier goes by the list in the `Authorization` header.
pub fn acs3<K: AsRef<str>, V: AsRef<str>>(
    method: &str,
    query: &[(K, V)],
    headers: &[(&str, &str)],
    body_hash: &str,
    access_key_id: &str,
    secret: &str,
) -> Acs3 {
    let mut sorted = headers.to_vec();
    sorted.sort_unstable();
    let mut signed_headers = String::with_capacity(sorted.iter().map(|(name, _)| name.len() + 1).sum());
    for (name, _) in &sorted {
        if !signed_headers.is_empty() {
            signed_headers.push(';');
        }
        signed_headers.push_str(name);
    }

    let mut canonical_request = String::with_capacity(512 + sorted.iter().map(|(_, value)| value.len()).sum::<usize>());
    canonical_request.push_str(method);
    canonical_request.push_str("\n/\n");
    canonical_request.push_str(&canonical_query(query));
    canonical_request.push('\n');
    for (name, value) in &sorted {
        canonical_request.push_str(name);
        canonical_request.push(':');
        canonical_request.push_str(value.trim());
        canonical_request.push('\n');
    }
    canonical_request.push('\n');
    canonical_request.push_str(&signed_headers);
    canonical_request.push('\n');
    canonical_request.push_str(body_hash);

    let string_to_sign = format!("{ALGORITHM}\n{}", self::body_hash(canonical_request.as_bytes()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(string_to_sign.as_bytes());
    let signature = hex(&mac.finalize().into_bytes());
    let authorization =
        format!("{ALGORITHM} Credential={access_key_id},SignedHeaders={signed_headers},Signature={signature}");
    Acs3 {
        canonical_request,
        string_to_sign,
        signature,
        authorization,
    }
}
