//! The status page as far as no browser is needed: what is served to whom, what it may load, and that nothing a stranger
//! named becomes markup.

use bytes::Bytes;
use http::{Request, Response};
use mock_eci::{Config, Peer};
use serde_json::{Value, json};

use crate::bed::Bed;

async fn get(bed: &Bed, path: &str, accept: &str, peer: Peer) -> Response<Bytes> {
    let request = Request::get(path)
        .header("host", "localhost:8090")
        .header("accept", accept)
        .body(Bytes::new())
        .expect("a request");
    bed.app().handle(request, peer).await.expect("an answer")
}

async fn data(bed: &Bed, path: &str) -> Value {
    let response = get(bed, path, "*/*", Peer::Memory).await;
    assert_eq!(response.status(), 200, "{path}: {:?}", response.body());
    serde_json::from_slice(response.body()).expect("JSON")
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
}

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[tokio::test(start_paused = true)]
async fn browsers_get_a_page_and_programs_get_json() {
    let bed = Bed::new().await;
    for (path, accept, kind) in [
        ("/mock/", BROWSER, "text/html; charset=utf-8"),
        ("/mock", BROWSER, "text/html; charset=utf-8"),
        ("/mock/", "*/*", "application/json;charset=utf-8"),
        ("/mock/", "application/json", "application/json;charset=utf-8"),
        ("/mock/page.css", "text/css", "text/css; charset=utf-8"),
        ("/mock/page.js", "*/*", "text/javascript; charset=utf-8"),
        ("/mock/overview", BROWSER, "application/json;charset=utf-8"),
    ] {
        let response = get(&bed, path, accept, Peer::Memory).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "content-type"), kind, "{path}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "cache-control"), "no-store");
        let policy = header(&response, "content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(
            !policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"),
            "{path}: {policy}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_stands_alone_and_makes_no_markup() {
    let bed = Bed::new().await;
    let text = async |path: &str| {
        let response = get(&bed, path, BROWSER, Peer::Memory).await;
        String::from_utf8(response.body().to_vec()).expect("text")
    };
    let (html, css, script) = (
        text("/mock/").await,
        text("/mock/page.css").await,
        text("/mock/page.js").await,
    );
    for (file, text) in [("html", &html), ("css", &css), ("js", &script)] {
        for outside in ["http://", "https://", "//cdn", "@import", "url("] {
            assert!(!text.contains(outside), "{file} loads {outside}");
        }
    }
    // What the policy forbids would silently not work.
    for inline in ["<style", " style=", "onclick=", "onload=", "javascript:"] {
        assert!(!html.contains(inline), "{inline}");
    }
    assert!(
        html.matches("<script").count() == 1
            && html.contains("<script type=\"module\" src=\"/mock/page.js\"></script>")
    );
    for sink in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "setAttribute('on",
        "createContextualFragment",
        "srcdoc",
        "DOMParser",
    ] {
        assert!(!script.contains(sink), "{sink}");
    }
    // Each element the script asks for is there.
    for part in script.split("$('").skip(1) {
        let id = part.split('\'').next().expect("an id");
        assert!(html.contains(&format!("id=\"{id}\"")), "#{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn from_elsewhere_the_page_is_empty_and_the_data_is_refused() {
    let token = Some("open-sesame".to_owned());
    let bed = Bed::with(Config {
        steering_token: token,
        ..Config::default()
    })
    .await;
    let far = Peer::Address("198.51.100.7".parse().expect("an address"));
    for path in ["/mock/", "/mock/page.css", "/mock/page.js"] {
        assert_eq!(get(&bed, path, BROWSER, far).await.status(), 200, "{path}");
    }
    for path in [
        "/mock/overview",
        "/mock/timeline",
        "/mock/journal",
        "/mock/groups",
        "/mock/routes",
    ] {
        assert_eq!(get(&bed, path, BROWSER, far).await.status(), 403, "{path}");
    }
    assert_eq!(get(&bed, "/mock/", "*/*", far).await.status(), 403);
}

#[tokio::test(start_paused = true)]
async fn overview_and_timeline_say_what_there_is() {
    let bed = Bed::new().await;
    let hostile = "<script>alert(1)</script>";
    let first = bed
        .create(
            "web-1",
            &[
                ("Tag.1.Key", "note"),
                ("Tag.1.Value", hostile),
                ("RestartPolicy", "Never"),
            ],
        )
        .await;
    let second = bed.create("db-1", &[]).await;
    bed.until(&first, "Running").await;
    bed.until(&second, "Running").await;
    bed.app().advance(std::time::Duration::from_secs(60));
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &second)])
        .await
        .ok();
    bed.until_gone(&second).await;

    let overview = data(&bed, "/mock/overview").await;
    assert_eq!((&overview["groups"], &overview["gone"]), (&json!(1), &json!(1)));
    assert_eq!(overview["statuses"], json!({"Running": 1}));
    let bills = bed.app().ledger();
    let amount: u64 = bills.iter().map(|bill| bill.amount_nano).sum();
    assert!(amount > 0);
    assert_eq!(
        overview["cost"],
        json!({"amount-nano": amount, "currency": "CNY", "groups": 2})
    );

    let all = data(&bed, "/mock/timeline").await;
    assert_eq!(
        (&all["total"], &all["groups"][0]["ContainerGroupName"]),
        (&json!(2), &json!("db-1")),
        "the newest first"
    );
    assert!(
        all["groups"][0]["States"].as_array().is_some_and(|s| s.len() > 2),
        "{all}"
    );
    for (query, total, shown) in [
        ("limit=1", 2, 1),
        ("limit=1&offset=1", 2, 1),
        ("offset=2", 2, 0),
        ("status=Running", 1, 1),
        ("status=gone", 1, 1),
        ("text=WEB", 1, 1),
        ("text=alert", 1, 1),
        ("text=nothing", 0, 0),
    ] {
        let page = data(&bed, &format!("/mock/timeline?{query}")).await;
        assert_eq!(page["total"], total, "{query}");
        assert_eq!(page["groups"].as_array().map(Vec::len), Some(shown), "{query}");
    }

    let detail = data(&bed, &format!("/mock/groups/{first}")).await;
    assert_eq!(detail["Tags"]["note"], hostile);
    assert_eq!(detail["Containers"][0]["Name"], "c");
    assert!(detail["Events"].as_array().is_some_and(|e| !e.is_empty()));
    let gone = data(&bed, &format!("/mock/groups/{second}")).await;
    assert!(gone["RemovalTime"].is_string() && gone["Containers"].is_null());
    let lines = json!({"container": "c", "lines": [hostile]});
    let request = Request::post(format!("/mock/groups/{first}/logs"))
        .body(lines.to_string().into())
        .expect("a request");
    bed.app().handle(request, Peer::Memory).await.expect("an answer");
    let log = data(&bed, &format!("/mock/groups/{first}/logs?container=c&tail=5")).await;
    assert!(
        log.as_array().is_some_and(|log| log
            .iter()
            .any(|line| line.as_str().is_some_and(|l| l.contains(hostile)))),
        "{log}"
    );
}
