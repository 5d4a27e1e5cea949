//! The body of an error.

use serde_json::{Map, Value};

/// What an error answer says. Every part may be empty: not everything that answers with an error is ECI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// `Code`, the part that means something to programs.
    pub code: String,
    /// `Message`. It may quote parameters of the request or the text that was signed, so it is not fit for logs as it
    /// is.
    pub message: String,
    /// `RequestId`.
    pub request_id: String,
}

impl ErrorBody {
    /// Reads a JSON error, members in either capitalisation. Anything else gives empty parts.
    pub fn parse(body: &[u8]) -> Self {
        let object: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        let text = |names: [&str; 2]| {
            let found = names.iter().find_map(|name| object.get(*name)).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        Self {
            code: text(["Code", "code"]),
            message: text(["Message", "message"]),
            request_id: text(["RequestId", "requestId"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_capitalisation() {
        let want = ErrorBody {
            code: "Throttling".into(),
            message: "slow".into(),
            request_id: "r".into(),
        };
        let upper = br#"{"RequestId":"r","HostId":"h","Code":"Throttling","Message":"slow","Recommend":"u"}"#;
        assert_eq!(ErrorBody::parse(upper), want);
        assert_eq!(
            ErrorBody::parse(br#"{"requestId":"r","code":"Throttling","message":"slow"}"#),
            want
        );
    }

    #[test]
    fn what_is_no_error_body_has_no_code() {
        for body in ["", "<html>", "[]", "\"x\"", "{}", r#"{"Code":7}"#] {
            assert_eq!(ErrorBody::parse(body.as_bytes()), ErrorBody::default(), "{body}");
        }
    }
}
