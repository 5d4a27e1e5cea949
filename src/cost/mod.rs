//! What pods here cost: from the times and sizes that the wire tells, to records that outlive pods, groups and agents.
//!
//! ```text
//! watch, create, poll ──► meter (what is known of a group's bill) ──ended──► record ──► recorder ──► writer ──► ConfigMaps
//! price table | ECI | list ──► prices ───────────────────────────────────────┘                                     │
//! virtual-node cost ◄── report ◄── reader ◄───────────────────────────────────────────────────────────────────────┘
//!              └── examine ◄── split (what paid time went into), whatif ◄── eventlog (Spark's own story of the run)
//!                    └──► text, JSON, CSV, html
//! ```
//!
//! [`application`] says whose a pod is, [`meter`] is what a pod's record holds for its bill, [`record`] what is kept of it,
//! [`chunks`] how that is laid out, [`recorder`] takes it and [`writer`] writes it, [`reader`] reads it back, [`running`] adds what is
//! not over yet, [`report`] joins it into applications for [`command`]. Of one application [`select`] finds the records,
//! [`eventlog`] reads what Spark tells of it, [`split`] says what its time went into, [`whatif`] what it would have cost
//! otherwise, [`html`] draws it. The arithmetic is [`provider::billing`].
//!
//! # Guarantees
//! - A record is written once its group's end is known, at most one write a second for all of them, and none of a pod's own.
//! - Nothing waits for the store but the removal of the pod's object, and that for [`meter::PATIENCE`] only.
//! - Written twice (an answer was lost, the agent was killed) a record still counts once: readers go by the group's id.

pub mod application;
pub mod chunks;
pub mod command;
pub mod eventlog;
pub mod examine;
pub mod html;
pub mod live;
pub mod meter;
pub mod place;
pub mod price_table;
pub mod prices;
pub mod reader;
pub mod record;
pub mod recorder;
pub mod report;
pub mod running;
pub mod select;
pub mod split;
mod tables;
pub mod whatif;
mod writer;
