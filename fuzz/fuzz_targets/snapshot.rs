//! Snapshots of ours.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| restorekit_fuzz::snapshot(data));
