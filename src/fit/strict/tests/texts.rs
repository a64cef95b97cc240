//! Text, what travels as text, and bytes.

use super::*;

#[test]
fn t7_text_is_never_cut() {
    for column in [pg("character varying(3)", Carrier::Text), my("varchar(3)", Carrier::Text)] {
        for written in ["", "abc", "äöü", "a  ", "日本語"] {
            is(text(written, &column), t(written), None);
        }
        refused(text("abcd", &column), "\"abcd\", of 4 characters");
        refused(text("abc ", &column), "of 4 characters");
        // A whole column of text is taken as it is, and its words are not looked at.
        is(text("nan", &column), t("nan"), None);
        is(int(12, &column), t("12"), Some(Habit::NumberForText));
        is(cell(Tag::Number, b"1.5", &column), t("1.5"), Some(Habit::NumberForText));
        refused(int(1_234, &column), "1234");
        refused(double(1.5, &column), "float 1.5");
        refused(truth(true, &column), "true");
        refused(day(1, &column), "a date");
    }
    let bytes_of = "ä".repeat(128);
    refused(text(&bytes_of, &my("tinytext", Carrier::Text)), "of 128 characters");
    is(text(&bytes_of, &my("text", Carrier::Text)), t(&bytes_of), None);
}

#[test]
fn t4_a_nul_and_bytes_that_are_no_utf8_are_refused_where_the_engine_does() {
    let (postgres, mysql) = (pg("text", Carrier::Text), my("text", Carrier::Text));
    refused(text("a\0b", &postgres), "a NUL character");
    refused(text("a\0b", &pg("inet", Carrier::Text)), "a NUL character");
    is(text("a\0b", &mysql), t("a\0b"), None);
    refused(cell(Tag::Quoted, b"\xff", &postgres), "no UTF-8");
    refused(cell(Tag::Quoted, b"\xff", &mysql), "no UTF-8");
    is(bytes("ä".as_bytes(), &postgres), t("ä"), Some(Habit::BytesAsText));
    refused(bytes(b"\xff", &mysql), "no UTF-8");
    refused(from(&pg("bytea", Carrier::Blob), Value::Blob(b"a".into()), &mysql), "bytes");
}

#[test]
fn t5_an_empty_field_is_text_where_text_is_free() {
    let free = pg("text", Carrier::Text);
    is(cell(Tag::Bare, b"", &free), Value::Null, Some(Habit::EmptyForNull));
    is(cell(Tag::Quoted, b"", &free), t(""), None);
    for column in [
        pg("uuid", Carrier::Text),
        pg("jsonb", Carrier::Text),
        pg("inet", Carrier::Text),
        my("enum('a')", Carrier::Text),
    ] {
        is(cell(Tag::Bare, b"", &column), Value::Null, None);
    }
    is(cell(Tag::Str, b"None", &free), t("None"), Some(Habit::WordKept));
    is(cell(Tag::OwnText, b"None", &free), t("None"), None);
}

#[test]
fn t19_characters_of_one_length_are_padded_as_the_engine_pads_them() {
    let (postgres, mysql) = (pg("character(3)", Carrier::Text), my("char(3)", Carrier::Text));
    for written in ["a", "a  ", "a    "] {
        is(text(written, &postgres), t("a  "), None);
        is(text(written, &mysql), t("a"), None);
    }
    is(text("äöü", &postgres), t("äöü"), None);
    is(text("", &postgres), t("   "), None);
    refused(text("abcd", &postgres), "of 4 characters");
    refused(text("abcd", &mysql), "of 4 characters");
    is(from(&postgres, t("a  "), &mysql), t("a"), None);
    is(from(&mysql, t("a"), &postgres), t("a  "), None);
}

#[test]
fn uuids_are_in_lower_case() {
    let column = pg("uuid", Carrier::Text);
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    for written in [
        uuid,
        "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
        "a0eebc999c0b4ef8bb6d6bb9bd380a11",
        "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
    ] {
        is(text(written, &column), t(uuid), None);
    }
    is(
        bytes(b"\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11", &column),
        t(uuid),
        None,
    );
    for written in [
        "",
        "a0eebc99",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
        "a0e-ebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-",
    ] {
        assert!(text(written, &column).is_err(), "{written}");
    }
    refused(bytes(b"123", &column), "bytes");
}

#[test]
fn t10_labels_are_those_of_the_type() {
    let column = my("enum('small','it''s','a,b')", Carrier::Text);
    for label in ["small", "it's", "a,b", ""] {
        is(text(label, &column), t(label), None);
    }
    refused(text("large", &column), "large");
    refused(text("Small", &column), "Small");
    refused(int(1, &column), "integer 1");
    let set = my("set('a','b','c')", Carrier::Text);
    is(text("c,a", &set), t("a,c"), None);
    is(text("", &set), t(""), None);
    refused(text("a,d", &set), "a,d");
    is(text("happy", &pg("mood", Carrier::Text)), t("happy"), None);
}

