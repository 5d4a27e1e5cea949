//! A signed request for a form body.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Method, Request, Uri};
use provider::sign;

use crate::{Action, Credentials};

use super::ConfigError;

const VERSION: &str = "2018-08-08";
const FORM: &str = "application/x-www-form-urlencoded";

/// Everything about a request that does not change.
pub(super) struct Signer {
    uri: Uri,
    host: String,
    user_agent: HeaderValue,
}

/// A credential that cannot be put into a header.
#[derive(Debug)]
pub(super) struct Unsendable(&'static str);

impl std::fmt::Display for Unsendable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {} has characters that no HTTP header can carry", self.0)
    }
}

impl Signer {
    pub(super) fn new(endpoint: &str, user_agent: &str) -> Result<Self, ConfigError> {
        let bad = |problem| ConfigError::new("endpoint", endpoint, problem);
        let uri: Uri = endpoint.parse().map_err(|_| bad("is not a URL"))?;
        let scheme = uri
            .scheme()
            .cloned()
            .ok_or_else(|| bad("has no scheme: write https://host or http://host:port"))?;
        let default_port = if scheme == Scheme::HTTPS {
            443
        } else if scheme == Scheme::HTTP {
            80
        } else {
            return Err(bad("is neither http nor https"));
        };
        let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(ConfigError::new(
                "endpoint",
                "(not shown)",
                "must not carry a user or password",
            ));
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(bad("must not have a path or query"));
        }
        // The signature covers the host as it will be sent, and HTTP clients leave the default port out.
        let host = match authority.port_u16() {
            Some(port) if port == default_port => authority.host().to_owned(),
            _ => authority.as_str().to_owned(),
        };
        let authority: Authority = host.parse().map_err(|_| bad("names no host"))?;
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(authority)
            .path_and_query("/")
            .build();
        Ok(Self {
            uri: uri.map_err(|_| bad("is not a URL"))?,
            host,
            user_agent: HeaderValue::from_str(user_agent)
                .map_err(|_| ConfigError::new("user agent", user_agent, "cannot be sent in a header"))?,
        })
    }

    pub(super) fn endpoint(&self) -> &Uri {
        &self.uri
    }

    /// A request that carries `body`, whose hash is `body_hash`.
    pub(super) fn request(
        &self,
        action: Action,
        body: Bytes,
        body_hash: &str,
        credentials: &Credentials,
        date: &str,
        nonce: &str,
    ) -> Result<Request<Bytes>, Unsendable> {
        let token = credentials.security_token.as_ref().map(|token| token.expose());
        let mut signed = vec![
            ("content-type", FORM),
            ("host", self.host.as_str()),
            ("x-acs-action", action.name()),
            ("x-acs-content-sha256", body_hash),
            ("x-acs-date", date),
            ("x-acs-signature-nonce", nonce),
            ("x-acs-version", VERSION),
        ];
        if let Some(token) = token {
            signed.push(("x-acs-accesskey-id", &credentials.access_key_id));
            signed.push(("x-acs-security-token", token));
        }
        let no_query: [(&str, &str); 0] = [];
        let signature = sign::acs3(
            "POST",
            &no_query,
            &signed,
            body_hash,
            &credentials.access_key_id,
            credentials.access_key_secret.expose(),
        );

        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        for (name, value) in signed {
            let sensitive = name == "x-acs-security-token";
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| Unsendable(if sensitive { "security token" } else { "access key id" }))?;
            value.set_sensitive(sensitive);
            // Inserting by static name: all of them are lower case.
            headers.insert(name_of(name), value);
        }
        let mut authorization =
            HeaderValue::from_str(&signature.authorization).map_err(|_| Unsendable("access key id"))?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, self.user_agent.clone());
        Ok(request)
    }
}

fn name_of(name: &'static str) -> http::HeaderName {
    match name {
        "content-type" => CONTENT_TYPE,
        "host" => HOST,
        other => http::HeaderName::from_static(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    fn host(endpoint: &str) -> Result<String, String> {
        Signer::new(endpoint, "test")
            .map(|signer| signer.host)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_signed_host_is_the_one_sent() {
        for (endpoint, want) in [
            ("https://eci.cn-hangzhou.aliyuncs.com", "eci.cn-hangzhou.aliyuncs.com"),
            (
                "https://eci.cn-hangzhou.aliyuncs.com:443/",
                "eci.cn-hangzhou.aliyuncs.com",
            ),
            ("http://127.0.0.1:8090", "127.0.0.1:8090"),
            ("http://localhost:80", "localhost"),
            ("https://localhost:80", "localhost:80"),
            ("http://[::1]:8090", "[::1]:8090"),
        ] {
            assert_eq!(host(endpoint).as_deref(), Ok(want), "{endpoint}");
        }
    }

    #[test]
    fn endpoints_that_cannot_work_are_refused() {
        for (endpoint, named) in [
            ("eci.cn-hangzhou.aliyuncs.com", "scheme"),
            ("ftp://h", "neither"),
            ("http://h/path", "path"),
            ("http://h?x=1", "path"),
            ("", "not a URL"),
        ] {
            let error = host(endpoint).expect_err(endpoint);
            assert!(error.contains(named), "{error}");
        }
        let error = host("http://user:s3cr3t@h").expect_err("a password");
        assert!(!error.contains("s3cr3t"), "{error}");
    }

    /// Vector V3-c, with the header the client adds unsigned left out.
    #[test]
    fn signs_as_the_official_sdk_does() {
        let signer = Signer::new("https://eci.cn-hangzhou.aliyuncs.com", "test").expect("good");
        let body = Bytes::from_static(b"ContainerGroupName=a+b&RegionId=cn-hangzhou");
        let hash = sign::body_hash(&body);
        let credentials = Credentials::new("testid", "testsecret");
        let request = signer
            .request(
                Action::CreateContainerGroup,
                body,
                &hash,
                &credentials,
                "2018-01-01T12:00:00Z",
                "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
            )
            .expect("sendable");
        let authorization = request.headers()[AUTHORIZATION].to_str().expect("text");
        assert_eq!(
            authorization,
            "ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=content-type;host;x-acs-action;x-acs-content-sha256;x-acs-date;\
             x-acs-signature-nonce;x-acs-version,Signature=de20dcb79222d0bdd29672d29835635d0d45657506dd2c4cd32e56e7bc91fe08"
        );
        assert!(
            !format!("{request:?}").contains("de20dcb7"),
            "the header is marked sensitive"
        );
    }

    #[test]
    fn a_token_is_sent_and_signed_but_not_shown() {
        let signer = Signer::new("http://h", "test").expect("good");
        let mut credentials = Credentials::new("testid", "testsecret");
        credentials.security_token = Some(Secret::new("tok/en+1="));
        let request = signer
            .request(
                Action::ListUsage,
                Bytes::new(),
                &sign::body_hash(b""),
                &credentials,
                "d",
                "n",
            )
            .expect("sendable");
        assert_eq!(request.headers()["x-acs-security-token"], "tok/en+1=");
        let shown = format!("{request:?}");
        assert!(!shown.contains("tok/en"), "{shown}");
        let authorization = request.headers()[AUTHORIZATION].to_str().expect("text");
        assert!(authorization.contains(";x-acs-security-token;"), "{authorization}");
    }
}
