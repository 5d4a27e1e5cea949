//! A private registry for pulls: read only, one image, Basic authentication, no TLS.
//!
//! Docker speaks to registries on loopback without TLS by itself; podman has to be told in its `registries.conf`, as the
//! testbed does. The engine must run on this machine.

use std::{
    collections::HashMap,
    convert::Infallible,
    io::Read,
    sync::{Arc, OnceLock, mpsc},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::bed;

/// Where it listens.
pub(crate) const ADDRESS: &str = "127.0.0.1:5000";
/// Who may pull.
const USER: &str = "puller:open sesame";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Blobs by digest, and the manifest.
struct Content {
    manifest: Bytes,
    blobs: HashMap<String, Bytes>,
}

/// Starts it, once for all tests of this process. Any name and tag is the image `bed::image()` with another id.
pub(crate) fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let (ready, started) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let content = Arc::new(content().await);
                let listener = tokio::net::TcpListener::bind(ADDRESS).await.unwrap();
                ready.send(()).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let content = Arc::clone(&content);
                    tokio::spawn(async move {
                        let service = service_fn(move |request| {
                            let answer = answer(&content, &request);
                            async move { Ok::<_, Infallible>(answer) }
                        });
                        let _ = http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            });
        });
        started.recv().expect("the registry starts");
    });
}

/// Makes the engine forget an image that was pulled from here.
pub(crate) async fn forget(image: &str) {
    let options = None::<bollard::query_parameters::RemoveImageOptions>;
    let _ = bed::engine().await.remove_image(image, options, None).await;
}

fn answer(content: &Content, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let expected = format!("Basic {}", STANDARD.encode(USER));
    if request
        .headers()
        .get(header::AUTHORIZATION)
        .is_none_or(|given| given != expected.as_str())
    {
        let body = json!({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}).to_string();
        return Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header(header::WWW_AUTHENTICATE, "Basic realm=\"test\"")
            .header("docker-distribution-api-version", "registry/2.0")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))
            .unwrap();
    }
    let found = |kind: &str, body: &Bytes| {
        Response::builder()
            .header(header::CONTENT_TYPE, kind)
            .header("docker-distribution-api-version", "registry/2.0")
            .header("docker-content-digest", digest(body))
            .body(Full::new(body.clone()))
            .unwrap()
    };
    let path = request.uri().path();
    if path.trim_end_matches('/') == "/v2" {
        return found("application/json", &Bytes::from_static(b"{}"));
    }
    if path.contains("/manifests/") {
        return found(MANIFEST, &content.manifest);
    }
    match path.rsplit('/').next().and_then(|digest| content.blobs.get(digest)) {
        Some(blob) => found("application/octet-stream", blob),
        None => Response::builder()
            .status(StatusCode::NOT_FOUND)
            .body(Full::default())
            .unwrap(),
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The image as the engine exports it, put into the registry's form.
async fn content() -> Content {
    let docker = bed::engine().await;
    let mut archive = Vec::new();
    let mut exported = Box::pin(docker.export_image(&bed::image()));
    while let Some(chunk) = exported.next().await {
        archive.extend_from_slice(&chunk.unwrap());
    }
    let mut files = HashMap::new();
    let mut links = HashMap::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        if let Some(target) = entry.link_name().unwrap() {
            links.insert(path, target.display().to_string());
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.insert(path, Bytes::from(content));
    }
    let file = |name: &str| -> Bytes {
        let target = links.get(name).map_or(name, |target| target.trim_start_matches("../"));
        files
            .get(target)
            .or_else(|| files.get(name))
            .unwrap_or_else(|| panic!("the archive has no {name}"))
            .clone()
    };
    let manifest: Value = serde_json::from_slice(&file("manifest.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&file(manifest[0]["Config"].as_str().unwrap())).unwrap();
    // Another id than the image it was made from: a pull has something to bring.
    config["config"]["Labels"] = json!({"test": "registry"});
    let config = Bytes::from(config.to_string());
    let mut blobs = HashMap::from([(digest(&config), config.clone())]);
    let mut layers = Vec::new();
    for layer in manifest[0]["Layers"].as_array().unwrap() {
        let layer = file(layer.as_str().unwrap());
        layers.push(json!({
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar", "size": layer.len(), "digest": digest(&layer),
        }));
        blobs.insert(digest(&layer), layer);
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json", "size": config.len(), "digest": digest(&config),
        },
        "layers": layers,
    });
    Content {
        manifest: manifest.to_string().into(),
        blobs,
    }
}
