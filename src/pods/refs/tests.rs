//! What is asked of the API server, and how often.

use std::collections::BTreeMap;
use std::convert::Infallible;

use futures::future::join_all;
use http::{Request, Response};
use kube::client::Body;
use provider::mapping;
use serde_json::{Value, json};

use super::*;

/// An API server that knows these paths, and counts what it is asked.
#[derive(Clone, Default)]
struct Objects {
    by_path: Arc<Mutex<BTreeMap<String, Value>>>,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Objects {
    fn put(&self, path: &str, object: Value) {
        self.by_path.lock().expect("no panic").insert(path.to_owned(), object);
    }

    fn asked(&self, path: &str) -> usize {
        self.asked.lock().expect("no panic").get(path).copied().unwrap_or(0)
    }

    /// A reader for which what it read stays true.
    fn reader(&self) -> RefsReader {
        RefsReader::sharing(self.client(), Duration::from_secs(3_600))
    }

    fn client(&self) -> kube::Client {
        let this = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = this.answer(request.uri().path());
            async move { Ok::<_, Infallible>(answer) }
        });
        kube::Client::new(service, "default")
    }

    fn answer(&self, path: &str) -> Response<Body> {
        *self.asked.lock().expect("no panic").entry(path.to_owned()).or_default() += 1;
        let found = self.by_path.lock().expect("no panic").get(path).cloned();
        let (code, body) = match found {
            Some(object) => (200, object),
            None => (
                404,
                json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "not found", "code": 404}),
            ),
        };
        Response::builder()
            .status(code)
            .body(Body::from(body.to_string().into_bytes()))
            .expect("a valid answer")
    }
}

fn pod(spec: Value) -> Pod {
    let pod = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": spec});
    serde_json::from_value(pod).expect("a pod")
}

async fn read(reader: &RefsReader, pod: &Pod) -> Refs {
    reader.read(pod, &mapping::references(pod)).await.expect("answers")
}

#[tokio::test]
async fn a_thousand_pods_at_once_list_the_services_of_their_namespace_once() {
    const SERVICES: &str = "/api/v1/namespaces/ns/services";
    let objects = Objects::default();
    objects.put(
        SERVICES,
        json!({"kind": "ServiceList", "apiVersion": "v1", "metadata": {}, "items": [
            {"metadata": {"name": "web"}, "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}},
            {"metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}},
            {"metadata": {"name": "db"}, "spec": {"clusterIP": "10.96.0.8", "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]}},
        ]}),
    );
    let reader = objects.reader();
    let wants = pod(json!({"containers": []}));
    for refs in join_all((0..1_000).map(|_| read(&reader, &wants))).await {
        let names: Vec<&str> = refs.services.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["db", "web"]);
    }
    assert_eq!(objects.asked(SERVICES), 1);

    let forgetful = RefsReader::sharing(objects.client(), Duration::ZERO);
    read(&forgetful, &wants).await;
    read(&forgetful, &wants).await;
    assert_eq!(objects.asked(SERVICES), 3, "it is shared for a while only");

    let does_not = pod(json!({"containers": [], "enableServiceLinks": false}));
    assert!(read(&forgetful, &does_not).await.services.is_empty());
    assert_eq!(objects.asked(SERVICES), 3);
}

#[tokio::test]
async fn a_claim_leads_to_its_volume_and_that_to_its_secret() {
    const CLAIM: &str = "/api/v1/namespaces/ns/persistentvolumeclaims/data";
    let objects = Objects::default();
    let reader = objects.reader();
    let pod = pod(json!({
        "containers": [],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
    }));
    assert_eq!(read(&reader, &pod).await.claims["data"], None);

    // Not bound yet: seen, and looked at again the next time.
    let claim =
        |phase: &str| json!({"metadata": {"name": "data"}, "spec": {"volumeName": "pv-1"}, "status": {"phase": phase}});
    objects.put(CLAIM, claim("Pending"));
    let refs = read(&reader, &pod).await;
    assert!(refs.claims["data"].is_some() && refs.volumes.is_empty());

    objects.put(CLAIM, claim("Bound"));
    objects.put(
        "/api/v1/persistentvolumes/pv-1",
        json!({"metadata": {"name": "pv-1"}, "spec": {"csi": {
            "driver": "ossplugin.csi.alibabacloud.com", "volumeHandle": "pv-1",
            "nodePublishSecretRef": {"namespace": "storage", "name": "key"},
        }}}),
    );
    objects.put(
        "/api/v1/namespaces/storage/secrets/key",
        json!({"metadata": {"name": "key", "namespace": "storage"}}),
    );
    for _ in 0..3 {
        let refs = read(&reader, &pod).await;
        assert!(refs.volumes["pv-1"].is_some());
        assert!(refs.volume_secrets[&("storage".to_owned(), "key".to_owned())].is_some());
    }
    assert_eq!(objects.asked(CLAIM), 3, "what is bound is shared for a while");
    assert_eq!(objects.asked("/api/v1/persistentvolumes/pv-1"), 1);
}
