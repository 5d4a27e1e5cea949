//! The product API: what ECI has, and nothing else.
//!
//! [`protocol`] turns an HTTP request into an authenticated call, [`table`] names every action there is, `actions/*` carry
//! out one each (parse, call the domain, format), `view` renders the domain's records in the wire's words.

mod actions;
pub mod bounds;
pub mod catalogue;
pub mod codes;
pub mod coverage;
pub mod credentials;
mod decode;
pub mod error;
pub mod params;
pub mod protocol;
pub mod rates;
mod regions;
mod replay;
pub mod response;
pub mod signature;
pub mod table;
pub(crate) mod view;
pub mod xml;

use bytes::Bytes;
use futures::future::BoxFuture;

use self::{
    error::ApiError,
    params::{Params, Scope},
};
use serde_json::{Map, Value};

use crate::{
    config::Currency,
    domain::{
        cloud::{Cloud, NotOnce},
        tokens::{Fingerprint, Key, Processing},
    },
    exec::Sessions,
};

/// What the account is offered, the same for every call.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The one region.
    pub region: String,
    /// Its zones, the one groups get by default first.
    pub zones: Vec<String>,
    /// Currency of prices.
    pub currency: Currency,
}

impl Offer {
    /// A region with zones of its own names.
    pub fn new(region: &str, currency: Currency) -> Self {
        let letters = if region == "cn-hangzhou" { "hijkbg" } else { "abcdef" };
        let zones = letters.chars().map(|letter| format!("{region}-{letter}")).collect();
        Self {
            region: region.to_owned(),
            zones,
            currency,
        }
    }
}

/// Everything an action may use.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The action that is called.
    pub action: &'static str,
    /// The domain.
    pub cloud: &'a Cloud,
    /// What is on offer.
    pub offer: &'a Offer,
    /// Commands in containers.
    pub exec: &'a Sessions,
    /// Id of the answer.
    pub request_id: &'a str,
    /// Host the caller addressed.
    pub host: &'a str,
    /// All parameters.
    pub params: &'a Params,
    /// The same, read by name.
    pub scope: Scope<'a>,
}

impl Context<'_> {
    /// `RegionId`, which must be there and be the one that is served.
    ///
    /// # Errors
    /// `MissingParameter` or `InvalidRegionId.NotFound`.
    pub fn check_region(&self) -> Result<(), ApiError> {
        self.scope.required("RegionId")?;
        self.check_region_if_any()
    }

    /// The same where it may be absent.
    ///
    /// # Errors
    /// `InvalidRegionId.NotFound`.
    pub fn check_region_if_any(&self) -> Result<(), ApiError> {
        match self.scope.filled("RegionId") {
            Some(region) if region != self.offer.region => Err(ApiError::region(region)),
            _ => Ok(()),
        }
    }
}

impl<'a> Context<'a> {
    /// `ClientToken` with what all other parameters amount to.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn client_token(&self) -> Result<Option<(&'a str, Fingerprint)>, ApiError> {
        let Some(token) = self.scope.filled("ClientToken") else {
            return Ok(None);
        };
        if token.len() > 64 || !token.is_ascii() {
            return Err(ApiError::invalid(
                "ClientToken",
                "it must be at most 64 ASCII characters",
            ));
        }
        let asked = self
            .params
            .iter()
            .filter(|(name, _)| *name != "ClientToken" && !protocol::PARAMETERS.contains(name));
        Ok(Some((token, Fingerprint::of(asked))))
    }

    /// Answers with what `act` gives beside the `RequestId`; a call repeated with the same `ClientToken` is not carried
    /// out again but gets the first one's answer.
    ///
    /// # Errors
    /// Those of `act`, and those of the token.
    pub fn once(&self, act: impl FnOnce() -> Result<Map<String, Value>, ApiError>) -> Result<Work, ApiError> {
        let token = self
            .client_token()?
            .map(|(token, fingerprint)| (Key::new(self.action, token), fingerprint));
        let once = self
            .cloud
            .once(token, || act().map(|members| Value::Object(members).to_string()))
            .map_err(|error| match error {
                NotOnce::TokenMismatch => ApiError::idempotent_mismatch(),
                NotOnce::TokenProcessing => ApiError::last_token_processing(),
                NotOnce::Refused(error) => error,
            })?;
        let mut members: Map<String, Value> = serde_json::from_str(&once.result).unwrap_or_default();
        members.insert("RequestId".to_owned(), self.request_id.into());
        let mut answer = response::answer(&members)?;
        answer.processing = once.processing;
        Ok(Work::Done(answer))
    }
}

impl<'a> Context<'a> {
    /// The region as decoding needs it.
    fn region(&self) -> decode::Region<'a> {
        decode::Region {
            id: &self.offer.region,
            zones: &self.offer.zones,
        }
    }
}

/// A good answer.
#[derive(Debug)]
pub struct Answer {
    /// JSON.
    pub body: Bytes,
    /// Dropped when the answer is on its way.
    pub processing: Option<Processing>,
}

/// What an action does: answer now, or once something has been waited for.
pub enum Work {
    /// The answer.
    Done(Answer),
    /// The answer to come.
    Later(BoxFuture<'static, Result<Answer, ApiError>>),
}
