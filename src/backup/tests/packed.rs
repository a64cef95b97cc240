//! Backups of every format in every packing: the same rows, or an error.

use std::io::Write;
use std::process::Command;

use super::dumps::{DUMPS, Engine, awkward, columns, fixture, read};
use super::*;
use crate::backup::inspect::inspect;
use crate::backup::place::{self, Purpose, Unlock};
use crate::error::{Error, Kind};

/// A way to pack bytes: what it adds to a name, and how it is made.
type Packing = (&'static str, fn(&[u8]) -> Vec<u8>);

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut to = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    to.include_checksum(true).unwrap();
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut to = liblzma::write::XzEncoder::new(Vec::new(), 1);
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut to = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

/// What every encrypted backup here is opened with, and made for.
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

fn identity() -> age::x25519::Identity {
    IDENTITY.parse().unwrap()
}

fn encrypted(to: age::Encryptor, bytes: &[u8]) -> Vec<u8> {
    let mut writer = to.wrap_output(Vec::new()).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn age(bytes: &[u8]) -> Vec<u8> {
    let recipient = identity().to_public();
    let to = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
    encrypted(to, bytes)
}

const PACKINGS: [Packing; 9] = [
    (".gz", gz),
    (".zst", zst),
    (".xz", xz),
    (".bz2", bz2),
    (".age", age),
    (".gz.age", |bytes| age(&gz(bytes))),
    (".xz.age", |bytes| age(&xz(bytes))),
    (".age.bz2", |bytes| bz2(&age(bytes))),
    (".gz.zst", |bytes| zst(&gz(bytes))),
];

fn packed(path: &Path) -> BackupSpec {
    let unlock = Unlock { identity: Some(IDENTITY.into()), passphrase: None };
    BackupSpec { database: Some("awkward".into()), unlock, ..spec(path) }
}

/// GNU tar, of everything in a folder.
fn tar(folder: &Path, to: &Path, flags: &[&str]) {
    let made = Command::new("tar")
        .args(flags)
        .arg("-cf")
        .arg(to)
        .arg("-C")
        .arg(folder)
        .arg(".")
        .status()
        .unwrap();
    assert!(made.success());
}

async fn rows_of(backup: &BackupSpec) -> Result<Vec<Vec<Value>>> {
    let source = open_backup(backup).await?;
    read(&*source, "awkward", &columns()).await
}

fn failed(result: Result<Vec<Vec<Value>>>, what: &str) -> Error {
    match result {
        Err(error) => error,
        Ok(_) => panic!("{what} was read"),
    }
}

#[tokio::test]
async fn every_dump_in_every_packing_has_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    for (name, engine) in DUMPS {
        let Ok(whole) = fs::read(fixture(name)) else { continue };
        let name = Path::new(name).file_name().unwrap().to_str().unwrap();
        for (end, pack) in PACKINGS {
            let path = folder.path().join(format!("{name}{end}"));
            fs::write(&path, pack(&whole)).unwrap();
            let before = listing(folder.path());
            let rows = rows_of(&packed(&path)).await.unwrap_or_else(|e| panic!("{name}{end}: {e}"));
            assert_eq!(rows, awkward(*engine), "{name}{end}");
            assert!(listing(folder.path()) == before, "{name}{end} was changed");
            fs::remove_file(&path).unwrap();
        }
    }
}

#[tokio::test]
async fn every_dump_in_a_tar_has_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (name, engine)) in DUMPS.iter().enumerate() {
        let within = folder.path().join(format!("in{number}"));
        let to = within.join("nightly").join(Path::new(name).file_name().unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let copied = Command::new("cp").arg("-r").arg(fixture(name)).arg(&to).status().unwrap();
        assert!(copied.success());
        let tarball = folder.path().join("all.tar");
        // Long names in each of the forms that tars have.
        let form = ["--format=gnu", "--format=pax", "--format=ustar"][number % 3];
        tar(&within, &tarball, &[form]);
        let whole = fs::read(&tarball).unwrap();
        let (end, pack) =
            [("tar", None), ("tgz", Some(gz as fn(&[u8]) -> _)), ("tar.xz", Some(xz))][number % 3];
        let path = folder.path().join(format!("t{number}.{end}"));
        fs::write(&path, pack.map_or_else(|| whole.clone(), |pack| pack(&whole))).unwrap();
        let rows = rows_of(&packed(&path)).await.unwrap_or_else(|e| panic!("{name}.{end}: {e}"));
        assert_eq!(rows, awkward(*engine), "{name}.{end}");
        // By its member, beside another.
        fs::write(within.join("notes.txt"), "not a backup").unwrap();
        tar(&within, &tarball, &[form]);
        let member = Path::new("nightly").join(to.file_name().unwrap());
        let text = format!("{}!{}", tarball.display(), member.display());
        let named =
            BackupSpec { database: Some("awkward".into()), ..BackupSpec::parse(&text).unwrap() };
        let rows = rows_of(&named).await.unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(rows, awkward(*engine), "{text}");
        let origin = open_backup(&named).await.unwrap().origin().location.clone();
        assert_eq!(origin, text, "a private path is shown");
    }
}

