//! What an answer that is no success means: whether something was done, and whose fault it is.
//!
//! Pure. Must not know how requests are sent.

use std::time::Duration;

use super::super::notices::clean;
use super::{Page, Verb};
use crate::exchanges::BrokerError;
use crate::runtime::Secret;

const NOT_FOUND: i64 = 40_410_000;
const UNPROCESSABLE_ID: i64 = 40_010_001;

/// What was asked, as far as it decides what an answer means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub broker: &'a str,
    pub verb: Verb,
    pub path: &'a str,
    pub body: Option<&'a str>,
    pub secrets: &'a [&'a Secret],
}

#[derive(serde::Deserialize, Default)]
struct Fault {
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default)]
    message: Option<serde_json::Value>,
}

impl Asked<'_> {
    /// The venue's words, safe to log, with the number that its support asks for.
    pub fn words(&self, text: &str, request_id: Option<&str>) -> String {
        let text = clean(text, self.secrets);
        match request_id {
            Some(id) => format!("{text} (request {})", clean(id, self.secrets)),
            None => text,
        }
    }

    /// It was sent, and what became of it is not known.
    pub fn uncertain(&self, cause: String) -> BrokerError {
        match self.verb {
            Verb::Get => self.unavailable(cause),
            Verb::Post | Verb::Patch | Verb::Delete => BrokerError::OutcomeUnknown { broker: self.broker.to_owned(), cause },
        }
    }

    /// It is certain that nothing was done.
    pub fn unavailable(&self, cause: String) -> BrokerError {
        BrokerError::Unavailable { broker: self.broker.to_owned(), cause }
    }

    /// The page where it is a success, the error else. `after` is how long the venue asks to wait.
    pub fn judge(&self, page: Page, after: Option<Duration>) -> Result<Page, BrokerError> {
        let id = page.request_id.as_deref();
        match page.status {
            200..=299 if self.is_content(&page) => Ok(page),
            200..=299 => Err(self.uncertain(self.words(&format!("the answer {} carries {}", page.status, describe(&page.body)), id))),
            300..=399 => Err(self.uncertain(self.words(&format!("the answer {} sends us to another place, where keys are not taken", page.status), id))),
            400..=499 => Err(self.refusal(&page, after)),
            status => Err(self.uncertain(self.words(&format!("the answer is {status}: {}", said(&page.body).1), id))),
        }
    }

    /// A success carries JSON; a deletion may carry nothing.
    fn is_content(&self, page: &Page) -> bool {
        if page.body.trim().is_empty() {
            return page.status == 204 || self.verb == Verb::Delete;
        }
        let holds_more = matches!(page.body.trim_start().as_bytes().first(), Some(b'{' | b'['));
        holds_more && serde_json::from_str::<serde::de::IgnoredAny>(&page.body).is_ok()
    }

    fn refusal(&self, page: &Page, after: Option<Duration>) -> BrokerError {
        let (code, said) = said(&page.body);
        let reason = self.words(&said, page.request_id.as_deref());
        let says = |word: &str| said.to_ascii_lowercase().contains(word);
        match (page.status, code) {
            (401, _) => BrokerError::Unauthorised { broker: self.broker.to_owned(), cause: reason },
            // The answer of a host whose keys these are not: those of paper on the live host, and the reverse.
            (403, None) if says("forbidden") => BrokerError::Unauthorised { broker: self.broker.to_owned(), cause: reason },
            (404, Some(NOT_FOUND)) => BrokerError::UnknownOrder(self.named()),
            // Said by what stands between us and the venue: the venue may have taken it.
            (408 | 499, _) => self.uncertain(reason),
            (422, Some(UNPROCESSABLE_ID)) if says("client_order_id") && ["unique", "duplicate", "exist", "used"].iter().any(|word| says(word)) => {
                BrokerError::DuplicateClientId(self.client_id())
            }
            (429, _) => BrokerError::RateLimited { after },
            (status, code) => BrokerError::Rejected { code: Some(code.map_or_else(|| status.to_string(), |code| code.to_string())), reason },
        }
    }

    /// The thing that the path names: the value of its query, or else its last segment.
    fn named(&self) -> String {
        let (path, query) = self.path.split_once('?').unwrap_or((self.path, ""));
        let by_client_id = query.split('&').find_map(|pair| pair.strip_prefix("client_order_id="));
        clean(by_client_id.unwrap_or_else(|| path.rsplit('/').next().unwrap_or_default()), self.secrets)
    }

    fn client_id(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Sent {
            client_order_id: Option<String>,
        }
        let sent = self.body.and_then(|body| serde_json::from_str::<Sent>(body).ok());
        sent.and_then(|sent| sent.client_order_id).unwrap_or_default()
    }
}

/// The code and the words of an error body.
fn said(body: &str) -> (Option<i64>, String) {
    let fault = serde_json::from_str::<Fault>(body).unwrap_or_default();
    let code = fault.code.and_then(|code| code.as_i64().or_else(|| code.as_str()?.parse().ok()));
    let message = fault.message.and_then(|message| message.as_str().map(str::to_owned)).filter(|message| !message.is_empty());
    (code, message.unwrap_or_else(|| describe(body).to_owned()))
}

