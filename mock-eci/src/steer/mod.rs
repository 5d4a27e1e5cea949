//! The steering API under `/mock/`: what a test does to the cloud that no customer of ECI could.
//!
//! It takes and gives JSON. Because it needs no signature it is open to this machine only (or to who knows the steering
//! token), and a web page open on this machine is kept out by the `Host`, `Origin` and `Content-Type` it can send.

mod groups;
pub mod journal;

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    api::{protocol, response, signature},
    app::{App, Peer},
    config::Limits,
    faults::Plan,
    scenario::Scenario,
};

/// What can be asked for, for `GET /mock/`.
const ROUTES: [(&str, &str); 20] = [
    (
        "POST /mock/reset",
        "remove all groups, tokens, bills, faults and the journal",
    ),
    ("GET /mock/time", "the server's time"),
    (
        "POST /mock/advance",
        "{\"seconds\": 60} or {\"millis\": 500}: jump forward in time",
    ),
    ("GET /mock/faults", "planned faults"),
    (
        "POST /mock/faults",
        "{\"action\", \"times\", \"kind\": error|timeout|disconnect|slow, ...}: plan a fault",
    ),
    ("DELETE /mock/faults", "drop all planned faults"),
    ("GET /mock/usage", "quota and use"),
    ("POST /mock/usage", "{\"max-cpu\": 100}: set the vCPU quota"),
    (
        "POST /mock/limits",
        "{\"limits\": \"documented\"|\"none\"}: call rates on or off",
    ),
    ("POST /mock/rights", "{\"list\": false}: lists become empty"),
    (
        "POST /mock/scenario",
        "{\"name\": \"realistic\"}: for groups created from now on",
    ),
    ("GET /mock/ledger", "what each group is billed"),
    ("GET /mock/journal", "the newest calls; ?action=NAME"),
    ("GET /mock/groups", "all groups in brief"),
    (
        "POST /mock/groups/ID/exit",
        "{\"container\", \"code\", \"signal\", \"oom\", \"message\"}: end a simulated container",
    ),
    (
        "POST /mock/groups/ID/ready",
        "{\"container\", \"ready\"}: outcome of a simulated readiness probe",
    ),
    (
        "POST /mock/groups/ID/logs",
        "{\"container\", \"lines\": [..]}: add to a simulated log",
    ),
    (
        "POST /mock/groups/ID/reclaim",
        "take a simulated group's resources back (spot)",
    ),
    (
        "POST /mock/groups/ID/stop-container",
        "{\"container\", \"grace-seconds\"}: end one container",
    ),
    ("GET /mock/health", "200 when it serves"),
];

/// A refusal: status and one sentence.
struct Refusal(StatusCode, String);

type Reply = Result<Value, Refusal>;

fn refuse(status: StatusCode, message: impl Into<String>) -> Refusal {
    Refusal(status, message.into())
}

/// Answers one request under `/mock/`.
pub(crate) async fn handle(app: &App, request: Request<Bytes>, peer: Peer) -> Response<Bytes> {
    let reply = match check(app, &request, peer) {
        Ok(()) => route(app, &request).await,
        Err(refusal) => Err(refusal),
    };
    match reply {
        Ok(body) => json_response(StatusCode::OK, &body),
        Err(Refusal(status, message)) => json_response(status, &json!({ "error": message })),
    }
}

fn json_response(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    response::json(status, serde_json::to_vec(body).unwrap_or_default().into())
}

/// Who may steer.
fn check(app: &App, request: &Request<Bytes>, peer: Peer) -> Result<(), Refusal> {
    let text = |name| {
        request
            .headers()
            .get(name)
            .and_then(|v: &http::HeaderValue| v.to_str().ok())
    };
    let forbidden = |why: &str| Err(refuse(StatusCode::FORBIDDEN, why));
    let address = match peer {
        Peer::Memory => return Ok(()),
        Peer::Address(address) => address,
    };
    let bearer = text(header::AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer "));
    let with_token = match (app.steering_token(), bearer) {
        (Some(token), Some(given)) => signature::equal(token, given),
        _ => false,
    };
    if !with_token {
        if !address.to_canonical().is_loopback() {
            return forbidden("steering from another machine needs the steering token as bearer token");
        }
        // A page can make a browser on this machine call here under a name of its own (DNS rebinding).
        if !is_own_host(protocol::host(request), app.listen_ip()) {
            return forbidden("steering must be addressed as localhost or by the server's own address");
        }
        if text(header::ORIGIN).is_some() {
            return forbidden("steering is not for web pages");
        }
    }
    if !request.body().is_empty() {
        let kind = text(header::CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be application/json",
            ));
        }
    }
    Ok(())
}

fn is_own_host(host: &str, listen: IpAddr) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok_and(|ip| ip.is_loopback() || ip == listen)
}