#[tokio::test]
async fn what_is_read_by_position_is_unpacked_first() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("t.parquet");
    let ids: ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(0..100));
    write_parquet(&plain, vec![("id", ids)], 30);
    let database = folder.path().join("app.db");
    let made = Command::new("sqlite3")
        .arg(&database)
        .arg("create table t (id integer primary key); insert into t values (1), (2), (3)")
        .status()
        .unwrap();
    assert!(made.success());
    let key = [column("id", Carrier::Int)];
    for (path, count) in [(&plain, 100), (&database, 3)] {
        let whole = fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        for (end, pack) in PACKINGS {
            let packing = folder.path().join(format!("{name}{end}"));
            fs::write(&packing, pack(&whole)).unwrap();
            let source = open_backup(&packed(&packing)).await.unwrap();
            let rows = read(&*source, "t", &key).await.unwrap_or_else(|e| panic!("{end}: {e}"));
            assert_eq!(rows.len(), count, "{name}{end}");
            source.release().await.unwrap();
            drop(source);
            let inspection = inspect(&packed(&packing)).await.unwrap();
            assert!(inspection.location.starts_with(packing.to_str().unwrap()), "{inspection:?}");
        }
    }
}

#[tokio::test]
async fn w8_a_packing_cut_anywhere_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let plain = fs::read(fixture("mysql/single.sql")).unwrap();
    for (end, pack) in PACKINGS {
        let whole = pack(&plain);
        let path = folder.path().join(format!("cut.sql{end}"));
        for cut in
            (0..whole.len()).step_by(whole.len() / 150 + 1).chain(whole.len() - 12..whole.len())
        {
            fs::write(&path, &whole[..cut]).unwrap();
            let error = failed(rows_of(&packed(&path)).await, &format!("{end} cut at {cut}"));
            assert_eq!(error.kind(), Kind::Damaged, "{end} cut at {cut}: {error}");
        }
    }
}

#[tokio::test]
async fn w8_flipped_bits_of_a_packing_end_in_an_error_or_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let plain = fs::read(fixture("mysql/single.sql")).unwrap();
    let expected = awkward(Engine::Mysql);
    for (end, pack) in PACKINGS {
        let whole = pack(&plain);
        let path = folder.path().join(format!("flipped.sql{end}"));
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut found = 0;
        for _ in 0..150 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bit = (state >> 24) as usize % (whole.len() * 8);
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            match rows_of(&packed(&path)).await {
                // A bit that means nothing, as gzip's time and name are.
                Ok(rows) => assert!(rows == expected, "{end} bit {bit} went unseen"),
                Err(_) => found += 1,
            }
        }
        assert!(found > 100, "{end}: only {found} of 150 were noticed");
    }
}

#[tokio::test]
async fn w8_a_tar_cut_anywhere_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let within = folder.path().join("in");
    fs::create_dir(&within).unwrap();
    fs::write(within.join("t.csv"), "id\n1\n2\n").unwrap();
    fs::write(within.join("u.csv"), "id\n1\n2\n").unwrap();
    let path = folder.path().join("all.tar");
    tar(&within, &path, &["--blocking-factor=1"]);
    let whole = fs::read(&path).unwrap();
    let key = [column("id", Carrier::Int)];
    let source = open(&path).await;
    assert_eq!(read(&*source, "t", &key).await.unwrap().len(), 2);
    // Behind the sign of a tar, and before its end mark is whole.
    for cut in (512..whole.len()).step_by(64) {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = open_backup(&spec(&path)).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "cut at {cut} of {}: {error}", whole.len());
    }
}

#[tokio::test]
async fn w10_names_of_a_tar_never_lead_out_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.tar");
    let made = |name: &str, kind: tar::EntryType| {
        let mut to = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        // The builder's own setters refuse such names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        if kind.is_symlink() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_size(if kind.is_file() { 5 } else { 0 });
        header.set_cksum();
        to.append(&header, &b"id\n1\n"[..if kind.is_file() { 5 } else { 0 }]).unwrap();
        to.into_inner().unwrap()
    };
    for (name, kind) in [
        ("../t.csv", tar::EntryType::Regular),
        ("a/../../t.csv", tar::EntryType::Regular),
        ("/t.csv", tar::EntryType::Regular),
        ("t.csv", tar::EntryType::Symlink),
        ("t.csv", tar::EntryType::Fifo),
        ("t.csv", tar::EntryType::Char),
    ] {
        fs::write(&path, made(name, kind)).unwrap();
        let error = open_backup(&spec(&path)).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{name} {kind:?}: {error}");
    }
    fs::write(&path, made("t.csv", tar::EntryType::Regular)).unwrap();
    assert_eq!(open(&path).await.tables().await.unwrap(), [TableName::bare("t")]);
}

