use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::scripted_api::{Answer, scripted};

fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().expect("valid"));
    headers
}

/// An API server that knows the token `good` of `alice` and lets only her get `nodes/proxy`.
fn api(calls: Arc<AtomicUsize>) -> kube::Client {
    scripted(move |_, path, body| {
        calls.fetch_add(1, Ordering::Relaxed);
        if path.ends_with("/tokenreviews") {
            let known = body["spec"]["token"] == "good";
            let user = if known {
                json!({ "username": "alice", "groups": ["team"] })
            } else {
                json!({})
            };
            return Answer::ok(json!({ "spec": {}, "status": { "authenticated": known, "user": user } }));
        }
        let spec = &body["spec"];
        let attributes = &spec["resourceAttributes"];
        assert_eq!(attributes["resource"], "nodes");
        assert_eq!(attributes["name"], "node-1");
        let allowed = spec["user"] == "alice" && attributes["verb"] == "get" && attributes["subresource"] == "proxy";
        Answer::ok(json!({ "spec": {}, "status": { "allowed": allowed } }))
    })
}

async fn check(auth: &Auth, method: &Method, path: &str, headers: &HeaderMap) -> Result<String, u16> {
    auth.check(None, method, path, headers)
        .await
        .map(|user| user.name)
        .map_err(|refusal| refusal.code())
}

#[tokio::test]
async fn a_token_is_reviewed_and_its_user_asked_for_access_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let auth = Auth::new(api(calls.clone()), "node-1".to_owned());
    for _ in 0..3 {
        assert_eq!(
            check(&auth, &Method::GET, "/containerLogs/a/b/c", &bearer("good")).await,
            Ok("alice".to_owned())
        );
    }
    assert_eq!(
        calls.load(Ordering::Relaxed),
        2,
        "one TokenReview, one SubjectAccessReview"
    );
    assert_eq!(
        check(&auth, &Method::POST, "/containerLogs/a/b/c", &bearer("good")).await,
        Err(403)
    );
    assert_eq!(
        check(&auth, &Method::GET, "/metrics/resource", &bearer("good")).await,
        Err(403)
    );
    assert_eq!(
        check(&auth, &Method::GET, "/healthz", &bearer("good")).await,
        Ok("alice".to_owned()),
        "by nodes/proxy"
    );
}

#[tokio::test]
async fn without_a_good_token_nobody_is_let_in() {
    let auth = Auth::new(api(Arc::default()), "node-1".to_owned());
    assert_eq!(
        check(&auth, &Method::GET, "/healthz", &HeaderMap::new()).await,
        Err(401)
    );
    assert_eq!(check(&auth, &Method::GET, "/healthz", &bearer("bad")).await, Err(401));
    let mut basic = HeaderMap::new();
    basic.insert(header::AUTHORIZATION, "Basic Z29vZDo=".parse().expect("valid"));
    assert_eq!(check(&auth, &Method::GET, "/healthz", &basic).await, Err(401));
}

#[tokio::test]
async fn a_certificate_proves_who_but_not_that_they_may() {
    let auth = Auth::new(api(Arc::default()), "node-1".to_owned());
    let user = |name: &str| User {
        name: name.to_owned(),
        uid: None,
        groups: Vec::new(),
        extra: BTreeMap::new(),
    };
    let headers = HeaderMap::new();
    let alice = auth
        .check(Some(&user("alice")), &Method::GET, "/containerLogs/a/b/c", &headers)
        .await;
    assert_eq!(alice, Ok(user("alice")));
    let mallory = auth
        .check(Some(&user("mallory")), &Method::GET, "/containerLogs/a/b/c", &headers)
        .await;
    let refusal = mallory.expect_err("not allowed");
    assert_eq!(refusal.code(), 403);
    assert_eq!(
        refusal.to_string(),
        "Forbidden (user=mallory, verb=get, resource=nodes, subresource(s)=[proxy])\n"
    );
}

#[tokio::test]
async fn an_api_server_in_trouble_lets_nobody_in_and_is_asked_again() {
    let trouble = Arc::new(AtomicUsize::new(1));
    let left = trouble.clone();
    let client = scripted(move |_, path, _| {
        if left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
            .is_ok()
        {
            return Answer::error(500, "InternalError", "etcd is away");
        }
        assert!(path.ends_with("/subjectaccessreviews"));
        Answer::ok(json!({ "spec": {}, "status": { "allowed": true } }))
    });
    let auth = Auth::new(client, "node-1".to_owned());
    let user = User {
        name: "alice".to_owned(),
        uid: None,
        groups: Vec::new(),
        extra: BTreeMap::new(),
    };
    let refusal = auth
        .check(Some(&user), &Method::GET, "/x", &HeaderMap::new())
        .await
        .expect_err("not known");
    assert_eq!(refusal.code(), 500);
    assert!(
        auth.check(Some(&user), &Method::GET, "/x", &HeaderMap::new())
            .await
            .is_ok()
    );
}

#[test]
fn a_certificate_names_its_user_and_groups() {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("valid");
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "kube-apiserver-kubelet-client");
    params
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "system:masters");
    let key = rcgen::KeyPair::generate().expect("generates");
    let certificate = params.self_signed(&key).expect("signs");
    let user = user_of(certificate.der()).expect("has a name");
    assert_eq!(user.name, "kube-apiserver-kubelet-client");
    assert_eq!(user.groups, ["system:masters"]);
    assert_eq!(user_of(&CertificateDer::from_slice(b"no certificate")), None);
}

#[test]
fn answers_expire_and_do_not_pile_up() {
    let cache = Cache::default();
    cache.put(0, "gone", Duration::ZERO);
    assert_eq!(cache.get(&0), None);
    for key in 1..=2 * CACHE_SIZE {
        cache.put(key, "kept", Duration::from_secs(60));
    }
    assert!(cache.0.lock().expect("no panics").len() <= CACHE_SIZE);
    assert_eq!(cache.get(&(2 * CACHE_SIZE)), Some("kept"));
}
