//! From an HTTP request to an authenticated call: where parameters are, which action is meant, who signed it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use jiff::{SignedDuration, Timestamp};

use super::{
    credentials::{Credential, Credentials},
    error::ApiError,
    params::Params,
    replay::{Nonces, WINDOW},
    response::{Format, shorten},
    signature::{self, Authorization},
};
use crate::{clock::Clock, config::AccessKey, long_target};

/// The only version of ECI's OpenAPI.
pub const VERSION: &str = "2018-08-08";

/// Characters of a string to sign that an error quotes: it may have 100 kB, and these are enough to see the difference.
const MAX_QUOTED: usize = 4_096;

/// Parameters of the protocol itself, sorted: they say who calls and when, not what is asked for.
pub const PARAMETERS: [&str; 11] = [
    "AccessKeyId",
    "Action",
    "Format",
    "SecurityToken",
    "Signature",
    "SignatureMethod",
    "SignatureNonce",
    "SignatureType",
    "SignatureVersion",
    "Timestamp",
    "Version",
];

/// A decoded call. Nothing in it is trusted before [`Verifier::verify`] returned it.
#[derive(Debug)]
pub struct Call {
    /// The action's name as the caller wrote it.
    pub action: String,
    /// Query and form body, merged and sorted.
    pub params: Params,
    /// In which form the caller wants its answer, as far as it could be told.
    pub format: Format,
}

/// Checks who calls.
#[derive(Debug)]
pub struct Verifier {
    credentials: Credentials,
    clock: Clock,
    nonces: Mutex<Nonces>,
}

/// What a signature claims, before it is checked.
struct Claim<'a> {
    access_key_id: &'a str,
    security_token: Option<&'a str>,
    time: &'a str,
    nonce: &'a str,
}

impl Verifier {
    /// Accepts these keys.
    pub fn new(keys: Vec<AccessKey>, clock: Clock) -> Self {
        let nonces = Mutex::new(Nonces::new(clock.unsteered()));
        Self {
            credentials: Credentials::new(keys),
            clock,
            nonces,
        }
    }

    /// Who may call.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Decodes and authenticates a request.
    ///
    /// # Errors
    /// ECI's code for whatever is wrong, the first one found. The call is given back with it as far as it could be
    /// decoded, for the journal.
    pub fn verify(&self, request: &Request<Bytes>) -> (Call, Result<(), ApiError>) {
        let mut call = Call {
            action: String::new(),
            params: Params::default(),
            format: Format::Json,
        };
        let result = self.decode(request, &mut call);
        (call, result)
    }

    fn decode(&self, request: &Request<Bytes>, call: &mut Call) -> Result<(), ApiError> {
        let (headers, body) = (request.headers(), request.body());
        call.action = header_text(headers, "x-acs-action").unwrap_or_default().to_owned();
        let method = match *request.method() {
            Method::GET => "GET",
            Method::POST => "POST",
            ref other => return Err(ApiError::http_method(other.as_str())),
        };
        call.params.extend_encoded(long_target::query(request).as_bytes())?;
        call.params.sort();

        let authorization = header_text(headers, "authorization").filter(|v| v.starts_with(signature::ACS3));
        if let Some(authorization) = authorization {
            call.format = accepted(headers);
            // v3: the query is signed as such and the body by its hash, so the body is decoded only afterwards.
            let checked = self.verify_v3(method, request, authorization, &call.params);
            merge_form(headers, body, &mut call.params)?;
            checked?;
            if call.action.is_empty() {
                return Err(ApiError::missing_action());
            }
            check_version(header_text(headers, "x-acs-version"))?;
        } else {
            // Known before the body is, so that an error with that is answered in the right form.
            let known = format(&call.params).map(|format| call.format = format);
            merge_form(headers, body, &mut call.params)?;
            call.format = known.and_then(|()| format(&call.params))?;
            if let Some(action) = call.params.get("Action") {
                call.action = action.to_owned();
            }
            if call.action.is_empty() {
                return Err(ApiError::missing_action());
            }
            check_version(call.params.get("Version"))?;
            self.verify_v1(method, &call.params)?;
        }
        match call.params.duplicate() {
            Some(name) => Err(ApiError::invalid(name, "it is given more than once")),
            None => Ok(()),
        }
    }

    fn verify_v1(&self, method: &str, params: &Params) -> Result<(), ApiError> {
        let need = |name: &str| {
            params
                .get(name)
                .filter(|v| !v.is_empty())
                .ok_or_else(|| ApiError::missing(name))
        };
        let claim = Claim {
            access_key_id: need("AccessKeyId")?,
            security_token: params.get("SecurityToken").filter(|v| !v.is_empty()),
            time: need("Timestamp")?,
            nonce: need("SignatureNonce")?,
        };
        let signature = need("Signature")?;
        if need("SignatureMethod")? != "HMAC-SHA1" {
            return Err(ApiError::invalid("SignatureMethod", "it must be HMAC-SHA1"));
        }
        if need("SignatureVersion")? != "1.0" {
            return Err(ApiError::invalid("SignatureVersion", "it must be 1.0"));
        }
        let key = self.key(&claim)?;
        let string_to_sign = signature::v1_string_to_sign(method, params);
        if !signature::equal(signature, &signature::v1_signature(&key.key.secret, &string_to_sign)) {
            return Err(ApiError::signature_mismatch(&shorten(&string_to_sign, MAX_QUOTED)));
        }
        self.use_nonce(&claim)
    }

