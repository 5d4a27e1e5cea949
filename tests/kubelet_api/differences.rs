//! Where the virtual node answers differently on purpose, and why.

use crate::clients::{Answer, Client};

/// A difference.
pub struct Difference {
    /// Name of the case.
    pub case: &'static str,
    /// Why there is one.
    #[expect(dead_code, reason = "for those who read the table")]
    pub why: &'static str,
    /// Whether the status differs too, and not the words alone.
    pub status: bool,
}

const fn words(case: &'static str, why: &'static str) -> Difference {
    let status = false;
    Difference { case, why, status }
}

const fn status(case: &'static str, why: &'static str) -> Difference {
    let status = true;
    Difference { case, why, status }
}

const NO_MACHINE: &str = "there is no machine whose files could be shown: as a kubelet with enableSystemLogHandler off";
const NO_GO: &str = "profiles and verbosity are those of a Go program: as a kubelet with both handlers off";
const RUNTIME: &str = "the words are the runtime's: containerd 1.6 has others than later ones, and says some twice";
const SAYS_WHY: &str = "a kubelet gives no reason, or hardly one";

/// All of them, for clients that may: what is refused is refused in the same words.
pub const DIFFERENCES: &[Difference] = &[
    status("logs of the machine", NO_MACHINE),
    status("a log of the machine", NO_MACHINE),
    status("profiles", NO_GO),
    status("flags", NO_GO),
    words(
        "containerLogs, no run before",
        "a kubelet forgets the content type here",
    ),
    words("exec, no version", RUNTIME),
    words("exec, unknown version", RUNTIME),
    words("exec, unknown protocol", SAYS_WHY),
    words("exec, WebSocket by POST", SAYS_WHY),
    words("portForward, port x", "the words are those of Go's parser of numbers"),
];

/// The difference that is known of a case, if this client may differ in this way.
pub fn known(case: &str, client: Client, real: &Answer, ours: &Answer) -> Option<&'static Difference> {
    let may = matches!(client, Client::ApiServer | Client::RightToken | Client::FiguresToken);
    let known = DIFFERENCES.iter().find(|known| may && known.case == case)?;
    (known.status || real.status == ours.status).then_some(known)
}
