//! A fake Alibaba Cloud ECI (OpenAPI 2018-08-08) that stands alone: it decodes the wire and verifies signatures by itself,
//! keeps groups, quotas and a billing ledger, and runs containers by one of several runtimes.
//!
//! Three faces that are never mixed: [`api`] is the product (what ECI has), [`domain`] the life of groups, [`steer`] what a
//! test does to the cloud. [`runtime`] is what runs containers: nothing at all (simulated), or a container engine.
//!
//! ```no_run
//! # async fn example() -> Result<(), mock_eci::StartError> {
//! let server = mock_eci::Server::start(mock_eci::Config::default()).await?;
//! println!("{}", server.url());
//! server.app().faults().add(mock_eci::faults::Plan::error("CreateContainerGroup", 3, "Throttling", 400));
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

pub mod api;
mod app;
pub mod clock;
pub mod config;
pub mod domain;
pub mod exec;
pub mod faults;
mod gate;
mod intake;
mod long_target;
pub mod runtime;
pub mod scenario;
mod server;
pub mod spec;
pub mod steer;
mod timers;

pub use app::{App, Disconnected, Peer};
pub use config::Config;
pub use server::{Server, StartError};
