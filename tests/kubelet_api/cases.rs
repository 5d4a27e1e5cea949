//! What is asked.

/// A request.
pub struct Case {
    /// For the table of differences.
    pub name: &'static str,
    pub method: &'static str,
    /// `NS` stands for the namespace.
    pub path: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
    pub body: Body,
}

/// How much of a body is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// All of it.
    Same,
    /// Nothing where it was granted: it holds what each node has.
    Own,
    /// As [`Self::Own`], and what fails behind the route is each one's own as well.
    Ours,
}

const SPDY: &[(&str, &str)] = &[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
const SPDY_V9: &[(&str, &str)] = &[
    ("connection", "Upgrade"),
    ("upgrade", "SPDY/3.1"),
    ("x-stream-protocol-version", "v9.channel.k8s.io"),
];
const SPDY_FORWARD: &[(&str, &str)] = &[
    ("connection", "Upgrade"),
    ("upgrade", "SPDY/3.1"),
    ("x-stream-protocol-version", "portforward.k8s.io"),
];
const WEBSOCKET: &[(&str, &str)] = &[
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "v4.channel.k8s.io"),
];
const WEBSOCKET_UNKNOWN: &[(&str, &str)] = &[
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "nosuch"),
];

const fn get(name: &'static str, path: &'static str) -> Case {
    of("GET", name, path)
}

const fn of(method: &'static str, name: &'static str, path: &'static str) -> Case {
    Case {
        name,
        method,
        path,
        headers: &[],
        body: Body::Same,
    }
}

/// One whose content is the node's own.
const fn own(name: &'static str, path: &'static str) -> Case {
    Case {
        body: Body::Own,
        ..get(name, path)
    }
}

const fn upgrade(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        headers,
        ..of(method, name, path)
    }
}

