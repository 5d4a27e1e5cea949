//! Envelopes of answers.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::{Answer, error::ApiError, xml};

/// Most characters of a message: some quote what the caller sent, which may be megabytes.
const MAX_MESSAGE: usize = 8 * 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json;charset=utf-8");
/// To the letter: the Tea SDKs parse an error as XML only if it is exactly this.
const XML: HeaderValue = HeaderValue::from_static("text/xml;charset=utf-8");

/// In which form a caller wants its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// XML.
    Xml,
}

/// An answer of this body.
///
/// # Errors
/// `InternalError` when it cannot be written as JSON.
pub(crate) fn answer(body: &impl Serialize) -> Result<Answer, ApiError> {
    let body = serde_json::to_vec(body).map_err(|_| ApiError::internal("The answer cannot be written."))?;
    Ok(Answer {
        body: body.into(),
        processing: None,
    })
}

/// A JSON response.
pub fn json(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// The response for a good answer of an action.
pub fn good(format: Format, action: &str, body: Bytes) -> Response<Bytes> {
    match format {
        Format::Json => json(StatusCode::OK, body),
        Format::Xml => xml(StatusCode::OK, &format!("{action}Response"), &body),
    }
}

/// An XML response of the same content as this JSON.
fn xml(status: StatusCode, root: &str, body: &[u8]) -> Response<Bytes> {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let mut response = Response::new(xml::document(root, &value).unwrap_or_default().into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, XML);
    response
}

/// The response for an error, in the form asked for.
pub fn error_as(format: Format, error: &ApiError, request_id: &str, host: &str) -> Response<Bytes> {
    let response = self::error(error, request_id, host);
    match format {
        Format::Json => response,
        Format::Xml => xml(error.status, "Error", response.body()),
    }
}

/// The response for an error, as JSON.
pub fn error(error: &ApiError, request_id: &str, host: &str) -> Response<Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        request_id: &'a str,
        host_id: &'a str,
        code: &'a str,
        message: Cow<'a, str>,
        recommend: String,
    }
    let body = Body {
        request_id,
        host_id: host,
        code: &error.code,
        message: shorten(&error.message, MAX_MESSAGE),
        recommend: format!(
            "https://api.aliyun.com/troubleshoot?q={}&product=Eci&requestId={request_id}",
            error.code
        ),
    };
    json(error.status, serde_json::to_vec(&body).unwrap_or_default().into())
}

/// The first so many characters of a text, with `...` where there were more.
pub(crate) fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}...", &text[..at]).into(),
        None => text.into(),
    }
}

/// A new request id: an upper-case UUID.
pub fn request_id() -> String {
    let mut bits: u128 = rand::random();
    // Version 4, variant 1.
    bits = bits & !(0xf << 76) | (0x4 << 76);
    bits = bits & !(0x3 << 62) | (0x2 << 62);
    let hex = format!("{bits:032X}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
