#![no_main]
//! `fuzz::spdy_connection` with whatever libFuzzer makes up.

libfuzzer_sys::fuzz_target!(|data: &[u8]| virtual_node::kubelet::streams::fuzz::spdy_connection(data));
