//! JSON lines, arrays, and what mongoexport writes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| restorekit_fuzz::backup("t.json", data));
