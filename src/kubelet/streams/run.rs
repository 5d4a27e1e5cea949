//! `run`: a command without input, whose output is the answer. Nothing of kubectl's asks for it; it belongs to a kubelet.

use eci::{ExecOutput, ExecQuery};
use futures::StreamExt;
use provider::command::fit;

use super::exec::CommandSource;
use super::options::values;
use crate::kubelet::logs::stream::Target;

/// What a runtime lets such an answer be at most is 16 MiB; it is held in memory.
const MAX_OUTPUT: usize = 1 << 20;

/// The words of the command: one parameter, cut at spaces.
pub(super) fn command(query: &str) -> Vec<String> {
    let all = values(query, "cmd").into_iter().next().unwrap_or_default();
    all.split(' ').map(str::to_owned).collect()
}

/// Runs the command to its end.
///
/// # Errors
/// It was not run, or failed; in a kubelet's words.
pub(super) async fn run(commands: &dyn CommandSource, run: Target, command: &[String]) -> Result<Vec<u8>, String> {
    let query = ExecQuery {
        group_id: run.group_id,
        container: run.container,
        command: fit(command).map_err(|error| error.to_string())?,
        tty: false,
        stdin: false,
    };
    let mut session = commands.run(query).await?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match session.output.next().await {
            Some(ExecOutput::Stdout(data)) => out.extend_from_slice(&data),
            Some(ExecOutput::Stderr(data)) => err.extend_from_slice(&data),
            Some(ExecOutput::Ended(Ok(0))) => break,
            Some(ExecOutput::Ended(Ok(code))) => {
                let (command, err) = (command.join(" "), String::from_utf8_lossy(&err));
                return Err(format!("command '{command}' exited with {code}: {err}"));
            }
            Some(ExecOutput::Ended(Err(error))) => return Err(error),
            None => return Err("its connection broke".to_owned()),
        }
        if out.len() + err.len() > MAX_OUTPUT {
            return Err(format!(
                "the command writes more than {MAX_OUTPUT} bytes; exec has no such limit"
            ));
        }
    }
    out.append(&mut err);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_cut_at_spaces() {
        assert_eq!(command("cmd=sh+-c%20ls&cmd=x"), ["sh", "-c", "ls"]);
        assert_eq!(command(""), [""]);
    }
}
