//! A fake Alibaba Cloud ECI (OpenAPI 2018-08-08) that stands alone: it decodes the wire and verifies signatures by itself,
//! keeps groups, quotas and a billing ledger, and runs containers by one of several runtimes.
#![forbid(unsafe_code)]

pub mod clock;
pub mod runtime;
pub mod spec;
