//! Probes and hooks that ask over the network.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mock_eci::{
    runtime::{ContainerEvent, Runtime},
    spec::{Handler, Probe},
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::bed::{Bed, group, on_bed, shell};

fn probe(handler: Handler) -> Option<Probe> {
    let second = Duration::from_secs(1);
    Some(Probe {
        handler,
        initial_delay: Duration::ZERO,
        period: second,
        timeout: second * 10,
        success_threshold: 1,
        failure_threshold: 2,
    })
}

fn get(scheme: &str, path: &str, port: u16) -> Handler {
    Handler::HttpGet {
        host: String::new(),
        path: path.into(),
        port,
        scheme: scheme.into(),
        headers: vec![("X-Test".into(), "given".into())],
    }
}

async fn ready(bed: &mut Bed, container: &str) {
    bed.container("readiness", container, 0, |event| {
        matches!(event, ContainerEvent::Ready(true)).then_some(())
    })
    .await;
}

/// Waits for a failure in these words. Probes repeat, and on a busy machine one may run out of time, or the engine lose the
/// words of a command that was over before it was listened to: then the next one tells.
async fn unhealthy(bed: &mut Bed, container: &str, text: &str) {
    bed.container(text, container, 0, |event| match event {
        ContainerEvent::Unhealthy { message } if message.contains(text) => Some(()),
        _ => None,
    })
    .await;
}

/// A server with a certificate that nobody vouches for and TLS 1.3 alone; keeps the heads of requests. Answers `/moved`
/// with a redirect to `/ok`.
async fn secure_server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["elsewhere.test".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, kept) = (acceptor.clone(), Arc::clone(&kept));
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let mut head = vec![0; 4096];
                let length = stream.read(&mut head).await.ok()?;
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let answer = if head.starts_with("GET /moved ") {
                    "HTTP/1.1 302 Found\r\nlocation: /ok\r\ncontent-length: 0\r\n\r\n"
                } else {
                    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
                };
                kept.lock().unwrap().push(head);
                stream.write_all(answer.as_bytes()).await.ok()?;
                stream.shutdown().await.ok()
            });
        }
    });
    (port, heads)
}

#[test]
fn https_probes_take_any_certificate_and_follow_redirects() {
    on_bed(async |mut bed| {
        let (port, heads) = secure_server().await;
        // The server is outside: the container only passes bytes on.
        let relay = format!(
            "gateway=$(ip route | awk '/^default/ {{print $3}}'); exec nc -ll -p 8443 -e /bin/busybox nc $gateway {port}"
        );
        let mut main = shell("main", &relay);
        main.readiness_probe = probe(get("HTTPS", "/moved", 8443));
        bed.launch(group(vec![main])).await;
        bed.start("main", 0).await;
        ready(&mut bed, "main").await;
        let heads = heads.lock().unwrap();
        let lines: Vec<_> = heads.iter().filter_map(|head| head.lines().next()).collect();
        assert_eq!(lines[..2], ["GET /moved HTTP/1.1", "GET /ok HTTP/1.1"], "{heads:?}");
        let head = heads[0].to_lowercase();
        for line in ["user-agent: kube-probe/", "x-test: given", "accept: */*"] {
            assert!(head.contains(line), "{line} is missing: {head}");
        }
    });
}

#[test]
fn what_nobody_answers_is_told_in_the_kubelets_words() {
    on_bed(async |mut bed| {
        let mut http = shell("http", "sleep 600");
        http.readiness_probe = probe(get("HTTP", "/", 81));
        let mut tcp = shell("tcp", "sleep 600");
        tcp.readiness_probe = probe(Handler::TcpSocket {
            host: String::new(),
            port: 82,
        });
        let mut slow = shell("slow", "sleep 600");
        slow.readiness_probe = probe(Handler::Exec(vec!["sleep".into(), "60".into()])).map(|probe| Probe {
            timeout: Duration::from_secs(1),
            ..probe
        });
        let ip = bed.launch(group(vec![http, tcp, slow])).await;
        for name in ["http", "tcp", "slow"] {
            bed.start(name, 0).await;
        }
        let refused =
            format!("Readiness probe failed: Get \"http://{ip}:81/\": dial tcp {ip}:81: connect: connection refused");
        for (name, words) in [
            ("http", refused),
            (
                "tcp",
                format!("Readiness probe failed: dial tcp {ip}:82: connect: connection refused"),
            ),
            (
                "slow",
                "Readiness probe failed: command \"sleep 60\" timed out".to_owned(),
            ),
        ] {
            let seen = bed
                .seen()
                .iter()
                .any(|event| format!("{event:?}").contains(&format!("{words:?}")[1..]));
            if !seen {
                unhealthy(&mut bed, name, &words).await;
            }
        }
    });
}

#[test]
fn hooks_ask_over_http_and_tcp_and_a_stop_leaves_time_after_them() {
    on_bed(async |mut bed| {
        let server = shell("server", "mkdir /www; httpd -p 8080 -h /www; echo serving; sleep 600");
        let mut web = shell(
            "web",
            "trap 'sleep 1; echo done; exit 3' TERM; echo up; while :; do sleep 0.1; done",
        );
        // No such page: a kubelet does not look at the status.
        web.post_start = Some(get("HTTP", "/none", 8080));
        // It takes the whole grace, after which the container still has its two seconds.
        web.pre_stop = Some(Handler::Exec(vec!["sleep".into(), "60".into()]));
        let mut tcp = shell("tcp", "sleep 600");
        tcp.post_start = Some(Handler::TcpSocket {
            host: String::new(),
            port: 8080,
        });
        let mut refused = shell("refused", "trap 'exit 4' TERM; while :; do sleep 0.1; done");
        refused.post_start = Some(get("HTTP", "/", 81));
        bed.launch(group(vec![server, web, tcp, refused])).await;
        bed.start("server", 0).await;
        bed.logged("server", 0, "serving").await;
        bed.start("web", 0).await;
        bed.start("tcp", 0).await;
        bed.runtime.start(&bed.group, "refused", 0);
        assert_eq!(bed.exit("refused", 0).await.code, 4);
        bed.logged("web", 0, "up").await;
        bed.runtime.stop_container(&bed.group, "web", Duration::from_secs(1));
        assert_eq!(bed.exit("web", 0).await.code, 3);
        assert_eq!(bed.log("web", 0).await, "up\ndone\n");
    });
}
