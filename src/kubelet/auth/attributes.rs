//! (pure) What a request wants to do, in the words of the API server's authorization, by a kubelet's table (1.35, with
//! `KubeletFineGrainedAuthz`, which is on unless told otherwise).

use http::Method;

/// What a request needs: the verb, and what of the node, one of which is enough. They are asked for in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    /// Empty for methods that have none, such as HEAD; only who may do everything may do that.
    pub(super) verb: &'static str,
    /// Subresources of `nodes`.
    pub(super) subresources: Vec<&'static str>,
}

impl Attributes {
    /// Of a request for `path`, which is decoded. A WebSocket begins with GET, so an `exec` by WebSocket is a `get` of
    /// `nodes/proxy` and one by SPDY a `create`.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        Self {
            verb: verb(method),
            subresources: subresources(path),
        }
    }
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The finer one first, then `proxy`, which stands for everything that has no name of its own.
fn subresources(path: &str) -> Vec<&'static str> {
    let under = |prefix: &str| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match path {
        _ if under("/stats") => vec!["stats"],
        _ if under("/metrics") => vec!["metrics"],
        _ if under("/logs") => vec!["log"],
        _ if under("/checkpoint") => vec!["checkpoint"],
        _ if under("/statusz") => vec!["statusz"],
        _ if under("/flagz") => vec!["configz"],
        _ if under("/healthz") => vec!["healthz", "proxy"],
        _ if under("/configz") => vec!["configz", "proxy"],
        _ if under("/pods") || under("/runningpods") => vec!["pods", "proxy"],
        _ => vec!["proxy"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_needs_what_a_kubelet_asks_for() {
        for (path, subresources) in [
            ("/pods", "pods proxy"),
            ("/pods/", "pods proxy"),
            ("/podsnot", "proxy"),
            ("/runningpods/", "pods proxy"),
            ("/healthz", "healthz proxy"),
            ("/healthz/ping", "healthz proxy"),
            ("/configz", "configz proxy"),
            ("/flagz", "configz"),
            ("/statusz", "statusz"),
            ("/stats/summary", "stats"),
            ("/metrics", "metrics"),
            ("/metrics/cadvisor", "metrics"),
            ("/logs/", "log"),
            ("/checkpoint/a/b/c", "checkpoint"),
            ("/containerLogs/a/b/c", "proxy"),
            ("/exec/a/b/c", "proxy"),
            ("/run/a/b/c", "proxy"),
            ("/debug/pprof/", "proxy"),
            ("/", "proxy"),
        ] {
            let attributes = Attributes::of(&Method::GET, path);
            assert_eq!(attributes.subresources.join(" "), subresources, "{path}");
        }
    }

    #[test]
    fn methods_that_no_verb_stands_for_have_none() {
        for (method, verb) in [
            (Method::GET, "get"),
            (Method::POST, "create"),
            (Method::PUT, "update"),
            (Method::PATCH, "patch"),
            (Method::DELETE, "delete"),
            (Method::HEAD, ""),
            (Method::OPTIONS, ""),
        ] {
            assert_eq!(Attributes::of(&method, "/pods").verb, verb, "{method}");
        }
    }
}
