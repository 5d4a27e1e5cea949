use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::Taint;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::budget::Budgets;
use crate::burst::scene::{Keeper, ProfileName};
use crate::caps::Caps;
use crate::metrics::Health;
use crate::scripted_api::{Answer, scripted};
use crate::webhook::admit::Impossible;
use crate::webhook::admit::tests::{pod, terms};
use crate::webhook::pki::generation::Generation;

/// A webhook whose scene is kept from an API server with one namespace, `spark`, and another that the watch does not show yet.
async fn webhook() -> Webhook {
    let webhook = unready();
    let rules = Keeper {
        kube: webhook.kube.clone(),
        scene: webhook.scene.clone(),
        profile: ProfileName::default(),
        nodes: Vec::new(),
        caps: Caps::none(),
        budgets: Budgets::none(),
        teller: None,
        health: Health::new(),
        purpose: "webhook",
    };
    tokio::spawn(async move { rules.keep_rules().await });
    while !webhook.scene.rules_are_known() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    webhook
}

fn unready() -> Webhook {
    let kube = scripted(|_, path, _| {
        let list = |items: Value| Answer::ok(json!({ "metadata": { "resourceVersion": "1" }, "items": items }));
        if path.contains("watch=true") {
            let (sender, events) = tokio::sync::mpsc::unbounded_channel();
            // It lives for as long as the test.
            std::mem::forget(sender);
            Answer::events(events)
        } else if path.starts_with("/api/v1/namespaces/kube-system/configmaps") {
            list(json!([]))
        } else if path.starts_with("/api/v1/namespaces/new") {
            Answer::ok(json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": { "name": "new", "labels": { "alibabacloud.com/eci": "true" } },
            }))
        } else if path.starts_with("/api/v1/namespaces/odd") {
            Answer::error(500, "InternalError", "no")
        } else {
            list(json!([{ "metadata": { "name": "spark" } }]))
        }
    });
    let taint = Taint {
        key: "virtual-kubelet.io/provider".to_owned(),
        value: Some("alibabacloud".to_owned()),
        effect: "NoSchedule".to_owned(),
        time_added: None,
    };
    let (_, tls) = watch::channel(None);
    Webhook {
        scene: Scene::new(None, &[taint]),
        kube,
        terms: Arc::new(terms(Impossible::Refuse)),
        tls,
        metrics: Metrics::new().expect("distinct names"),
    }
}

