//! The two signatures of Alibaba Cloud's OpenAPI, each in the stages a vector can check.
//!
//! [`acs3`] (ACS3-HMAC-SHA256, what the current SDKs and our client use) signs headers, query and a hash of the body;
//! [`rpc_v1`] (HMAC-SHA1) signs the set of all parameters. Nonce and time are arguments: nothing here is random or
//! reads a clock.

mod acs3;
mod v1;

pub use acs3::{Acs3, acs3, body_hash};
pub use v1::{RpcV1, rpc_v1};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters: `A-Za-z0-9-_.~` stay, a space becomes `%20`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Percent-encodes UTF-8 text as both signatures want it, onto the end of `out`.
pub fn percent_encode_onto(out: &mut String, text: &str) {
    out.extend(utf8_percent_encode(text, RESERVED));
}

/// `name=value` joined by `&`, sorted bytewise by name, both sides encoded: the canonical query of both signatures.
pub fn canonical_query<K: AsRef<str>, V: AsRef<str>>(params: &[(K, V)]) -> String {
    let mut sorted: Vec<(&str, &str)> = params.iter().map(|(k, v)| (k.as_ref(), v.as_ref())).collect();
    sorted.sort_unstable();
    let mut query = String::with_capacity(sorted.iter().map(|(k, v)| k.len() + v.len() * 3 / 2 + 2).sum());
    for (name, value) in sorted {
        if !query.is_empty() {
            query.push('&');
        }
        percent_encode_onto(&mut query, name);
        query.push('=');
        percent_encode_onto(&mut query, value);
    }
    query
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_all_but_the_unreserved() {
        let mut out = String::new();
        percent_encode_onto(&mut out, "aZ0-_.~ *+/=&%中");
        assert_eq!(out, "aZ0-_.~%20%2A%2B%2F%3D%26%25%E4%B8%AD");
    }

    #[test]
    fn sorts_bytewise() {
        let query = canonical_query(&[("b", "2"), ("Container.2", ""), ("Container.10", "x"), ("a", "1")]);
        assert_eq!(query, "Container.10=x&Container.2=&a=1&b=2");
    }
}
