//! mock-eci with simulated groups, in memory and on paused time: no sockets but in `sockets`, no waiting anywhere.

mod bed;

mod adoption;
mod change;
mod corpus;
mod coverage;
mod create;
mod exec;
mod faults;
mod hostile;
mod idempotency;
mod image_caches;
mod ledger;
mod lifecycle;
mod listing;
mod logs;
mod maximal;
mod metrics;
mod protocol;
mod resources;
mod signatures;
mod sockets;
mod steering;
mod xml;
