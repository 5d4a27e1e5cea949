//! Both signatures: any request is refused or was signed right, and what is signed right is accepted.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use jiff::Timestamp;
use mock_eci::{
    api::{
        error::ApiError,
        protocol::{PARAMETERS, Verifier},
    },
    clock::{Clock, Mode},
    config::AccessKey,
};

use super::{as_query, oracle, query_and_form};

const DATE: &str = "2026-01-01T00:00:00Z";
/// Nobody can guess a signature.
const FORGED: &str = "a request that nobody signed was accepted";
/// So many parameters are refused before anybody looks at the signature.
const MOST: usize = mock_eci::api::params::MAX_PARAMETERS - PARAMETERS.len();

/// A verifier that has seen no nonce yet, and what it says.
fn verify(request: &Request<Bytes>) -> Result<(), ApiError> {
    let now = DATE.parse::<Timestamp>().expect("a time");
    let key = AccessKey {
        id: oracle::KEY.0.to_owned(),
        secret: oracle::KEY.1.to_owned(),
        security_token: None,
    };
    Verifier::new(vec![key], Clock::starting_at(Mode::Stepped, now))
        .verify(request)
        .1
}

/// Checks a request whose parameters besides the protocol's are `pairs`, and whose signature is right.
fn must_be_accepted(request: &Request<Bytes>, pairs: &[(String, String)]) {
    let result = verify(request);
    let mut names: Vec<&str> = pairs.iter().map(|(n, _)| n.as_str()).collect();
    names.sort_unstable();
    let unique = names.windows(2).all(|w| w[0] != w[1]);
    let protocol = names.iter().any(|n| PARAMETERS.contains(n));
    match result {
        Ok(()) => assert!(unique, "a name that is given twice was accepted"),
        // Then what is meant is a matter of taste, and only that nothing panics is of interest.
        Err(_) if protocol || pairs.len() > MOST => {}
        Err(error) => assert!(!unique && error.code == "InvalidParameter", "{error:?}"),
    }
}

/// A request as it comes from the network: a line of method and target, headers, an empty line, the body.
fn raw(data: &[u8]) -> Option<Request<Bytes>> {
    let end = data.windows(2).position(|w| w == b"\n\n").unwrap_or(data.len());
    let mut lines = data[..end].split(|b| *b == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target);
    for line in lines {
        let at = line.iter().position(|b| *b == b':')?;
        request = request.header(&line[..at], &line[at + 1..]);
    }
    request
        .body(Bytes::copy_from_slice(data.get(end + 2..).unwrap_or_default()))
        .ok()
}

/// v1, over all parameters wherever they are.
pub(crate) fn signature_v1(data: &[u8]) {
    if let Some(request) = raw(data) {
        assert!(verify(&request).is_err(), "{FORGED}");
    }
    let (query, form) = query_and_form(data);
    let query = as_query(query);
    let mut pairs = oracle::decode(query.as_bytes());
    pairs.extend(oracle::decode(form));
    let given = pairs.clone();
    for (name, value) in [
        ("Action", "DescribeRegions"),
        ("Version", "2018-08-08"),
        ("AccessKeyId", oracle::KEY.0),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("SignatureNonce", "nonce"),
        ("Timestamp", DATE),
    ] {
        pairs.push((name.to_owned(), value.to_owned()));
    }
    for method in ["GET", "POST"] {
        let signature = oracle::v1(method, &pairs);
        let send = |signature: &str| {
            let own: Vec<String> = pairs[given.len()..]
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .chain([("Signature", signature)])
                .map(|(n, v)| format!("{}={}", oracle::encode(n), oracle::encode(v)))
                .collect();
            Request::builder()
                .method(method)
                .uri(format!("http://{}/?{}&{query}", oracle::HOST, own.join("&")))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Bytes::copy_from_slice(form))
                .ok()
        };
        // None: longer than the http crate takes a target to be.
        let Some(request) = send(&signature) else { return };
        must_be_accepted(&request, &given);
        let other = if method == "GET" { "POST" } else { "GET" };
        let forged = send(&oracle::v1(other, &pairs));
        assert!(forged.is_some_and(|r| verify(&r).is_err()), "{FORGED}");
    }
}

/// v3, over the query, the headers and the body.
pub(crate) fn signature_v3(data: &[u8]) {
    if let Some(request) = raw(data) {
        assert!(verify(&request).is_err(), "{FORGED}");
    }
    // Headers first, then query and form: `name:value` up to an empty line.
    let (head, rest) = match data.windows(2).position(|w| w == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (&[][..], data),
    };
    let more: Vec<(HeaderName, HeaderValue)> = head
        .split(|b| *b == b'\n')
        .filter_map(|line| {
            let at = line.iter().position(|b| *b == b':')?;
            let name = HeaderName::from_bytes(&line[..at]).ok()?;
            Some((name, HeaderValue::from_bytes(&line[at + 1..]).ok()?))
        })
        // A security token would have to be the right one.
        .filter(|(name, _)| name != "authorization" && name != "x-acs-security-token")
        .collect();
    let (query, form) = query_and_form(rest);
    let query = as_query(query);
    let mut given = oracle::decode(query.as_bytes());
    given.extend(oracle::decode(form));
    for method in ["GET", "POST"] {
        let Some(mut request) = oracle::v3(method, &query, form, "DescribeRegions", (DATE, "nonce"), &more) else {
            return;
        };
        must_be_accepted(&request, &given);
        // One more byte in the body, or another target: nobody signed that.
        let mut body = form.to_vec();
        body.push(b'&');
        let body = std::mem::replace(request.body_mut(), body.into());
        assert!(verify(&request).is_err(), "{FORGED}");
        *request.body_mut() = body;
        *request.uri_mut() = match format!("http://{}/?{query}&more=1", oracle::HOST).parse() {
            Ok(uri) => uri,
            Err(_) => return,
        };
        assert!(verify(&request).is_err(), "{FORGED}");
    }
}
