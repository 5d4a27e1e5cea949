//! What suites share.

pub mod api_cases;
pub mod api_server;
pub mod until;
