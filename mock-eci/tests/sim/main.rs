//! mock-eci with simulated groups, in memory and on paused time: no sockets but in `sockets`, no waiting anywhere.

mod bed;

mod account;
mod adoption;
mod change;
mod corpus;
mod coverage;
mod create;
mod errors;
mod exec;
mod faults;
mod hostile;
mod idempotency;
mod image_caches;
mod ledger;
mod lifecycle;
mod listing;
mod logs;
mod market;
mod maximal;
mod metrics;
mod page;
mod parameters;
mod protocol;
mod reach;
mod readme;
mod resources;
mod scale;
mod scenarios;
mod secrets;
mod sidecars;
mod signatures;
mod sockets;
mod steering;
mod stock_and_storage;
mod xml;
