//! Answers to registrations.

use serde::Serialize;

/// A small message must not make a large answer.
const REFUSALS_LISTED: usize = 100;

/// A symbol that is not served, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub symbol: String,
    pub reason: String,
}

impl Refusal {
    /// Takes any text for a symbol: what is unprintable or too long is shown as such.
    pub fn new(symbol: &str, reason: &str) -> Refusal {
        let shown: String = symbol.chars().take(40).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
        Refusal { symbol: shown, reason: reason.to_owned() }
    }
}

/// Sent to `reply_to`; refusals also to `broker:replies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegistrationReply {
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `register`, `unregister`, or `refused` when the venue refused later or the message was none.
    pub action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot: Option<String>,
    pub accepted: Vec<String>,
    pub refused: Vec<Refusal>,
    /// How many more are refused than are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused_more: usize,
    /// Why the whole message was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub epoch: i64,
}

impl RegistrationReply {
    pub fn new(action: &'static str, bot: Option<String>, epoch: i64) -> RegistrationReply {
        RegistrationReply { kind: "registration", action, bot, accepted: Vec::new(), refused: Vec::new(), refused_more: 0, reason: None, epoch }
    }

    /// Lists a hundred refusals at most and counts the rest.
    pub fn shortened(mut self) -> RegistrationReply {
        self.refused_more += self.refused.len().saturating_sub(REFUSALS_LISTED);
        self.refused.truncate(REFUSALS_LISTED);
        self
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_refusals_make_a_short_answer_that_counts_them() {
        let refused = (0..1_000).map(|_| Refusal::new("no symbol", "form")).collect();
        let reply = RegistrationReply { refused, ..RegistrationReply::new("register", None, 0) }.shortened();
        assert_eq!((reply.refused.len(), reply.refused_more), (100, 900));
        assert!(reply.to_json().len() < 10_000 && reply.to_json().contains(r#""refused_more":900"#));
        assert!(!RegistrationReply::new("register", None, 0).shortened().to_json().contains("refused_more"));
    }
}
