//! What is wrong with a configuration, in words an operator can act on.
//!
//! Must not contain a secret: whoever records a problem decides what of a value may be shown.

use std::fmt;

/// One mistake: where it stands, what was found, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `configs/broker.yaml:7: redis.port`, or the name of a variable and where it was set.
    pub at: String,
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.text)
    }
}

/// Why the broker does not start. The text is the whole message for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{}", refused(.0))]
    Refused(Vec<Problem>),
    #[error("{}", no_keys(*.live_keys_unused))]
    NoKeys { live_keys_unused: bool },
}

fn refused(problems: &[Problem]) -> String {
    match problems {
        [one] => format!("the configuration is refused: {one}"),
        many => {
            let lines: Vec<String> = many.iter().map(|problem| format!("\n  {problem}")).collect();
            format!("the configuration is refused, {} mistakes:{}", many.len(), lines.concat())
        }
    }
}

fn no_keys(live_keys_unused: bool) -> String {
    let live = if live_keys_unused {
        "\n  ALPACA_API_KEY_ID and ALPACA_API_SECRET_KEY are set, but live keys count only with BROKER_LIVE=1 or an account with 'environment: live';"
    } else {
        ""
    };
    format!(
        "no exchange keys are configured, so there is nothing to connect to:{live}\n  \
         set PAPER_ALPACA_API_KEY_ID and PAPER_ALPACA_API_SECRET_KEY to the keys of a paper account, in the environment or in configs/.env;\n  \
         or use the built-in exchange, which needs no keys and invents its prices: --sim"
    )
}

/// What was noticed while reading; reading goes on after a mistake, so that all are told at once.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
}

impl Report {
    pub fn refuse(&mut self, at: impl Into<String>, text: impl Into<String>) {
        self.problems.push(Problem { at: at.into(), text: text.into() });
    }

    pub fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}

/// The known name that a mistyped one most likely meant.
pub(super) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed: Vec<char> = typed.chars().take(64).collect();
    let limit = (typed.len() / 3).clamp(1, 4);
    known.into_iter().map(|name| (distance(&typed, name), name)).filter(|(steps, _)| *steps <= limit).min().map(|(_, name)| name)
}

/// How many letters must be changed, added, dropped or swapped with their neighbour.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let changed = above[j] + usize::from(x != y);
            let mut least = changed.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_only_what_is_near() {
        let known = ["host", "port", "db", "password"];
        assert_eq!(nearest("prot", known), Some("port"));
        assert_eq!(nearest("pasword", known), Some("password"));
        assert_eq!(nearest("username", known), None);
        assert_eq!(nearest("", known), None);
    }
}
