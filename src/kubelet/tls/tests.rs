use std::os::unix::fs::symlink;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::*;

/// A certificate that signs itself, and its key; good as a CA too.
fn pair() -> (String, String) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("valid");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("generates");
    let certificate = params.self_signed(&key).expect("signs");
    (certificate.pem(), key.serialize_pem())
}

/// A folder as the kubelet that mounts a secret writes it: files are links through `..data`, which is moved at once.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> (Self, TlsFiles) {
        let mounted = Self(tempfile::tempdir().expect("a directory"));
        mounted.renew("first", &pair());
        let path = |name: &str| mounted.0.path().join(name);
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(Path::new("..data").join(name), path(name)).expect("links");
        }
        let files = TlsFiles {
            cert: path("tls.crt"),
            key: path("tls.key"),
            client_ca: Some(path("ca.crt")),
        };
        (mounted, files)
    }

    fn renew(&self, version: &str, (cert, key): &(String, String)) {
        let root = self.0.path();
        fs::create_dir(root.join(version)).expect("created");
        for (name, text) in [("tls.crt", cert), ("tls.key", key), ("ca.crt", cert)] {
            fs::write(root.join(version).join(name), text).expect("written");
        }
        symlink(version, root.join("..new")).expect("links");
        fs::rename(root.join("..new"), root.join("..data")).expect("moved");
    }
}

#[tokio::test(start_paused = true)]
async fn files_that_are_swapped_by_a_link_are_taken() {
    let (mounted, files) = Mounted::new();
    let mut tls = follow_files(files, Metrics::new().expect("registers")).expect("usable");
    let before = tls.borrow_and_update().clone();
    mounted.renew("second", &pair());
    tls.changed().await.expect("followed");
    let after = tls.borrow_and_update().clone();
    assert!(!Arc::ptr_eq(&before.server, &after.server));
    let (before, after) = (before.clients.expect("a CA"), after.clients.expect("a CA"));
    assert!(!Arc::ptr_eq(&before, &after), "the CA of clients as well");
}

#[tokio::test(start_paused = true)]
async fn files_that_cannot_be_used_change_nothing_and_are_counted() {
    let (mounted, files) = Mounted::new();
    let metrics = Metrics::new().expect("registers");
    let mut tls = follow_files(files, metrics.clone()).expect("usable");
    tls.borrow_and_update();
    // A certificate, and the key of another.
    mounted.renew("mixed", &(pair().0, pair().1));
    while metrics.kubelet_tls_reload_failures.get() < 2 {
        tokio::time::advance(PERIOD).await;
        tokio::task::yield_now().await;
    }
    mounted.renew("empty", &(String::new(), String::new()));
    tokio::time::advance(PERIOD).await;
    assert!(!tls.has_changed().expect("followed"));
    mounted.renew("good", &pair());
    tls.changed().await.expect("followed");
}

#[test]
fn only_strong_ciphers_and_recent_versions_are_there() {
    let (_mounted, files) = Mounted::new();
    let contents = files.contents().expect("readable");
    let server = files.tls(&contents).expect("usable").server;
    for suite in &server.crypto_provider().cipher_suites {
        let name = format!("{:?}", suite.suite());
        let is_1_3 = name.starts_with("TLS13_");
        let forward_secret = name.starts_with("TLS_ECDHE_");
        let authenticated = name.contains("GCM") || name.contains("POLY1305");
        assert!((is_1_3 || forward_secret) && authenticated, "{name}");
    }
}
