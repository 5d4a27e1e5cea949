//! The README shows what is there: its snippets are parts of the examples, and the faults it plans are understood.

use bytes::Bytes;
use http::Request;
use mock_eci::Peer;

use crate::bed::Bed;

const README: &str = include_str!("../../README.md");

/// Text without its indentation.
fn flat(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

#[test]
fn snippets_are_parts_of_the_examples() {
    for (language, example) in [
        ("python", include_str!("../../examples/python/life.py")),
        ("go", include_str!("../../examples/go/main.go")),
        ("java", include_str!("../../examples/java/Life.java")),
    ] {
        let snippet = README.split(&format!("```{language}\n")).nth(1).expect("a snippet");
        let snippet = snippet.split("```").next().expect("its end");
        assert!(flat(example).contains(flat(snippet).trim()), "{language}: {snippet}");
    }
}

/// Every `eci ROUTE 'BODY'` of the README is one the server takes.
#[tokio::test(start_paused = true)]
async fn what_it_steers_is_understood() {
    let bed = Bed::new().await;
    let id = bed.create("steered", &[]).await;
    bed.until(&id, "Running").await;
    let mut tried = 0;
    for command in README.split('`').filter_map(|code| code.strip_prefix("eci ")) {
        let (route, body) = command.split_once(' ').unwrap_or((command, ""));
        let route = route.replace("ID", &id);
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = Request::builder()
            .method(method)
            .uri(format!("/mock/{route}"))
            .body(Bytes::from(body.trim_matches('\'').to_owned()))
            .expect("a request");
        let response = bed.app().handle(request, Peer::Memory).await.expect("an answer");
        // A container that was ended by the line before does not run at once.
        let ended = response.status() == 404 && route.ends_with("/exit");
        assert!(response.status() == 200 || ended, "{command}: {:?}", response.body());
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
}
