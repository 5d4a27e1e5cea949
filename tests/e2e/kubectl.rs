//! The real kubectl, and other programs, as subprocesses.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// Whether its exit code was 0.
    pub success: bool,
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Standard output of a program that succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.success, "it failed: {}{}", self.out, self.err);
        self.out
    }

    /// Standard error of a program that failed.
    #[track_caller]
    pub fn refusal(self) -> String {
        assert!(!self.success, "it did not fail: {}", self.out);
        self.err
    }
}

/// What a program said, byte for byte.
pub struct Raw {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: String,
}

/// Runs a program with `input` on its standard input.
pub async fn run(program: &str, arguments: &[&str], input: &str) -> Said {
    let Raw { code, out, err } = raw(program, arguments, input.as_bytes()).await;
    Said {
        success: code == Some(0),
        code,
        out: String::from_utf8_lossy(&out).into_owned(),
        err,
    }
}

/// The same with bytes.
pub async fn raw(program: &str, arguments: &[&str], input: &[u8]) -> Raw {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    let feed = async move {
        // A program that does not read its input may end before it is written.
        let _ = stdin.write_all(input).await;
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), feed);
    let output = output.unwrap_or_else(|error| panic!("waiting for {program}: {error}"));
    Raw {
        code: output.status.code(),
        out: output.stdout,
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs kubectl as the cluster's administrator.
pub async fn kubectl(arguments: &[&str]) -> Said {
    run("kubectl", arguments, "").await
}

/// `kubectl create -f -`.
pub async fn create(object: &Value) {
    run("kubectl", &["create", "-f", "-"], &object.to_string()).await.ok();
}
