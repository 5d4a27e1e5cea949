//! `docs/steering.md` and the routes agree.

use std::path::Path;

use bytes::Bytes;
use http::Request;

use super::{AREAS, handle, route::Verb, routes};
use crate::{Config, Peer, Server};

const BEGIN: &str = "<!-- routes: written by UPDATE_GOLDEN=1 cargo test -p mock-eci --lib steer -->\n";
const END: &str = "<!-- end of routes -->\n";

/// The reference, from the routes.
fn reference() -> String {
    let mut out = String::from(BEGIN);
    for area in AREAS {
        out.push_str(&format!("\n### {}\n\n| route | does |\n|---|---|\n", area.title));
        for route in area.routes {
            let query = match route.query {
                "" => String::new(),
                query => format!("?{query}"),
            };
            let bodies: String = route.bodies.iter().map(|body| format!("<br>`{body}`")).collect();
            out.push_str(&format!(
                "| `{} {}{query}`{bodies} | {} |\n",
                route.verb.as_str(),
                route.path,
                route.does
            ));
        }
    }
    out.push('\n');
    out.push_str(END);
    out
}

#[test]
fn the_reference_is_that_of_the_routes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/steering.md");
    let text = std::fs::read_to_string(&file).expect("docs/steering.md");
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the reference begins");
    let (_, after) = rest.split_once(END).expect("the mark where the reference ends");
    let expected = format!("{before}{}{after}", reference());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &expected).expect("docs/steering.md can be written");
    } else {
        assert!(
            text == expected,
            "docs/steering.md is not up to date: UPDATE_GOLDEN=1 cargo test -p mock-eci --lib steer writes it"
        );
    }
}

#[test]
fn no_route_hides_another() {
    let mut seen = std::collections::HashSet::new();
    for route in routes() {
        assert!(
            seen.insert((route.verb.as_str(), route.path)),
            "{} {} is there twice",
            route.verb.as_str(),
            route.path
        );
        assert!(route.path.starts_with("/mock/"));
        assert!(route.bodies.is_empty() || route.verb == Verb::Post);
    }
}

/// Every example in the reference is one the server takes: it may not find the group, but it understands.
#[tokio::test(start_paused = true)]
async fn every_example_is_understood() {
    let server = Server::in_memory(Config::default()).await.expect("simulated");
    for route in routes() {
        let examples = match route.bodies {
            [] => &[""],
            bodies => bodies,
        };
        for body in examples {
            let request = Request::builder()
                .method(route.verb.as_str())
                .uri(format!("{}?{}", route.path.replace(['{', '}'], ""), route.query))
                .body(Bytes::from_static(body.as_bytes()))
                .expect("a request");
            let response = handle(server.app(), request, Peer::Memory).await;
            let status = response.status().as_u16();
            let expected = if route.path.contains('{') {
                &[200, 404][..]
            } else {
                &[200]
            };
            assert!(
                expected.contains(&status),
                "{} {} {body}: {status} {:?}",
                route.verb.as_str(),
                route.path,
                response.body()
            );
        }
    }
}
