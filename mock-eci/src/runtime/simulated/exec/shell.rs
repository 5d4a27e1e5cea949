//! A shell that knows `;`, `&&`, `||`, line ends, quotes, `$NAME`, `${NAME}`, `$?`, `exit [N]`, comments and `>&2`: no
//! pipes, files, loops or substitutions. What it does not know is a syntax error with exit code 2.

use super::programs::{Process, Sink};

/// A word of a script, or what stands between words.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Word(Vec<Piece>),
    /// `;`, `\n`.
    Then,
    /// `&&`.
    And,
    /// `||`.
    Or,
    /// `>&2` or `1>&2`.
    ToStderr,
}

/// Part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(String),
}

/// Runs a script; its exit code, or none when nobody listens any more.
pub(super) async fn script(process: &mut Process, script: &str) -> Option<i32> {
    match lines(process, script, &mut 0).await? {
        Flow::Next(code) | Flow::Exit(code) => Some(code),
    }
}

/// Takes its lines from standard input.
pub(super) async fn interactive(process: &mut Process) -> Option<i32> {
    let mut last = 0;
    while let Some(line) = process.read_line().await {
        if let Flow::Exit(code) = lines(process, &line, &mut last).await? {
            return Some(code);
        }
    }
    Some(last)
}

/// How it goes on after a script.
enum Flow {
    Next(i32),
    Exit(i32),
}

async fn lines(process: &mut Process, script: &str, last: &mut i32) -> Option<Flow> {
    let parts = match parse(script) {
        Ok(parts) => parts,
        Err(what) => {
            let sentence = format!("sh: syntax error: {what}\n");
            process.write(Sink::Stderr, sentence.as_bytes()).await?;
            *last = 2;
            return Some(Flow::Next(2));
        }
    };
    // Whether the next command runs, by what stood before it.
    let mut runs = true;
    let mut parts = parts.as_slice();
    loop {
        let end = parts
            .iter()
            .position(|part| matches!(part, Part::Then | Part::And | Part::Or))
            .unwrap_or(parts.len());
        let (command, rest) = parts.split_at(end);
        if runs && !command.is_empty() {
            let sink = match command.contains(&Part::ToStderr) {
                true => Sink::Stderr,
                false => Sink::Stdout,
            };
            let words: Vec<String> = command
                .iter()
                .filter_map(|part| match part {
                    Part::Word(pieces) => Some(expand(process, pieces, *last)),
                    _ => None,
                })
                .collect();
            match words.split_first() {
                Some((word, arguments)) if word == "exit" => {
                    // Codes are bytes, as a shell's are.
                    let code = arguments.first().and_then(|code| code.parse::<i32>().ok());
                    return Some(Flow::Exit(code.unwrap_or(*last) & 0xff));
                }
                Some((word, _)) if word == ":" => *last = 0,
                Some(_) => *last = process.run_in_shell(&words, sink).await?,
                None => {}
            }
        }
        let Some((separator, rest)) = rest.split_first() else {
            return Some(Flow::Next(*last));
        };
        runs = match separator {
            Part::And => *last == 0,
            Part::Or => *last != 0,
            _ => true,
        };
        parts = rest;
    }
}

fn expand(process: &Process, pieces: &[Piece], last: i32) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(name) if name == "?" => last.to_string(),
            Piece::Variable(name) => process.variable(name).unwrap_or_default().to_owned(),
        })
        .collect()
}

