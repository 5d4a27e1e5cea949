//! (pure) How a command ended, as its client is told.

use serde_json::{Value, json};

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// By itself; or there was nothing that could fail.
    Exited(i32),
    /// It was not run, or lost.
    Failed(String),
}

impl Outcome {
    /// The `v1` `Status` that ends the error stream since v4, as a kubelet writes it: kubectl takes the exit code from it.
    pub(super) fn status(&self) -> Value {
        match self {
            Self::Exited(0) => json!({ "metadata": {}, "status": "Success" }),
            Self::Exited(code) => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.sentence(),
                "reason": "NonZeroExitCode",
                "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
            }),
            Self::Failed(error) => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.sentence(),
                "reason": "InternalError",
                "details": { "causes": [{ "message": error }] },
                "code": 500,
            }),
        }
    }

    /// What the error stream says before v4; `None` = it says nothing.
    pub(super) fn sentence(&self) -> Option<String> {
        match self {
            Self::Exited(0) => None,
            Self::Exited(code) => Some(format!(
                "command terminated with non-zero exit code: command terminated with exit code {code}"
            )),
            Self::Failed(error) => Some(format!("Internal error occurred: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_where_kubectl_looks_for_it() {
        assert_eq!(
            Outcome::Exited(0).status(),
            json!({ "metadata": {}, "status": "Success" })
        );
        let failed = Outcome::Exited(7).status();
        assert_eq!(failed["reason"], "NonZeroExitCode");
        assert_eq!(
            failed["details"]["causes"],
            json!([{ "reason": "ExitCode", "message": "7" }])
        );
        let lost = Outcome::Failed("no pool".to_owned());
        assert_eq!(lost.status()["message"], "Internal error occurred: no pool");
        assert_eq!(lost.status()["code"], 500);
    }

    #[test]
    fn before_v4_a_good_end_was_silent() {
        assert_eq!(Outcome::Exited(0).sentence(), None);
        assert!(
            Outcome::Exited(1)
                .sentence()
                .is_some_and(|text| text.ends_with("exit code 1"))
        );
    }
}
