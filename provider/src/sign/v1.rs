//! RPC signature version 1: HMAC-SHA1 over all parameters, sent as parameter `Signature`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::{canonical_query, percent_encode_onto};

/// A version 1 signature and the text it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcV1 {
    /// `METHOD&%2F&<encoded canonical query>`. Holds every parameter, so it must not be logged.
    pub string_to_sign: String,
    /// Base64 of the MAC: the value of parameter `Signature`.
    pub signature: String,
}

/// Signs `params`: everything that will be sent, common parameters included, `Signature` itself excluded.
pub fn rpc_v1<K: AsRef<str>, V: AsRef<str>>(method: &str, params: &[(K, V)], secret: &str) -> RpcV1 {
    let query = canonical_query(params);
    let mut string_to_sign = String::with_capacity(method.len() + query.len() * 5 / 4 + 5);
    string_to_sign.push_str(method);
    string_to_sign.push_str("&%2F&");
    percent_encode_onto(&mut string_to_sign, &query);

    let mut key = String::with_capacity(secret.len() + 1);
    key.push_str(secret);
    key.push('&');
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(string_to_sign.as_bytes());
    RpcV1 {
        signature: STANDARD.encode(mac.finalize().into_bytes()),
        string_to_sign,
    }
}
