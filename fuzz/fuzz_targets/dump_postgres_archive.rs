//! Archives of pg_dump: custom, tar and directory.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| restorekit_fuzz::backup("backup.dump", data));
