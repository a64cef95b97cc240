//! What becomes of each value, from BSON and from extended JSON.

use std::path::{Path, PathBuf};

use bson::raw::{RawArrayBuf, RawBson, RawDocumentBuf};
use serde_json::Value;

use crate::backup::text::tests::{column, gz, staged, written};
use crate::backup::text::{Limits, Staged, TextFormat};
use crate::error::{Kind, Result};

const JSON: TextFormat = TextFormat::Json { own: false };

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mongo").join(name)
}

fn of_fixture(name: &str) -> Staged {
    let format = if name.contains(".bson") { TextFormat::Bson } else { JSON };
    staged(&fixture(name), format, Limits::default(), &std::env::temp_dir())
        .unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn of(bytes: &[u8], name: &str) -> Result<Staged> {
    let (_folder, path) = written(name, bytes);
    let format = if name.contains(".bson") { TextFormat::Bson } else { JSON };
    staged(&path, format, Limits::default(), &std::env::temp_dir())
}

/// A column's cells, NULL as `-`.
fn cells(staged: &Staged, name: &str) -> Vec<String> {
    column(staged, name).into_iter().map(|cell| cell.unwrap_or("-".into())).collect()
}

const DUMP: &str = "dump/shop/awkward.bson";

#[test]
fn every_awkward_value_of_a_dump_is_told_by_its_type() {
    for name in [DUMP, "dump-gzip/shop/awkward.bson.gz"] {
        let staged = of_fixture(name);
        let names: Vec<&str> = staged.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["_id", "n", "t", "i", "d", "q", "at", "b", "u", "o", "ok", "x", "late"]);
        // Of the ten that are null in the first row the second has none.
        assert_eq!(staged.columns[2].absent, 3);
        let ids = cells(&staged, "_id");
        assert_eq!(
            (ids[0].as_str(), ids[12].as_str()),
            ("i65f1c0de0000000000000001", "i65f1c0de000000000000000d")
        );
        let expected: [(&str, [&str; 13]); 9] = [
            (
                "i",
                [
                    "-",
                    "-",
                    "n0",
                    "n2147483647",
                    "n9007199254740993",
                    "n-9223372036854775808",
                    "n9223372036854775807",
                    "n-1",
                    "n1",
                    "n1710381723500",
                    "-",
                    "-",
                    "-",
                ],
            ),
            (
                "t",
                [
                    "-",
                    "-",
                    "s",
                    "snul\0 and \x1a",
                    "s😀 é 東京",
                    "snull",
                    "s 007 ",
                    "s{\"$oid\":1}",
                    "sline\nfeed\ttab\r",
                    "s2024-02-29T23:59:59Z",
                    "-",
                    "-",
                    "slast",
                ],
            ),
            (
                "d",
                [
                    "-",
                    "-",
                    "R0.0",
                    "R-0.0",
                    "R5e-324",
                    "R1.7976931348623157e308",
                    "dNaN",
                    "Rinf",
                    "R-inf",
                    "R3.0",
                    "R0.1",
                    "R1234567.5",
                    "-",
                ],
            ),
            (
                "q",
                [
                    "-",
                    "-",
                    "d0",
                    "d-0",
                    "d1234567890123456789012345678901234",
                    "d1E+6111",
                    "dNaN",
                    "dInfinity",
                    "d-Infinity",
                    "d1.50",
                    "-",
                    "d0.000001234",
                    "-",
                ],
            ),
            (
                "at",
                [
                    "-",
                    "-",
                    "m1970-01-01T00:00:00Z",
                    "m1969-12-31T23:59:59.999Z",
                    "m0001-01-01T00:00:00Z",
                    "m9999-12-31T23:59:59.999Z",
                    "-",
                    "-",
                    "-",
                    "m2024-02-29T23:59:59.123Z",
                    "m+010000-01-01T00:00:00.000Z",
                    "m-292275055-05-16T16:47:04.192Z",
                    "-",
                ],
            ),
            (
                "b",
                [
                    "-",
                    "-",
                    "B",
                    "B\0\u{fffd}",
                    "B\0\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f",
                    "Buser",
                    "-",
                    "-",
                    "-",
                    "-",
                    "-",
                    "B\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                    "-",
                ],
            ),
            (
                "u",
                [
                    "-",
                    "-",
                    "-",
                    "-",
                    "-",
                    "-",
                    "-",
                    "-",
                    "-",
                    "-",
                    "i00112233-4455-6677-8899-aabbccddeeff",
                    "-",
                    "-",
                ],
            ),
            ("ok", ["-", "-", "f", "t", "-", "-", "-", "-", "-", "-", "-", "-", "-"]),
            (
                "x",
                [
                    "-",
                    "-",
                    "j{}",
                    "j[]",
                    concat!(
                        r#"j{"a":[{"$numberInt":"1"},{"b":{"$numberLong":"2"}},"#,
                        r#"{"$numberDouble":"2.5"},null,true],"#,
                        r#""":"é\n\"\\\u0000","<&>":[[]]}"#
                    ),
                    r#"j{"$regularExpression":{"pattern":"^a/\"b\\d","options":"im"}}"#,
                    r#"j{"$code":"f('x')","$scope":{"y":{"$numberInt":"1"}}}"#,
                    r#"j{"$timestamp":{"t":4294967295,"i":7}}"#,
                    r#"j{"$minKey":1}"#,
                    r#"j{"$maxKey":1}"#,
                    concat!(
                        r#"j{"$ref":"other","$id":{"$oid":"65f1c0de0000000000000001"},"#,
                        r#""$db":"shop"}"#
                    ),
                    concat!(
                        r#"j{"o":{"$oid":"65f1c0de0000000000000002"},"u":{"$binary":{"base64":"#,
                        r#""AAAAAAAAAAAAAAAAAAAAAA==","subType":"04"}},"at":{"$date":"#,
                        r#"{"$numberLong":"-1"}},"q":{"$numberDecimal":"1.10"},"s":"#,
                        r#"{"$timestamp":{"t":1,"i":2}},"d":[{"$numberDouble":"1E+300"},"#,
                        r#"{"$numberDouble":"1E-07"},{"$numberDouble":"1.234567E+06"},"#,
                        r#"{"$numberDouble":"0.001"},{"$numberDouble":"-0.0"},"#,
                        r#"{"$numberDouble":"NaN"}],"c":{"$code":"g()"}}"#
                    ),
                    "-",
                ],
            ),
        ];
        for (name, expected) in expected {
            assert_eq!(cells(&staged, name), expected, "{name}");
        }
    }
}

