//! The kubelet API seen from outside, for `virtual-node check`: whether it answers, and with which certificate.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificate::Serving;

/// A status line is not longer.
const STATUS_LINE: usize = 64;

/// What was seen.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Nobody listens.
    Unreachable(String),
    /// Somebody listens and begins no TLS: so does an agent that waits for its certificate.
    Closed(String),
    /// It serves.
    Serving {
        /// With this certificate.
        certificate: Serving,
        /// What it answers to who does not say who they are.
        anonymous: u16,
    },
}

/// Looks.
pub(crate) async fn look(address: SocketAddr) -> Seen {
    let stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(error) => return Seen::Unreachable(error.to_string()),
    };
    match speak(stream, address).await {
        Ok((certificate, anonymous)) => Seen::Serving { certificate, anonymous },
        Err(error) => Seen::Closed(error.to_string()),
    }
}

async fn speak(stream: TcpStream, address: SocketAddr) -> io::Result<(Serving, u16)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        .with_no_client_auth();
    let name = ServerName::IpAddress(address.ip().into());
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let shown = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = shown.and_then(Serving::of);
    let certificate = certificate.ok_or_else(|| io::Error::other("it shows no certificate that can be read"))?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await?;
    let mut line = Vec::new();
    tls.take(STATUS_LINE as u64)
        .read_to_end(&mut line)
        .await
        .or_else(|error| {
            // Servers that end without saying so have answered nevertheless.
            (error.kind() == io::ErrorKind::UnexpectedEof).then_some(0).ok_or(error)
        })?;
    let line = String::from_utf8_lossy(&line);
    let code = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((
        certificate,
        code.ok_or_else(|| io::Error::other("it does not speak HTTP"))?,
    ))
}

/// Believes nothing and refuses nothing: what is shown is only looked at, and nothing is entrusted to the connection.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
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
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
