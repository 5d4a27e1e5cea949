//! An error with its sources on one line. `Display` of our errors leaves the source out, so that it is printed once: here.

use std::error::Error;

/// `error: source: source of the source`.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Libraries that put the source into their own text would have it twice.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}
