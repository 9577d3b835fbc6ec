//! The customers of the exchange: their keys, plans and rights.
//!
//! Must not know sockets, sessions or orders.

use std::str::FromStr;

use crate::runtime::Secret;

/// What a customer pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plan {
    /// Free: one exchange's prices, thirty symbols, 200 requests a minute.
    Basic,
    #[default]
    Plus,
}

const EVERY_FEED: [&str; 7] = ["iex", "sip", "delayed_sip", "boats", "overnight", "indicative", "opra"];
const BASIC_FEEDS: [&str; 4] = ["iex", "delayed_sip", "overnight", "indicative"];
const FIRST_ACCOUNT: u32 = 1;

/// One customer of the exchange.
#[derive(Debug, Clone)]
pub struct SimKey {
    pub key_id: String,
    pub secret: Secret,
    pub plan: Plan,
    /// Distinct symbols over trades and quotes; beyond it a subscription is refused with 405.
    pub symbol_limit: Option<usize>,
    /// As `symbol_limit`, for quotes of options.
    pub option_limit: Option<usize>,
    /// Feeds of stocks and options in the plan, such as `iex`; another is refused with 409. Crypto, news and the test
    /// feed are in every plan.
    pub feeds: Vec<String>,
    /// Connections to one market-data endpoint at a time; another is refused with 406.
    pub connections: usize,
    /// REST requests a minute to the trading host; beyond it 429.
    pub trading_per_minute: Option<u32>,
    /// REST requests a minute to the data host; beyond it 429.
    pub data_per_minute: Option<u32>,
    /// The account that the key trades on; keys may share one.
    pub account_id: String,
}

impl Default for SimKey {
    /// Everything, without limits: for tests and demonstrations.
    fn default() -> SimKey {
        SimKey {
            key_id: "SIM".to_owned(),
            secret: Secret::new("SIM-SECRET"),
            plan: Plan::Plus,
            symbol_limit: None,
            option_limit: None,
            feeds: EVERY_FEED.map(str::to_owned).to_vec(),
            connections: 1,
            trading_per_minute: None,
            data_per_minute: None,
            account_id: account_id(FIRST_ACCOUNT),
        }
    }
}

impl SimKey {
    /// With the rights and limits of a plan, and the default account.
    pub fn of_plan(key_id: &str, secret: &str, plan: Plan) -> SimKey {
        let basic = plan == Plan::Basic;
        SimKey {
            key_id: key_id.to_owned(),
            secret: Secret::new(secret),
            plan,
            symbol_limit: basic.then_some(30),
            option_limit: Some(if basic { 200 } else { 1_000 }),
            feeds: if basic { BASIC_FEEDS.map(str::to_owned).to_vec() } else { EVERY_FEED.map(str::to_owned).to_vec() },
            trading_per_minute: Some(200),
            data_per_minute: Some(if basic { 200 } else { 10_000 }),
            ..SimKey::default()
        }
    }

    /// With an account of its own, counted from 1.
    pub fn on_account(self, number: u32) -> SimKey {
        SimKey { account_id: account_id(number), ..self }
    }

    /// Whether these are its key and secret; a token stands for both, as keys `oauth` and `access_token` do.
    pub(super) fn opens_with(&self, key_id: &str, secret: &str) -> bool {
        let known = self.key_id == key_id || matches!(key_id, "oauth" | "access_token");
        known && self.secret.expose() == secret
    }
}

fn account_id(number: u32) -> String {
    format!("5eed0000-0000-4000-8000-{number:012}")
}

/// Why a text is no key. The text itself may hold a secret, and is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    #[error("a key is written id:secret or id:secret:plan, without spaces")]
    Form,
    #[error("the plans are basic and plus, and unlimited for no limits at all")]
    Plan,
}

impl FromStr for SimKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<SimKey, KeyTextError> {
        let mut parts = text.split(':');
        let (id, secret, plan) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
        let usable = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic());
        if !usable(id) || !usable(secret) || parts.next().is_some() {
            return Err(KeyTextError::Form);
        }
        let plan = match plan {
            Some("unlimited") => return Ok(SimKey { key_id: id.to_owned(), secret: Secret::new(secret), ..SimKey::default() }),
            None | Some("basic") => Plan::Basic,
            Some("plus") => Plan::Plus,
            Some(_) => return Err(KeyTextError::Plan),
        };
        Ok(SimKey::of_plan(id, secret, plan))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_rights_of_their_plan() {
        let basic: SimKey = "PK1:s3cret".parse().unwrap();
        assert_eq!((basic.symbol_limit, basic.data_per_minute, basic.feeds.contains(&"sip".to_owned())), (Some(30), Some(200), false));
        let plus: SimKey = "PK2:s3cret:plus".parse().unwrap();
        assert_eq!((plus.symbol_limit, plus.data_per_minute, plus.feeds.contains(&"sip".to_owned())), (None, Some(10_000), true));
        assert!(basic.opens_with("PK1", "s3cret") && basic.opens_with("oauth", "s3cret") && !basic.opens_with("PK1", "other"));
        assert!(!basic.opens_with("PK2", "s3cret"));
        let unlimited: SimKey = "PK3:s3cret:unlimited".parse().unwrap();
        assert_eq!((unlimited.trading_per_minute, unlimited.data_per_minute, unlimited.symbol_limit), (None, None, None));
        assert_eq!(SimKey::default().on_account(1).account_id, SimKey::default().account_id);
    }

    #[test]
    fn what_is_no_key_is_refused_without_its_secret() {
        for text in ["", "id", ":s", "id:", "id:s:plus:x", "i d:s"] {
            assert_eq!(text.parse::<SimKey>().unwrap_err(), KeyTextError::Form, "{text}");
        }
        let error = "id:hunter2:gold".parse::<SimKey>().unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
