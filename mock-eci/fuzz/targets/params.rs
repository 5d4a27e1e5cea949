//! Parameters: what the wire says is what is read, and whatever is read becomes a group or an error, never a panic.

use std::time::Duration;

use jiff::Timestamp;
use mock_eci::{
    App, Config, Peer, Server,
    api::params::{Params, Reader},
    config::Limits,
};
use serde_json::Value;

use super::{as_query, oracle, query_and_form};

/// Query and form of one request.
pub(crate) fn params(data: &[u8]) {
    let (query, form) = query_and_form(data);
    let query = as_query(query);
    let mut params = Params::default();
    let decoded = params
        .extend_encoded(query.as_bytes())
        .and_then(|()| params.extend_encoded(form));
    let mut expected = oracle::decode(query.as_bytes());
    expected.extend(oracle::decode(form));
    if decoded.is_err() {
        assert!(expected.len() > mock_eci::api::params::MAX_PARAMETERS, "{decoded:?}");
        return;
    }
    params.sort();
    expected.sort();
    let read = params.iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert!(read.eq(expected.iter().cloned()), "decoded otherwise");
    read_all(&params, &expected);
    create(&query, form, &expected);
}

/// Every name as everything it could be.
fn read_all(params: &Params, expected: &[(String, String)]) {
    let reader = Reader::new(params);
    let root = reader.root();
    for (name, _) in expected.iter().take(200) {
        let first = name.split('.').next().unwrap_or(name);
        let _ = (
            root.boolean(name),
            root.integer(name, 1..=i64::MAX),
            root.decimal(name, 1_000),
        );
        let _ = (
            root.json_texts(name, 20),
            root.texts(first, 20),
            root.sub(first).name("Member"),
        );
        if let Ok(items) = root.list(first, 20) {
            assert!(items.len() <= 20);
            for item in items {
                let _ = (
                    item.list("Arg", 20),
                    item.text_pairs("Tag", ("Key", "Value"), 20),
                    item.filled("Name"),
                );
            }
        }
        assert!(root.text(name).is_some(), "{name:?} is there and is not found");
    }
    assert!(expected.is_empty() || reader.reads().any(|(_, read)| read));
}

/// What makes a group of nothing, where the input does not say it itself.
const LEAST: [(&str, &str); 4] = [
    ("RegionId", "cn-hangzhou"),
    ("ContainerGroupName", "fuzzed"),
    ("Container.1.Name", "c"),
    ("Container.1.Image", "busybox:1"),
];

/// The whole way of `CreateContainerGroup`, and of what shows a group.
fn create(query: &str, form: &[u8], given: &[(String, String)]) {
    let mut body = form.to_vec();
    for (name, value) in LEAST {
        if !given.iter().any(|(n, _)| n == name) {
            body.extend_from_slice(format!("&{name}={}", oracle::encode(value)).as_bytes());
        }
    }
    // Time stands still but for sleeping, which costs none.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let config = Config {
            limits: Limits::None,
            ..Config::default()
        };
        let server = Server::in_memory(config)
            .await
            .expect("the simulated runtime is always there");
        let app = server.app();
        let Some(created) = call(app, "CreateContainerGroup", query, &body).await else {
            return;
        };
        let Some(id) = created["ContainerGroupId"].as_str() else {
            return;
        };
        let about =
            format!("RegionId=cn-hangzhou&ContainerGroupIds=%5B%22{id}%22%5D&ContainerGroupId={id}&WithEvent=true");
        for _ in 0..2 {
            for action in [
                "DescribeContainerGroups",
                "DescribeContainerGroupStatus",
                "DescribeContainerGroupEvents",
            ] {
                let shown = call(app, action, "", about.as_bytes()).await.expect("a request");
                assert!(shown.get("Code").is_none(), "{action}: {shown}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let gone = format!("RegionId=cn-hangzhou&ContainerGroupId={id}&Force=true");
        call(app, "DeleteContainerGroup", "", gone.as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(app.cloud().status(id), None, "a deleted group is still there");
    });
}

/// The answer; none when the request cannot be one of HTTP. An answer is always JSON, and never the server's fault.
async fn call(app: &App, action: &str, query: &str, body: &[u8]) -> Option<Value> {
    let now = Timestamp::from_second(Timestamp::now().as_second()).expect("now");
    let nonce = format!("{action} after {} calls", app.journal().count());
    let request = oracle::v3("POST", query, body, action, (&now.to_string(), &nonce), &[])?;
    let answer = app.handle(request, Peer::Memory).await.expect("no fault is planned");
    assert!(answer.status().as_u16() < 500, "{answer:?}");
    Some(serde_json::from_slice(answer.body()).expect("JSON"))
}
