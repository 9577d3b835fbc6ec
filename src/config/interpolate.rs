//! `${VAR}` and `${VAR:default}` inside one text.
//!
//! Works on values that are parsed already, so a secret with `#`, `:` or quotes in it stays whole, and what a variable
//! holds is never interpolated again. The result stays text: the reader of a key decides whether `7497` is a number,
//! and a password of digits keeps its zeros.

/// Why a text with placeholders cannot be completed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PlaceholderError {
    #[error("the variable {0} is not set and has no default; set it in the environment or in .env, or write ${{{0}:default}}")]
    Missing(String),
    #[error("a placeholder is not closed; write ${{NAME}} or ${{NAME:default}}, and $${{ for the characters themselves")]
    Open,
    #[error("a placeholder has no proper name; write ${{NAME}} or ${{NAME:default}} with letters, digits and _")]
    Name,
    #[error("a default may not contain a placeholder")]
    Nested,
}

/// A completed text and the variables it names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Completed {
    pub text: String,
    pub names: Vec<String>,
}

pub(super) fn complete(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Completed, PlaceholderError> {
    let mut done = Completed::default();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(kept) = before.strip_suffix('$') {
            done.text.push_str(kept);
            done.text.push_str("${");
            rest = &from[2..];
            continue;
        }
        done.text.push_str(before);
        let end = from.find('}').ok_or(PlaceholderError::Open)?;
        let (name, default) = match from[2..end].split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (&from[2..end], None),
        };
        if !is_name(name) {
            return Err(PlaceholderError::Name);
        }
        if default.is_some_and(|d| d.contains("${")) {
            return Err(PlaceholderError::Nested);
        }
        let value = lookup(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| PlaceholderError::Missing(name.to_owned()))?;
        done.text.push_str(&value);
        done.names.push(name.to_owned());
        rest = &from[end + 1..];
    }
    done.text.push_str(rest);
    Ok(done)
}

/// A variable name as shells and Docker take it.
pub(super) fn is_name(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain && !text.is_empty() && text.len() <= 128 && !text.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("7497".to_owned()),
            "PASSWORD" => Some("a#b: c\" ${PORT}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn completes_texts() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("${PORT}", "7497"),
            ("${PORT:1}", "7497"),
            ("${NONE:1}", "1"),
            ("${NONE:}", ""),
            ("${NONE:wss://host/a:b}", "wss://host/a:b"),
            ("a${PORT}b${NONE:c}d", "a7497bcd"),
            ("${PASSWORD}", "a#b: c\" ${PORT}"),
            ("$${PORT}", "${PORT}"),
            ("5$ and $HOME", "5$ and $HOME"),
        ] {
            assert_eq!(complete(text, &lookup).map(|c| c.text), Ok(wanted.to_owned()), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, wanted) in [
            ("${NONE}", PlaceholderError::Missing("NONE".to_owned())),
            ("${PORT", PlaceholderError::Open),
            ("${}", PlaceholderError::Name),
            ("${1A}", PlaceholderError::Name),
            ("${A B:c}", PlaceholderError::Name),
            ("${NONE:${PORT}}", PlaceholderError::Nested),
        ] {
            assert_eq!(complete(text, &lookup), Err(wanted), "{text}");
        }
        let missing = PlaceholderError::Missing("NONE".to_owned()).to_string();
        assert!(missing.ends_with("or write ${NONE:default}"), "{missing}");
    }

    proptest! {
        #[test]
        fn never_panics(text in "(\\$|\\{|\\}|:|A|é|\\PC){0,40}") {
            let _ = complete(&text, &lookup);
        }
    }
}
