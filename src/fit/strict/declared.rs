//! Declared types as engines print them: `numeric(10,2)`, `timestamp(3) without time zone`,
//! `bigint unsigned`, `enum('a','b')`.

/// A declared type, taken apart.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    /// What stands before the first parenthesis: `timestamp`, `bigint unsigned`.
    pub(super) name: &'a str,
    /// What stands between the parentheses, empty without them.
    arguments: &'a str,
    /// What stands behind them: `without time zone`, `unsigned`, `[]`.
    rest: &'a str,
}

impl<'a> Declared<'a> {
    /// Takes a type apart. Labels may hold parentheses, so the last one closes.
    pub(super) fn parse(declared: &'a str) -> Self {
        let split = declared.split_once('(').and_then(|(name, after)| {
            let (arguments, rest) = after.rsplit_once(')')?;
            Some(Self { name: name.trim(), arguments, rest: rest.trim() })
        });
        split.unwrap_or(Self { name: declared, arguments: "", rest: "" })
    }

    /// The type's name without `unsigned` and `zerofill`; an array has none.
    pub(super) fn base(&self) -> &'a str {
        let name = self.name.trim_end_matches(" zerofill").trim_end_matches(" unsigned");
        if self.rest.ends_with("[]") || name.ends_with("[]") { "" } else { name }
    }

    /// The type is `unsigned`, before the parentheses or behind them.
    pub(super) fn is_unsigned(&self) -> bool {
        [self.name, self.rest].iter().any(|words| words.split(' ').any(|word| word == "unsigned"))
    }

    /// The type has a zone: `time with time zone`.
    pub(super) fn has_zone(&self) -> bool {
        [self.name, self.rest].iter().any(|words| words.ends_with("with time zone"))
    }

    /// The argument of this place as a number.
    pub(super) fn number<T: std::str::FromStr>(&self, place: usize) -> Option<T> {
        self.arguments.split(',').nth(place)?.trim().parse().ok()
    }

    /// The labels of an `enum` or `set`. MySQL prints them quoted, a quote as two, and a
    /// backslash, a NUL and the ends of lines as escapes (`append_unescaped` of its source).
    pub(super) fn labels(&self) -> Vec<Vec<u8>> {
        let mut labels = Vec::new();
        let mut bytes = self.arguments.bytes().peekable();
        while bytes.find(|byte| *byte == b'\'').is_some() {
            let mut label = Vec::new();
            while let Some(byte) = bytes.next() {
                match byte {
                    b'\'' if bytes.next_if_eq(&b'\'').is_none() => break,
                    b'\\' => label.extend(bytes.next().map(|escape| match escape {
                        b'0' => 0,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        other => other,
                    })),
                    _ => label.push(byte),
                }
            }
            labels.push(label);
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_taken_apart() {
        let parts = |text| {
            let declared = Declared::parse(text);
            (declared.base().to_owned(), declared.number::<i32>(0), declared.number::<i32>(1))
        };
        for (text, name, first, second) in [
            ("numeric(10,2)", "numeric", Some(10), Some(2)),
            ("numeric(3,-2)", "numeric", Some(3), Some(-2)),
            ("timestamp(3) without time zone", "timestamp", Some(3), None),
            ("timestamp without time zone", "timestamp without time zone", None, None),
            ("bigint unsigned", "bigint", None, None),
            ("int(10) unsigned zerofill", "int", Some(10), None),
            ("character varying(20)[]", "", Some(20), None),
            ("text[]", "", None, None),
            ("text", "text", None, None),
            ("", "", None, None),
        ] {
            assert_eq!(parts(text), (name.to_owned(), first, second), "{text}");
        }
        assert!(Declared::parse("decimal(10,2) unsigned").is_unsigned());
        assert!(Declared::parse("bigint unsigned").is_unsigned());
        assert!(!Declared::parse("bigint").is_unsigned());
        let labels = Declared::parse(r"enum('a','b''s','(c)','d,e','f\\\n','')").labels();
        let expected: [&[u8]; 6] = [b"a", b"b's", b"(c)", b"d,e", b"f\\\n", b""];
        assert_eq!(labels, expected);
    }
}
