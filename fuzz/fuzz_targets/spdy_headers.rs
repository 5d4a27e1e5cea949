#![no_main]
//! `fuzz::spdy_headers` with whatever libFuzzer makes up.

libfuzzer_sys::fuzz_target!(|data: &[u8]| virtual_node::kubelet::streams::fuzz::spdy_headers(data));
