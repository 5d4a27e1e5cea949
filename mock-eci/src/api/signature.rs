//! Verification of both signatures of Alibaba Cloud's RPC gateway: v1 (HMAC-SHA1 over all parameters) and v3
//! (ACS3-HMAC-SHA256 over the query, the headers the request names, and the hash of the body).
//!
//! Everything is decoded first and encoded again by the rules of the signature: SDKs put spaces as `+` into the URL and
//! sign `%20`.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::params::Params;

/// All but `A-Za-z0-9-_.~`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Name of the v3 algorithm, as in the Authorization header.
pub const ACS3: &str = "ACS3-HMAC-SHA256";

/// The value of an `Authorization: ACS3-HMAC-SHA256 ...` header.
#[derive(Debug, PartialEq, Eq)]
pub struct Authorization<'a> {
    /// `Credential`: the access key id.
    pub access_key_id: &'a str,
    /// `SignedHeaders`: lower-case names joined by `;`.
    pub signed_headers: &'a str,
    /// `Signature`: lower-case hex.
    pub signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Reads the header's value; none when it is not of this form.
    pub fn parse(value: &'a str) -> Option<Self> {
        let rest = value.strip_prefix(ACS3)?.strip_prefix(' ')?;
        let (mut credential, mut headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            match part.trim().split_once('=')? {
                ("Credential", v) => credential = Some(v),
                ("SignedHeaders", v) => headers = Some(v),
                ("Signature", v) => signature = Some(v),
                _ => return None,
            }
        }
        Some(Self {
            access_key_id: credential?,
            signed_headers: headers?,
            signature: signature?,
        })
    }
}

fn push_encoded(out: &mut String, text: &str) {
    out.extend(utf8_percent_encode(text, ENCODED));
}

/// `name=value` joined by `&`, sorted by name, without `Signature` where `skip_signature` says so.
fn canonical_query(params: &Params, skip_signature: bool, encode_names: bool) -> String {
    let mut out = String::with_capacity(256);
    for (name, value) in params.iter() {
        if skip_signature && name == "Signature" {
            continue;
        }
        if !out.is_empty() {
            out.push('&');
        }
        if encode_names {
            push_encoded(&mut out, name);
        } else {
            out.push_str(name);
        }
        out.push('=');
        push_encoded(&mut out, value);
    }
    out
}

/// v1: the text that is signed.
pub fn v1_string_to_sign(method: &str, params: &Params) -> String {
    let query = canonical_query(params, true, true);
    let mut out = String::with_capacity(query.len() * 5 / 4 + 16);
    out.push_str(method);
    out.push_str("&%2F&");
    push_encoded(&mut out, &query);
    out
}

/// v1: the signature of a text, base64.
pub fn v1_signature(secret: &str, string_to_sign: &str) -> String {
    let mut key = String::with_capacity(secret.len() + 1);
    key.push_str(secret);
    key.push('&');
    STANDARD.encode(hmac::<Hmac<Sha1>>(key.as_bytes(), string_to_sign.as_bytes()))
}

/// v3: hex SHA-256 of a body.
pub fn content_hash(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

/// v3: the canonical request. Headers that are named but absent count as empty, so they cannot match by accident.
pub fn v3_canonical_request(
    method: &str,
    query: &Params,
    encode_names: bool,
    headers: &HeaderMap,
    host: &str,
    signed_headers: &str,
    body_hash: &str,
) -> String {
    let mut out = String::with_capacity(1024);
    out.push_str(method);
    out.push_str("\n/\n");
    out.push_str(&canonical_query(query, false, encode_names));
    out.push('\n');
    for name in signed_headers.split(';') {
        out.push_str(name);
        out.push(':');
        if name == "host" {
            out.push_str(host.trim());
        } else if let Some(value) = headers.get(name) {
            // What HTTP calls white space, and no other: of a value that ends with a no-break space that is a part.
            out.push_str(String::from_utf8_lossy(value.as_bytes()).trim_matches([' ', '\t']));
        }
        out.push('\n');
    }
    out.push('\n');
    out.push_str(signed_headers);
    out.push('\n');
    out.push_str(body_hash);
    out
}

/// v3: the text that is signed.
pub fn v3_string_to_sign(canonical_request: &str) -> String {
    format!("{ACS3}\n{}", content_hash(canonical_request.as_bytes()))
}

/// v3: the signature of a text, hex.
pub fn v3_signature(secret: &str, string_to_sign: &str) -> String {
    hex(&hmac::<Hmac<Sha256>>(secret.as_bytes(), string_to_sign.as_bytes()))
}

/// Compares without telling by time where the difference is.
pub fn equal(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn hmac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length: the error case does not exist, and an empty result matches no signature.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}
