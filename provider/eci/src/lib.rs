//! Client of the ECI OpenAPI: one function per action, signed, paced, repeated only where that is safe.
//!
//! # Flow
//! A call is one form body. Per attempt: wait for the action's token bucket ([`Limits`]), take credentials
//! ([`ProvideCredentials`]), sign (ACS3), send over the [`Transport`], classify the answer (`provider::error`), and
//! either return, or correct what can be corrected (clock, credentials), or back off and try again.
//!
//! # Guarantees
//! - Every repetition of a create carries the same body, ClientToken included, so it cannot make a second group.
//! - An [`Error`] of class `UnknownOutcome` is never softened by what later attempts ran into.
//! - No secret is in any `Debug`, `Display` or log line: not keys, not tokens, not parameters of a create.
//! - Waiting for a permit is first come, first served, and costs the memory of the waiting future only.
//!
//! # Assumptions
//! The binary installs rustls' crypto provider (ring) before it makes a [`ReqwestTransport`].

mod action;
mod client;
pub mod clock;
pub mod credentials;
mod error;
mod exec;
mod limits;
mod observer;
mod query;
mod retry;
mod transport;

pub use action::Action;
pub use client::{Client, ClientConfig, ConfigError, Created, EventsPage, GroupPage, StatusEntry, StatusPage};
pub use credentials::{Credentials, CredentialsError, ProvideCredentials, Secret};
pub use error::Error;
pub use exec::{ExecInput, ExecOutput, ExecQuery, ExecSession};
pub use limits::{Limits, LimitsError, Rate};
pub use observer::{Observer, Outcome};
pub use provider::error::ErrorClass;
pub use provider::response::{GroupEvent, GroupEvents, GroupMetrics, Price, Region, SpotPrice, Usage};
pub use query::{EventsQuery, GroupQuery, LogQuery, MAX_IDS, PriceQuery, StatusQuery};
pub use retry::{RetryPolicies, RetryPolicy};
pub use transport::{Connection, ReqwestTransport, TowerTransport, Transport, TransportError, Upgraded};