/// All that is asked. Each is asked by every client.
pub const CASES: &[Case] = &[
    // Paths.
    get("root", "/"),
    get("unknown path", "/no/such"),
    of("POST", "unknown path, POST", "/no/such"),
    get("not the shortest path", "//healthz"),
    get("a way up", "/pods/../healthz"),
    get("an escape", "/%68ealthz"),
    get("statusz is off", "/statusz"),
    get("flagz is off", "/flagz"),
    // The node.
    get("healthz", "/healthz"),
    of("PUT", "healthz, PUT", "/healthz"),
    of("HEAD", "healthz, HEAD", "/healthz"),
    of("OPTIONS", "healthz, OPTIONS", "/healthz"),
    get("healthz, slash", "/healthz/"),
    get("healthz, a check", "/healthz/ping"),
    get("healthz, no check", "/healthz/none"),
    own("pods", "/pods"),
    own("pods, slash", "/pods/"),
    get("pods, below", "/pods/x"),
    of("POST", "pods, POST", "/pods"),
    of("HEAD", "pods, HEAD", "/pods"),
    get("runningpods, no slash", "/runningpods"),
    own("runningpods", "/runningpods/"),
    of("DELETE", "runningpods, DELETE", "/runningpods/"),
    get("stats, no slash", "/stats"),
    get("stats, root", "/stats/"),
    get("stats, unknown", "/stats/x"),
    own("stats summary", "/stats/summary"),
    Case {
        body: Body::Own,
        ..of("POST", "stats summary, POST", "/stats/summary")
    },
    of("PUT", "stats summary, PUT", "/stats/summary"),
    own("metrics", "/metrics"),
    get("metrics, slash", "/metrics/"),
    get("metrics, unknown", "/metrics/x"),
    own("metrics resource", "/metrics/resource"),
    own("metrics cadvisor", "/metrics/cadvisor"),
    own("metrics probes", "/metrics/probes"),
    own("metrics slis", "/metrics/slis"),
    own("configz", "/configz"),
    Case {
        body: Body::Own,
        ..of("POST", "configz, POST", "/configz")
    },
    Case {
        body: Body::Ours,
        ..get("logs of the machine", "/logs/")
    },
    get("logs of the machine, no slash", "/logs"),
    Case {
        body: Body::Ours,
        ..get("a log of the machine", "/logs/nosuch")
    },
    Case {
        body: Body::Ours,
        ..get("profiles", "/debug/pprof/cmdline")
    },
    Case {
        body: Body::Ours,
        ..get("flags", "/debug/flags/v")
    },
    // Logs of containers.
    get("containerLogs, short", "/containerLogs"),
    get("containerLogs, shorter", "/containerLogs/NS/probe"),
    get("containerLogs, long", "/containerLogs/NS/probe/main/more"),
    get("containerLogs, a hole", "/containerLogs//probe/main"),
    own("containerLogs", "/containerLogs/NS/probe/main"),
    own("containerLogs, slash", "/containerLogs/NS/probe/main/"),
    own("containerLogs, no lines", "/containerLogs/NS/probe/main?tailLines=0"),
    of("POST", "containerLogs, POST", "/containerLogs/NS/probe/main"),
    get("containerLogs, no pod", "/containerLogs/NS/none/main"),
    get("containerLogs, no container", "/containerLogs/NS/probe/none"),
    get(
        "containerLogs, no run before",
        "/containerLogs/NS/probe/main?previous=true",
    ),
    get("containerLogs, tailLines=x", "/containerLogs/NS/probe/main?tailLines=x"),
    get(
        "containerLogs, tailLines=-1",
        "/containerLogs/NS/probe/main?tailLines=-1",
    ),
    get("containerLogs, tail=x", "/containerLogs/NS/probe/main?tail=x"),
    get(
        "containerLogs, sinceSeconds=0",
        "/containerLogs/NS/probe/main?sinceSeconds=0",
    ),
    get("containerLogs, sinceTime=x", "/containerLogs/NS/probe/main?sinceTime=x"),
    get(
        "containerLogs, two sinces",
        "/containerLogs/NS/probe/main?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
    ),
    get(
        "containerLogs, limitBytes=0",
        "/containerLogs/NS/probe/main?limitBytes=0",
    ),
    get(
        "containerLogs, one stream",
        "/containerLogs/NS/probe/main?stream=Stdout",
    ),
    get(
        "containerLogs, no such stream",
        "/containerLogs/NS/probe/main?stream=nosuch",
    ),
    // Commands.
    get("exec, short", "/exec/NS/probe"),
    get("exec, no stream", "/exec/NS/probe/main?command=true"),
    of("POST", "exec, no stream, POST", "/exec/NS/probe/main?command=true"),
    of("PUT", "exec, PUT", "/exec/NS/probe/main?command=true&output=1"),
    get("exec, no pod", "/exec/NS/none/main?command=true&output=1"),
    get("exec, no container", "/exec/NS/probe/none?command=true&output=1"),
    get("exec, no upgrade", "/exec/NS/probe/main?command=true&output=1"),
    upgrade(
        "exec, no version",
        "POST",
        "/exec/NS/probe/main?command=true&output=1",
        SPDY,
    ),
    upgrade(
        "exec, unknown version",
        "POST",
        "/exec/NS/probe/main?command=true&output=1",
        SPDY_V9,
    ),
    upgrade(
        "exec, unknown protocol",
        "GET",
        "/exec/NS/probe/main?command=true&output=1",
        WEBSOCKET_UNKNOWN,
    ),
    upgrade(
        "exec, WebSocket by POST",
        "POST",
        "/exec/NS/probe/main?command=true&output=1",
        WEBSOCKET,
    ),
    upgrade("exec", "GET", "/exec/NS/probe/main?command=true&output=1", WEBSOCKET),
    get("attach, no stream", "/attach/NS/probe/main"),
    get("attach, no pod", "/attach/NS/none/main?output=1"),
    get("attach, no container", "/attach/NS/probe/none?output=1"),
    get("attach, no upgrade", "/attach/NS/probe/main?output=1"),
    upgrade("attach", "GET", "/attach/NS/probe/main?output=1", WEBSOCKET),
    get("portForward, no pod", "/portForward/NS/none"),
    get("portForward, another pod", "/portForward/NS/probe/another"),
    get("portForward, no upgrade", "/portForward/NS/probe"),
    upgrade("portForward, unknown version", "POST", "/portForward/NS/probe", SPDY_V9),
    upgrade("portForward", "POST", "/portForward/NS/probe", SPDY_FORWARD),
    upgrade("portForward, no port", "GET", "/portForward/NS/probe", WEBSOCKET),
    upgrade("portForward, port 0", "GET", "/portForward/NS/probe?port=0", WEBSOCKET),
    upgrade("portForward, port x", "GET", "/portForward/NS/probe?port=x", WEBSOCKET),
    get("run, GET", "/run/NS/probe/main?cmd=true"),
    of("POST", "run", "/run/NS/probe/main?cmd=echo+hello"),
    of("POST", "run, failing", "/run/NS/probe/main?cmd=false"),
    of("POST", "run, no pod", "/run/NS/none/main?cmd=true"),
    of("POST", "run, no container", "/run/NS/probe/none?cmd=true"),
    // Checkpoints.
    get("checkpoint, no slash", "/checkpoint"),
    get("checkpoint, root", "/checkpoint/"),
    get("checkpoint, GET", "/checkpoint/NS/probe/main"),
    of("POST", "checkpoint, no pod", "/checkpoint/NS/none/main"),
    of("POST", "checkpoint, no container", "/checkpoint/NS/probe/none"),
    Case {
        body: Body::Ours,
        ..of("POST", "checkpoint", "/checkpoint/NS/probe/main")
    },
];
