//! The character sets in which dumps write text, as their own headers name them.
//!
//! Sources: PostgreSQL "Character Set Support", table 24.3; MySQL "Supported Character Sets
//! and Collations" (its latin1 is Windows-1252). Sets in which a byte of ASCII can be the
//! second half of a character can't be cut into rows by their quotes and are refused.

use encoding_rs::Encoding;

use crate::error::{Error, Result};

/// A character set of text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Charset {
    /// UTF-8, or bytes that no one converted: they stay as they are.
    Bytes,
    /// ISO 8859-1.
    Latin1,
    /// One of the Encoding Standard.
    Of(&'static Encoding),
}

impl Charset {
    /// A `client_encoding` of PostgreSQL.
    pub(super) fn postgres(name: &str) -> Result<Self> {
        let plain: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_uppercase();
        Ok(match plain.as_str() {
            "UTF8" | "UNICODE" | "SQLASCII" => Charset::Bytes,
            "LATIN1" | "ISO88591" => Charset::Latin1,
            "LATIN2" | "ISO88592" => Charset::Of(encoding_rs::ISO_8859_2),
            "LATIN3" => Charset::Of(encoding_rs::ISO_8859_3),
            "LATIN4" => Charset::Of(encoding_rs::ISO_8859_4),
            "LATIN6" => Charset::Of(encoding_rs::ISO_8859_10),
            "LATIN7" => Charset::Of(encoding_rs::ISO_8859_13),
            "LATIN8" => Charset::Of(encoding_rs::ISO_8859_14),
            "LATIN9" => Charset::Of(encoding_rs::ISO_8859_15),
            "LATIN10" => Charset::Of(encoding_rs::ISO_8859_16),
            "ISO88595" => Charset::Of(encoding_rs::ISO_8859_5),
            "ISO88597" => Charset::Of(encoding_rs::ISO_8859_7),
            "KOI8" | "KOI8R" => Charset::Of(encoding_rs::KOI8_R),
            "KOI8U" => Charset::Of(encoding_rs::KOI8_U),
            "WIN1250" => Charset::Of(encoding_rs::WINDOWS_1250),
            "WIN1251" | "WIN" => Charset::Of(encoding_rs::WINDOWS_1251),
            "WIN1252" => Charset::Of(encoding_rs::WINDOWS_1252),
            "WIN1253" => Charset::Of(encoding_rs::WINDOWS_1253),
            "WIN1254" => Charset::Of(encoding_rs::WINDOWS_1254),
            "WIN1255" => Charset::Of(encoding_rs::WINDOWS_1255),
            "WIN1256" => Charset::Of(encoding_rs::WINDOWS_1256),
            "WIN1257" => Charset::Of(encoding_rs::WINDOWS_1257),
            "WIN1258" => Charset::Of(encoding_rs::WINDOWS_1258),
            "WIN874" => Charset::Of(encoding_rs::WINDOWS_874),
            "EUCJP" => Charset::Of(encoding_rs::EUC_JP),
            "EUCKR" => Charset::Of(encoding_rs::EUC_KR),
            _ => return Err(unknown(name, "pg_dump --encoding=UTF8")),
        })
    }

    /// A character set of MySQL.
    pub(super) fn mysql(name: &str) -> Result<Self> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" | "binary" => Charset::Bytes,
            "latin1" => Charset::Of(encoding_rs::WINDOWS_1252),
            "latin2" => Charset::Of(encoding_rs::ISO_8859_2),
            "latin5" => Charset::Of(encoding_rs::WINDOWS_1254),
            "latin7" => Charset::Of(encoding_rs::ISO_8859_13),
            "greek" => Charset::Of(encoding_rs::ISO_8859_7),
            "cp1250" => Charset::Of(encoding_rs::WINDOWS_1250),
            "cp1251" => Charset::Of(encoding_rs::WINDOWS_1251),
            "cp1256" => Charset::Of(encoding_rs::WINDOWS_1256),
            "cp1257" => Charset::Of(encoding_rs::WINDOWS_1257),
            "cp866" => Charset::Of(encoding_rs::IBM866),
            "koi8r" => Charset::Of(encoding_rs::KOI8_R),
            "koi8u" => Charset::Of(encoding_rs::KOI8_U),
            "euckr" => Charset::Of(encoding_rs::EUC_KR),
            "ujis" | "eucjpms" => Charset::Of(encoding_rs::EUC_JP),
            _ => return Err(unknown(name, "mysqldump --default-character-set=utf8mb4")),
        })
    }

    /// Turns the text from `begin` on into UTF-8.
    pub(super) fn decode(self, begin: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if self == Charset::Bytes || out[begin..].is_ascii() {
            return Ok(());
        }
        let text = match self {
            Charset::Bytes => return Ok(()),
            Charset::Latin1 => encoding_rs::mem::decode_latin1(&out[begin..]).into_owned(),
            Charset::Of(encoding) => encoding
                .decode_without_bom_handling_and_without_replacement(&out[begin..])
                .ok_or_else(|| format!("text that is no {}", encoding.name()))?
                .into_owned(),
        };
        out.truncate(begin);
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn unknown(name: &str, command: &str) -> Error {
    Error::failed(format!("the dump is written in the character set {name}, which is not read"))
        .hint(format!("dump again in UTF-8: {command}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t19_each_set_is_its_servers_own() {
        let decoded = |charset: Charset, bytes: &[u8]| {
            let mut out = b"kept ".to_vec();
            out.extend_from_slice(bytes);
            charset.decode(5, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        let (latin1, mysql) =
            (Charset::postgres("LATIN1").unwrap(), Charset::mysql("latin1").unwrap());
        assert_eq!(decoded(latin1, b"\xe9\x80").unwrap(), "kept \u{e9}\u{80}");
        assert_eq!(decoded(mysql, b"\xe9\x80\x81").unwrap(), "kept \u{e9}\u{20ac}\u{81}");
        assert_eq!(decoded(Charset::mysql("utf8mb4").unwrap(), "é".as_bytes()).unwrap(), "kept é");
        let japanese = Charset::postgres("EUC_JP").unwrap();
        assert_eq!(decoded(japanese, b"\xc6\xfc").unwrap(), "kept 日");
        assert!(decoded(japanese, b"\xff").is_err());
        for refused in [Charset::postgres("SJIS"), Charset::mysql("gbk")] {
            assert!(refused.unwrap_err().hints()[0].contains("UTF"));
        }
    }
}
