//! SQLite files.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| restorekit_fuzz::backup("app.db", data));