/// As an API server of Kubernetes 1.35 sends it.
fn review(object: Value, change: impl FnOnce(&mut Value)) -> Value {
    let kind = json!({ "group": "", "version": "v1", "kind": "Pod" });
    let resource = json!({ "group": "", "version": "v1", "resource": "pods" });
    let mut request = json!({
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
        "name": "pi-exec-1", "namespace": "spark", "operation": "CREATE",
        "userInfo": { "username": "system:serviceaccount:spark:spark", "groups": ["system:authenticated"] },
        "object": object, "oldObject": null, "dryRun": false,
        "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1" },
    });
    change(&mut request);
    json!({ "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request })
}

async fn ask(webhook: &Webhook, body: String) -> (StatusCode, Value) {
    let request = Request::post(PATH)
        .header("content-type", "application/json")
        .body(Body::from(body));
    let response = webhook
        .routes()
        .oneshot(request.expect("a request"))
        .await
        .expect("answers");
    let code = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let text = Value::String(String::from_utf8_lossy(&body).into_owned());
    (code, serde_json::from_slice(&body).unwrap_or(text))
}

/// The operations of an answer's patch.
fn operations(answer: &Value) -> Vec<Value> {
    let bytes: Vec<u8> = serde_json::from_value(answer["response"]["patch"].clone()).expect("bytes");
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
    serde_json::from_slice(&bytes).expect("a patch")
}

fn count(webhook: &Webhook, outcome: &str) -> u64 {
    webhook.metrics.webhook_admissions.with_label_values(&[outcome]).get()
}

#[tokio::test]
async fn a_review_is_answered_in_its_own_version_with_its_own_uid() {
    let webhook = webhook().await;
    let wants_pool = review(pod(json!({ "alibabacloud.com/eci": "true" }), |_| {}), |_| {});
    let (code, answer) = ask(&webhook, wants_pool.to_string()).await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(
        (&answer["kind"], &answer["apiVersion"]),
        (&json!("AdmissionReview"), &json!("admission.k8s.io/v1"))
    );
    assert_eq!(answer["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    assert_eq!(answer["response"]["allowed"], true);
    let paths: Vec<Value> = operations(&answer).iter().map(|o| o["path"].clone()).collect();
    assert_eq!(
        paths,
        [
            "/spec/nodeSelector",
            "/spec/tolerations/0/tolerationSeconds",
            "/spec/tolerations/1/tolerationSeconds",
            "/spec/tolerations/2"
        ]
    );
    let plain = review(pod(json!({}), |_| {}), |_| {});
    let (_, answer) = ask(&webhook, plain.to_string()).await;
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"]["patch"], Value::Null);
    assert_eq!((count(&webhook, "shaped"), count(&webhook, "untouched")), (1, 1));
    assert_eq!(webhook.metrics.webhook_admission_seconds.get_sample_count(), 2);
}

#[tokio::test]
async fn what_could_never_run_is_refused_with_the_field() {
    let webhook = webhook().await;
    let host = pod(json!({ "alibabacloud.com/eci": "true" }), |pod| {
        pod["spec"]["hostNetwork"] = json!(true)
    });
    let (_, answer) = ask(&webhook, review(host, |_| {}).to_string()).await;
    assert_eq!(answer["response"]["allowed"], false);
    let why = answer["response"]["status"]["message"].as_str().expect("a message");
    assert!(why.contains("spec.hostNetwork"), "{why}");
    assert_eq!(count(&webhook, "refused"), 1);
}

#[tokio::test]
async fn the_first_pod_of_a_new_namespace_is_judged_by_it() {
    let webhook = webhook().await;
    // The object may leave its namespace to the request.
    let new = pod(json!({}), |pod| pod["metadata"]["namespace"] = Value::Null);
    let (_, answer) = ask(&webhook, review(new, |r| r["namespace"] = json!("new")).to_string()).await;
    assert!(
        operations(&answer).iter().any(|o| o["path"] == "/spec/nodeSelector"),
        "{answer}"
    );
    let odd = pod(json!({}), |pod| pod["metadata"]["namespace"] = json!("odd"));
    let (code, _) = ask(&webhook, review(odd, |r| r["namespace"] = json!("odd")).to_string()).await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE, "not to be guessed");
}

#[tokio::test]
async fn what_is_no_creation_of_a_pod_is_let_through() {
    let webhook = webhook().await;
    let of_pool = || pod(json!({ "alibabacloud.com/eci": "true" }), |_| {});
    for change in [
        (|r: &mut Value| r["operation"] = json!("UPDATE")) as fn(&mut Value),
        |r| r["subResource"] = json!("eviction"),
        |r| r["object"] = Value::Null,
    ] {
        let (code, answer) = ask(&webhook, review(of_pool(), change).to_string()).await;
        assert_eq!(code, StatusCode::OK);
        assert_eq!(
            (&answer["response"]["allowed"], &answer["response"]["patch"]),
            (&json!(true), &Value::Null)
        );
    }
}

#[tokio::test]
async fn what_is_no_review_is_a_bad_request_and_before_all_is_listed_nothing_is_judged() {
    let webhook = webhook().await;
    for body in [
        "",
        "{",
        "[]",
        r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#,
    ] {
        assert_eq!(
            ask(&webhook, body.to_owned()).await.0,
            StatusCode::BAD_REQUEST,
            "{body}"
        );
    }
    assert_eq!(count(&webhook, "failed"), 4);
    let early = review(pod(json!({}), |_| {}), |_| {});
    let (code, text) = ask(&unready(), early.to_string()).await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.to_string().contains("not listed yet"), "{text}");
}

#[tokio::test]
#[ignore = "prints figures: cargo test --lib webhook::serve -- --ignored --nocapture"]
async fn how_long_an_answer_takes_over_tls() {
    const COUNT: usize = 5_000;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let names = std::collections::BTreeSet::from(["127.0.0.1".to_owned()]);
    let generation = Generation::make(&names, clock::now(), Duration::from_secs(3_600)).expect("makes one");
    let (_sender, tls) = watch::channel(Some(generation.server().expect("usable")));
    let webhook = Webhook { tls, ..webhook().await };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("https://{}{PATH}", listener.local_addr().expect("an address"));
    let serving = tokio::spawn(crate::tls_server::serve(
        listener,
        webhook,
        crate::shutdown::Shutdown::new(),
    ));
    let root = reqwest::Certificate::from_pem(generation.ca.as_bytes()).expect("PEM");
    let client = reqwest::Client::builder()
        .tls_certs_only([root])
        .build()
        .expect("builds");
    let body = review(pod(json!({ "alibabacloud.com/eci": "true" }), |_| {}), |_| {}).to_string();
    let mut times = Vec::new();
    for _ in 0..COUNT {
        let began = clock::monotonic();
        let answer = client
            .post(&url)
            .header("content-type", "application/json")
            .body(body.clone());
        let answer = answer.send().await.expect("answers").bytes().await.expect("a body");
        times.push(began.elapsed());
        assert!(!answer.is_empty());
    }
    times.sort_unstable();
    let at = |part: usize| times[COUNT * part / 1_000].as_secs_f64() * 1_000.0;
    eprintln!(
        "{COUNT} admissions: {:.2} ms at p50, {:.2} ms at p99, {:.2} ms at most",
        at(500),
        at(990),
        at(999)
    );
    serving.abort();
}
