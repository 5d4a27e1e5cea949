//! The programs.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{Surroundings, shell};
use crate::{
    clock::Clock,
    runtime::exec::{ExecOutput, ExecPeer},
};

/// Longest line a shell takes from its input.
const MAX_LINE: usize = 64 * 1024;
/// Exit code of a program that is not there.
const NOT_FOUND: i32 = 127;
/// What Ctrl-D sends.
const END_OF_TRANSMISSION: u8 = 4;

/// A command that runs, with its streams.
pub(super) struct Process {
    peer: ExecPeer,
    tty: bool,
    pub(super) surroundings: Surroundings,
    clock: Clock,
    /// Input that was received and not yet read.
    ahead: BytesMut,
    ended: bool,
}

/// Where a program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sink {
    Stdout,
    Stderr,
}

impl Process {
    pub(super) fn new(peer: ExecPeer, tty: bool, surroundings: Surroundings, clock: Clock) -> Self {
        Self {
            peer,
            tty,
            surroundings,
            clock,
            ahead: BytesMut::new(),
            ended: false,
        }
    }

    /// Runs a program as a container runtime would; its exit code, or none when nobody listens any more.
    pub(super) async fn run(&mut self, words: &[String]) -> Option<i32> {
        let (program, arguments) = words.split_first()?;
        if is_shell(program) {
            return self.shell(arguments).await;
        }
        match self.program(program, arguments, Sink::Stdout).await? {
            Some(code) => Some(code),
            None => {
                let sentence = format!(
                    "OCI runtime exec failed: exec failed: unable to start container process: exec: {program:?}: executable file not found in $PATH: unknown\n"
                );
                self.write(Sink::Stderr, sentence.as_bytes()).await?;
                Some(NOT_FOUND)
            }
        }
    }

    /// Runs a program from within a shell.
    pub(super) async fn run_in_shell(&mut self, words: &[String], sink: Sink) -> Option<i32> {
        let (program, arguments) = words.split_first()?;
        if is_shell(program) {
            return Box::pin(self.shell(arguments)).await;
        }
        match self.program(program, arguments, sink).await? {
            Some(code) => Some(code),
            None => {
                let sentence = format!("sh: {program}: not found\n");
                self.write(Sink::Stderr, sentence.as_bytes()).await?;
                Some(NOT_FOUND)
            }
        }
    }

    async fn shell(&mut self, arguments: &[String]) -> Option<i32> {
        match arguments {
            [flag, script, ..] if flag == "-c" => shell::script(self, script).await,
            [] => shell::interactive(self).await,
            _ => {
                self.write(Sink::Stderr, b"sh: only -c SCRIPT is simulated\n").await?;
                Some(2)
            }
        }
    }

    /// Some(None) = there is no such program.
    async fn program(&mut self, program: &str, arguments: &[String], sink: Sink) -> Option<Option<i32>> {
        let name = program.rsplit('/').next().unwrap_or(program);
        let code = match name {
            "true" => 0,
            "false" => 1,
            "echo" => {
                let (end, words) = match arguments.split_first() {
                    Some((flag, words)) if flag == "-n" => ("", words),
                    _ => ("\n", arguments),
                };
                self.write(sink, format!("{}{end}", words.join(" ")).as_bytes()).await?;
                0
            }
            "cat" if arguments.is_empty() => {
                while let Some(data) = self.read().await {
                    self.write(sink, &data).await?;
                }
                0
            }
            "sleep" => match arguments.first().and_then(|text| text.parse::<f64>().ok()) {
                Some(seconds) if (0.0..=1e9).contains(&seconds) => {
                    self.clock.sleep(Duration::from_secs_f64(seconds)).await;
                    0
                }
                _ => {
                    self.write(Sink::Stderr, b"sleep: invalid number\n").await?;
                    1
                }
            },
            "env" | "printenv" => self.environment(arguments, sink).await?,
            "hostname" => {
                let line = format!("{}\n", self.surroundings.host_name);
                self.write(sink, line.as_bytes()).await?;
                0
            }
            "pwd" => {
                let line = format!("{}\n", self.surroundings.working_dir);
                self.write(sink, line.as_bytes()).await?;
                0
            }
            "whoami" => {
                self.write(sink, b"root\n").await?;
                0
            }
            "stty" if arguments.first().is_some_and(|word| word == "size") => {
                let size = *self.peer.size.borrow();
                let (lines, columns) = size.map_or((0, 0), |size| (size.height, size.width));
                match self.tty {
                    true => {
                        self.write(sink, format!("{lines} {columns}\n").as_bytes()).await?;
                        0
                    }
                    false => {
                        self.write(Sink::Stderr, b"stty: standard input: Not a tty\n").await?;
                        1
                    }
                }
            }
            _ => return Some(None),
        };
        Some(Some(code))
    }

