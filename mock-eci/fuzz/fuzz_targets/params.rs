#![no_main]
//! `targets::params` with whatever libFuzzer makes up.

#[path = "../targets/mod.rs"]
#[allow(dead_code, reason = "each target uses its own function of it")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::params(data));
