//! (pure) Which streams a client of `exec` or `attach` wants, and which version of the protocol it speaks.

use http::HeaderMap;
use serde_json::json;

/// Streams of a command (`v1.PodExecOptions`, the part a kubelet reads).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamOptions {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
}

/// What a kubelet answers to a request for no stream at all, with 400.
pub(super) const NO_STREAMS: &str = "you must specify at least 1 of stdin, stdout, stderr";

impl StreamOptions {
    /// Reads the query string; `None` = it asks for no stream.
    pub(super) fn parse(query: &str) -> Option<Self> {
        // The first of several equal keys counts.
        let on = |key: &str| {
            form_urlencoded::parse(query.as_bytes())
                .find(|(k, _)| k == key)
                .is_some_and(|(_, value)| value == "1")
        };
        let tty = on("tty");
        let options = Self {
            stdin: on("input"),
            stdout: on("output"),
            // A terminal has one output.
            stderr: on("error") && !tty,
            tty,
        };
        (options.stdin || options.stdout || options.stderr).then_some(options)
    }
}

/// All values of `key` in a query string, in their order.
pub(super) fn values(query: &str, key: &str) -> Vec<String> {
    form_urlencoded::parse(query.as_bytes())
        .filter(|(k, _)| k == key)
        .map(|(_, value)| value.into_owned())
        .collect()
}

/// Versions of `exec` and `attach` over SPDY. (v5 adds to v4 what SPDY always had: the end of one stream.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RemoteCommand {
    /// The oldest; nobody has needed it since Kubernetes 1.1.
    V1,
    /// Streams end by themselves.
    V2,
    /// The terminal's size can change.
    V3,
    /// The end is told as a `Status`, exit code included.
    V4,
}

impl RemoteCommand {
    /// Those a kubelet speaks, best first.
    pub(super) const NAMES: [(&'static str, Self); 4] = [
        ("v4.channel.k8s.io", Self::V4),
        ("v3.channel.k8s.io", Self::V3),
        ("v2.channel.k8s.io", Self::V2),
        ("channel.k8s.io", Self::V1),
    ];
}

/// Header in which SPDY clients offer versions, best first, and are told the one that was chosen.
pub(super) const PROTOCOL_VERSION: &str = "x-stream-protocol-version";
/// Header that tells a client what it could have offered.
pub(super) const ACCEPTED_VERSIONS: &str = "x-accepted-stream-protocol-versions";

/// An answer to a request that does not become a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// HTTP status.
    pub(super) code: u16,
    /// The body.
    pub(super) text: String,
    /// Whether the body is JSON.
    pub(super) json: bool,
    /// Versions that could have been offered, where that is the trouble.
    pub(super) accepted: Vec<&'static str>,
}

impl Refusal {
    /// In a kubelet's words.
    pub(super) fn new(code: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            json: false,
            accepted: Vec::new(),
        }
    }

    /// In words of our own, as a `Status`: clients take text with a colon for YAML, look for a `Status` in it, and show nothing.
    pub(super) fn status(code: u16, reason: &str, message: &str) -> Self {
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        });
        Self {
            json: true,
            ..Self::new(code, status.to_string())
        }
    }
}

/// The first version that the client offers and we speak; else what a kubelet answers.
pub(super) fn negotiate<T: Copy>(
    headers: &HeaderMap,
    spoken: &[(&'static str, T)],
) -> Result<(&'static str, T), Refusal> {
    let given: Vec<&str> = headers
        .get_all(PROTOCOL_VERSION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let bad = |text| Refusal::new(400, text);
    if given.is_empty() {
        return Err(bad(format!(
            "unable to upgrade: header X-Stream-Protocol-Version does not exist in request with {} headers\n",
            headers.keys_len()
        )));
    }
    let offers: Vec<&str> = given
        .iter()
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|offer| !offer.is_empty())
        .collect();
    if offers.is_empty() {
        return Err(bad(format!(
            "unable to upgrade: header X-Stream-Protocol-Version contains [{}], but no valid protocols\n",
            given.join(" ")
        )));
    }
    let spoken_offer = |offer: &&str| spoken.iter().copied().find(|(name, _)| name == offer);
    offers.iter().find_map(spoken_offer).ok_or_else(|| {
        let accepted: Vec<&str> = spoken.iter().map(|(name, _)| *name).collect();
        Refusal {
            code: 403,
            text: format!(
                "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]\n",
                offers.join(" "),
                accepted.join(" ")
            ),
            json: false,
            accepted,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_read_as_a_kubelet_reads_them() {
        let of = StreamOptions::parse;
        let all = StreamOptions {
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
        };
        assert_eq!(of("command=sh&input=1&output=1&error=1"), Some(all));
        let terminal = StreamOptions {
            stderr: false,
            tty: true,
            ..all
        };
        assert_eq!(of("input=1&output=1&error=1&tty=1"), Some(terminal));
        for none in [
            "",
            "command=sh",
            "tty=1",
            "tty=1&error=1",
            "input=true&output=yes&error=0",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn commands_keep_their_order_and_their_characters() {
        let query = "command=sh&input=1&command=-c&command=echo+%22%26%22";
        assert_eq!(values(query, "command"), ["sh", "-c", "echo \"&\""]);
    }

    fn choose(offers: &[&'static str]) -> Result<&'static str, Refusal> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(PROTOCOL_VERSION, offer.parse().expect("valid"));
        }
        negotiate(&headers, &RemoteCommand::NAMES).map(|(name, _)| name)
    }

    #[test]
    fn the_clients_first_offer_that_is_spoken_is_taken() {
        let offers = [
            "v5.channel.k8s.io",
            "v4.channel.k8s.io",
            "v3.channel.k8s.io",
            "v2.channel.k8s.io",
            "channel.k8s.io",
        ];
        assert_eq!(choose(&offers), Ok("v4.channel.k8s.io"));
        assert_eq!(
            choose(&["v2.channel.k8s.io, v4.channel.k8s.io"]),
            Ok("v2.channel.k8s.io")
        );
    }

    #[test]
    fn a_handshake_fails_as_a_kubelets_does() {
        let missing = choose(&[]).expect_err("missing");
        assert_eq!((missing.code, missing.accepted.len()), (400, 0));
        assert_eq!(choose(&[" , "]).expect_err("empty").code, 400);
        let foreign = choose(&["v9.channel.k8s.io"]).expect_err("not spoken");
        assert_eq!((foreign.code, foreign.accepted.len()), (403, 4));
        assert_eq!(
            foreign.text,
            "unable to upgrade: unable to negotiate protocol: client supports [v9.channel.k8s.io], server accepts \
             [v4.channel.k8s.io v3.channel.k8s.io v2.channel.k8s.io channel.k8s.io]\n"
        );
    }
}
