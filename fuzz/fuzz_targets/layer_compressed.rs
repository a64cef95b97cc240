//! gzip, Zstandard, xz and bzip2, around text and around what is read by position.

#![no_main]

use restorekit::backup::text::Compression;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Names must agree with what is in the files.
    let name = match Compression::of_bytes(data) {
        Compression::None => "t.csv",
        Compression::Gzip => "t.csv.gz",
        Compression::Zstd => "t.csv.zst",
        Compression::Xz => "t.csv.xz",
        Compression::Bzip2 => "t.csv.bz2",
    };
    restorekit_fuzz::backup(name, data);
});
