//! (pure) Where in a request a bearer token may be.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};

/// Browsers cannot set `Authorization` on a WebSocket, so the token may come as one of its protocols.
const PROTOCOL_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// The token of `Authorization: Bearer …`.
pub(super) fn of_header(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let mut words = value.trim().split(' ');
    let scheme = words.next()?;
    let token = words.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The token among a WebSocket's protocols, and the other protocols, of which there must be one.
pub(super) fn of_protocols(headers: &HeaderMap) -> Option<(String, HeaderValue)> {
    let upgrade = headers.get(header::UPGRADE)?;
    if !upgrade.as_bytes().eq_ignore_ascii_case(b"websocket") {
        return None;
    }
    let (tokens, others): (Vec<&str>, Vec<&str>) = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .partition(|protocol| protocol.starts_with(PROTOCOL_PREFIX));
    let ([token], false) = (&tokens[..], others.is_empty()) else {
        return None;
    };
    let token = URL_SAFE_NO_PAD.decode(token.strip_prefix(PROTOCOL_PREFIX)?).ok()?;
    let token = String::from_utf8(token).ok().filter(|token| !token.is_empty())?;
    Some((token, HeaderValue::from_str(&others.join(",")).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(header::HeaderName, &str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| (name.clone(), value.parse().expect("valid")))
            .collect()
    }

    #[test]
    fn a_bearer_token_is_the_second_word() {
        let of = |value: &str| of_header(&headers(&[(header::AUTHORIZATION, value)])).map(str::to_owned);
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of(" bearer abc more ").as_deref(), Some("abc"));
        for none in ["Bearer", "Bearer ", "Bearer  abc", "Basic abc", ""] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_websocket_may_carry_it_as_a_protocol_beside_another() {
        let of = |upgrade: &str, protocols: &str| {
            let all = [(header::UPGRADE, upgrade), (header::SEC_WEBSOCKET_PROTOCOL, protocols)];
            of_protocols(&headers(&all))
        };
        let token = format!("{PROTOCOL_PREFIX}YWJj");
        let found = of("WebSocket", &format!("{token}, v5.channel.k8s.io, v4.channel.k8s.io"));
        let rest = HeaderValue::from_static("v5.channel.k8s.io,v4.channel.k8s.io");
        assert_eq!(found, Some(("abc".to_owned(), rest)));
        assert_eq!(of("websocket", &token), None, "there must be another");
        assert_eq!(of("websocket", &format!("{token}, {token}, v4.channel.k8s.io")), None);
        assert_eq!(of("websocket", &format!("{PROTOCOL_PREFIX}%, v4.channel.k8s.io")), None);
        assert_eq!(of("SPDY/3.1", &format!("{token}, v4.channel.k8s.io")), None);
    }
}
