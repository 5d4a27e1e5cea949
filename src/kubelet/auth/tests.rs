use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::*;
use crate::kubelet::tls::testing;
use crate::scripted_api::{Answer, scripted};

fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().expect("valid"));
    headers
}

/// A client without a certificate.
fn nobody() -> Peer {
    Peer::new(Vec::new(), watch::channel(testing::tls()).1)
}

fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
        uid: None,
        groups: Vec::new(),
        extra: BTreeMap::new(),
    }
}

/// An API server that knows the token `good` of `alice` and lets only her get `nodes/proxy`.
fn api(calls: Arc<AtomicUsize>) -> kube::Client {
    scripted(move |_, path, body| {
        calls.fetch_add(1, Ordering::Relaxed);
        if path.ends_with("/tokenreviews") {
            let status = match body["spec"]["token"].as_str() {
                Some("good") => json!({ "authenticated": true, "user": { "username": "alice", "groups": ["team"] } }),
                Some("unknown") => json!({ "authenticated": false, "error": "[invalid bearer token]" }),
                _ => json!({ "authenticated": false }),
            };
            return Answer::ok(json!({ "spec": {}, "status": status }));
        }
        let spec = &body["spec"];
        let attributes = &spec["resourceAttributes"];
        assert_eq!(attributes["resource"], "nodes");
        assert_eq!(attributes["name"], "node-1");
        let allowed = spec["user"] == "alice" && attributes["verb"] == "get" && attributes["subresource"] == "proxy";
        Answer::ok(json!({ "spec": {}, "status": { "allowed": allowed } }))
    })
}

async fn check(auth: &Auth, method: &Method, path: &str, mut headers: HeaderMap) -> Result<String, u16> {
    let user = auth.authenticate(&nobody(), &mut headers).await;
    let user = user.map_err(|refusal| refusal.code())?;
    auth.authorize(&user, method, path)
        .await
        .map(|()| user.name)
        .map_err(|refusal| refusal.code())
}

