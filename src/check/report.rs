//! (pure) What was found, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// How good or bad a finding is, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Result {
    /// As it should be.
    Ok,
    /// It works, or may, but somebody should look.
    Warn,
    /// It does not work.
    Fail,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the check; stable, so that scripts can look for it.
    pub check: &'static str,
    /// The node it is about; `None` = all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// How good or bad.
    pub result: Result,
    /// What is so.
    pub what: String,
    /// What to do about it.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self {
            check,
            node: None,
            result: Result::Ok,
            what: what.into(),
            remedy: None,
        }
    }

    /// Somebody should look.
    pub fn warn(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            result: Result::Warn,
            remedy: Some(remedy.into()),
            ..Self::ok(check, what)
        }
    }

    /// It does not work.
    pub fn fail(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            result: Result::Fail,
            ..Self::warn(check, what, remedy)
        }
    }

    /// Of this node.
    pub fn of(self, node: &str) -> Self {
        Self {
            node: Some(node.to_owned()),
            ..self
        }
    }
}

/// All findings, in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst of them.
    pub result: Result,
    /// One by one.
    pub checks: Vec<Finding>,
}

impl Report {
    /// Of these.
    pub fn new(checks: Vec<Finding>) -> Self {
        let result = checks.iter().map(|finding| finding.result).max().unwrap_or(Result::Ok);
        Self { result, checks }
    }

    /// 0, 1 or 2: all is well, something is to be looked at, something does not work.
    pub fn exit_code(&self) -> u8 {
        match self.result {
            Result::Ok => 0,
            Result::Warn => 1,
            Result::Fail => 2,
        }
    }

    /// For people: a line for each finding, and below it what to do.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.checks {
            let result = match finding.result {
                Result::Ok => "ok",
                Result::Warn => "warn",
                Result::Fail => "FAIL",
            };
            let node = finding
                .node
                .as_ref()
                .map(|node| format!(" ({node})"))
                .unwrap_or_default();
            // Writing to a string does not fail.
            let _ = writeln!(text, "{result:<5} {}{node}: {}", finding.check, finding.what);
            for line in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
                let _ = writeln!(text, "      -> {line}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_worst_finding_is_the_result() {
        let ok = || Finding::ok("a", "is well");
        let warn = || Finding::warn("b", "is late", "wait").of("n");
        let fail = || Finding::fail("c", "is away", "start it\nor not");
        assert_eq!(Report::new(vec![ok()]).exit_code(), 0);
        assert_eq!(Report::new(vec![warn(), ok()]).exit_code(), 1);
        let report = Report::new(vec![ok(), fail(), warn()]);
        assert_eq!(report.exit_code(), 2);
        assert_eq!(
            report.text(),
            "ok    a: is well\nFAIL  c: is away\n      -> start it\n      -> or not\nwarn  b (n): is late\n      -> wait\n"
        );
        let found = serde_json::to_value(report).expect("serializes");
        let expected = json!({ "result": "fail", "checks": [
            { "check": "a", "result": "ok", "what": "is well" },
            { "check": "c", "result": "fail", "what": "is away", "do": "start it\nor not" },
            { "check": "b", "node": "n", "result": "warn", "what": "is late", "do": "wait" },
        ] });
        assert_eq!(found, expected);
    }
}
