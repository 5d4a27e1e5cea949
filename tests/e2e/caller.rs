//! A client of the API server without a kubectl: many of them are cheap, and each can leave at any moment in any way.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cluster::Cluster;

/// Makes connections as the cluster's administrator.
#[derive(Clone)]
pub struct Caller {
    connector: TlsConnector,
    host: String,
    port: u16,
}

/// One connection. Dropped, it is reset, as by a machine that lost its program.
pub struct Call {
    stream: TlsStream<TcpStream>,
}

impl Caller {
    /// With the certificates of the testbed.
    pub async fn new(cluster: &Cluster) -> Self {
        let mut roots = RootCertStore::empty();
        let file = |name: &str| cluster.file(&format!("pki/{name}"));
        roots
            .add(CertificateDer::from_pem_file(file("ca.crt")).expect("a certificate"))
            .expect("a CA");
        let certificate = CertificateDer::from_pem_file(file("admin.crt")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(file("admin.key")).expect("a key");
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)
            .expect("they belong together");
        let server = kube::Config::infer().await.expect("KUBECONFIG can be used").cluster_url;
        Self {
            connector: TlsConnector::from(Arc::new(config)),
            host: server.host().expect("an address").to_owned(),
            port: server.port_u16().unwrap_or(443),
        }
    }

    /// A connection on which nothing was said.
    pub async fn connect(&self) -> Call {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .expect("it listens");
        stream.set_zero_linger().expect("a socket");
        let name = ServerName::try_from(self.host.clone()).expect("an address");
        let stream = self.connector.connect(name, stream).await.expect("TLS");
        Call { stream }
    }

    /// The head of a request that wants to become `protocol`.
    pub fn upgrade(&self, path: &str, protocol: Protocol) -> String {
        let host = &self.host;
        match protocol {
            Protocol::WebSocket(name) => format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {name}\r\n\r\n"
            ),
            Protocol::Spdy => format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                 X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n"
            ),
        }
    }

    /// The head of an ordinary request.
    pub fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host)
    }
}

/// What a connection becomes.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    /// With this subprotocol.
    WebSocket(&'static str),
    /// Streams are the client's to open.
    Spdy,
}

impl Call {
    /// Says something.
    pub async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("open");
        self.stream.flush().await.expect("open");
    }

    /// Reads the head of the answer: its status.
    pub async fn answer(&mut self) -> u16 {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8_lossy(&head);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("{head}"))
    }

    /// Reads until `wanted` has come.
    pub async fn until(&mut self, wanted: &[u8]) {
        let mut seen = Vec::new();
        while !seen.windows(wanted.len()).any(|part| part == wanted) {
            seen.push(self.stream.read_u8().await.expect("more"));
        }
    }

    /// Leaves in order: says so, and reads what is left.
    pub async fn leave(mut self) {
        let _ = self.stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
    }
}
