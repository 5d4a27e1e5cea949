//! What a container group is billed, from what the wire said of it: integers only, and bounds where the wire said too little.
//!
//! ```text
//! times of a group ──► Usage (from when to when, each a Moment with bounds) ┐
//! size, zone, spot terms, prices ──► Tariff (what a second costs, and when) ┴──► Charge (amount, least, most)
//! ```
//!
//! # Rules of ECI (and of mock-eci's ledger, the oracle)
//! - Billing starts when the first image pull begins, which is when the group is through with looking for resources
//!   ([`GroupStatus::Scheduling`](crate::group::GroupStatus) is free, `Pending` is not), and ends when the group is final or,
//!   after a delete, when its last container has ended. Both are cut to whole seconds.
//! - The bought (rounded) size is billed, per second. A spot group pays for each hour since its creation what the market asked
//!   as that hour began; within its protection time, what it asked when the group was made.
//! - Parts of a bill add up: a part costs the difference of what was due at its two ends, so nothing is rounded twice.

mod charge;
mod moment;
mod rate;
mod tariff;

pub use charge::{Charge, Usage};
pub use moment::Moment;
pub use rate::Rate;
pub use tariff::{HourPrice, SpotTerms, Tariff};
