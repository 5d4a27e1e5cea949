//! (pure) Which paths there are, and what a kubelet makes of one before it does anything for it.
//!
//! A kubelet has two layers, and they answer differently. A multiplexer knows roots and whole paths; what it does not know is
//! `404 page not found`, and what is not in its shortest form is sent there, both before anybody is asked who they are. Behind
//! it, for those who may, a router knows the rest of the paths, and their methods.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Methods of a path, as `Allow` lists them; `None` = whatever the method, it is answered as a GET.
type Methods = Option<&'static str>;

/// Whole paths of the multiplexer.
const WHOLE: [&str; 11] = [
    "/healthz",
    "/healthz/ping",
    "/healthz/log",
    "/healthz/syncloop",
    "/metrics",
    "/metrics/cadvisor",
    "/metrics/resource",
    "/metrics/probes",
    "/metrics/slis",
    "/configz",
    "/debug/flags/v",
];

/// Roots of the multiplexer. Those that end in a slash have nothing at the path without it.
const ROOTS: [&str; 11] = [
    "/pods",
    "/stats/",
    "/run",
    "/exec",
    "/attach",
    "/portForward",
    "/containerLogs",
    "/runningpods/",
    "/checkpoint/",
    "/logs/",
    "/debug/pprof/",
];

/// What is below the roots; `*` stands for a word, and at the end `**` for any words.
const ROUTES: [(&str, Methods); 15] = [
    ("/pods", GET),
    ("/stats/summary", GET_POST),
    ("/run/*/*/*", POST),
    ("/run/*/*/*/*", POST),
    ("/exec/*/*/*", GET_POST),
    ("/exec/*/*/*/*", GET_POST),
    ("/attach/*/*/*", GET_POST),
    ("/attach/*/*/*/*", GET_POST),
    ("/portForward/*/*", GET_POST),
    ("/portForward/*/*/*", GET_POST),
    ("/containerLogs/*/*/*", GET),
    ("/runningpods/", GET),
    ("/checkpoint/*/*/*", POST),
    ("/logs/**", None),
    ("/debug/pprof/**", None),
];
const GET: Methods = Some("GET");
const POST: Methods = Some("POST");
const GET_POST: Methods = Some("GET, POST");

/// What must be written with a percent sign in a word of a path.
const WORD: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What the multiplexer makes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No path: its percent signs make no text.
    Malformed,
    /// It is to be asked for at another path, this one.
    Moved(String),
    /// There is no such path, for whomever.
    Nowhere,
    /// It is there for those who may.
    Here(Here),
}

/// A path that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Here {
    /// Decoded: what authorization looks at.
    pub(super) path: String,
    /// What the router makes of it.
    pub(super) route: Route,
}

/// What the router makes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Nothing.
    None,
    /// It has other methods, these.
    OtherMethods(&'static str),
    /// Goes on, as this path and, where it does not matter, as a GET.
    Goes {
        /// In its one form, encoded.
        path: String,
        /// Whether the method does not matter.
        any_method: bool,
    },
}

/// Looks up a path as it stands in a request.
pub(super) fn find(raw: &str, method: &str) -> Found {
    let clean = clean(raw);
    if clean != raw {
        return Found::Moved(clean);
    }
    let Ok(path) = percent_decode_str(raw).decode_utf8() else {
        return Found::Malformed;
    };
    let is_whole = WHOLE.contains(&&*path);
    let is_below = ROOTS.iter().any(|root| below(&path, root));
    if !is_whole && !is_below {
        let is_root = ROOTS.iter().any(|root| root.strip_suffix('/') == Some(&*path));
        return if is_root {
            Found::Moved(format!("{raw}/"))
        } else {
            Found::Nowhere
        };
    }
    let route = if is_whole {
        Route::Goes {
            path: raw_of(&path),
            any_method: true,
        }
    } else {
        route(&path, method)
    };
    let path = path.into_owned();
    Found::Here(Here { path, route })
}

