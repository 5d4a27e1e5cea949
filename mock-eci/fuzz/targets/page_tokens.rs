//! `NextToken`.

use mock_eci::domain::query::PageToken;

/// Any text as a token: refused, or it means what it says.
pub(crate) fn page_tokens(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(token) = PageToken::decode(text) {
        assert_eq!(PageToken::decode(&token.encode()), Some(token), "{text:?}");
    }
}
