//! Parquet of any writer, in one file or in folders.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| restorekit_fuzz::backup("t.parquet", data));
