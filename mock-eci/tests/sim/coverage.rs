//! `docs/coverage.md` says what the dispatch table and the catalogue of parameters do.

use mock_eci::api::coverage;

#[test]
fn the_document_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/coverage.md");
    let document = coverage::document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &document).expect("docs/ is there");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == document,
        "docs/coverage.md is out of date: UPDATE_GOLDEN=1 cargo test -p mock-eci --test sim coverage"
    );
}
