//! An error with its sources on one line. `Display` of our errors leaves the source out, so that it is printed once: here.

use std::error::Error;

/// `error: source: source of the source`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let answer = answer_of(error);
        let text = answer.clone().unwrap_or_else(|| error.to_string());
        // Libraries that put the source into their own text would have it twice.
        if line.is_empty() {
            line = text;
        } else if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        // What lies behind an answer of the API server is the same answer.
        next = error.source().filter(|_| answer.is_none());
    }
    line
}

/// A refusal of the API server in its own words: kube adds all of the answer, as a debugger shows it.
fn answer_of(error: &(dyn Error + 'static)) -> Option<String> {
    match error.downcast_ref::<kube::Error>()? {
        kube::Error::Api(status) if !status.message.is_empty() => Some(format!("{} ({})", status.message, status.code)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the lease cannot be renewed")]
    struct Outer(#[from] kube::Error);

    #[test]
    fn a_refusal_of_the_api_server_is_its_words_and_code() {
        let status = kube::core::Status::failure("pods \"p\" is forbidden: no", "Forbidden").with_code(403);
        let error = Outer(kube::Error::Api(Box::new(status)));
        assert_eq!(
            chain(&error),
            "the lease cannot be renewed: pods \"p\" is forbidden: no (403)"
        );
    }

    #[test]
    fn what_a_library_repeats_is_said_once() {
        let inner = std::io::Error::other("refused");
        let outer = std::io::Error::other(format!("connecting: {inner}"));
        assert_eq!(chain(&outer), "connecting: refused");
    }
}
