//! The cron line and the systemd units that take a snapshot every so often, as text to
//! copy. Nothing is installed.

use std::str::FromStr;

use crate::error::{Error, Result};

/// An interval that cron and systemd both can keep exactly, counted from midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    minutes: u32,
}

const HOUR: u32 = 60;
const DAY: u32 = 24 * HOUR;
const WEEK: u32 = 7 * DAY;

impl FromStr for Interval {
    type Err = Error;

    /// `15m`, `8h`, `1d` or `1w`: a divisor of the hour, of the day, or one day or week,
    /// since cron starts anew at each hour, day and month.
    fn from_str(s: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!("{s:?} is no interval"))
                .hint("write minutes, hours, a day or a week: 15m, 8h, 1d, 1w")
        };
        let unit = match s.chars().next_back().ok_or_else(wrong)? {
            'm' => 1,
            'h' => HOUR,
            'd' => DAY,
            'w' => WEEK,
            _ => return Err(wrong()),
        };
        let digits = &s[..s.len() - 1];
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u32 = digits.parse().map_err(|_| wrong())?;
        let minutes = number.checked_mul(unit).filter(|m| *m > 0).ok_or_else(wrong)?;
        let exact = match minutes {
            m if m < HOUR => HOUR.is_multiple_of(m),
            m if m < DAY => m.is_multiple_of(HOUR) && DAY.is_multiple_of(m),
            m => m == DAY || m == WEEK,
        };
        if exact {
            return Ok(Self { minutes });
        }
        Err(Error::usage(format!(
            "cron can't keep an interval of {s}: it starts anew at every hour, day and month, so \
             one of the gaps would be shorter"
        ))
        .hint(format!("take {}, the next shorter interval that it keeps", shorter(minutes))))
    }
}

/// The longest interval below `minutes` that cron keeps.
fn shorter(minutes: u32) -> String {
    if minutes > DAY {
        return if minutes > WEEK { "1w".into() } else { "1d".into() };
    }
    let hours = (1..24).rev().find(|h| 24 % h == 0 && h * HOUR < minutes);
    match hours {
        Some(hours) => format!("{hours}h"),
        None => {
            let m = (1..60).rev().find(|m| 60 % m == 0 && *m < minutes).unwrap_or(1);
            format!("{m}m")
        }
    }
}

impl Interval {
    /// Its length in minutes.
    pub fn minutes(self) -> u32 {
        self.minutes
    }

    /// cron's five fields (POSIX, `crontab`).
    pub fn cron(self) -> String {
        match self.minutes {
            1 => "* * * * *".into(),
            m if m < HOUR => format!("*/{m} * * * *"),
            HOUR => "0 * * * *".into(),
            m if m < DAY => format!("0 */{} * * *", m / HOUR),
            DAY => "0 0 * * *".into(),
            _ => "0 0 * * 0".into(),
        }
    }

    /// systemd's calendar event (systemd.time(7), "Calendar events").
    pub fn calendar(self) -> String {
        match self.minutes {
            1 => "*-*-* *:*:00".into(),
            m if m < HOUR => format!("*-*-* *:00/{m}:00"),
            HOUR => "*-*-* *:00:00".into(),
            m if m < DAY => format!("*-*-* 00/{}:00:00", m / HOUR),
            DAY => "*-*-* 00:00:00".into(),
            _ => "Sun *-*-* 00:00:00".into(),
        }
    }
}

/// What to copy where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// A line for `crontab -e`.
    pub cron: String,
    /// The text of `<name>.service`.
    pub service: String,
    /// The text of `<name>.timer`.
    pub timer: String,
}

/// The schedule of a command: the program's absolute path and its arguments, which should
/// hold no relative path and no password.
pub fn schedule(command: &[String], interval: Interval) -> Result<Schedule> {
    if let Some(odd) = command.iter().find(|a| a.chars().any(char::is_control)) {
        return Err(Error::usage(format!("the argument {odd:?} can't stand in a schedule")));
    }
    if command.is_empty() {
        return Err(Error::usage("there is no command to schedule"));
    }
    // cron(8): an unescaped % ends the command and begins its standard input
    let shell: Vec<String> = command.iter().map(|a| shell_word(a).replace('%', "\\%")).collect();
    let unit: Vec<String> = command.iter().map(|a| unit_word(a)).collect();
    Ok(Schedule {
        cron: format!("{} {}", interval.cron(), shell.join(" ")),
        service: format!(
            "[Unit]\n\
             Description=Take a restorekit snapshot\n\n\
             [Service]\n\
             Type=oneshot\n\
             UMask=0077\n\
             Nice=10\n\
             ExecStart={}\n",
            unit.join(" ")
        ),
        timer: format!(
            "[Unit]\n\
             Description=Take restorekit snapshots\n\n\
             [Timer]\n\
             OnCalendar={}\n\
             Persistent=true\n\n\
             [Install]\n\
             WantedBy=timers.target\n",
            interval.calendar()
        ),
    })
}

/// A word of a POSIX shell.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A word of ExecStart= (systemd.service(5), "Command lines"): % and $ are doubled.
fn unit_word(word: &str) -> String {
    let escaped = word.replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%$".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        escaped
    } else {
        format!("\"{}\"", escaped.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(s: &str) -> Interval {
        s.parse().unwrap()
    }

    #[test]
    fn intervals_in_both_languages() {
        for (text, cron, calendar) in [
            ("1m", "* * * * *", "*-*-* *:*:00"),
            ("15m", "*/15 * * * *", "*-*-* *:00/15:00"),
            ("60m", "0 * * * *", "*-*-* *:00:00"),
            ("8h", "0 */8 * * *", "*-*-* 00/8:00:00"),
            ("24h", "0 0 * * *", "*-*-* 00:00:00"),
            ("1d", "0 0 * * *", "*-*-* 00:00:00"),
            ("7d", "0 0 * * 0", "Sun *-*-* 00:00:00"),
            ("1w", "0 0 * * 0", "Sun *-*-* 00:00:00"),
        ] {
            assert_eq!(interval(text).cron(), cron, "{text}");
            assert_eq!(interval(text).calendar(), calendar, "{text}");
        }
    }

    #[test]
    fn what_cron_cannot_keep_is_refused_with_the_next_shorter_one() {
        for (text, instead) in
            [("7m", "6m"), ("45m", "30m"), ("90m", "1h"), ("5h", "4h"), ("36h", "1d"), ("2w", "1w")]
        {
            let e = text.parse::<Interval>().unwrap_err();
            assert!(e.hints()[0].contains(instead), "{text}: {:?}", e.hints());
        }
        for text in ["", "8", "h", "0h", "-8h", "8s", "1.5h", "99999999999h", "é"] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_schedule_to_copy() {
        let command = ["/usr/bin/restorekit", "snapshot", "--live", "/srv/it's 5%$/a.db"];
        let schedule = schedule(&command.map(str::to_owned), interval("8h")).unwrap();
        assert_eq!(
            schedule.cron,
            r"0 */8 * * * /usr/bin/restorekit snapshot --live '/srv/it'\''s 5\%$/a.db'"
        );
        assert!(schedule.service.contains(
            "\nExecStart=/usr/bin/restorekit snapshot --live \"/srv/it's 5%%$$/a.db\"\n"
        ));
        assert!(schedule.timer.contains("\nOnCalendar=*-*-* 00/8:00:00\nPersistent=true\n"));
        assert!(super::schedule(&["a\nb".into()], interval("8h")).is_err());
        assert!(super::schedule(&[], interval("8h")).is_err());
    }
}
