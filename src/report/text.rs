//! The words and marks that screens are made of: escaped cells, numbers, bars, times.
//!
//! Not a layout: columns are aligned by [`table`](crate::report::table).

use std::borrow::Cow;

use chrono::{DateTime, FixedOffset, SecondsFormat};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::value::{ValueRef, hex};

/// How a screen may look: what the terminal can do, or what a pipe gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours may be used.
    pub color: bool,
    /// The width in columns.
    pub width: usize,
}

impl Style {
    /// Without colours, 80 columns wide.
    pub fn plain() -> Self {
        Self { color: false, width: 80 }
    }

    /// `text` in a tone's colour, or as it is when colours are off.
    pub fn paint(&self, tone: Tone, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        match tone.sgr().filter(|_| self.color) {
            Some(sgr) => format!("\x1b[{sgr}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

/// What a piece of text means, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    Plain,
    /// A name or number that matters.
    Strong,
    /// Rows only in the backup, and what can't be recovered.
    Missing,
    /// Rows that differ, and warnings.
    Changed,
    /// Rows only live, and what went well.
    Extra,
    /// What may be skipped over.
    Dim,
}

impl Tone {
    fn sgr(self) -> Option<&'static str> {
        match self {
            Tone::Plain => None,
            Tone::Strong => Some("1"),
            Tone::Missing => Some("31"),
            Tone::Changed => Some("33"),
            Tone::Extra => Some("32"),
            Tone::Dim => Some("2"),
        }
    }
}

/// A count with thousands separators: `30,007`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A signed number with thousands separators.
pub fn number(n: i64) -> String {
    if n < 0 { format!("-{}", count(n.unsigned_abs())) } else { count(n.unsigned_abs()) }
}

/// `1 row`, `2,509 rows`.
pub fn plural(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// A size in bytes in a readable unit: `9.4 MB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// How long something took: `0.4 s`, `13.2 s`, `2 min 5 s`.
pub fn seconds(s: f64) -> String {
    if s < 60.0 {
        return format!("{s:.1} s");
    }
    let whole = s.round() as u64;
    span(whole)
}

/// How long ago a moment is: `4 d 7 h ago`; `in 3 h` for one to come.
pub fn ago(then: DateTime<FixedOffset>, now: DateTime<FixedOffset>) -> String {
    let s = now.signed_duration_since(then).num_seconds();
    match s {
        // Time left is told in whole minutes, begun ones included.
        ..=-60 => format!("in {}", span(s.unsigned_abs().next_multiple_of(60))),
        -59..=59 => "just now".to_owned(),
        _ => format!("{} ago", span(s.unsigned_abs() / 60 * 60)),
    }
}

/// An RFC 3339 text without its fraction of a second; any other text escaped.
pub fn moment(text: &str) -> String {
    match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => moment.to_rfc3339_opts(SecondsFormat::Secs, false),
        Err(_) => escape(text).into_owned(),
    }
}

/// [`ago`] for an RFC 3339 text; `None` when it isn't one.
pub fn ago_text(then: &str, now: DateTime<FixedOffset>) -> Option<String> {
    DateTime::parse_from_rfc3339(then).ok().map(|then| ago(then, now))
}

fn span(s: u64) -> String {
    let (d, h, m) = (s / 86_400, s / 3_600 % 24, s / 60 % 60);
    let parts = match (d, h, m) {
        (0, 0, 0) => [(s, "s"), (0, "")],
        (0, 0, m) => [(m, "min"), (s % 60, "s")],
        (0, h, m) => [(h, "h"), (m, "min")],
        (d, h, _) if d < 60 => [(d, "d"), (h, "h")],
        (d, _, _) => [(d, "d"), (0, "")],
    };
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    parts.join(" ")
}

/// A share in per cent, never rounded up to 100 nor down to 0: `98.2 %`.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    match (part, percent) {
        (0, _) => "0 %".to_owned(),
        (p, _) if p == whole => "100 %".to_owned(),
        (_, p) if p < 0.1 => "< 0.1 %".to_owned(),
        (_, p) if p > 99.9 => "> 99.9 %".to_owned(),
        (_, p) => format!("{p:.1} %"),
    }
}

