//! HTTP GET through a [`tunnel`](super::tunnel), as the kubelet does it: no certificate is checked, redirects to the same
//! host are followed, a body is read up to some 10 KiB.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use url::Url;

use super::{
    Failure, Target,
    tunnel::{self, Connection, Tunnel},
};
use crate::runtime::docker::group::Group;

/// What the kubelet calls itself.
const USER_AGENT: &str = concat!("kube-probe/", "1.35");
/// Most of a body that is read.
const MAX_BODY: usize = 10 << 10;
/// Go's.
const MAX_REDIRECTS: usize = 10;

/// The status of the answer.
pub(super) async fn get(
    group: &Group,
    target: &Target,
    path: &str,
    headers: &[(String, String)],
    timeout: Duration,
) -> Result<u16, Failure> {
    let mut url = url(target, path)?;
    let deadline = Instant::now() + timeout;
    for _ in 0..=MAX_REDIRECTS {
        let left = deadline.saturating_duration_since(Instant::now());
        let failed = |why: &str| Failure::Failed(format!("Get \"{url}\": {why}"));
        let asked = tokio::time::timeout(left, ask(group, &url, headers, timeout)).await;
        let answer =
            asked.map_err(|_| failed("context deadline exceeded (Client.Timeout exceeded while awaiting headers)"))?;
        let (status, location) = match answer {
            Ok(answer) => answer,
            Err(AskError::Unasked(failure)) => return Err(failure),
            Err(AskError::Broken(why)) => return Err(failed(&why)),
        };
        let next = location.and_then(|location| url.join(&location).ok());
        match next {
            Some(next) if matches!(status, 301 | 302 | 303 | 307 | 308) && next.host() == url.host() => url = next,
            // A redirect to elsewhere counts as an answer.
            _ => return Ok(status),
        }
    }
    Err(Failure::Failed(format!(
        "Get \"{url}\": stopped after {MAX_REDIRECTS} redirects"
    )))
}

/// The path may have a query; one that is no path at all is taken as the kubelet takes it, below the root.
fn url(target: &Target, path: &str) -> Result<Url, Failure> {
    let scheme = if target.https { "https" } else { "http" };
    let authority = tunnel::address(&target.host, target.port);
    Url::parse(&format!("{scheme}://{authority}/{}", path.trim_start_matches('/')))
        .map_err(|error| Failure::Errored(format!("{scheme}://{authority}: {error}")))
}

enum AskError {
    Unasked(Failure),
    Broken(String),
}

/// One request; answers status and `Location`.
async fn ask(
    group: &Group,
    url: &Url,
    headers: &[(String, String)],
    timeout: Duration,
) -> Result<(u16, Option<String>), AskError> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    let opened = tunnel::open(group, &host, port, timeout).await;
    let Tunnel { connection, words } = opened.map_err(AskError::Unasked)?;
    let asked = async {
        let connection = match url.scheme() {
            "https" => encrypt(connection, &host).await?,
            _ => connection,
        };
        exchange(connection, request(url, headers)?).await
    };
    asked.await.map_err(|error| {
        // That nobody listens shows as the connection's end.
        let dialled = words
            .why()
            .map(|why| format!("dial tcp {}: {why}", tunnel::address(&host, port)));
        AskError::Broken(dialled.unwrap_or_else(|| in_gos_words(&error)))
    })
}

fn in_gos_words(error: &io::Error) -> String {
    let text = error.to_string();
    if text.contains("connection closed before message completed") || error.kind() == io::ErrorKind::UnexpectedEof {
        return "EOF".to_owned();
    }
    text
}

fn request(url: &Url, headers: &[(String, String)]) -> io::Result<Request<Empty<Bytes>>> {
    let mut target = url.path().to_owned();
    if let Some(query) = url.query() {
        target.push('?');
        target.push_str(query);
    }
    let authority = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    let mut request = Request::get(target)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(io::Error::other)?;
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
        let value = HeaderValue::from_str(value).map_err(io::Error::other)?;
        // Those given replace the kubelet's own.
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

async fn exchange(
    connection: Box<dyn Connection>,
    request: Request<Empty<Bytes>>,
) -> io::Result<(u16, Option<String>)> {
    let (mut sender, driver) = http1::handshake(TokioIo::new(connection))
        .await
        .map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
        // A longer body is cut off, which is no failure.
        let _ = Limited::new(response.into_body(), MAX_BODY).collect().await;
        Ok((status, location))
    };
    let (mut answer, mut driver) = (std::pin::pin!(answer), std::pin::pin!(driver));
    tokio::select! {
        answer = &mut answer => answer,
        broken = &mut driver => match broken {
            Ok(()) => answer.await,
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

async fn encrypt(connection: Box<dyn Connection>, host: &str) -> io::Result<Box<dyn Connection>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let encrypted = TlsConnector::from(Arc::new(config)).connect(name, connection).await?;
    Ok(Box::new(encrypted))
}

/// Takes any certificate, as the kubelet's probes do.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_kubelets() {
        let target = Target {
            https: false,
            host: "10.88.0.7".into(),
            port: 8080,
        };
        let url = url(&target, "/x?y=1").expect("a URL");
        assert_eq!(url.as_str(), "http://10.88.0.7:8080/x?y=1");
        let made = request(&url, &[("Host".into(), "other".into()), ("A".into(), "b".into())]).expect("a request");
        assert_eq!(made.uri(), "/x?y=1");
        let headers: Vec<_> = ["host", "user-agent", "accept", "a"]
            .iter()
            .map(|name| made.headers()[*name].to_str().expect("text"))
            .collect();
        assert_eq!(headers, ["other", "kube-probe/1.35", "*/*", "b"]);
        assert!(request(&url, &[("a b".into(), String::new())]).is_err());
    }

    #[test]
    fn any_path_stays_on_the_target() {
        let target = Target {
            https: true,
            host: "fd00::1".into(),
            port: 8443,
        };
        for (path, expected) in [
            ("", "https://[fd00::1]:8443/"),
            ("healthz", "https://[fd00::1]:8443/healthz"),
            ("//elsewhere/x", "https://[fd00::1]:8443/elsewhere/x"),
        ] {
            assert_eq!(url(&target, path).expect("a URL").as_str(), expected);
        }
    }
}
