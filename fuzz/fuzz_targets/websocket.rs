#![no_main]
//! `fuzz::websocket` with whatever libFuzzer makes up.

libfuzzer_sys::fuzz_target!(|data: &[u8]| virtual_node::kubelet::streams::fuzz::websocket(data));