#[tokio::test]
async fn a_token_is_reviewed_and_its_user_asked_for_access_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let auth = Auth::new(api(calls.clone()), "node-1".to_owned());
    let check = async |method, path| check(&auth, &method, path, bearer("good")).await;
    for _ in 0..3 {
        assert_eq!(check(Method::GET, "/containerLogs/a/b/c").await, Ok("alice".to_owned()));
    }
    let asked = calls.load(Ordering::Relaxed);
    assert_eq!(asked, 2, "one TokenReview, one SubjectAccessReview");
    assert_eq!(check(Method::POST, "/containerLogs/a/b/c").await, Err(403));
    assert_eq!(check(Method::GET, "/metrics/resource").await, Err(403));
    let by_proxy = check(Method::GET, "/healthz").await;
    assert_eq!(by_proxy, Ok("alice".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn answers_are_kept_as_long_as_a_kubelet_keeps_them() {
    let calls = Arc::new(AtomicUsize::new(0));
    let auth = Auth::new(api(calls.clone()), "node-1".to_owned());
    let calls_of = async |token, method: Method| {
        let before = calls.load(Ordering::Relaxed);
        let _ = check(&auth, &method, "/containerLogs/a/b/c", bearer(token)).await;
        calls.load(Ordering::Relaxed) - before
    };
    assert_eq!(calls_of("good", Method::GET).await, 2);
    assert_eq!(calls_of("good", Method::POST).await, 1, "a denial of another verb");
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(calls_of("good", Method::POST).await, 0);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(calls_of("good", Method::POST).await, 1, "denials hold for 30 s");
    tokio::time::advance(Duration::from_secs(90)).await;
    assert_eq!(calls_of("good", Method::GET).await, 1, "tokens for 2 min");
    tokio::time::advance(Duration::from_secs(180)).await;
    assert_eq!(calls_of("good", Method::GET).await, 2, "and what is allowed for 5 min");

    assert_eq!(calls_of("bad", Method::GET).await, 1);
    tokio::time::advance(Duration::from_secs(119)).await;
    assert_eq!(calls_of("bad", Method::GET).await, 0, "a refusal is kept like a token");
    assert_eq!(calls_of("unknown", Method::GET).await, 1);
    assert_eq!(calls_of("unknown", Method::GET).await, 1, "but not one with an error");
}

#[tokio::test]
async fn a_token_that_was_believed_is_not_handed_on() {
    let auth = Auth::new(api(Arc::default()), "node-1".to_owned());
    let mut headers = bearer("good");
    let alice = auth.authenticate(&nobody(), &mut headers).await.expect("known");
    assert_eq!(alice.groups, ["team", AUTHENTICATED]);
    assert_eq!(headers.get(header::AUTHORIZATION), None);

    let protocols = "base64url.bearer.authorization.k8s.io.Z29vZA, v4.channel.k8s.io";
    headers.insert(header::UPGRADE, "websocket".parse().expect("valid"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocols.parse().expect("valid"));
    let again = auth.authenticate(&nobody(), &mut headers).await.expect("known");
    assert_eq!(again, alice);
    assert_eq!(headers[header::SEC_WEBSOCKET_PROTOCOL], "v4.channel.k8s.io");
}

#[tokio::test]
async fn without_a_good_token_nobody_is_let_in() {
    let auth = Auth::new(api(Arc::default()), "node-1".to_owned());
    let mut basic = HeaderMap::new();
    basic.insert(header::AUTHORIZATION, "Basic Z29vZDo=".parse().expect("valid"));
    for headers in [HeaderMap::new(), bearer("bad"), basic] {
        assert_eq!(check(&auth, &Method::GET, "/healthz", headers).await, Err(401));
    }
}

#[tokio::test]
async fn who_is_known_may_not_therefore_do_anything() {
    let auth = Auth::new(api(Arc::default()), "node-1".to_owned());
    let logs = "/containerLogs/a/b/c";
    assert_eq!(auth.authorize(&user("alice"), &Method::GET, logs).await, Ok(()));
    let refusal = auth.authorize(&user("mallory"), &Method::GET, logs).await;
    let refusal = refusal.expect_err("not allowed");
    assert_eq!(refusal.code(), 403);
    assert_eq!(
        refusal.to_string(),
        "Forbidden (user=mallory, verb=get, resource=nodes, subresource(s)=[proxy])\n"
    );
}

/// An API server that fails with `code` so many times.
fn troubled(times: usize, code: u16) -> (kube::Client, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let client = scripted(move |_, path, _| {
        assert!(path.ends_with("/subjectaccessreviews"));
        if count.fetch_add(1, Ordering::Relaxed) < times {
            return Answer::error(code, "Trouble", "etcd is away");
        }
        Answer::ok(json!({ "spec": {}, "status": { "allowed": true } }))
    });
    (client, calls)
}

#[tokio::test(start_paused = true)]
async fn an_api_server_in_trouble_is_asked_again_for_a_while() {
    let (client, calls) = troubled(4, 500);
    let auth = Auth::new(client, "node-1".to_owned());
    assert_eq!(auth.authorize(&user("alice"), &Method::GET, "/pods").await, Ok(()));
    assert_eq!(calls.load(Ordering::Relaxed), 5);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_lets_nobody_in() {
    for (times, code, tries) in [(5, 500, 5), (1, 403, 1)] {
        let (client, calls) = troubled(times, code);
        let auth = Auth::new(client, "node-1".to_owned());
        let refusal = auth.authorize(&user("alice"), &Method::GET, "/pods").await;
        let refusal = refusal.expect_err("not known");
        assert_eq!(refusal.code(), 500);
        assert_eq!(
            refusal.to_string(),
            "Authorization error (user=alice, verb=get, resource=nodes, subresource=pods)"
        );
        assert_eq!(calls.load(Ordering::Relaxed), tries);
        assert_eq!(auth.authorize(&user("alice"), &Method::GET, "/pods").await, Ok(()));
    }
}