    async fn environment(&mut self, names: &[String], sink: Sink) -> Option<i32> {
        let variables = &self.surroundings.variables;
        let text: Option<String> = match names {
            [] => Some(
                variables
                    .iter()
                    .map(|(name, value)| format!("{name}={value}\n"))
                    .collect(),
            ),
            names => names
                .iter()
                .map(|name| Some(format!("{}\n", self.variable(name)?)))
                .collect(),
        };
        let Some(text) = text else { return Some(1) };
        self.write(sink, text.as_bytes()).await?;
        Some(0)
    }

    /// The value of a variable of the environment.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let mut variables = self.surroundings.variables.iter();
        variables.find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    /// None = nobody listens any more.
    pub(super) async fn write(&self, sink: Sink, data: &[u8]) -> Option<()> {
        if data.is_empty() {
            return Some(());
        }
        let output = match (self.tty, sink) {
            (true, _) => ExecOutput::Stdout(with_carriage_returns(data)),
            (false, Sink::Stdout) => ExecOutput::Stdout(Bytes::copy_from_slice(data)),
            (false, Sink::Stderr) => ExecOutput::Stderr(Bytes::copy_from_slice(data)),
        };
        self.peer.output.send(output).await.ok()
    }

    /// Some input; none = it has ended.
    async fn read(&mut self) -> Option<Bytes> {
        if self.ahead.is_empty() {
            self.receive().await;
        }
        let data = self.ahead.split().freeze();
        (!data.is_empty()).then_some(data)
    }

    /// A line of input without its end; none = the input has ended. Overlong lines come in parts.
    pub(super) async fn read_line(&mut self) -> Option<String> {
        loop {
            let end = self.ahead.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            if let Some(end) = end {
                let line = self.ahead.split_to(end);
                let _ = self.ahead.split_to(1);
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            if self.ended || self.ahead.len() >= MAX_LINE {
                let rest = self.ahead.split();
                return (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned());
            }
            self.receive().await;
        }
    }

    async fn receive(&mut self) {
        if self.ended {
            return;
        }
        match self.peer.stdin.recv().await {
            Some(data) => {
                let end = data.iter().position(|&byte| self.tty && byte == END_OF_TRANSMISSION);
                self.ended = end.is_some();
                self.ahead.extend_from_slice(&data[..end.unwrap_or(data.len())]);
            }
            None => self.ended = true,
        }
    }
}

fn is_shell(program: &str) -> bool {
    matches!(program.rsplit('/').next(), Some("sh" | "bash" | "ash"))
}

/// What a terminal makes of line ends.
fn with_carriage_returns(data: &[u8]) -> Bytes {
    let mut text = BytesMut::with_capacity(data.len() + 8);
    for line in data.split_inclusive(|&byte| byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                text.extend_from_slice(line);
                text.extend_from_slice(b"\r\n");
            }
            None => text.extend_from_slice(line),
        }
    }
    text.freeze()
}