async fn route(app: &App, request: &Request<Bytes>) -> Reply {
    let path: Vec<&str> = request
        .uri()
        .path()
        .trim_start_matches("/mock")
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    match (request.method(), &path[..]) {
        (&Method::GET, []) => Ok(ROUTES
            .iter()
            .map(|(route, does)| json!({"route": route, "does": does}))
            .collect()),
        (&Method::GET, ["health"]) => Ok(json!({ "status": "ok" })),
        (&Method::POST, ["reset"]) => match app.reset().await {
            Ok(()) => Ok(json!({})),
            Err(error) => Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        },
        (&Method::GET, ["time"]) => Ok(json!({ "now": app.clock().now() })),
        (&Method::POST, ["advance"]) => {
            let Advance { seconds, millis } = body(request)?;
            app.advance(Duration::from_secs(seconds) + Duration::from_millis(millis));
            Ok(json!({ "now": app.clock().now() }))
        }
        (&Method::GET, ["faults"]) => Ok(json!(app.faults().list())),
        (&Method::POST, ["faults"]) => {
            let plan: Plan = body(request)?;
            app.faults().add(plan);
            Ok(json!(app.faults().list()))
        }
        (&Method::DELETE, ["faults"]) => {
            app.faults().clear();
            Ok(json!([]))
        }
        (&Method::GET, ["usage"]) => Ok(usage(app)),
        (&Method::POST, ["usage"]) => {
            let Usage { max_cpu } = body(request)?;
            if !(0.0..=1e9).contains(&max_cpu) {
                return Err(refuse(
                    StatusCode::BAD_REQUEST,
                    "max-cpu must be a number of vCPU that is not negative",
                ));
            }
            app.set_max_milli_cpu((max_cpu * 1000.0).round() as u64);
            Ok(usage(app))
        }
        (&Method::POST, ["limits"]) => {
            let LimitsBody { limits } = body(request)?;
            app.set_limits(limits);
            Ok(json!({ "limits": limits }))
        }
        (&Method::POST, ["rights"]) => {
            let Rights { list } = body(request)?;
            app.set_may_list(list);
            Ok(json!({ "list": list }))
        }
        (&Method::POST, ["scenario"]) => set_scenario(app, body(request)?),
        (&Method::GET, ["ledger"]) => Ok(json!(app.ledger())),
        (&Method::GET, ["journal"]) => {
            let query = request.uri().query().unwrap_or_default();
            let action = form_urlencoded::parse(query.as_bytes())
                .find(|(k, _)| k == "action")
                .map(|(_, v)| v);
            Ok(json!(app.journal().entries(action.as_deref())))
        }
        (&Method::GET, ["groups"]) => Ok(groups::list(app)),
        (&Method::POST, ["groups", id, verb]) => groups::act(app, id, verb, request),
        _ => Err(refuse(
            StatusCode::NOT_FOUND,
            "there is no such route; GET /mock/ lists them",
        )),
    }
}

fn body<T: DeserializeOwned>(request: &Request<Bytes>) -> Result<T, Refusal> {
    let bytes: &[u8] = if request.body().is_empty() {
        b"{}"
    } else {
        request.body()
    };
    serde_json::from_slice(bytes)
        .map_err(|e| refuse(StatusCode::BAD_REQUEST, format!("the body is not as expected: {e}")))
}

fn usage(app: &App) -> Value {
    let state = app.cloud().state();
    json!({
        "used-cpu": state.used_milli_cpu() as f64 / 1000.0, "max-cpu": state.max_milli_cpu as f64 / 1000.0,
        "groups": state.len(),
    })
}

fn set_scenario(app: &App, ScenarioBody { name }: ScenarioBody) -> Reply {
    let simulated = app.simulated().ok_or_else(not_simulated)?;
    // Names only: a path would let a caller probe files of this machine.
    if name.contains(['/', '\\', '.']) {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            "name must be that of a built-in scenario",
        ));
    }
    let scenario = Scenario::load(&name).map_err(|e| refuse(StatusCode::BAD_REQUEST, e.to_string()))?;
    simulated.set_scenario(scenario);
    Ok(json!({ "name": name }))
}

fn not_simulated() -> Refusal {
    refuse(StatusCode::CONFLICT, "only simulated groups can be steered like this")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    #[serde(default)]
    seconds: u64,
    #[serde(default)]
    millis: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Usage {
    max_cpu: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsBody {
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rights {
    list: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioBody {
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_are_own() {
        let listen: IpAddr = "172.31.0.1".parse().expect("ip");
        for own in [
            "localhost",
            "localhost:8090",
            "127.0.0.1:8090",
            "[::1]:8090",
            "[::1]",
            "172.31.0.1:80",
        ] {
            assert!(is_own_host(own, listen), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "evil.example:8090",
            "10.0.0.1",
            "localhost.evil.example:8090",
        ] {
            assert!(!is_own_host(other, listen), "{other}");
        }
    }
}