/// What a body is that holds no message.
fn describe(body: &str) -> &'static str {
    match body.trim_start().as_bytes().first() {
        None => "an empty body",
        Some(b'<') => "a web page instead of JSON",
        Some(b'{' | b'[') => "JSON of another shape",
        Some(_) => "a body that is not JSON",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSTED: &str = r#"{"client_order_id":"bot-1","symbol":"AAPL"}"#;

    fn judged(verb: Verb, path: &str, status: u16, body: &str) -> Result<Page, BrokerError> {
        let secret = Secret::new("HUSH");
        let asked = Asked { broker: "alpaca", verb, path, body: (verb == Verb::Post).then_some(POSTED), secrets: &[&secret] };
        asked.judge(Page { status, body: body.to_owned(), request_id: Some("1234-a".to_owned()) }, Some(Duration::from_secs(3)))
    }

    #[test]
    fn refusals_say_what_the_venue_said() {
        let rejected = |code: &str, reason: &str| BrokerError::Rejected { code: Some(code.to_owned()), reason: format!("{reason} (request 1234-a)") };
        let unauthorised = |cause: &str| BrokerError::Unauthorised { broker: "alpaca".to_owned(), cause: format!("{cause} (request 1234-a)") };
        for (status, body, expected) in [
            (400, r#"{"code":40010000,"message":"failed to decode request body"}"#, rejected("40010000", "failed to decode request body")),
            (400, r#"{"message":"end should not be before start"}"#, rejected("400", "end should not be before start")),
            (401, r#"{"message":"unauthorized."}"#, unauthorised("unauthorized.")),
            (401, r#"{"code":40110000,"message":"no key HUSH"}"#, unauthorised("no key ***")),
            (403, r#"{"message":"forbidden."}"#, unauthorised("forbidden.")),
            (403, r#"{"code":40310000,"message":"insufficient buying power"}"#, rejected("40310000", "insufficient buying power")),
            (403, "<html>", rejected("403", "a web page instead of JSON")),
            (404, r#"{"code":40410000,"message":"order not found"}"#, BrokerError::UnknownOrder("7".to_owned())),
            (404, "<html>", rejected("404", "a web page instead of JSON")),
            (404, r#"{"message":"endpoint not found."}"#, rejected("404", "endpoint not found.")),
            (422, r#"{"code":40010001,"message":"client_order_id must be unique"}"#, BrokerError::DuplicateClientId("bot-1".to_owned())),
            (422, r#"{"code":40010001,"message":"qty must be integer"}"#, rejected("40010001", "qty must be integer")),
            (422, r#"{"code":"42210000","message":"sub-penny HUSH\r\n"}"#, rejected("42210000", "sub-penny ***??")),
            (422, r#"{"code":null,"message":7}"#, rejected("422", "JSON of another shape")),
            (429, "", BrokerError::RateLimited { after: Some(Duration::from_secs(3)) }),
        ] {
            assert_eq!(judged(Verb::Post, "/v2/orders/7?nested=true", status, body), Err(expected), "{status} {body}");
        }
        let by_id = judged(Verb::Get, "/v2/orders:by_client_order_id?client_order_id=bot-1", 404, r#"{"code":40410000}"#);
        assert_eq!(by_id, Err(BrokerError::UnknownOrder("bot-1".to_owned())));
        let long = format!(r#"{{"code":40310000,"message":"{}"}}"#, "x".repeat(100_000));
        assert!(judged(Verb::Post, "/", 403, &long).unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn what_may_have_been_done_is_unknown_for_writes_and_unavailable_for_reads() {
        for (status, body) in [
            (200, ""),
            (200, "<html>"),
            (200, "{\"id\":"),
            (200, "null"),
            (207, "<html>"),
            (302, ""),
            (301, "<html>"),
            (408, ""),
            (500, "{}"),
            (502, "<html>"),
            (503, ""),
            (504, r#"{"code":50410000,"message":"timed out"}"#),
            (101, ""),
            (600, ""),
        ] {
            let read = judged(Verb::Get, "/v2/orders", status, body).unwrap_err();
            assert_eq!(read.kind(), "unavailable", "{status} {body}");
            assert!(read.to_string().ends_with("(request 1234-a)"), "{read}");
            for verb in [Verb::Post, Verb::Patch] {
                assert_eq!(judged(verb, "/v2/orders", status, body).unwrap_err().kind(), "outcome_unknown", "{verb:?} {status} {body}");
            }
            if !(status == 200 && body.is_empty()) {
                assert_eq!(judged(Verb::Delete, "/v2/orders", status, body).unwrap_err().kind(), "outcome_unknown", "{status} {body}");
            }
        }
    }

    #[test]
    fn successes_pass() {
        for (verb, status, body) in
            [(Verb::Get, 200, "[]"), (Verb::Post, 200, "{}"), (Verb::Delete, 204, ""), (Verb::Delete, 207, "[]"), (Verb::Delete, 200, "")]
        {
            assert_eq!(judged(verb, "/", status, body).unwrap().body, body);
        }
    }
}
