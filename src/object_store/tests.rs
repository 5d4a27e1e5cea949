//! Requests of the client, and what it makes of answers.

use std::sync::{Arc, Mutex};

use eci::TowerTransport;
use eci::credentials::Environment;

use super::*;

/// What a store was sent: method, host, path and query.
type Sent = Arc<Mutex<Vec<(String, String, String, String)>>>;

/// A prefix in a bucket; what comes after `://` is its endpoint.
fn location(url: &str) -> Location {
    let (scheme, endpoint) = url.split_once("://").expect("a URL");
    Location {
        endpoint: Some(endpoint.to_owned()).filter(|endpoint| !endpoint.is_empty()),
        ..Location::parse(&format!("{scheme}://bucket/logs")).expect("valid")
    }
}

/// A store that answers with this, and what it is sent.
fn scripted(location: &Location, status: u16, body: &'static str) -> (S3Store, Sent) {
    let sent = Sent::default();
    let log = sent.clone();
    let service = tower::service_fn(move |request: http::Request<axum::body::Body>| {
        let uri = request.uri();
        log.lock().expect("no panics").push((
            request.method().to_string(),
            uri.authority().map(ToString::to_string).unwrap_or_default(),
            uri.path().to_owned(),
            uri.query().unwrap_or_default().to_owned(),
        ));
        async move {
            let response = http::Response::builder()
                .status(status)
                .body(axum::body::Body::from(body));
            Ok::<_, std::convert::Infallible>(response.expect("valid"))
        }
    });
    let environment = Environment::of([
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "aws-secret"),
        ("AWS_SESSION_TOKEN", "aws-token"),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ali-secret"),
    ]);
    let transport = Arc::new(TowerTransport::<_, axum::body::Body>::new(service));
    let clock = Arc::new(eci::clock::SystemClock);
    let store = S3Store::new(location, "cn-hangzhou", &environment, clock, transport);
    (store.unwrap_or_else(|error| panic!("{error}")), sent)
}

#[tokio::test]
async fn each_kind_of_store_is_asked_where_it_is() {
    for (url, host, path, key) in [
        ("s3://", "bucket.s3.us-east-1.amazonaws.com", "/logs/a/b", "AKID"),
        (
            "s3://http://172.31.0.30:7070",
            "172.31.0.30:7070",
            "/bucket/logs/a/b",
            "AKID",
        ),
        ("oss://", "bucket.s3.oss-cn-hangzhou.aliyuncs.com", "/logs/a/b", "LTAI"),
        (
            "oss://https://s3.oss-cn-hangzhou-internal.aliyuncs.com",
            "bucket.s3.oss-cn-hangzhou-internal.aliyuncs.com",
            "/logs/a/b",
            "LTAI",
        ),
    ] {
        let (store, sent) = scripted(&location(url), 200, "");
        store.put("a/b".to_owned(), "x".into()).await.expect("taken");
        let sent = sent.lock().expect("no panics")[0].clone();
        assert_eq!(
            (sent.0.as_str(), sent.1.as_str(), sent.2.as_str()),
            ("PUT", host, path),
            "{url}"
        );
        assert!(sent.3.contains(&format!("X-Amz-Credential={key}")), "{url}");
    }
}

#[tokio::test]
async fn lists_go_on_from_page_to_page() {
    let page = "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name><Prefix>logs/a/</Prefix>\
                <KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated>\
                <Contents><Key>logs/a/0/000000.log</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                <ETag>&quot;x&quot;</ETag><Size>5</Size><StorageClass>STANDARD</StorageClass></Contents>\
                <NextContinuationToken>more</NextContinuationToken></ListBucketResult>";
    let (store, sent) = scripted(&location("s3://"), 200, page);
    let keys = store.list("a/".to_owned()).await.expect("listed");
    // The script knows one page only; a store that repeats itself is not asked for ever.
    assert_eq!(keys, ["a/0/000000.log", "a/0/000000.log"]);
    let sent = sent.lock().expect("no panics");
    assert_eq!(sent.len(), 2);
    assert!(sent[1].3.contains("continuation-token=more"), "{}", sent[1].3);
}

#[tokio::test]
async fn errors_say_why_and_nothing_else() {
    let refused = "<Error><Code>SignatureDoesNotMatch</Code><Message>The request signature does not match.</Message>\
                   <StringToSign>aws-token</StringToSign></Error>";
    let (store, _) = scripted(&location("s3://"), 403, refused);
    let error = store.get("a".to_owned()).await.expect_err("refused");
    assert_eq!(
        error.to_string(),
        "403 Forbidden: SignatureDoesNotMatch: The request signature does not match."
    );
    let (store, _) = scripted(&location("s3://"), 404, "<Error><Code>NoSuchKey</Code></Error>");
    assert_eq!(store.get("a".to_owned()).await, Err(StoreError::Absent));
    let (store, _) = scripted(&location("s3://"), 404, "<Error><Code>NoSuchBucket</Code></Error>");
    let error = store.get("a".to_owned()).await.expect_err("no bucket");
    assert_eq!(error.to_string(), "404 Not Found: NoSuchBucket");

    // A connection that fails, whose address has a signature in it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let transport = Arc::new(eci::ReqwestTransport::new().expect("builds"));
    let environment = Environment::of([("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "aws-secret")]);
    let nowhere = location("s3://http://127.0.0.1:1");
    let clock = Arc::new(eci::clock::SystemClock);
    let store = S3Store::new(&nowhere, "", &environment, clock, transport).unwrap_or_else(|error| panic!("{error}"));
    let error = store
        .get("a".to_owned())
        .await
        .expect_err("nobody is there")
        .to_string();
    assert!(!error.contains("X-Amz") && !error.contains("AKID"), "{error}");
}
