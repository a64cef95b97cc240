//! The days of a date column before and after: how a backfill shows itself (98 % on one
//! day), and how the truth looks (spread over months).

use std::collections::BTreeMap;
use std::io::Write;

use crate::error::Result;
use crate::report::text::{Style, Tone, bar, count, share};

/// Counts of values by their day; not for values that are no text dates.
#[derive(Clone, Debug, Default)]
pub struct Days {
    days: BTreeMap<String, u64>,
    null: u64,
    other: u64,
}

impl Days {
    /// Counts one cell's text; `None` for NULL.
    pub fn add(&mut self, text: Option<&[u8]>) {
        match text {
            None => self.null += 1,
            Some(text) => match day(text) {
                Some(day) => match self.days.get_mut(day) {
                    Some(n) => *n += 1,
                    None => {
                        self.days.insert(day.to_owned(), 1);
                    }
                },
                None => self.other += 1,
            },
        }
    }

    /// True when enough values are dates for a histogram to say something.
    pub fn tells(&self) -> bool {
        let dated: u64 = self.days.values().sum();
        dated > 0 && dated >= self.other * 9
    }

    fn total(&self) -> u64 {
        self.days.values().sum::<u64>() + self.null + self.other
    }

    fn busiest(&self) -> Option<(&str, u64)> {
        let most = self.days.iter().max_by_key(|(day, n)| (**n, std::cmp::Reverse(*day)));
        most.map(|(day, n)| (day.as_str(), *n))
    }
}

/// The day of a text moment, `2024-05-29`.
fn day(text: &[u8]) -> Option<&str> {
    let day = std::str::from_utf8(text.get(..10)?).ok()?;
    let shape = day.bytes().enumerate().all(|(i, b)| match i {
        4 | 7 => b == b'-',
        _ => b.is_ascii_digit(),
    });
    let ends = text.get(10).is_none_or(|b| matches!(b, b' ' | b'T'));
    (shape && ends).then_some(day)
}

/// Writes the two lines, `before` and `after`.
pub fn lines(out: &mut dyn Write, style: Style, before: &Days, after: &Days) -> Result<()> {
    for (title, days) in [("before", before), ("after", after)] {
        if days.total() == 0 {
            continue;
        }
        let busiest = days.busiest();
        let most = busiest.map_or(0, |(_, n)| n);
        let head = style.paint(Tone::Dim, format!("{title:<6}"));
        write!(out, "  {head}  ")?;
        match busiest {
            Some((day, n)) if n * 2 >= days.total() => {
                let rest = days.total() - n;
                write!(
                    out,
                    "{day} {} {}",
                    style.paint(Tone::Changed, bar(n, days.total(), 18)),
                    share(n, days.total())
                )?;
                if rest > 0 {
                    write!(
                        out,
                        "   other {} {}",
                        bar(rest, days.total(), 18),
                        share(rest, days.total())
                    )?;
                }
            }
            Some((day, _)) => {
                write!(out, "{}", months(days, style.width.saturating_sub(50).max(24)))?;
                write!(out, "   busiest {day} {}", share(most, days.total()))?;
            }
            None => {}
        }
        if days.null > 0 {
            write!(out, "   NULL {}", count(days.null))?;
        }
        if days.other > 0 {
            write!(out, "   no date {}", count(days.other))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A sparkline over the months from first to last, squeezed into `width` columns.
fn months(days: &Days, width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut by_month: BTreeMap<i64, u64> = BTreeMap::new();
    for (day, n) in &days.days {
        let number = |part: &str| part.parse::<i64>().unwrap_or(0);
        *by_month.entry(number(&day[..4]) * 12 + number(&day[5..7]) - 1).or_default() += n;
    }
    let (Some((&first, _)), Some((&last, _))) =
        (by_month.first_key_value(), by_month.last_key_value())
    else {
        return String::new();
    };
    let span = (last - first + 1) as usize;
    let columns = span.min(width.saturating_sub(16).max(1));
    let mut cells = vec![0u64; columns];
    for (month, n) in by_month {
        cells[(month - first) as usize * columns / span] += n;
    }
    let most = cells.iter().copied().max().unwrap_or(1).max(1);
    let line: String =
        cells.iter().map(|&n| if n == 0 { ' ' } else { LEVELS[(n * 7 / most) as usize] }).collect();
    let name = |month: i64| format!("{:04}-{:02}", month / 12, month % 12 + 1);
    format!("{} {line} {}", name(first), name(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backfill_stands_out() {
        let (mut before, mut after) = (Days::default(), Days::default());
        for i in 0..1000u32 {
            let filled = if i < 982 { "2024-05-02 10:00:00" } else { "2024-01-07 00:00:00" };
            before.add(Some(filled.as_bytes()));
            let truth = format!("2024-{:02}-{:02}T08:00:00Z", 1 + i % 4, 1 + i % 28);
            after.add((i > 3).then_some(truth.as_bytes()));
        }
        let mut out = Vec::new();
        lines(&mut out, Style::plain(), &before, &after).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        before  2024-05-02 █████████████████▋ 98.2 %   other ▎ 1.8 %
        after   2024-01 ████ 2024-04   busiest 2024-01-05 3.6 %   NULL 4
        "#);
    }

    #[test]
    fn only_dates_are_days() {
        assert_eq!(day(b"2024-05-02T10"), Some("2024-05-02"));
        assert_eq!(day(b"2024-05-021"), None);
        assert_eq!(day(b"hello world"), None);
        let mut words = Days::default();
        words.add(Some(b"hello world"));
        assert!(!words.tells());
    }
}
