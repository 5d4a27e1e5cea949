//! Who may steer.
//!
//! Steering needs no signature, so it is open to this machine only, or to who knows the steering token. A web page that
//! is open on this machine is kept out by what it can send: its `Host` is its own name, its `Origin` is not ours, and it
//! cannot send JSON to another site without asking first.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderName, Request, StatusCode, header};

use super::route::{Refusal, refuse};
use crate::{
    api::{protocol, signature},
    app::{App, Peer},
};

/// How a browser says where a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses a request that must not steer.
pub(super) fn check(app: &App, request: &Request<Bytes>, peer: Peer) -> Result<(), Refusal> {
    let text = |name: HeaderName| request.headers().get(name).and_then(|v| v.to_str().ok());
    let forbidden = |why: &str| Err(refuse(StatusCode::FORBIDDEN, why));
    let address = match peer {
        Peer::Memory => return Ok(()),
        Peer::Address(address) => address,
    };
    let bearer = text(header::AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer "));
    let with_token = match (app.steering_token(), bearer) {
        (Some(token), Some(given)) => signature::equal(token, given),
        _ => false,
    };
    if !with_token {
        if !address.to_canonical().is_loopback() {
            return forbidden("steering from another machine needs the steering token as bearer token");
        }
        // A page can make a browser on this machine call here under a name of its own (DNS rebinding).
        let host = protocol::host(request);
        if !is_own_host(host, app.listen_ip()) {
            return forbidden("steering must be addressed as localhost or by the server's own address");
        }
        // What a page of another site loads or links to.
        if text(SEC_FETCH_SITE).is_some_and(|site| site != "same-origin" && site != "none") {
            return forbidden("steering is not for other web pages");
        }
        // The status page is of this origin, every other page is not.
        if text(header::ORIGIN).is_some_and(|origin| origin.strip_prefix("http://") != Some(host)) {
            return forbidden("steering is not for other web pages");
        }
    }
    if !request.body().is_empty() {
        let kind = text(header::CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be application/json",
            ));
        }
    }
    Ok(())
}

fn is_own_host(host: &str, listen: IpAddr) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok_and(|ip| ip.is_loopback() || ip == listen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_are_own() {
        let listen: IpAddr = "172.31.0.1".parse().expect("ip");
        for own in [
            "localhost",
            "localhost:8090",
            "127.0.0.1:8090",
            "[::1]:8090",
            "[::1]",
            "172.31.0.1:80",
        ] {
            assert!(is_own_host(own, listen), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "evil.example:8090",
            "10.0.0.1",
            "localhost.evil.example:8090",
        ] {
            assert!(!is_own_host(other, listen), "{other}");
        }
    }
}
