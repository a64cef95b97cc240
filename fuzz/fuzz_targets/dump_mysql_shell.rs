//! MySQL Shell's folders.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| restorekit_fuzz::backup("backup.sql", data));
