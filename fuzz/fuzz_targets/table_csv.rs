//! CSV of any writer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| restorekit_fuzz::backup("t.csv", data));
