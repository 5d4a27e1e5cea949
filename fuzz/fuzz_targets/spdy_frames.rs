#![no_main]
//! `fuzz::spdy_frames` with whatever libFuzzer makes up.

libfuzzer_sys::fuzz_target!(|data: &[u8]| virtual_node::kubelet::streams::fuzz::spdy_frames(data));
