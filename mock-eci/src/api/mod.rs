//! The product API: what ECI has, and nothing else.
//!
//! [`protocol`] turns an HTTP request into an authenticated call, [`table`] names every action there is, `actions/*` carry
//! out one each (parse, call the domain, format), `view` renders the domain's records in the wire's words.

mod actions;
mod decode;
pub mod error;
pub mod params;
pub mod protocol;
pub mod rates;
mod replay;
pub mod response;
pub mod signature;
pub mod table;
mod view;

use bytes::Bytes;
use futures::future::BoxFuture;

use self::{
    error::ApiError,
    params::{Params, Scope},
};
use crate::{
    config::Currency,
    domain::{cloud::Cloud, tokens::Processing},
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
    /// The domain.
    pub cloud: &'a Cloud,
    /// What is on offer.
    pub offer: &'a Offer,
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