#[test]
fn t6_numerics_that_travel_as_text_are_canonical() {
    let free = pg("numeric", Carrier::Text);
    for (written, held) in [
        ("1.50", "1.50"),
        ("1e3", "1000"),
        ("-0.0", "0.0"),
        ("nan", "NaN"),
        ("-infinity", "-Infinity"),
        (&"9".repeat(60), &"9".repeat(60)),
    ] {
        is(text(written, &free), t(held), None);
    }
    is(int(-5, &free), t("-5"), None);
    is(dec(150, 2, &free), t("1.50"), None);
    is(double(1e21, &free), t("1000000000000000000000"), Some(Habit::FloatForDecimal));
    is(double(1.5, &free), t("1.5"), Some(Habit::FloatForDecimal));
    is(double(f64::NAN, &free), Value::Null, Some(Habit::NanForNull));
    is(
        from(&pg("double precision", Carrier::Real), Value::Real(f64::NEG_INFINITY), &free),
        t("-Infinity"),
        Some(Habit::FloatForDecimal),
    );
    refused(text("many", &free), "many");
    let wide = my("decimal(65,30)", Carrier::Text);
    is(text("1.5", &wide), t(&format!("1.5{}", "0".repeat(29))), None);
    refused(text(&"9".repeat(36), &wide), "999");
    refused(text("1e-31", &wide), "1e-31");
    refused(text("-1", &my("decimal(65,30) unsigned", Carrier::Text)), "-1");
    is(text("{NaN,1.5}", &pg("numeric(3,2)[]", Carrier::Text)), t("{NaN,1.5}"), None);
    let hundreds = pg("numeric(3,-2)", Carrier::Text);
    is(text("12300", &hundreds), t("12300"), None);
    refused(text("12350", &hundreds), "12350");
    refused(text("100000", &hundreds), "100000");
    let small = pg("numeric(2,4)", Carrier::Text);
    is(text("0.0012", &small), t("0.0012"), None);
    refused(text("0.0123", &small), "0.0123");
}

#[test]
fn t18_jsonb_is_canonical_and_json_is_not_touched() {
    let (jsonb, json) = (pg("jsonb", Carrier::Text), pg("json", Carrier::Text));
    let loose = r#" {"bb":1,"a":[1.50,{ }], "a" :true,"c":"\u0041\/"} "#;
    is(text(loose, &jsonb), t(r#"{"a": true, "c": "A/", "bb": 1}"#), None);
    is(text(loose, &json), t(loose), None);
    is(cell(Tag::Nested, br#"{"a":[1]}"#, &jsonb), t(r#"{"a": [1]}"#), Some(Habit::NestedJson));
    is(cell(Tag::Nested, br#"{"a":[1]}"#, &json), t(r#"{"a":[1]}"#), Some(Habit::NestedJson));
    is(cell(Tag::Number, b"1.50", &jsonb), t("1.50"), None);
    is(cell(Tag::True, b"", &jsonb), t("true"), None);
    refused(text("{", &jsonb), "no jsonb");
    refused(text(r#"{"a": "\u0000"}"#, &jsonb), "a NUL character");
    is(text("null", &jsonb), t("null"), None);
    is(text("None", &jsonb), Value::Null, Some(Habit::WordForNull));
    let deep = "[".repeat(2_000) + &"]".repeat(2_000);
    refused(text(&deep, &jsonb), "nested too deep");
}

#[test]
fn k9_bytes_are_kept_and_filled_as_the_engine_fills_them() {
    let bytea = pg("bytea", Carrier::Blob);
    is(bytes(b"\0a\0", &bytea), Value::Blob(b"\0a\0".into()), None);
    is(text("\\x00FF", &bytea), Value::Blob(b"\0\xff".into()), None);
    for written in ["00ff", "\\x0", "\\xzz", "abc", ""] {
        assert!(text(written, &bytea).is_err(), "{written}");
    }
    let filled = my("binary(3)", Carrier::Blob);
    is(bytes(b"a", &filled), Value::Blob(b"a\0\0".into()), None);
    is(bytes(b"abc", &filled), Value::Blob(b"abc".into()), None);
    refused(bytes(b"abcd", &filled), "4 bytes");
    let most = my("varbinary(3)", Carrier::Blob);
    is(bytes(b"a", &most), Value::Blob(b"a".into()), None);
    refused(bytes(b"abcd", &most), "4 bytes");
    refused(text("abc", &most), "abc");
    is(
        from(&pg("bytea", Carrier::Blob), Value::Blob(b"a".into()), &filled),
        Value::Blob(b"a\0\0".into()),
        None,
    );
    refused(int(1, &bytea), "no bytes");
}
