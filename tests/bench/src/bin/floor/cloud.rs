//! The three calls to ECI the floor makes, signed with ACS3 over a form body.

use std::env;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use provider::params::{create_form, form};
use provider::request::CreateContainerGroup;
use provider::response::CreateAnswer;
use provider::sign;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const FORM: &str = "application/x-www-form-urlencoded";
const VERSION: &str = "2018-08-08";
/// ECI's largest page.
const PAGE: &str = "200";

/// ECI at one endpoint, with one key.
pub(crate) struct Cloud {
    http: Client,
    url: String,
    host: String,
    region: String,
    key_id: String,
    key_secret: String,
}

/// What a poll says about a group.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GroupState {
    /// Id of the group.
    #[serde(rename = "ContainerGroupId")]
    pub(crate) id: String,
    /// `Pending`, `Running` …
    pub(crate) status: String,
    /// The pod's side of it.
    #[serde(default)]
    pub(crate) pod_status: PodState,
}

/// The pod's side of a group's state.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PodState {
    /// Address, once there is one.
    #[serde(default)]
    pub(crate) pod_ip: String,
}

#[derive(Debug, Deserialize)]
struct StatusAnswer {
    #[serde(rename = "NextToken", default)]
    next_token: Option<String>,
    #[serde(rename = "Data", default)]
    data: Vec<GroupState>,
}

impl Cloud {
    /// For the ECI at `endpoint` (`http://host:port`) and the key pair of the environment.
    pub(crate) fn new(endpoint: &str, region: &str) -> Result<Self> {
        let host = endpoint
            .strip_prefix("http://")
            .context("--eci-endpoint must begin with http://")?;
        let variable = |name| env::var(name).with_context(|| format!("{name} is not set"));
        Ok(Self {
            http: Client::builder()
                .no_proxy()
                .tls_certs_only([])
                .build()
                .context("making an HTTP client")?,
            url: format!("http://{}/", host.trim_end_matches('/')),
            host: host.trim_end_matches('/').to_owned(),
            region: region.to_owned(),
            key_id: variable("ALIBABA_CLOUD_ACCESS_KEY_ID")?,
            key_secret: variable("ALIBABA_CLOUD_ACCESS_KEY_SECRET")?,
        })
    }

    /// The region the calls are for.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Creates a group; its id.
    pub(crate) async fn create(&self, request: &CreateContainerGroup) -> Result<String> {
        let answer: CreateAnswer = self.call("CreateContainerGroup", create_form(request)).await?;
        if answer.container_group_id.is_empty() {
            bail!("the answer holds no ContainerGroupId");
        }
        Ok(answer.container_group_id)
    }

    /// The states of the groups `ids`, at most 20.
    pub(crate) async fn states(&self, ids: &[&str]) -> Result<Vec<GroupState>> {
        let ids = serde_json::to_string(ids)?;
        let params = [("RegionId", self.region.as_str()), ("ContainerGroupIds", &ids)];
        let answer: StatusAnswer = self.call("DescribeContainerGroupStatus", form(&params)).await?;
        Ok(answer.data)
    }

    /// How many groups there are: what an agent must read to know them after a restart.
    pub(crate) async fn count(&self) -> Result<usize> {
        let mut count = 0;
        let mut next = None;
        loop {
            let mut params = vec![("RegionId", self.region.as_str()), ("Limit", PAGE)];
            params.extend(next.as_deref().map(|token| ("NextToken", token)));
            let answer: StatusAnswer = self.call("DescribeContainerGroupStatus", form(&params)).await?;
            count += answer.data.len();
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(count);
            }
        }
    }

    async fn call<T: DeserializeOwned>(&self, action: &str, body: String) -> Result<T> {
        let date = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let nonce = format!("{:032x}", rand::random::<u128>());
        let hash = sign::body_hash(body.as_bytes());
        let acs = [
            ("x-acs-action", action),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", VERSION),
        ];
        let mut signed = vec![("content-type", FORM), ("host", self.host.as_str())];
        signed.extend(acs);
        let no_query: [(&str, &str); 0] = [];
        let signature = sign::acs3("POST", &no_query, &signed, &hash, &self.key_id, &self.key_secret);
        let mut request = self
            .http
            .post(&self.url)
            .header(CONTENT_TYPE, FORM)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, &signature.authorization);
        for (name, value) in acs {
            request = request.header(name, value);
        }
        let answer = request
            .body(body)
            .send()
            .await
            .with_context(|| format!("calling {action}"))?;
        let status = answer.status();
        let bytes = answer
            .bytes()
            .await
            .with_context(|| format!("reading the answer of {action}"))?;
        if !status.is_success() {
            bail!(
                "{action} was refused with {status}: {}",
                String::from_utf8_lossy(&bytes)
            );
        }
        serde_json::from_slice(&bytes).with_context(|| format!("decoding the answer of {action}"))
    }
}