/// Nested doubles as numbers, which each tool writes in a form of its own.
fn without_forms(cell: &str) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(walk),
            Value::Object(members) => {
                if let Some(Value::String(text)) = members.get_mut("$numberDouble") {
                    *text = format!("{:?}", text.parse::<f64>().unwrap());
                }
                members.values_mut().for_each(walk);
            }
            _ => {}
        }
    }
    let mut value = match cell.strip_prefix('j') {
        Some(json) => serde_json::from_str(json).unwrap(),
        None => Value::String(cell.into()),
    };
    walk(&mut value);
    value
}

#[test]
fn an_export_holds_the_same_values_as_a_dump() {
    let dump = of_fixture(DUMP);
    for name in ["canonical.json", "relaxed.json", "array.json"] {
        let export = of_fixture(name);
        assert_eq!(export.rows, 13);
        for column in &dump.columns {
            for (row, (export, dump)) in
                cells(&export, &column.name).iter().zip(cells(&dump, &column.name)).enumerate()
            {
                let nested = column.name == "x";
                // Relaxed JSON has plain numbers, and tells no types of what is nested.
                let relaxed = name != "canonical.json" && (nested || column.name == "d");
                match export.strip_prefix('n') {
                    Some(number) if relaxed => {
                        let double: f64 = number.parse().unwrap();
                        assert_eq!(format!("R{double:?}"), dump, "{name} {row} {}", column.name);
                    }
                    _ if relaxed && nested => assert_eq!(export[..1], dump[..1], "{name} {row}"),
                    _ => {
                        let what = format!("{name}, row {row}, {}", column.name);
                        assert_eq!(without_forms(export), without_forms(&dump), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn marks_mean_something_in_a_file_with_an_id_only() {
    let lines =
        |id: &str| format!("{{\"{id}\":1,\"at\":{{\"$date\":\"2024-02-29T01:00:00+0100\"}}}}\n");
    let mongo = of(lines("_id").as_bytes(), "t.json").unwrap();
    assert_eq!(cells(&mongo, "at"), ["m2024-02-29T00:00:00Z"]);
    let other = of(lines("id").as_bytes(), "t.json").unwrap();
    assert_eq!(cells(&other, "at"), [r#"j{"$date":"2024-02-29T01:00:00+0100"}"#]);
    // It is the first row that tells.
    let mixed = [lines("id"), lines("_id")].concat();
    assert!(cells(&of(mixed.as_bytes(), "t.json").unwrap(), "at")[1].starts_with('j'));
}

#[test]
fn marks_of_every_version_are_read() {
    let cell = |mark: &str| {
        let staged = of(format!("{{\"_id\":1,\"x\":{mark}}}").as_bytes(), "t.json")?;
        Ok::<String, crate::error::Error>(cells(&staged, "x").remove(0))
    };
    for (mark, expected) in [
        (r#"{"$oid":"507F1f77bcf86cd799439011"}"#, "i507f1f77bcf86cd799439011"),
        (
            r#"{"$uuid":"00112233-4455-6677-8899-AABBCCDDEEFF"}"#,
            "i00112233-4455-6677-8899-aabbccddeeff",
        ),
        (r#"{ "$date" : 0 }"#, "m1970-01-01T00:00:00Z"),
        (r#"{"$date":{"$numberLong":"-1"}}"#, "m1969-12-31T23:59:59.999Z"),
        (r#"{"$date":"2024-02-29T23:59:59.12Z"}"#, "m2024-02-29T23:59:59.120Z"),
        (r#"{"$binary":"AP8=","$type":"00"}"#, "B\0\u{fffd}"),
        (r#"{"$binary":{"subType":"0","base64":"YQ=="}}"#, "Ba"),
        (r#"{"$numberInt":"-7"}"#, "n-7"),
        (r#"{"$numberLong":"9223372036854775807"}"#, "n9223372036854775807"),
        (r#"{"$numberDouble":"1E+300"}"#, "R1e300"),
        (r#"{"$numberDecimal":"1.10"}"#, "d1.10"),
        // No plain values, or no marks: they stay what they are.
        (
            r#"{"$oid":"507f1f77bcf86cd799439011","x":1}"#,
            r#"j{"$oid":"507f1f77bcf86cd799439011","x":1}"#,
        ),
        (r#"{"$ref":"c","$id":1}"#, r#"j{"$ref":"c","$id":1}"#),
        (r#"{"$timestamp":{"t":1,"i":2}}"#, r#"j{"$timestamp":{"t":1,"i":2}}"#),
        (r#"{"a":{"$oid":"x"}}"#, r#"j{"a":{"$oid":"x"}}"#),
        (r#"[{"$oid":"x"}]"#, r#"j[{"$oid":"x"}]"#),
        (r#"{"$inc":1}"#, r#"j{"$inc":1}"#),
    ] {
        assert_eq!(cell(mark).unwrap(), expected, "{mark}");
    }
    for mark in [
        r#"{"$oid":"507f1f77bcf86cd79943901"}"#,
        r#"{"$oid":"507f1f77bcf86cd79943901g"}"#,
        r#"{"$oid":"507f1f77bcf8-cd799439011"}"#,
        r#"{"$oid":1}"#,
        r#"{"$uuid":"00112233445566778899aabbccddeeff"}"#,
        r#"{"$date":"yesterday"}"#,
        r#"{"$date":"2024-02-29T23:59:59"}"#,
        r#"{"$date":"2024-02-29T23:59:59.1234Z"}"#,
        r#"{"$date":{"$numberLong":"x"}}"#,
        r#"{"$date":1.5}"#,
        r#"{"$numberInt":"2147483648"}"#,
        r#"{"$numberLong":"1.0"}"#,
        r#"{"$numberDouble":"inf"}"#,
        r#"{"$numberDouble":"infinity"}"#,
        r#"{"$numberDouble":""}"#,
        r#"{"$numberDecimal":"one"}"#,
        r#"{"$numberDecimal":"1E+99999999999999999999"}"#,
        r#"{"$binary":{"base64":"?","subType":"00"}}"#,
        r#"{"$binary":{"base64":"YQ==","subType":"zz"}}"#,
        r#"{"$binary":"YQ=="}"#,
    ] {
        let error = match cell(mark) {
            Err(error) => error,
            Ok(cell) => panic!("{mark} was read as {cell}"),
        };
        assert_eq!(error.kind(), Kind::Damaged, "{mark}: {error}");
        assert!(error.to_string().contains("t.json line 1"), "{error}");
    }
}

fn documents(documents: &[RawDocumentBuf]) -> Vec<u8> {
    documents.iter().flat_map(|document| document.as_bytes().to_vec()).collect()
}

#[test]
fn a_member_that_turns_up_late_is_a_column_of_all_rows() {
    let many: Vec<RawDocumentBuf> = (0..20_000)
        .map(|number| {
            let mut document = RawDocumentBuf::new();
            document.append(bson::raw::cstr!("_id"), RawBson::Int32(number));
            if number == 19_999 {
                document.append(bson::raw::cstr!("late"), RawBson::Boolean(true));
            }
            document
        })
        .collect();
    let staged = of(&gz(&documents(&many)), "t.bson.gz").unwrap();
    assert_eq!((staged.rows, staged.columns[1].absent), (20_000, 19_999));
    assert_eq!(cells(&staged, "late")[19_999], "t");
}

#[test]
fn w6_lengths_and_nesting_have_caps() {
    let nested = |depth: usize| {
        let mut inner = RawArrayBuf::new();
        for _ in 1..depth {
            let mut outer = RawArrayBuf::new();
            outer.push(RawBson::Array(inner));
            inner = outer;
        }
        let mut document = RawDocumentBuf::new();
        document.append(bson::raw::cstr!("x"), RawBson::Array(inner));
        document
    };
    let deep = of(&documents(&[nested(200)]), "t.bson").unwrap();
    assert_eq!(cells(&deep, "x")[0].len(), 1 + 400);
    let error = of(&documents(&[nested(201)]), "t.bson").unwrap_err();
    assert!(error.to_string().contains("nested more than 200 deep"), "{error}");
    for length in [i32::MIN, -1, 0, 4, (16 << 20) + (16 << 10) + 1, i32::MAX] {
        let error = of(&length.to_le_bytes(), "t.bson").unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged);
        assert!(error.to_string().contains(&format!("a length of {length} bytes")), "{error}");
        assert!(error.to_string().contains("t.bson document 1, at byte 0"), "{error}");
    }
}

#[test]
fn w8_a_dump_cut_anywhere_but_between_documents_is_damaged() {
    for (name, step) in [("real/sample.bson", 1), (DUMP, 7)] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let mut seams = vec![0];
        while seams[seams.len() - 1] < whole.len() {
            let at = seams[seams.len() - 1];
            seams.push(at + i32::from_le_bytes(whole[at..at + 4].try_into().unwrap()) as usize);
        }
        assert!(seams.len() > 4);
        for cut in (0..whole.len()).step_by(step) {
            match of(&whole[..cut], "t.bson") {
                // What the file alone can't tell, which a note says.
                Ok(staged) => assert_eq!(seams[staged.rows as usize], cut),
                Err(error) => {
                    assert!(!seams.contains(&cut), "{name} cut at {cut}: {error}");
                    assert_eq!(error.kind(), Kind::Damaged, "{name} cut at {cut}: {error}");
                    assert!(error.to_string().contains("ends within document"), "{error}");
                    assert!(!error.hints().is_empty());
                }
            }
        }
        // A packed one has an end.
        let packed = gz(&whole);
        for cut in (0..packed.len()).step_by(step) {
            let error = of(&packed[..cut], "t.bson.gz").unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged, "{name} cut at {cut}: {error}");
        }
    }
}

#[test]
fn w8_an_export_cut_anywhere_is_damaged_or_short_of_lines() {
    for (name, ends) in [("canonical.json", true), ("array.json", false)] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for cut in (1..whole.len() - 1).step_by(41) {
            match of(&whole[..cut], "t.json") {
                Ok(_) => assert!(ends && matches!(whole[cut - 1], b'}' | b'\n'), "{name} at {cut}"),
                Err(error) => assert_eq!(error.kind(), Kind::Damaged, "{name} at {cut}: {error}"),
            }
        }
    }
}

#[test]
fn w7_flipped_and_overwritten_bytes_end_in_an_error_or_another_value() {
    let fixtures = [DUMP, "real/all_types.bson", "real/sample.bson"];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut errors, mut read) = (0, 0);
    for name in fixtures {
        let whole = std::fs::read(fixture(name)).unwrap();
        for turn in 0..150 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 24) as usize % whole.len();
            let mut bytes = whole.clone();
            match turn % 4 {
                0 | 1 => bytes[at] ^= 1 << ((state >> 16) % 8),
                2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][(state >> 16) as usize % 5],
                _ => {
                    let end = (at + 4).min(whole.len());
                    bytes[at..end].fill((state >> 8) as u8);
                }
            }
            match of(&bytes, "t.bson") {
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Damaged, "{name} {turn}: {error}");
                    errors += 1;
                }
                Ok(staged) => {
                    // What is read is well-formed to the last cell.
                    for column in &staged.columns {
                        for cell in cells(&staged, &column.name) {
                            if let Some(json) = cell.strip_prefix('j') {
                                serde_json::from_str::<Value>(json)
                                    .unwrap_or_else(|e| panic!("{name} {turn}: {json}: {e}"));
                            }
                        }
                    }
                    read += 1;
                }
            }
        }
    }
    assert!(errors > 120 && read > 60, "{errors} errors, {read} read");
}

#[test]
fn what_mongodbs_own_tools_wrote_is_read() {
    let (bson, json) = (of_fixture("real/sample.bson"), of_fixture("real/sample.json"));
    assert_eq!(bson.rows, json.rows);
    for column in &bson.columns {
        let name = &column.name;
        assert_eq!(cells(&bson, name), cells(&json, name), "{name}");
    }
    let all = of_fixture("real/all_types.bson");
    let expected = [
        "BI am cool",
        "m2014-11-13T20:14:49.584Z",
        r#"j{"$timestamp":{"t":5,"i":5}}"#,
        r#"j{"$regularExpression":{"pattern":"[a-z]","options":""}}"#,
        "i546511a34bf6e4cb017c52ff",
        r#"j{"$undefined":true}"#,
        r#"j{"$minKey":1}"#,
        r#"j{"$maxKey":1}"#,
        "n12312321123",
        r#"j{"$dbPointer":{"$ref":"test","$id":{"$oid":"546512e74bf6e4cb017c5306"}}}"#,
        r#"j{"test":{"$numberDouble":"1.0"}}"#,
        concat!(
            r#"j[{"$numberDouble":"1.0"},{"$numberDouble":"2.0"},{"$numberDouble":"3.0"},"#,
            r#"{"$numberDouble":"4.0"}]"#
        ),
        r#"j{"$code":"function (x, y){ return x + y; }"}"#,
        r#"j{"$code":"function (x, y){ return x + y + z; }"}"#,
        "-",
        "t",
        "f",
        "sTEST",
        "R17.0",
        "R17.76",
    ];
    assert_eq!(cells(&all, "ex"), expected);
}
