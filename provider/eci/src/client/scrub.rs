//! Makes what ECI says about an error fit for logs and Events.
//!
//! A message may quote the request: a parameter that was refused, or, with a signature error, the text that was signed,
//! session token included.

use provider::request::{CreateContainerGroup, VolumeSource};

use crate::Credentials;

/// Longer messages are cut: an Event takes 1024 bytes, and nothing useful comes that late.
const MAX_CHARS: usize = 500;
/// Shorter values are not looked for: they are words like `true` or a port, and cutting them out garbles the message.
const MIN_SECRET: usize = 6;
const REDACTED: &str = "<redacted>";

/// `message` without what `credentials` and `parameters` know as secret.
pub(super) fn message(
    code: &str,
    message: &str,
    credentials: &Credentials,
    parameters: impl FnOnce(&mut String),
) -> String {
    if matches!(code, "SignatureDoesNotMatch" | "IncompleteSignature") {
        // ECI's own words quote the signed text and add nothing but that.
        return "the signature was refused: wrong access key secret, or something on the way changes requests"
            .to_owned();
    }
    let mut text = message.to_owned();
    remove(&mut text, credentials.access_key_secret.expose());
    if let Some(token) = &credentials.security_token {
        remove(&mut text, token.expose());
    }
    parameters(&mut text);
    let mut shown: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_CHARS)
        .collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    if shown.is_empty() {
        "no message".to_owned()
    } else {
        shown
    }
}

/// Removes what the mapping marked as sensitive in `request`: passwords, access keys, environment and files, the latter as
/// bytes and as they are on the wire.
pub(super) fn parameters(text: &mut String, request: &CreateContainerGroup) {
    for (key, value) in provider::params::create_params(request) {
        let environment = key.contains(".EnvironmentVar.") && key.ends_with(".Value");
        if environment || key.ends_with(".Password") || key.ends_with(".Content") {
            remove(text, &value);
        }
    }
    for volume in &request.volumes {
        match &volume.source {
            VolumeSource::ConfigFile { files, .. } => {
                for content in files.iter().filter_map(|file| std::str::from_utf8(&file.content).ok()) {
                    remove(text, content.trim());
                }
            }
            VolumeSource::Flex { options, .. } => {
                // The access key of an OSS bucket; the rest is what helps to mend it.
                for value in ["akId", "akSecret"].iter().filter_map(|key| options.get(*key)) {
                    remove(text, &value.0);
                }
            }
            VolumeSource::EmptyDir { .. } | VolumeSource::Nfs { .. } => {}
        }
    }
}

/// Removes the words of a command.
pub(crate) fn words(text: &mut String, command: &[String]) {
    for word in command {
        remove(text, word);
    }
}

fn remove(text: &mut String, secret: &str) {
    if secret.len() >= MIN_SECRET && text.contains(secret) {
        *text = text.replace(secret, REDACTED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider::request::{Container, EnvValue, EnvVar};

    #[test]
    fn secrets_are_cut_out() {
        let mut credentials = Credentials::new("id", "s3cr3t-key");
        credentials.security_token = Some(crate::Secret::new("t0k3n-of-session"));
        let request = CreateContainerGroup {
            containers: vec![Container {
                env: vec![EnvVar {
                    key: "P".into(),
                    value: EnvValue::Literal("hunter22".into()),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let shown = message(
            "InvalidParameter",
            "value hunter22 of P with s3cr3t-key and\nt0k3n-of-session",
            &credentials,
            |text| parameters(text, &request),
        );
        assert_eq!(shown, "value <redacted> of P with <redacted> and <redacted>");
    }

    #[test]
    fn a_signature_error_says_only_what_we_say() {
        let shown = message(
            "SignatureDoesNotMatch",
            "server string to sign is: x",
            &Credentials::new("id", "s"),
            |_| {},
        );
        assert!(!shown.contains("string to sign"), "{shown}");
    }

    #[test]
    fn long_messages_are_cut() {
        let shown = message("X", &"ä".repeat(2000), &Credentials::new("id", "s"), |_| {});
        assert_eq!(shown.chars().count(), MAX_CHARS + 1);
    }
}