    fn verify_v3(
        &self,
        method: &str,
        request: &Request<Bytes>,
        authorization: &str,
        query: &Params,
    ) -> Result<(), ApiError> {
        let headers = request.headers();
        let authorization = Authorization::parse(authorization).ok_or_else(|| {
            ApiError::incomplete_signature("Authorization must give Credential, SignedHeaders and Signature")
        })?;
        let signed = |name: &str| authorization.signed_headers.split(';').any(|n| n == name);
        let need = |name: &'static str| {
            if !signed(name) {
                return Err(ApiError::incomplete_signature(&format!("header {name} is not signed")));
            }
            header_text(headers, name)
                .filter(|v| !v.is_empty())
                .ok_or_else(|| ApiError::incomplete_signature(&format!("header {name} is missing")))
        };
        if !signed("host") {
            return Err(ApiError::incomplete_signature("header host is not signed"));
        }
        need("x-acs-action")?;
        need("x-acs-version")?;
        let claim = Claim {
            access_key_id: authorization.access_key_id,
            security_token: header_text(headers, "x-acs-security-token"),
            time: need("x-acs-date")?,
            nonce: need("x-acs-signature-nonce")?,
        };
        if claim.security_token.is_some() {
            need("x-acs-security-token")?;
        }
        let body_hash = need("x-acs-content-sha256")?;
        let key = self.key(&claim)?;
        let actual_hash = signature::content_hash(request.body());
        if !signature::equal(body_hash, &actual_hash) {
            return Err(ApiError::signature_mismatch(&format!(
                "(the body's SHA-256 is {actual_hash})"
            )));
        }
        let host = host(request);
        let sign = |encode_names: bool| {
            signature::v3_canonical_request(
                method,
                query,
                encode_names,
                headers,
                host,
                authorization.signed_headers,
                body_hash,
            )
        };
        let canonical = sign(true);
        let matches = |canonical: &str| {
            let expected = signature::v3_signature(&key.key.secret, &signature::v3_string_to_sign(canonical));
            signature::equal(authorization.signature, &expected)
        };
        // The Python SDK leaves names raw where the public document encodes them; only names with `#` and the like differ.
        if !matches(&canonical) && !matches(&sign(false)) {
            return Err(ApiError::signature_mismatch(&shorten(&canonical, MAX_QUOTED)));
        }
        self.use_nonce(&claim)
    }

    /// The key of a claim whose time is acceptable.
    fn key(&self, claim: &Claim<'_>) -> Result<Arc<Credential>, ApiError> {
        let time = parse_time(claim.time).ok_or_else(|| ApiError::time_format(claim.time))?;
        // A caller lives outside: it does not know of steered jumps, and in a test with paused time it may read either
        // the wall clock or Tokio's. In a server that nobody steers the three are the same.
        let near = |now: Timestamp| {
            time.duration_since(now).abs() <= SignedDuration::try_from(WINDOW).unwrap_or(SignedDuration::MAX)
        };
        if !near(self.clock.wall()) && !near(self.clock.unsteered()) && !near(self.clock.now()) {
            return Err(ApiError::time_expired());
        }
        self.credentials
            .usable(claim.access_key_id, claim.security_token, self.clock.now())
    }

    /// Only after the signature was found right: nobody else can use up a caller's nonces.
    fn use_nonce(&self, claim: &Claim<'_>) -> Result<(), ApiError> {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.note(claim.access_key_id, claim.nonce, self.clock.unsteered()) {
            Ok(())
        } else {
            Err(ApiError::nonce_used())
        }
    }
}

/// `YYYY-MM-DDThh:mm:ssZ`, exactly.
fn parse_time(text: &str) -> Option<Timestamp> {
    let shape = text.len() == 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z');
    if shape { text.parse().ok() } else { None }
}

/// `Format`: XML unless the caller says otherwise, as at every RPC gateway of Alibaba Cloud.
fn format(params: &Params) -> Result<Format, ApiError> {
    match params.get("Format").unwrap_or_default() {
        "" => Ok(Format::Xml),
        format if format.eq_ignore_ascii_case("xml") => Ok(Format::Xml),
        format if format.eq_ignore_ascii_case("json") => Ok(Format::Json),
        _ => Err(ApiError::invalid("Format", "it must be JSON or XML")),
    }
}

/// What `accept` asks for where there is no `Format`: JSON unless it names XML first.
fn accepted(headers: &HeaderMap) -> Format {
    let first = header_text(headers, "accept").and_then(|types| types.split([',', ';']).next());
    match first.map(str::trim) {
        Some(kind) if kind.eq_ignore_ascii_case("application/xml") || kind.eq_ignore_ascii_case("text/xml") => {
            Format::Xml
        }
        _ => Format::Json,
    }
}

fn check_version(version: Option<&str>) -> Result<(), ApiError> {
    match version {
        None | Some("") => Err(ApiError::missing("Version")),
        Some(VERSION) => Ok(()),
        Some(other) => Err(ApiError::version(other)),
    }
}

fn merge_form(headers: &HeaderMap, body: &Bytes, params: &mut Params) -> Result<(), ApiError> {
    if body.is_empty() {
        return Ok(());
    }
    let kind = header_text(headers, "content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(ApiError::invalid(
            "Content-Type",
            "a body must be application/x-www-form-urlencoded",
        ));
    }
    params.extend_encoded(body)?;
    params.sort();
    Ok(())
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim)
}

/// The host the caller addressed: the header, or in memory the request's own authority.
pub fn host<B>(request: &Request<B>) -> &str {
    header_text(request.headers(), header::HOST.as_str())
        .or_else(|| request.uri().authority().map(http::uri::Authority::as_str))
        .unwrap_or_default()
}
