//! Both signatures and the decoding of forms once more, written from the public documents and sharing no code with the
//! server: what it accepts must be what this signs.

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use sha1::Sha1;
use sha2::{Digest, Sha256};

pub(super) const KEY: (&str, &str) = ("testid", "testsecret");
pub(super) const HOST: &str = "eci.test";

/// Names and values of a query or form.
pub(super) fn decode(encoded: &[u8]) -> Vec<(String, String)> {
    encoded
        .split(|b| *b == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            (text(&pair[..at]), text(pair.get(at + 1..).unwrap_or_default()))
        })
        .collect()
}

fn text(encoded: &[u8]) -> String {
    let digit = |at: usize| {
        let byte = *encoded.get(at)?;
        char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
    };
    let (mut bytes, mut at) = (Vec::new(), 0);
    while let Some(byte) = encoded.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high * 16 + low);
                at += 2;
            }
            (b'+', ..) => bytes.push(b' '),
            (other, ..) => bytes.push(*other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// RFC 3986, unreserved characters as they are.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn canonical(pairs: &[(String, String)]) -> String {
    let mut sorted = pairs.to_vec();
    sorted.sort();
    let encoded: Vec<String> = sorted
        .iter()
        .map(|(n, v)| format!("{}={}", encode(n), encode(v)))
        .collect();
    encoded.join("&")
}

/// The v1 signature of these parameters, `Signature` not among them.
pub(super) fn v1(method: &str, pairs: &[(String, String)]) -> String {
    let text = format!("{method}&{}&{}", encode("/"), encode(&canonical(pairs)));
    STANDARD.encode(hmac::<Sha1>(format!("{}&", KEY.1).as_bytes(), text.as_bytes()))
}

/// A request that is signed by v3: `query` as it stands in the URI, headers beside those of the protocol.
pub(super) fn v3(
    method: &str,
    query: &str,
    body: &[u8],
    action: &str,
    (date, nonce): (&str, &str),
    more: &[(HeaderName, HeaderValue)],
) -> Option<Request<Bytes>> {
    let hash = hex(&Sha256::digest(body));
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{HOST}/?{query}"))
        .body(Bytes::copy_from_slice(body))
        .ok()?;
    let headers = request.headers_mut();
    for (name, value) in [
        ("host", HOST),
        ("x-acs-action", action),
        ("x-acs-version", "2018-08-08"),
        ("x-acs-date", date),
        ("x-acs-signature-nonce", nonce),
        ("x-acs-content-sha256", &hash),
        ("content-type", "application/x-www-form-urlencoded"),
    ] {
        headers.insert(name, HeaderValue::from_str(value).ok()?);
    }
    for (name, value) in more {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let names = names.join(";");
    let mut text = format!("{method}\n/\n{}\n", canonical(&decode(query.as_bytes())));
    for name in names.split(';') {
        let value = String::from_utf8_lossy(headers[name].as_bytes()).into_owned();
        let _ = writeln!(text, "{name}:{}", value.trim_matches([' ', '\t']));
    }
    let _ = write!(text, "\n{names}\n{hash}");
    let text = format!("ACS3-HMAC-SHA256\n{}", hex(&Sha256::digest(text.as_bytes())));
    let signature = hex(&hmac::<Sha256>(KEY.1.as_bytes(), text.as_bytes()));
    let value = format!(
        "ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}",
        KEY.0
    );
    headers.insert("authorization", HeaderValue::from_str(&value).ok()?);
    Some(request)
}

/// RFC 2104; both hashes have blocks of 64 bytes.
fn hmac<H: Digest>(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let with = |pad: u8, text: &[u8]| {
        let mut hash = H::new();
        hash.update(block.map(|b| b ^ pad));
        hash.update(text);
        hash.finalize().to_vec()
    };
    with(0x5c, &with(0x36, text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