/// A bar of eighth blocks, at most `width` columns for `whole`; at least a sliver for
/// anything above 0.
pub fn bar(part: u64, whole: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if part == 0 || whole == 0 {
        return String::new();
    }
    let eighths = (part as u128 * width as u128 * 8 / whole as u128).max(1) as usize;
    let mut out = "█".repeat((eighths / 8).min(width));
    if eighths / 8 < width {
        out.push_str(EIGHTHS[eighths % 8]);
    }
    out
}

/// True for what may steer a terminal or reorder a line: C0 and C1 controls, DEL, bidi
/// controls, line separators, invisible tags and byte order marks.
fn dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// `text` with everything [dangerous](self) on a terminal shown as an escape: `\n`, `\u{1b}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_where(text, dangerous)
}

/// [`escape`] that keeps line feeds: for messages of several lines.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_where(text, |c| c != '\n' && dangerous(c))
}

fn escape_where(text: &str, test: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&test) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !test(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            c => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    Cow::Owned(out)
}

/// [`escape`] for TEXT that need not be UTF-8: other bytes are shown as `\xff`.
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escape(chunk.valid()));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// The width of `text` on a terminal, in columns.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// `text` in at most `max` columns, its middle left out for `…` where it is longer.
pub fn elide(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let room = max.saturating_sub(1);
    let head = take_width(text.chars(), room.div_ceil(2));
    let tail: String = take_width(text.chars().rev(), room / 2).chars().rev().collect();
    Cow::Owned(format!("{head}…{tail}"))
}

/// `text` in at most `max` columns, its beginning left out: for paths.
pub fn elide_head(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let tail = take_width(text.chars().rev(), max.saturating_sub(1));
    Cow::Owned(format!("…{}", tail.chars().rev().collect::<String>()))
}

fn take_width(chars: impl Iterator<Item = char>, max: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += UnicodeWidthChar::width(*c).unwrap_or(0);
            used <= max
        })
        .collect()
}

/// A cell for a screen, escaped, in at most `max` columns. Text is bare, unless it could
/// be taken for something else (empty, or `NULL`).
pub fn cell(value: ValueRef<'_>, max: usize) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Int(i) => i.to_string(),
        ValueRef::Real(r) => format!("{r:?}"),
        ValueRef::Text(b"" | b"NULL") => {
            format!("'{}'", if matches!(value, ValueRef::Text(b"")) { "" } else { "NULL" })
        }
        ValueRef::Text(b) => {
            // A long text is cut before it is escaped: only its ends can be shown.
            let shown = clip_bytes(b, max.saturating_mul(8));
            elide(&escape_bytes(&shown), max).into_owned()
        }
        ValueRef::Blob(b) => {
            let suffix = format!(" ({})", plural(b.len() as u64, "byte"));
            let room = max.saturating_sub(suffix.len()).max(5);
            if b.len() * 2 + 3 <= max {
                format!("x'{}'", hex(b))
            } else {
                format!("x'{}…'{suffix}", hex(&b[..b.len().min(room.saturating_sub(4) / 2)]))
            }
        }
        _ => value.plain_text().unwrap_or_default(),
    }
}

fn clip_bytes(b: &[u8], max: usize) -> Cow<'_, [u8]> {
    if b.len() <= max.saturating_mul(2) {
        return Cow::Borrowed(b);
    }
    let head = (0..=max).rev().find(|&i| is_boundary(b, i)).unwrap_or(max);
    let tail = (b.len() - max..b.len()).find(|&i| is_boundary(b, i)).unwrap_or(b.len() - max);
    Cow::Owned([&b[..head], &b[tail..]].concat())
}

fn is_boundary(b: &[u8], i: usize) -> bool {
    b.get(i).is_none_or(|byte| byte & 0xc0 != 0x80)
}

