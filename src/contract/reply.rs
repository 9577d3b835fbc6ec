//! Answers to registrations.

use serde::Serialize;

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
    /// Why the whole message was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub epoch: i64,
}

impl RegistrationReply {
    pub fn new(action: &'static str, bot: Option<String>, epoch: i64) -> RegistrationReply {
        RegistrationReply { kind: "registration", action, bot, accepted: Vec::new(), refused: Vec::new(), reason: None, epoch }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
