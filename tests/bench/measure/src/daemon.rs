//! A program that runs beside the bench: started, watched for its end, stopped.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// How long a program may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(20);
/// How long it may take to get ready; far more than any should.
const READY: Duration = Duration::from_secs(60);
/// How often its readiness is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Lines of the log that an error quotes.
const TAIL: usize = 15;

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    name: &'static str,
    child: Child,
    /// Its process id.
    pub pid: u32,
    /// When it was started.
    pub started: Instant,
    log: PathBuf,
    lines: watch::Receiver<Vec<String>>,
}

impl Daemon {
    /// Starts `command` with its output appended to `<logs>/<name>.log`.
    pub fn start(name: &'static str, mut command: Command, logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(&log)
                .with_context(|| format!("opening {}", log.display()))
        };
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(open()?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name} ({program})"))?;
        let pid = child.id().with_context(|| format!("{name} ended at once"))?;
        let stdout = child.stdout.take().context("a piped output is missing")?;
        let (sender, lines) = watch::channel(Vec::new());
        tokio::spawn(copy_lines(stdout, open()?, sender));
        Ok(Self {
            name,
            child,
            pid,
            started,
            log,
            lines,
        })
    }

    /// An error with the end of its log, once it has ended.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("asking for a program's end")? {
            bail!("{} ended by itself ({status}){}", self.name, self.tail());
        }
        Ok(())
    }

    /// The end of its log, to be appended to a message.
    pub fn tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        if tail.is_empty() {
            return "; it logged nothing".to_owned();
        }
        format!("; the end of its log:\n  | {}", tail.join("\n  | "))
    }

    /// Waits until it has printed a line with `word` in it, and gives that line.
    pub async fn printed(&mut self, word: &str) -> Result<String> {
        let find = |lines: &[String]| lines.iter().find(|line| line.contains(word)).cloned();
        let mut lines = self.lines.clone();
        self.until("its first line", async move || {
            find(&lines.borrow_and_update()).is_some()
        })
        .await?;
        find(&self.lines.borrow()).context("a line that was printed is lost")
    }

    /// Waits until `done` says so; `what` is what it is then. The end of the program or of patience is an error.
    pub async fn until(&mut self, what: &str, mut done: impl AsyncFnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + READY;
        while !done().await {
            self.check()?;
            if Instant::now() > deadline {
                bail!("gave up waiting for {} ({what}){}", self.name, self.tail());
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Ends it with SIGTERM, or SIGKILL when that takes too long.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.pid.to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .context("running kill")?;
        if !sent.success() || timeout(STOP, self.child.wait()).await.is_err() {
            self.child
                .kill()
                .await
                .with_context(|| format!("killing {}", self.name))?;
        }
        Ok(())
    }
}

/// Copies output to the log, and its first lines to whoever waits for one of them.
async fn copy_lines(output: impl AsyncRead + Unpin, mut log: File, lines: watch::Sender<Vec<String>>) {
    const KEPT: usize = 20;
    let mut output = BufReader::new(output).lines();
    while let Ok(Some(line)) = output.next_line().await {
        let _ = writeln!(log, "{line}");
        lines.send_if_modified(|kept| {
            let room = kept.len() < KEPT;
            if room {
                kept.push(line);
            }
            room
        });
    }
}
