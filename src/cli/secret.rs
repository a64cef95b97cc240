//! Passwords in URLs: seen, warned about, never shown.

/// A URL with the password replaced by `***`; anything else as it is.
pub fn redact(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // A password may hold an @: the host begins after the last one.
    let authority = match authority.rsplit_once('@') {
        Some((who, host)) => match who.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    format!("{scheme}://{authority}{}", redact_query(path))
}

fn redact_query(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let parts: Vec<String> = query
        .split('&')
        .map(|part| match part.split_once('=') {
            Some((name, _)) if secret_name(name) => format!("{name}=***"),
            _ => part.to_owned(),
        })
        .collect();
    format!("{path}?{}", parts.join("&"))
}

fn secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words =
        ["password", "passwd", "pwd", "secret", "token", "sslkey", "signature", "credential"];
    // The last is Azure's.
    words.iter().any(|s| name.contains(s)) || name == "sig"
}

/// Hides the passwords of URLs inside a text.
pub fn redact_words(text: &str) -> String {
    let split = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
    text.split_inclusive(split)
        .map(|word| {
            let body = word.trim_end_matches(split);
            format!("{}{}", redact(body), &word[body.len()..])
        })
        .collect()
}

/// Hides the passwords inside a text that repeats some of these arguments. A password may hold
/// what words end at.
pub fn redact_arguments(text: &str, arguments: impl IntoIterator<Item = String>) -> String {
    let mut text = text.to_owned();
    for argument in arguments {
        let value = argument.split_once('=').map_or("", |(_, value)| value);
        for part in [argument.as_str(), value].into_iter().filter(|part| has_password(part)) {
            text = text.replace(part, &redact(part));
        }
    }
    redact_words(&text)
}

/// True when a text carries a password that [`redact`] would hide.
pub fn has_password(text: &str) -> bool {
    redact(text) != text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w2_passwords_are_hidden() {
        let cases = [
            ("mysql://root:hunter2@db1/prod", "mysql://root:***@db1/prod"),
            ("postgres://u:p@ss@h:5/d?sslmode=on", "postgres://u:***@h:5/d?sslmode=on"),
            ("postgres://h/d?user=a&Password=x&b=c", "postgres://h/d?user=a&Password=***&b=c"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("https://h/t?X-Amz-Signature=x&a=b", "https://h/t?X-Amz-Signature=***&a=b"),
            ("https://h/t?sig=x", "https://h/t?sig=***"),
            ("prod.db", "prod.db"),
            ("a:b@c.db", "a:b@c.db"),
        ];
        for (url, shown) in cases {
            assert_eq!(redact(url), shown);
            assert_eq!(has_password(url), url != shown);
        }
    }

    #[test]
    fn w2_repeated_arguments_show_no_password() {
        let url = "mysql://u:hun'ter 2@h/d";
        for argument in [url.to_owned(), format!("--live={url}")] {
            let text = format!("error: '{argument}' or '{url}' is not taken");
            let told = redact_arguments(&text, ["restorekit".to_owned(), argument]);
            assert!(!told.contains("hun") && !told.contains("ter"), "{told}");
            assert!(told.contains("mysql://u:***@h/d"), "{told}");
        }
    }
}