#[tokio::test]
async fn a_member_that_is_not_there_is_named_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let within = folder.path().join("in");
    fs::create_dir(&within).unwrap();
    fs::write(within.join("t.csv"), "id\n1\n").unwrap();
    let path = folder.path().join("all.tar");
    tar(&within, &path, &[]);
    let named = BackupSpec::parse(&format!("{}!u.csv", path.display())).unwrap();
    let error = open_backup(&named).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("no member u.csv"), "{error}");
    assert!(error.hints()[0].contains("t.csv"), "{:?}", error.hints());
    let plain = within.join("t.csv");
    let named = BackupSpec::parse(&format!("{}!x", plain.display())).unwrap();
    let error = open_backup(&named).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("is no tar"), "{error}");
}

#[tokio::test]
async fn w6_a_bomb_in_every_packing_is_refused_with_the_cap() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = [b"id\n".as_slice(), &vec![b'0'; 4 << 20]].concat();
    for (end, pack) in &PACKINGS[..4] {
        for (name, bytes) in [(format!("t.csv{end}"), pack(&zeros)), {
            // Through a layer that is unpacked.
            (format!("t.csv.gz{end}"), pack(&gz(&zeros)))
        }] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let backup = BackupSpec { max_expanded_bytes: Some(1 << 20), ..spec(&path) };
            let source = open_backup(&backup).await.unwrap();
            let error = read(&*source, "t", &[column("id", Carrier::Int)]).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Refused, "{}: {error}", path.display());
            assert!(error.hints()[0].contains("--max-expanded-bytes"), "{error}");
        }
    }
}

#[tokio::test]
async fn w6_xz_may_not_ask_for_any_amount_of_memory() {
    let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    options.dict_size(512 << 20);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let made = liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc64);
    let mut to = liblzma::write::XzEncoder::new_stream(Vec::new(), made.unwrap());
    to.write_all(b"id\n1\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv.xz");
    fs::write(&path, to.finish().unwrap()).unwrap();
    let error = open_backup(&spec(&path)).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert!(error.to_string().contains("256 MiB"), "{error}");
}

#[tokio::test]
async fn w18_keys_that_do_not_fit_are_told_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv.age");
    let other = "AGE-SECRET-KEY-1QYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQS5RVF5G";
    let secret = |e: &Error| {
        let all = format!("{e} {e:?} {:?} {:?}", e.hints(), std::error::Error::source(e));
        assert!(!all.contains("SECRET-KEY-1Q") && !all.contains("hunter2"), "{all}");
    };
    fs::write(&path, age(b"id\n1\n")).unwrap();
    let with = |identity: Option<&str>, passphrase: Option<&str>| BackupSpec {
        unlock: Unlock {
            identity: identity.map(Into::into),
            passphrase: passphrase.map(Into::into),
        },
        ..spec(&path)
    };
    let key = [column("id", Carrier::Int)];
    let file = folder.path().join("key.txt");
    fs::write(&file, format!("# made by a test\n{IDENTITY}\n")).unwrap();
    for good in [IDENTITY, file.to_str().unwrap()] {
        let source = open_backup(&with(Some(good), None)).await.unwrap();
        assert_eq!(read(&*source, "t", &key).await.unwrap().len(), 1);
    }
    fs::write(&file, format!("{other}x\n")).unwrap();
    for (identity, words) in [
        (None, "none is named"),
        (Some("/there/is/no/key.txt"), "can't be read"),
        (file.to_str(), "can't be used"),
    ] {
        let error = open_backup(&with(identity, Some("hunter2"))).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), Kind::Failed, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        secret(&error);
    }
    let stranger = age::x25519::Identity::generate();
    let stranger = secrecy::ExposeSecret::expose_secret(&stranger.to_string()).to_owned();
    let error = open_backup(&with(Some(&stranger), None)).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("another age identity"), "{error}");
    assert!(!format!("{error:?}").contains(&stranger));

    let mut recipient = age::scrypt::Recipient::new("right".to_owned().into());
    recipient.set_work_factor(2);
    let to = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
    fs::write(&path, encrypted(to, b"id\n1\n")).unwrap();
    let source = open_backup(&with(None, Some("right"))).await.unwrap();
    assert_eq!(read(&*source, "t", &key).await.unwrap().len(), 1);
    let error = open_backup(&with(None, Some("hunter2"))).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("another passphrase"), "{error}");
    secret(&error);
    let error = open_backup(&with(Some(IDENTITY), None)).await.map(|_| ()).unwrap_err();
    assert!(error.hints()[0].contains("RESTOREKIT_AGE_PASSPHRASE"), "{error}");
}

#[tokio::test]
async fn w12_what_was_unpacked_is_private_and_goes_with_the_source() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv.age");
    fs::write(&path, age(b"id\n1\n")).unwrap();
    let place = place::arrive(&packed(&path), Purpose::Read).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = place.spec.path.clone();
    let private = file.parent().unwrap().parent().unwrap().to_owned();
    assert_eq!((mode(&file), mode(&private)), (0o600, 0o700));
    drop(place);
    assert!(!private.exists());
}
