//! A command run inside a container: what is asked for, and the two ends of its streams.
//!
//! [`pair`] makes both ends. The caller's end feeds standard input, changes the terminal's size and takes output until
//! [`ExecOutput::Ended`]; dropping it means that nobody waits for the command any more, and the runtime ends it. All queues
//! are short, so that whoever is slow slows the other side down instead of filling this process's memory.

use std::fmt;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

/// Chunks of input under way: one chunk can be as large as the largest frame a caller may send.
const INPUT_QUEUE: usize = 1;
/// Chunks of output under way.
const OUTPUT_QUEUE: usize = 8;

/// What is to be run, and where.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// Name of a container that runs.
    pub container: String,
    /// Its instance.
    pub instance: u32,
    /// Program and arguments.
    pub command: CommandLine,
    /// Give it a terminal: standard error then comes as standard output.
    pub tty: bool,
    /// Whether it has standard input; without, it reads an end of file at once.
    pub stdin: bool,
}

/// A command line; it may hold secrets, so `Debug` shows how many words it has.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CommandLine(pub Vec<String>);

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} words>", self.0.len())
    }
}

/// Size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Lines.
    pub height: u16,
}

/// What a command gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecOutput {
    /// Bytes of its standard output (with a terminal: of both streams).
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// It ended; nothing follows. An exit code, or why there is none.
    Ended(Result<i32, String>),
}

/// The caller's end of a command that runs.
#[derive(Debug)]
pub struct ExecStreams {
    /// Standard input; dropping it ends standard input. None = there is none.
    pub stdin: Option<mpsc::Sender<Bytes>>,
    /// The terminal's size.
    pub size: watch::Sender<Option<TerminalSize>>,
    /// What it gives.
    pub output: mpsc::Receiver<ExecOutput>,
}

/// The runtime's end.
#[derive(Debug)]
pub struct ExecPeer {
    /// Standard input; it ends when the caller drops its end.
    pub stdin: mpsc::Receiver<Bytes>,
    /// The terminal's size.
    pub size: watch::Receiver<Option<TerminalSize>>,
    /// Where output goes; closed = the caller is gone, and the command is to be ended.
    pub output: mpsc::Sender<ExecOutput>,
}

/// Both ends.
pub fn pair(stdin: bool) -> (ExecStreams, ExecPeer) {
    let (input, stdin_end) = mpsc::channel(INPUT_QUEUE);
    let (output_end, output) = mpsc::channel(OUTPUT_QUEUE);
    let (size, size_end) = watch::channel(None);
    let streams = ExecStreams {
        stdin: stdin.then_some(input),
        size,
        output,
    };
    let peer = ExecPeer {
        stdin: stdin_end,
        size: size_end,
        output: output_end,
    };
    (streams, peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_not_shown() {
        let request = ExecRequest {
            container: "c".into(),
            instance: 0,
            command: CommandLine(vec!["login".into(), "hunter2".into()]),
            tty: false,
            stdin: true,
        };
        assert!(!format!("{request:?}").contains("hunter2"), "{request:?}");
    }

    #[tokio::test]
    async fn without_stdin_the_command_reads_its_end_at_once() {
        let (_caller, mut peer) = pair(false);
        assert_eq!(peer.stdin.recv().await, None);
    }
}
