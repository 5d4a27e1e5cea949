//! Command lines within the bounds of ExecContainerCommand: 20 words of 256 characters.
//!
//! A longer one is handed to the container's own shell in pieces, which puts it together again and becomes the command. It
//! runs as it was given, with its own process id; only the container needs a `/bin/sh`.

use thiserror::Error;

/// Words of a command at most.
pub const MAX_WORDS: usize = 20;
/// Characters of a word at most; counted in bytes, which are no fewer.
pub const MAX_WORD: usize = 256;

/// With no separator, `$*` is all pieces in one.
const JOIN: [&str; 4] = ["/bin/sh", "-c", "IFS=;eval \"$*\"", "sh"];
/// Bytes that the pieces have room for.
const MAX_JOINED: usize = (MAX_WORDS - JOIN.len()) * MAX_WORD;

/// A command that ECI cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// No words at all.
    #[error("there is no command to run")]
    Empty,
    /// Too long, whichever way it is carried. Says nothing of what is in it.
    #[error(
        "the command is too long for ECI: it takes {MAX_WORDS} words of {MAX_WORD} characters, or, by way of the container's \
         shell, about {MAX_JOINED} characters in all, and this one has {words} words and needs {bytes}; put it into a file of \
         the container and run that"
    )]
    TooLong {
        /// Its words.
        words: usize,
        /// Bytes it needs, quoted for a shell.
        bytes: usize,
    },
}

/// The words to call ExecContainerCommand with for `command`.
///
/// # Errors
/// There are none.
pub fn fit(command: &[String]) -> Result<Vec<String>, CommandError> {
    if command.is_empty() {
        return Err(CommandError::Empty);
    }
    if command.len() <= MAX_WORDS && command.iter().all(|word| word.len() <= MAX_WORD) {
        return Ok(command.to_vec());
    }
    let mut script = "exec".to_owned();
    for word in command {
        script.push_str(" '");
        script.push_str(&word.replace('\'', r"'\''"));
        script.push('\'');
    }
    let mut words: Vec<String> = JOIN.into_iter().map(str::to_owned).collect();
    let mut rest = script.as_str();
    while !rest.is_empty() {
        let end = (0..=MAX_WORD.min(rest.len()))
            .rfind(|at| rest.is_char_boundary(*at))
            .unwrap_or_default();
        let (piece, after) = rest.split_at(end);
        words.push(piece.to_owned());
        rest = after;
    }
    if words.len() > MAX_WORDS {
        return Err(CommandError::TooLong {
            words: command.len(),
            bytes: script.len(),
        });
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_fits_goes_as_it_is() {
        let longest = "x".repeat(MAX_WORD);
        let command = vec![longest.as_str(); MAX_WORDS];
        assert_eq!(fit(&words(&command)), Ok(words(&command)));
        assert_eq!(fit(&[]), Err(CommandError::Empty));
    }

    #[test]
    fn what_does_not_fit_goes_through_the_shell() {
        let script = "echo a; ".repeat(60);
        let fitted = fit(&words(&["sh", "-c", &script])).expect("fits");
        assert_eq!(fitted[..4], words(&["/bin/sh", "-c", "IFS=;eval \"$*\"", "sh"]));
        assert_eq!(fitted[4..].concat(), format!("exec 'sh' '-c' '{script}'"));
        assert!(fit(&vec!["x".to_owned(); 200]).is_ok(), "many words, too");
    }

    #[test]
    fn what_cannot_be_carried_is_refused_without_being_quoted() {
        let secret = "s3cr3t".repeat(1000);
        let error = fit(&words(&["sh", "-c", &secret])).expect_err("too long");
        assert!(!error.to_string().contains("s3cr3t"));
        assert!(matches!(error, CommandError::TooLong { words: 3, .. }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_shell_gets_back_what_was_given(arguments in proptest::collection::vec("[^\\x00]{0,300}", 0..24)) {
            let mut command = words(&["/usr/bin/printf", r"%s\0"]);
            command.extend(arguments.iter().cloned());
            let Ok(fitted) = fit(&command) else {
                return Ok(());
            };
            prop_assert!(fitted.len() <= MAX_WORDS && fitted.iter().all(|word| word.len() <= MAX_WORD));
            let run = |command: &[String]| Command::new(&command[0]).args(&command[1..]).output().expect("runs");
            let (given, got) = (run(&command), run(&fitted));
            prop_assert_eq!((given.stdout, given.status), (got.stdout, got.status));
        }
    }
}
