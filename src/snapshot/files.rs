//! The file names of tables: a table's name never becomes a path as it is.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::model::value::hex;

/// The longest name that stands for itself.
const LONGEST: usize = 100;

/// Gives each table a file name (without ending) that no other has, in any case.
#[derive(Debug, Default)]
pub(super) struct FileNames(HashSet<String>);

impl FileNames {
    /// The file name for this table. `[A-Za-z0-9_.-]{1,100}` without a dot in front stands
    /// for itself; every other byte is written `%41`, and a long name is cut and gets a
    /// part of its digest. A name that differs only in case from an earlier one gets `~2`.
    pub(super) fn of(&mut self, table: &str) -> String {
        let mut stem = String::new();
        for (index, byte) in table.bytes().enumerate() {
            let plain = byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            if plain && !(index == 0 && byte == b'.') {
                stem.push(char::from(byte));
            } else {
                stem.push_str(&format!("%{byte:02X}"));
            }
        }
        if stem.is_empty() {
            stem.push('%');
        }
        if stem.len() > LONGEST {
            stem.truncate(LONGEST - 17);
            stem.push('~');
            stem.push_str(&hex(&Sha256::digest(table))[..16]);
        }
        let mut name = stem.clone();
        let mut number = 2;
        while !self.0.insert(name.to_ascii_lowercase()) {
            name = format!("{stem}~{number}");
            number += 1;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn w10_hostile_table_names_are_no_paths() {
        let mut names = FileNames::default();
        for (table, file) in [
            ("events", "events"),
            ("a.b-c_9", "a.b-c_9"),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
            ("/abs", "%2Fabs"),
            (".hidden", "%2Ehidden"),
            ("", "%"),
            ("a\0b", "a%00b"),
            ("né", "n%C3%A9"),
            ("a b%", "a%20b%25"),
            ("EVENTS", "EVENTS~2"),
            ("Events", "Events~3"),
        ] {
            assert_eq!(names.of(table), file);
        }
        let long = names.of(&"x".repeat(300));
        assert_eq!(long.len(), LONGEST);
        assert_ne!(long, names.of(&"x".repeat(301)));
    }

    proptest! {
        #[test]
        fn w10_any_names_become_distinct_plain_files(tables in prop::collection::vec(".{0,40}", 0..20)) {
            let mut names = FileNames::default();
            let mut seen = HashSet::new();
            for table in &tables {
                let name = names.of(table);
                prop_assert!(!name.starts_with('.') && name.len() <= LONGEST + 4);
                let fine = |b: u8| b.is_ascii_alphanumeric() || b"_.-%~".contains(&b);
                prop_assert!(name.bytes().all(fine));
                prop_assert!(seen.insert(name.to_ascii_lowercase()));
            }
        }
    }
}
