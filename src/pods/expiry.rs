//! (pure) When a token ends.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

/// When `token` ends, by its own claim. What the API server's answer says may be earlier: it tells kubelets to renew within the
/// hour what it honours for a year. `None` = this is no such token.
pub fn of(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims.exp).ok()
}

/// When a token that ends at `end` is renewed: at 80 % of its life, as a kubelet does.
pub fn renewal(end: Timestamp, now: Timestamp) -> Timestamp {
    now + end.duration_since(now).max(jiff::SignedDuration::ZERO) / 5 * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claim_counts() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"k","exp":2000000000,"aud":["a"]}"#);
        let end = of(&format!("header.{claims}.signature")).expect("an end");
        assert_eq!(end.as_second(), 2_000_000_000);
        let now = Timestamp::from_second(1_999_999_000).expect("in range");
        assert_eq!(renewal(end, now).as_second(), 1_999_999_800);
        assert_eq!(renewal(now, end), end, "one that has ended is renewed at once");
    }

    #[test]
    fn anything_else_has_none() {
        for text in ["", "token-1", "a.b.c", "a..c"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
