//! What is fuzzed, as plain functions of bytes. The fuzz targets call them with what libFuzzer makes up, and an ordinary test
//! (`tests/sim/corpus.rs`) with the corpus that was kept. They panic when something is wrong, and only then.

mod oracle;
mod page_tokens;
mod params;
mod signature;

pub(crate) use page_tokens::page_tokens;
pub(crate) use params::params;
pub(crate) use signature::{signature_v1, signature_v3};

/// The query and the form body of an input: what stands before and after its first line break.
fn query_and_form(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|b| *b == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (&[], data),
    }
}

/// A query as a URI holds it: bytes that may not stand in one are percent-encoded, so that no input is lost.
fn as_query(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'!' | b'$' | b'%' | b'&' | b'\'' | b'('..=b';' | b'=' | b'?'..=b'Z' | b'_' | b'a'..=b'z' | b'~' => {
                out.push(char::from(*byte));
            }
            // Writing to a String cannot fail.
            other => drop(write!(out, "%{other:02X}")),
        }
    }
    out
}