fn below(path: &str, root: &str) -> bool {
    match root.strip_suffix('/') {
        Some(_) => path.starts_with(root),
        None => path
            .strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}

fn route(path: &str, method: &str) -> Route {
    let Some(methods) = ROUTES
        .iter()
        .find(|(pattern, _)| matches(pattern, path))
        .map(|(_, m)| m)
    else {
        return Route::None;
    };
    match methods {
        Some(methods) if !methods.split(", ").any(|known| known == method) => Route::OtherMethods(methods),
        methods => {
            // The one route without words of its own below a root that ends in a slash keeps that.
            let path = match raw_of(path.trim_end_matches('/')) {
                root if ROOTS.contains(&&*format!("{root}/")) => format!("{root}/"),
                path => path,
            };
            let any_method = methods.is_none();
            Route::Goes { path, any_method }
        }
    }
}

/// Slashes at the end do not count.
fn matches(pattern: &str, path: &str) -> bool {
    let mut words = path.trim_matches('/').split('/');
    for part in pattern.trim_matches('/').split('/') {
        if part == "**" {
            return true;
        }
        match words.next() {
            Some(word) if part == word || (part == "*" && !word.is_empty()) => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

fn raw_of(path: &str) -> String {
    let words: Vec<String> = path
        .split('/')
        .map(|word| utf8_percent_encode(word, WORD).to_string())
        .collect();
    words.join("/")
}

/// Without empty words, `.` and `..`; a slash at the end stays.
fn clean(raw: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in raw.split('/') {
        match word {
            "" | "." => {}
            ".." => drop(words.pop()),
            word => words.push(word),
        }
    }
    let mut clean = String::with_capacity(raw.len());
    for word in &words {
        clean.push('/');
        clean.push_str(word);
    }
    if clean.is_empty() || raw.ends_with('/') {
        clean.push('/');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, method: &str) -> String {
        match find(path, method) {
            Found::Malformed => "malformed".to_owned(),
            Found::Moved(to) => format!("moved to {to}"),
            Found::Nowhere => "nowhere".to_owned(),
            Found::Here(Here { route, .. }) => match route {
                Route::None => "no route".to_owned(),
                Route::OtherMethods(methods) => format!("only {methods}"),
                Route::Goes { path, .. } => path,
            },
        }
    }

    /// As a real kubelet was seen to answer.
    #[test]
    fn paths_are_looked_up_in_two_layers() {
        for (path, expected) in [
            ("/", "nowhere"),
            ("/no", "nowhere"),
            ("/healthz", "/healthz"),
            ("/healthz/", "nowhere"),
            ("/healthz/ping", "/healthz/ping"),
            ("/healthz/none", "nowhere"),
            ("/metrics/", "nowhere"),
            ("/metrics/x", "nowhere"),
            ("/statusz", "nowhere"),
            ("/pods", "/pods"),
            ("/pods/", "/pods"),
            ("/pods/x", "no route"),
            ("/podsx", "nowhere"),
            ("/runningpods", "moved to /runningpods/"),
            ("/runningpods/", "/runningpods/"),
            ("/stats", "moved to /stats/"),
            ("/stats/", "no route"),
            ("/stats/summary", "/stats/summary"),
            ("/stats/x", "no route"),
            ("/containerLogs", "no route"),
            ("/containerLogs/a/b", "no route"),
            ("/containerLogs/a/b/c", "/containerLogs/a/b/c"),
            ("/containerLogs/a/b/c/", "/containerLogs/a/b/c"),
            ("/containerLogs/a/b/c/d", "no route"),
            ("/containerLogs//b/c", "moved to /containerLogs/b/c"),
            ("/exec/a/b/c/d", "/exec/a/b/c/d"),
            ("/run/a/b/c", "only POST"),
            ("/checkpoint", "moved to /checkpoint/"),
            ("/checkpoint/", "no route"),
            ("/checkpoint/a/b/c", "only POST"),
            ("/logs", "moved to /logs/"),
            ("/logs/", "/logs/"),
            ("/logs/a/b", "/logs/a/b"),
            ("/debug", "nowhere"),
            ("/debug/pprof/heap", "/debug/pprof/heap"),
            ("//healthz", "moved to /healthz"),
            ("/./pods", "moved to /pods"),
            ("/pods/../exec/a/b/c", "moved to /exec/a/b/c"),
            ("/pods/..", "moved to /"),
            ("/%68ealthz", "/healthz"),
            ("/pods%2F..%2Fexec/a/b/c", "no route"),
            ("/exec/a/b%2Fc", "/exec/a/b/c"),
            ("/exec/a/b/%20c%25", "/exec/a/b/%20c%25"),
            ("/exec/%2F/b/c", "no route"),
            ("/%ff", "malformed"),
        ] {
            assert_eq!(said(path, "GET"), expected, "{path}");
        }
    }

    #[test]
    fn methods_belong_to_routes() {
        assert_eq!(said("/pods", "HEAD"), "only GET");
        assert_eq!(said("/exec/a/b/c", "PUT"), "only GET, POST");
        assert_eq!(said("/exec/a/b/c", "POST"), "/exec/a/b/c");
        assert_eq!(said("/checkpoint/a/b/c", "POST"), "/checkpoint/a/b/c");
        for method in ["PUT", "HEAD", "NONSENSE"] {
            assert_eq!(said("/metrics", method), "/metrics");
            assert_eq!(said("/logs/x", method), "/logs/x");
        }
    }

    #[test]
    fn what_is_authorized_is_what_is_served() {
        let Found::Here(here) = find("/%70ods/..%2Fexec", "GET") else {
            panic!("it is there")
        };
        assert_eq!(here.path, "/pods/../exec");
        assert_eq!(here.route, Route::None);
    }
}