/// A word of a command line that a shell reads back as `word`.
pub fn shell_word(word: &str) -> Cow<'_, str> {
    let safe = |c: char| {
        c.is_alphanumeric()
            || matches!(c, '_' | '-' | '.' | '/' | ':' | '@' | '+' | ',' | '=' | '~' | '%')
    };
    if !word.is_empty() && word.chars().all(safe) && !word.starts_with('~') {
        return Cow::Borrowed(word);
    }
    if word.contains(dangerous) {
        let mut out = String::from("$'");
        for c in word.chars() {
            match c {
                '\'' => out.push_str("\\'"),
                '\\' => out.push_str("\\\\"),
                c if dangerous(c) => out.push_str(&format!("\\U{:08x}", u32::from(c))),
                c => out.push(c),
            }
        }
        out.push('\'');
        return Cow::Owned(out);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators() {
        let shown: Vec<String> = [0, 7, 999, 1000, 30_007, 1_234_567].map(count).to_vec();
        assert_eq!(shown, ["0", "7", "999", "1,000", "30,007", "1,234,567"]);
        assert_eq!(number(i64::MIN), "-9,223,372,036,854,775,808");
        assert_eq!(plural(1, "row"), "1 row");
        assert_eq!([bytes(999), bytes(1000), bytes(9_400_000)], ["999 B", "1.0 kB", "9.4 MB"]);
        assert_eq!(bytes(999_999), "1.0 MB");
    }

    #[test]
    fn w11_a_cell_cannot_steer_the_terminal() {
        let hostile = "a\x1b[2J\u{9b}31m\u{202e}b\u{2066}\r\n\0\u{7f}\u{200f}";
        let shown = cell(ValueRef::Text(hostile.as_bytes()), 200);
        assert_eq!(
            shown, r"a\u{1b}[2J\u{9b}31m\u{202e}b\u{2066}\r\n\0\u{7f}\u{200f}",
            "every control is an escape"
        );
        assert_eq!(cell(ValueRef::Text(b"ok\xff\x9b"), 40), r"ok\xff\x9b");
        assert_eq!(escape("naïve – 日本 👩‍👧"), "naïve – 日本 👩‍👧");
        assert_eq!(escape_lines("a\n\x1b"), "a\n\\u{1b}");
    }

    #[test]
    fn long_cells_lose_their_middle() {
        assert_eq!(elide("abcdefghij", 7), "abc…hij");
        assert_eq!(elide("日本語日本語", 7), "日…語");
        assert_eq!(elide_head("/srv/backups/prod.db", 10), "…s/prod.db");
        assert_eq!(cell(ValueRef::Blob(&[7; 100]), 30), "x'07070707070707…' (100 bytes)");
        let long = "é".repeat(1_000_000);
        assert_eq!(cell(ValueRef::Text(long.as_bytes()), 5), "éé…éé");
    }

    #[test]
    fn look_alikes_are_told_apart() {
        let shown: Vec<String> =
            [ValueRef::Null, ValueRef::Text(b"NULL"), ValueRef::Text(b""), ValueRef::Real(1.0)]
                .map(|v| cell(v, 20))
                .to_vec();
        assert_eq!(shown, ["NULL", "'NULL'", "''", "1.0"]);
    }

    #[test]
    fn bars_and_shares_never_hide_a_little() {
        assert_eq!(bar(2509, 2509, 8), "████████");
        assert_eq!(bar(412, 2509, 8), "█▎");
        assert_eq!(bar(1, 1_000_000, 8), "▏");
        assert_eq!(bar(0, 10, 8), "");
        assert_eq!(bar(u64::MAX, u64::MAX, 3), "███");
        assert_eq!(share(1, 1_000_000), "< 0.1 %");
        assert_eq!(share(999_999, 1_000_000), "> 99.9 %");
        assert_eq!(share(982, 1000), "98.2 %");
    }

    #[test]
    fn times_are_told_in_two_units() {
        let at = |s: &str| DateTime::parse_from_rfc3339(s).unwrap();
        let now = at("2024-03-18T03:00:00-04:00");
        assert_eq!(ago(at("2024-03-14T00:00:00Z"), now), "4 d 7 h ago");
        assert_eq!(ago(at("2024-03-18T06:48:00Z"), now), "12 min ago");
        assert_eq!(ago(at("2024-03-18T10:00:00Z"), now), "in 3 h");
        assert_eq!(ago(at("2024-03-18T06:32:51Z"), now), "27 min ago");
        assert_eq!(ago(now, now), "just now");
        assert_eq!(seconds(13.24), "13.2 s");
        assert_eq!(seconds(125.0), "2 min 5 s");
    }

    #[test]
    fn shells_read_words_back() {
        assert_eq!(shell_word("snap/2024-05-29-09:14:42"), "snap/2024-05-29-09:14:42");
        assert_eq!(shell_word("it's here"), r"'it'\''s here'");
        assert_eq!(shell_word("a\x1bb"), r"$'a\U0000001bb'");
        assert_eq!(shell_word(""), "''");
    }
}
