//! The steering API.

use bytes::Bytes;
use http::Request;
use mock_eci::{Config, Peer};
use serde_json::{Value, json};

use crate::bed::Bed;

/// One call of steering: status and answer.
pub(crate) async fn steer(bed: &Bed, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://eci.test/mock/{path}"));
    let body = body.map(|b| b.to_string()).unwrap_or_default();
    let request = request.body(Bytes::from(body)).expect("a request");
    let response = bed.app().handle(request, Peer::Memory).await.expect("an answer");
    let status = response.status().as_u16();
    (status, serde_json::from_slice(response.body()).expect("JSON"))
}

#[tokio::test(start_paused = true)]
async fn the_cloud_can_be_steered() {
    let bed = Bed::new().await;
    let id = bed.create("steered", &[("RestartPolicy", "Never")]).await;
    bed.until(&id, "Running").await;

    let (_, groups) = steer(&bed, "GET", "groups", None).await;
    assert_eq!(
        (&groups[0]["ContainerGroupId"], &groups[0]["Status"]),
        (&json!(id), &json!("Running"))
    );
    let (_, usage) = steer(&bed, "POST", "usage", Some(json!({"max-cpu": 3.5}))).await;
    assert_eq!(usage, json!({"used-cpu": 2.0, "max-cpu": 3.5, "groups": 1}));
    let plan = json!({"action": "ListUsage", "times": 1, "kind": "error", "code": "InternalError", "status": 500});
    assert_eq!(steer(&bed, "POST", "faults", Some(plan)).await.0, 200);
    assert_eq!(bed.call("ListUsage", &[]).await.code(), "InternalError");
    let lines = json!({"container": "c", "lines": ["hello"]});
    assert_eq!(
        steer(&bed, "POST", &format!("groups/{id}/logs"), Some(lines)).await.0,
        200
    );
    let log = bed
        .call(
            "DescribeContainerLog",
            &[("ContainerGroupId", &id), ("ContainerName", "c")],
        )
        .await
        .ok();
    assert!(log["Content"].as_str().is_some_and(|c| c.contains("hello")));
    let exit = json!({"container": "c", "code": 4});
    assert_eq!(
        steer(&bed, "POST", &format!("groups/{id}/exit"), Some(exit)).await.0,
        200
    );
    bed.until(&id, "Failed").await;
    let (_, before) = steer(&bed, "GET", "time", None).await;
    let (_, after) = steer(&bed, "POST", "advance", Some(json!({"seconds": 90}))).await;
    let time = |v: &Value| {
        v["now"]
            .as_str()
            .expect("a time")
            .parse::<jiff::Timestamp>()
            .expect("a time")
    };
    assert!(time(&after).duration_since(time(&before)).as_secs() >= 90);
    let (_, ledger) = steer(&bed, "GET", "ledger", None).await;
    for member in [
        "ContainerGroupName",
        "Tags",
        "Cpu",
        "BilledSeconds",
        "AmountNano",
        "Currency",
        "BillingStart",
        "States",
    ] {
        assert!(!ledger[0][member].is_null(), "{member}: {ledger}");
    }
    assert_eq!(steer(&bed, "POST", "reset", None).await.0, 200);
    assert!(bed.app().group_ids().is_empty() && bed.app().ledger().is_empty());
    assert_eq!(steer(&bed, "GET", "journal", None).await.1, json!([]));
}

#[tokio::test(start_paused = true)]
async fn scenarios_can_be_changed_by_name_only() {
    let bed = Bed::new().await;
    assert_eq!(
        steer(&bed, "POST", "scenario", Some(json!({"name": "realistic"})))
            .await
            .0,
        200
    );
    let id = bed.create("real", &[]).await;
    let created = tokio::time::Instant::now();
    bed.until(&id, "Running").await;
    assert!(created.elapsed().as_secs() >= 8, "{:?}", created.elapsed());
    for name in ["/etc/passwd", "../x", "nowhere"] {
        assert_eq!(
            steer(&bed, "POST", "scenario", Some(json!({"name": name}))).await.0,
            400,
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_told() {
    let bed = Bed::new().await;
    for (method, path, body, status) in [
        ("GET", "nowhere", None, 404),
        ("POST", "advance", Some(json!({"hours": 1})), 400),
        ("POST", "faults", Some(json!({"kind": "explosion"})), 400),
        ("POST", "usage", Some(json!({"max-cpu": -1})), 400),
        ("POST", "groups/eci-x/exit", Some(json!({"container": "c"})), 404),
        ("POST", "groups/eci-x/dance", None, 404),
    ] {
        let (got, body) = steer(&bed, method, path, body).await;
        assert_eq!(got, status, "{method} {path}");
        assert!(body["error"].is_string());
    }
}

#[tokio::test(start_paused = true)]
async fn the_journal_holds_calls_without_secrets() {
    let bed = Bed::with(Config {
        journal_entries: 3,
        ..Config::default()
    })
    .await;
    bed.create(
        "secret",
        &[
            ("Container.1.EnvironmentVar.1.Key", "PASSWORD"),
            ("Container.1.EnvironmentVar.1.Value", "hunter2"),
            ("ImageRegistryCredential.1.Server", "registry.test"),
            ("ImageRegistryCredential.1.UserName", "me"),
            ("ImageRegistryCredential.1.Password", "hunter2"),
        ],
    )
    .await;
    let (_, journal) = steer(&bed, "GET", "journal?action=CreateContainerGroup", None).await;
    assert_eq!(journal[0]["Status"], 200);
    assert!(journal[0]["Parameters"].to_string().contains("registry.test"));
    assert!(!journal.to_string().contains("hunter2"));
    for _ in 0..5 {
        bed.call("ListUsage", &[]).await.ok();
    }
    let entries = bed.app().journal().entries(None);
    assert_eq!(
        (entries.len(), bed.app().journal().count()),
        (3, 6),
        "old ones make room"
    );
}

#[tokio::test(start_paused = true)]
async fn only_this_machine_may_steer() {
    let token = Some("open-sesame".to_owned());
    let bed = Bed::with(Config {
        steering_token: token,
        ..Config::default()
    })
    .await;
    let far = Peer::Address("198.51.100.7".parse().expect("an address"));
    let near = Peer::Address("127.0.0.1".parse().expect("an address"));
    let steer = async |peer: Peer, headers: &[(&str, &str)], body: &'static str| {
        let mut request = Request::post("/mock/reset");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::from_static(body.as_bytes())).expect("a request");
        bed.app()
            .handle(request, peer)
            .await
            .expect("an answer")
            .status()
            .as_u16()
    };
    let host = ("host", "localhost:8090");
    assert_eq!(steer(near, &[host], "").await, 200);
    assert_eq!(
        steer(near, &[("host", "evil.example")], "").await,
        403,
        "a name that was rebound to this machine"
    );
    assert_eq!(
        steer(near, &[host, ("origin", "http://evil.example")], "").await,
        403,
        "a web page"
    );
    assert_eq!(
        steer(near, &[host, ("content-type", "text/plain")], "{}").await,
        415,
        "a form of a web page"
    );
    assert_eq!(steer(far, &[host], "").await, 403);
    assert_eq!(steer(far, &[host, ("authorization", "Bearer wrong")], "").await, 403);
    assert_eq!(
        steer(
            far,
            &[("host", "mock:8090"), ("authorization", "Bearer open-sesame")],
            ""
        )
        .await,
        200
    );
}