fn parse(script: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut word: Option<Vec<Piece>> = None;
    let mut chars = script.chars().peekable();
    while let Some(next) = chars.next() {
        if matches!(next, ' ' | '\t' | '\n' | ';' | '&' | '|') {
            parts.extend(word.take().map(Part::Word));
        }
        match next {
            ' ' | '\t' => {}
            '\n' | ';' => parts.push(Part::Then),
            '&' if chars.next_if_eq(&'&').is_some() => parts.push(Part::And),
            '|' if chars.next_if_eq(&'|').is_some() => parts.push(Part::Or),
            '#' if word.is_none() => while chars.next_if(|&c| c != '\n').is_some() {},
            '>' => {
                let before = word.take().filter(|pieces| pieces[..] != [Piece::Text("1".to_owned())]);
                parts.extend(before.map(Part::Word));
                if chars.next() != Some('&') || chars.next() != Some('2') {
                    return Err("only >&2 is simulated");
                }
                parts.push(Part::ToStderr);
            }
            '\'' => {
                let pieces = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => push(pieces, c),
                        None => return Err("unterminated quoted string"),
                    }
                }
                push_empty(pieces);
            }
            '"' => {
                let pieces = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') if matches!(chars.peek(), Some('"' | '\\' | '$')) => {
                            chars.next().into_iter().for_each(|c| push(pieces, c));
                        }
                        Some('`') => return Err("substitutions are not simulated"),
                        Some('$') => variable(&mut chars, pieces)?,
                        Some(c) => push(pieces, c),
                        None => return Err("unterminated quoted string"),
                    }
                }
                push_empty(pieces);
            }
            '\\' => match chars.next() {
                Some(c) => push(word.get_or_insert_default(), c),
                None => return Err("nothing follows a backslash"),
            },
            '$' => variable(&mut chars, word.get_or_insert_default())?,
            '&' | '|' | '<' | '(' | ')' | '`' => return Err("pipes, files, jobs and substitutions are not simulated"),
            c => push(word.get_or_insert_default(), c),
        }
    }
    parts.extend(word.map(Part::Word));
    Ok(parts)
}

fn variable(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, pieces: &mut Vec<Piece>) -> Result<(), &'static str> {
    let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let mut name = String::new();
    match chars.peek() {
        Some('?') => {
            chars.next();
            name.push('?');
        }
        Some('{') => {
            chars.next();
            while let Some(c) = chars.next_if(is_name) {
                name.push(c);
            }
            if chars.next() != Some('}') || name.is_empty() {
                return Err("only ${NAME} is simulated");
            }
        }
        Some('(') => return Err("substitutions are not simulated"),
        _ => {
            while let Some(c) = chars.next_if(is_name) {
                name.push(c);
            }
        }
    }
    if name.is_empty() {
        push(pieces, '$');
    } else {
        pieces.push(Piece::Variable(name));
    }
    Ok(())
}

fn push(pieces: &mut Vec<Piece>, c: char) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(c),
        _ => pieces.push(Piece::Text(c.to_string())),
    }
}

