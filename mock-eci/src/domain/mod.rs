//! The domain: groups and their life, ids, tokens, quotas, the ledger. It knows neither the wire nor what runs containers.
//!
//! [`lifecycle`] is the table of a group's statuses and [`container`] that of one container; both are pure. [`state`]
//! holds all groups and carries out what the tables say; [`cloud`] is the handle others use.

pub mod cloud;
pub mod container;
pub mod events;
pub mod exec;
pub mod group;
pub mod group_storage;
pub mod group_tags;
mod image_pulls;
pub mod instance_type;
pub mod ledger;
pub mod lifecycle;
pub mod metrics;
pub mod price;
pub mod query;
pub mod resources;
pub mod size;
pub mod spot;
pub mod state;
pub mod stock;
pub mod switches;
pub mod tokens;
pub mod update;
