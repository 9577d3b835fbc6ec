//! What the account page says, read from its status and body.
//!
//! Must not know how pages are fetched.

use std::time::Duration;

use super::super::notices::clean;
use crate::exchanges::Advice;

pub const KEY_ID_HEADER: &str = "APCA-API-KEY-ID";
pub const SECRET_KEY_HEADER: &str = "APCA-API-SECRET-KEY";
/// On the trading host.
pub const ACCOUNT_PATH: &str = "/v2/account";

const MAX_ID: usize = 64;
/// The venue allows 200 pages a minute; a minute of patience is always enough.
const AFTER_TOO_MANY: Advice = Advice::ReconnectPatiently { first: Duration::from_secs(10), cap: Duration::from_secs(120) };
/// Answers that no exchange gives: a wrong address, or something in between.
const AFTER_NONSENSE: Advice = Advice::ReconnectPatiently { first: Duration::from_secs(5), cap: Duration::from_secs(60) };

/// What the hub needs to know of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFacts {
    /// The venue's own id, fit for channel names: letters, digits, `-` and `_`.
    pub id: String,
    /// Such as `ACTIVE`.
    pub status: String,
    pub currency: Option<String>,
    pub trading_blocked: bool,
}

/// The page was not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the account page of Alpaca answers {status}: {message}; {}", remedy(*status))]
pub struct RestError {
    pub status: u16,
    /// The venue's own number of the error.
    pub code: Option<i64>,
    /// Safe to log.
    pub message: String,
    pub advice: Advice,
}

fn remedy(status: u16) -> &'static str {
    match status {
        401 | 403 => "set the right key id and secret for this environment",
        429 => "asking again more slowly",
        500.. => "the fault is Alpaca's, asking again",
        _ => "check that the address is that of the trading host",
    }
}

#[derive(serde::Deserialize)]
struct Account {
    id: String,
    status: String,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    trading_blocked: Option<bool>,
    #[serde(default)]
    account_blocked: Option<bool>,
}

#[derive(serde::Deserialize, Default)]
struct Fault {
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default)]
    message: Option<String>,
}

/// Reads the answer to `GET /v2/account`.
pub fn parse_account(status: u16, body: &str) -> Result<AccountFacts, RestError> {
    if status != 200 {
        return Err(refused(status, body));
    }
    let unreadable = |message: String| RestError { status, code: None, message, advice: AFTER_NONSENSE };
    let account: Account = serde_json::from_str(body).map_err(|_| unreadable(describe(body)))?;
    let fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if account.id.is_empty() || account.id.len() > MAX_ID || !account.id.bytes().all(fit) {
        return Err(unreadable("an account id of unexpected form".to_owned()));
    }
    Ok(AccountFacts {
        id: account.id,
        status: clean(&account.status, &[]),
        currency: account.currency.map(|currency| clean(&currency, &[])),
        trading_blocked: account.trading_blocked.unwrap_or(false) || account.account_blocked.unwrap_or(false),
    })
}

fn refused(status: u16, body: &str) -> RestError {
    let fault = serde_json::from_str::<Fault>(body).unwrap_or_default();
    let message = fault.message.filter(|message| !message.is_empty());
    let advice = match status {
        401 | 403 => Advice::Refuse,
        429 => AFTER_TOO_MANY,
        500.. => Advice::Reconnect,
        _ => AFTER_NONSENSE,
    };
    RestError {
        status,
        code: fault.code.and_then(|code| code.as_i64()),
        message: message.map_or_else(|| describe(body), |message| clean(&message, &[])),
        advice,
    }
}

/// What a body is that holds no message.
fn describe(body: &str) -> String {
    let start = body.trim_start();
    let kind = match start.as_bytes().first() {
        None => "an empty body",
        Some(b'<') => "a web page instead of JSON",
        Some(b'{') => "JSON of another shape",
        Some(_) => "a body that is not JSON",
    };
    kind.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read() {
        let facts = parse_account(200, include_str!("../../../../tests/fixtures/alpaca/account.json"));
        let expected = AccountFacts {
            id: "904837e3-3b76-47ec-b432-046db621571b".to_owned(),
            status: "ACTIVE".to_owned(),
            currency: Some("USD".to_owned()),
            trading_blocked: false,
        };
        assert_eq!(facts, Ok(expected));
        let bare = parse_account(200, r#"{"id":"a-1","status":"INACTIVE","account_blocked":true,"currency":null}"#);
        assert_eq!(bare, Ok(AccountFacts { id: "a-1".to_owned(), status: "INACTIVE".to_owned(), currency: None, trading_blocked: true }));
    }

    #[test]
    fn refusals_carry_message_code_and_advice() {
        for (status, body, message, code, advice) in [
            (401, r#"{"message":"unauthorized."}"#, "unauthorized.", None, Advice::Refuse),
            (401, r#"{"code":40110000,"message":"request is not authorized"}"#, "request is not authorized", Some(40_110_000), Advice::Refuse),
            (403, "", "an empty body", None, Advice::Refuse),
            (404, "<html>not here</html>", "a web page instead of JSON", None, AFTER_NONSENSE),
            (429, r#"{"code":42910000,"message":"too many requests"}"#, "too many requests", Some(42_910_000), AFTER_TOO_MANY),
            (500, r#"{"code":"x","message":""}"#, "JSON of another shape", None, Advice::Reconnect),
            (502, "<html>Bad Gateway</html>", "a web page instead of JSON", None, Advice::Reconnect),
            (504, "upstream timeout", "a body that is not JSON", None, Advice::Reconnect),
            (302, "", "an empty body", None, AFTER_NONSENSE),
            (204, "", "an empty body", None, AFTER_NONSENSE),
        ] {
            let expected = RestError { status, code, message: message.to_owned(), advice };
            assert_eq!(parse_account(status, body), Err(expected));
        }
        let shown = parse_account(401, r#"{"message":"no\r\n\u001b[31m"}"#).expect_err("401 is a refusal").to_string();
        assert_eq!(shown, "the account page of Alpaca answers 401: no???[31m; set the right key id and secret for this environment");
    }

    #[test]
    fn a_page_that_is_no_account_is_refused() {
        let deep = "[".repeat(100_000);
        let injected = r#"{"id":"x:y\r\n","status":"ACTIVE"}"#;
        let long = format!(r#"{{"id":"{}","status":"ACTIVE"}}"#, "a".repeat(65));
        for body in ["", "null", "[]", "{}", "<html>", r#"{"id":7,"status":"ACTIVE"}"#, r#"{"id":"","status":"ACTIVE"}"#, injected, &long, &deep] {
            let error = parse_account(200, body).expect_err("no account stands in that page");
            assert_eq!(error.advice, AFTER_NONSENSE, "{}", error.message);
        }
    }
}