/// Quotes make a word even of nothing.
fn push_empty(pieces: &mut Vec<Piece>) {
    if pieces.is_empty() {
        pieces.push(Piece::Text(String::new()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        clock::{Clock, Mode},
        runtime::{
            exec::{ExecOutput, pair},
            simulated::exec::Surroundings,
        },
        spec::{ContainerSpec, EnvValue, EnvVar, GroupSpec, Secret},
    };

    /// Standard output, standard error and exit code of a command with this input.
    async fn run(words: &[&str], tty: bool, input: &'static [u8]) -> (String, String, i32) {
        let container = ContainerSpec {
            env: vec![EnvVar {
                name: "COLOUR".into(),
                value: EnvValue::Literal(Secret("light blue".into())),
            }],
            ..ContainerSpec::default()
        };
        let group = GroupSpec {
            host_name: "host".into(),
            ..GroupSpec::default()
        };
        let (mut streams, peer) = pair(true);
        let surroundings = Surroundings::of(&group, &container);
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let output = peer.output.clone();
        tokio::spawn(async move {
            let code = Process::new(peer, tty, surroundings, Clock::new(Mode::Auto))
                .run(&words)
                .await;
            let _ = output
                .send(ExecOutput::Ended(Ok(code.expect("somebody listens"))))
                .await;
        });
        let stdin = streams.stdin.take().expect("input");
        tokio::spawn(async move { stdin.send(input.into()).await });
        let (mut out, mut err) = (Vec::new(), Vec::new());
        loop {
            match streams.output.recv().await.expect("an end") {
                ExecOutput::Stdout(data) => out.extend_from_slice(&data),
                ExecOutput::Stderr(data) => err.extend_from_slice(&data),
                ExecOutput::Ended(code) => {
                    let text = |bytes| String::from_utf8(bytes).expect("text");
                    return (text(out), text(err), code.expect("a code"));
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn programs_do_what_their_table_says() {
        for (words, out, code) in [
            (&["echo", "a", "b"][..], "a b\n", 0),
            (&["/bin/echo", "-n", "x"], "x", 0),
            (&["cat"], "input", 0),
            (&["true"], "", 0),
            (&["false"], "", 1),
            (&["sleep", "3600"], "", 0),
            (&["printenv", "COLOUR"], "light blue\n", 0),
            (&["printenv", "NONE"], "", 1),
            (&["hostname"], "host\n", 0),
            (&["pwd"], "/\n", 0),
            (&["sh", "-c", "exit 7"], "", 7),
            (
                &["sh", "-c", "echo a; echo \"$COLOUR\" ${HOME}x '$HOME' \\$"],
                "a\nlight blue /rootx $HOME $\n",
                0,
            ),
            (
                &["sh", "-c", "false || echo $?; true && echo yes; false && echo no"],
                "1\nyes\n",
                1,
            ),
            (&["sh", "-c", "cat; exit 3; echo never"], "input", 3),
            (&["sh", "-c", "# nothing\n: && echo '' \"\" end"], "  end\n", 0),
            (&["sh", "-c", "sh -c 'exit 4'; echo $?"], "4\n", 0),
            (&["sh", "-c", "exit 256"], "", 0),
        ] {
            assert_eq!(
                run(words, false, b"input").await,
                (out.to_owned(), String::new(), code),
                "{words:?}"
            );
        }
    }

    #[tokio::test]
    async fn errors_are_on_standard_error() {
        let (out, err, code) = run(&["sh", "-c", "echo good; echo bad >&2; echo worse 1>&2"], false, b"").await;
        assert_eq!((&*out, &*err, code), ("good\n", "bad\nworse\n", 0));
        let (_, err, code) = run(&["no-such"], false, b"").await;
        assert_eq!(code, 127);
        assert!(
            err.starts_with("OCI runtime exec failed") && err.contains("\"no-such\""),
            "{err}"
        );
        let (_, err, code) = run(&["sh", "-c", "no-such"], false, b"").await;
        assert_eq!((&*err, code), ("sh: no-such: not found\n", 127));
        for script in [
            "a | b",
            "a & b",
            "echo $(a)",
            "echo 'a",
            "a > file",
            "echo `a`",
            "${",
            "\\",
        ] {
            assert_eq!(run(&["sh", "-c", script], false, b"").await.2, 2, "{script}");
        }
    }

    #[tokio::test]
    async fn a_shell_takes_lines_from_its_input() {
        let (out, _, code) = run(&["sh"], false, b"echo one\nfalse\nexit 5\necho two\n").await;
        assert_eq!((&*out, code), ("one\n", 5));
        let (out, _, code) = run(&["/bin/bash"], true, b"echo one >&2\rfalse\r\x04echo two\r").await;
        assert_eq!(
            (&*out, code),
            ("one\r\n", 1),
            "a terminal has one stream, CR LF, and Ctrl-D"
        );
        let (out, ..) = run(&["sh"], false, b"echo unterminated").await;
        assert_eq!(out, "unterminated\n");
    }

    proptest! {
        #[test]
        fn no_script_makes_the_parser_panic(script in ".{0,80}") {
            let _ = parse(&script);
        }
    }
}
