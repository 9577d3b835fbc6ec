//! Brokerage accounts: whose keys, which hosts. Live trading is never a default.
//!
//! Must not contact anybody: whether keys are good is for the exchange to say.

use std::sync::Arc;

use super::dotenv::Variables;
use super::problem::Report;
use super::section::{Given, Section};
use super::settings::{Account, Environment};
use super::yaml::{Node, What};
use crate::net::Endpoint;
use crate::runtime::Secret;

const PAPER_HOST: &str = "paper-api.alpaca.markets";
const LIVE_HOST: &str = "api.alpaca.markets";
const PLACEHOLDERS: [&str; 4] = ["your_", "<", "changeme", "***"];
const KEYS_OF_PAPER: (&str, &str) = ("PAPER_ALPACA_API_KEY_ID", "PAPER_ALPACA_API_SECRET_KEY");
const KEYS_OF_LIVE: (&str, &str) = ("ALPACA_API_KEY_ID", "ALPACA_API_SECRET_KEY");

/// The accounts that may be used, in the order of the file.
pub(super) struct Accounts {
    pub list: Vec<Account>,
    pub live_keys_unused: bool,
}

pub(super) fn read(top: &mut Section, variables: &Variables, sim: bool, report: &mut Report) -> Accounts {
    let listed = top.take("accounts");
    let live_allowed = variables.get("BROKER_LIVE").and_then(|v| Given::of_variable("BROKER_LIVE", v).truth(report));
    if sim {
        let keys = [KEYS_OF_PAPER.0, KEYS_OF_LIVE.0].into_iter().any(|name| variables.is_set(name));
        if keys || listed.is_some_and(|node| !matches!(node.what, What::Nothing)) {
            report.warn("--sim: the built-in exchange is used, the configured accounts and keys are left unused");
        }
        return Accounts { list: vec![sim_account("sim")], live_keys_unused: false };
    }
    let mut reader = Reader { variables, report };
    let list = match listed {
        Some(Node { what: What::List(items), .. }) if !items.is_empty() => reader.listed(items, live_allowed),
        Some(Node { what: What::Nothing | What::Unset | What::List(_), .. }) | None => reader.of_variables(live_allowed == Some(true)),
        Some(node) => {
            reader.report.refuse(node.at, "found a single value, allowed is a list of accounts, each with a name and an environment");
            Vec::new()
        }
    };
    reader.refuse_mixtures(&list);
    let live = list.iter().any(|read| read.account.environment == Environment::Live);
    let real = |name: &str| variables.get(name).is_some_and(|v| !is_placeholder(&v.value));
    let live_keys_unused = !live && (real(KEYS_OF_LIVE.0) || real(KEYS_OF_LIVE.1));
    if live_keys_unused {
        report.warn("ALPACA_API_KEY_ID and ALPACA_API_SECRET_KEY are set but left unused: live trading is never a default; BROKER_LIVE=1 or an account with 'environment: live' allows it");
    }
    Accounts { list: list.into_iter().map(|read| read.account).collect(), live_keys_unused }
}

/// An account and where the operator wrote it.
struct Read {
    at: String,
    account: Account,
}

struct Reader<'a> {
    variables: &'a Variables,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn listed(&mut self, items: Vec<Node>, live_allowed: Option<bool>) -> Vec<Read> {
        let mut list: Vec<Read> = Vec::new();
        for item in items {
            let Some(section) = Section::new(item, self.report) else { continue };
            if let Some(read) = self.one_listed(section, live_allowed) {
                if list.iter().any(|other| other.account.name == read.account.name) {
                    self.report.refuse(read.at.clone(), format!("two accounts are named '{}'; give each its own name", read.account.name));
                }
                list.push(read);
            }
        }
        let listed_live = list.iter().any(|read| read.account.environment == Environment::Live);
        if live_allowed == Some(true) && !listed_live {
            self.report.warn("BROKER_LIVE=1 changes nothing: the file lists its accounts, and none has 'environment: live'");
        }
        list
    }

    fn one_listed(&mut self, mut section: Section, live_allowed: Option<bool>) -> Option<Read> {
        let names = [("sim", Environment::Sim), ("paper", Environment::Paper), ("live", Environment::Live)];
        let at = section.at.clone();
        let environment = match section.text("environment", self.report) {
            Some(given) => given.choose(&names, self.report),
            None => {
                self.report.refuse(at.clone(), "the key 'environment' is missing, allowed is sim, paper, live");
                None
            }
        };
        let name = section.text("name", self.report);
        let key_id = section.text("key_id", self.report);
        let secret_key = section.text("secret_key", self.report);
        let api = section.text("api", self.report);
        let order_stream = section.text("order_stream", self.report);
        section.finish(self.report);
        let environment = environment?;
        let name = self.name(name, environment)?;
        if environment == Environment::Sim {
            for given in [&key_id, &secret_key, &api, &order_stream].into_iter().flatten() {
                self.report.refuse(given.at.clone(), "an account of the built-in exchange has no keys and no addresses; delete this line");
            }
            return Some(Read { at, account: sim_account(&name) });
        }
        if environment == Environment::Live && live_allowed == Some(false) {
            self.report.refuse(at.clone(), "this account is live, but BROKER_LIVE forbids live trading; delete one of the two");
        }
        let (key_id, secret_key) = self.keys(&at, key_id, secret_key, environment)?;
        let account = self.account(&name, environment, key_id, secret_key, (api, order_stream))?;
        Some(Read { at, account })
    }

    fn name(&mut self, given: Option<Given>, environment: Environment) -> Option<String> {
        let Some(given) = given else {
            let default = match environment {
                Environment::Sim => "sim",
                Environment::Paper => "paper",
                Environment::Live => "live",
            };
            return Some(default.to_owned());
        };
        let plain = given.text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        if plain && given.text.len() <= 32 && given.text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Some(given.text);
        }
        given.refuse(self.report, "a name that starts with a small letter and has at most 32 small letters, digits, _ and -");
        None
    }

    /// The plan's variables make `paper` and `live` by themselves.
    fn of_variables(&mut self, live_allowed: bool) -> Vec<Read> {
        let mut list = Vec::new();
        if self.variables.is_set(KEYS_OF_PAPER.0) || self.variables.is_set(KEYS_OF_PAPER.1) {
            list.extend(self.one_of_variables("paper", Environment::Paper));
        }
        if live_allowed {
            list.extend(self.one_of_variables("live", Environment::Live));
        }
        list
    }

    fn one_of_variables(&mut self, name: &str, environment: Environment) -> Option<Read> {
        let at = match environment {
            Environment::Live => self.variables.get("BROKER_LIVE").map_or_else(|| "live account".to_owned(), |v| v.at.clone()),
            _ => "paper account".to_owned(),
        };
        let (key_id, secret_key) = self.keys(&at, None, None, environment)?;
        let account = self.account(name, environment, key_id, secret_key, (None, None))?;
        Some(Read { at, account })
    }

    fn keys(&mut self, at: &str, key_id: Option<Given>, secret_key: Option<Given>, environment: Environment) -> Option<(Secret, Secret)> {
        let names = if environment == Environment::Live { KEYS_OF_LIVE } else { KEYS_OF_PAPER };
        // Both from one place: the key of one account with the secret of another is refused by the venue in words that
        // help nobody.
        let (pair, (key_name, secret_name)) = match (key_id, secret_key) {
            (None, None) => {
                let of = |name: &str| self.variables.get(name).map(|v| Given::of_variable(name, v));
                ((of(names.0), of(names.1)), names)
            }
            of_file => (of_file, ("key_id", "secret_key")),
        };
        let (key_id, secret_key) = match pair {
            (Some(key), Some(secret)) => (key, secret),
            (Some(one), None) => {
                self.report.refuse(one.at, format!("is set, but {secret_name} is not; set both"));
                return None;
            }
            (None, Some(one)) => {
                self.report.refuse(one.at, format!("is set, but {key_name} is not; set both"));
                return None;
            }
            (None, None) => {
                self.report.refuse(at, format!("the account has no keys; set {key_name} and {secret_name}"));
                return None;
            }
        };
        let (key, secret) = (secret(&key_id, self.report), secret(&secret_key, self.report));
        let (key, secret) = (key?, secret?);
        let mistaken = match environment {
            Environment::Live => key.expose().starts_with("PK").then_some("looks like a paper key (PK…) in a live account; live keys start with AK. If the account is meant to be paper, use PAPER_ALPACA_API_KEY_ID or 'environment: paper'"),
            _ => key.expose().starts_with("AK").then_some("looks like a live key (AK…) in a paper account; paper keys start with PK. Live trading needs ALPACA_API_KEY_ID with BROKER_LIVE=1, or 'environment: live'"),
        };
        if let Some(text) = mistaken {
            self.report.refuse(key_id.at, text);
            return None;
        }
        if key == secret {
            self.report.refuse(secret_key.at, "is the same as the key id; the secret is the second, longer text that was shown once when the keys were made");
            return None;
        }
        Some((key, secret))
    }

    fn account(
        &mut self,
        name: &str,
        environment: Environment,
        key_id: Secret,
        secret_key: Secret,
        (api, order_stream): (Option<Given>, Option<Given>),
    ) -> Option<Account> {
        let of = |name: &str| self.variables.get(name).map(|v| Given::of_variable(name, v));
        let filled = |given: Option<Given>| given.filter(|given| !given.text.is_empty());
        let host = if environment == Environment::Live { LIVE_HOST } else { PAPER_HOST };
        let api = of("APCA_API_BASE_URL").or(filled(api));
        let order_stream = of("APCA_TRADING_STREAM_URL").or(filled(order_stream));
        let api = match api {
            None => Endpoint { secure: true, host: host.to_owned(), port: 443, path: "/".to_owned() },
            Some(given) => {
                let found = endpoint(&given, &["/v2"], "https://", self.report)?;
                self.trading(&given, environment, found)?
            }
        };
        let order_stream = match order_stream {
            None => api.join("stream"),
            Some(given) => {
                let found = endpoint(&given, &[], "wss://", self.report)?;
                let found = if found.path == "/" { found.join("stream") } else { found };
                self.trading(&given, environment, found)?
            }
        };
        Some(Account { name: Arc::from(name), environment, key_id, secret_key, api, order_stream })
    }

    fn trading(&mut self, given: &Given, environment: Environment, found: Endpoint) -> Option<Endpoint> {
        let (wrong, is, wanted) = match environment {
            Environment::Live => (PAPER_HOST, "paper", "live"),
            _ => (LIVE_HOST, "live", "paper"),
        };
        if found.host.trim_end_matches('.').eq_ignore_ascii_case(wrong) {
            self.report.refuse(given.at.clone(), format!("{wrong} is the {is} host, but the account is {wanted}; delete the line to use the right host"));
            return None;
        }
        Some(found)
    }

    fn refuse_mixtures(&mut self, list: &[Read]) {
        for (at, read) in list.iter().enumerate() {
            let before = &list[..at];
            let sim = |read: &Read| read.account.environment == Environment::Sim;
            if before.iter().any(|other| sim(other) != sim(read)) {
                self.report
                    .refuse(read.at.clone(), "the built-in exchange cannot stand beside real accounts, because its prices are invented; run it by itself");
            } else if sim(read) && at > 0 {
                self.report.refuse(read.at.clone(), "the built-in exchange has one account; delete the others");
            } else if let Some(other) = before.iter().find(|other| other.account.key_id == read.account.key_id) {
                self.report.refuse(read.at.clone(), format!("has the same key as the account '{}'; each account has its own", other.account.name));
            }
        }
    }
}

/// Never repeats the text.
pub(super) fn secret(given: &Given, report: &mut Report) -> Option<Secret> {
    let text = &given.text;
    let wrong = if text.is_empty() {
        "is empty; give the key, or delete the line"
    } else if given.plain {
        "is not in quotes and would be read as a number; put quotes around it"
    } else if is_placeholder(text) {
        "still holds the example's placeholder; put your own key there, or delete the line"
    } else if text.starts_with(['"', '\'']) {
        "starts with a quote, which is part of the value here; write it without quotes"
    } else if !text.bytes().all(|b| b.is_ascii_graphic()) || text.len() > 256 {
        "has characters that no key has, such as spaces or line ends; copy it again"
    } else {
        return Some(Secret::new(text.as_str()));
    };
    report.refuse(given.at.clone(), wrong);
    None
}

/// The built-in exchange's account. Port 0 stands for the port that the exchange will have when it runs.
pub(super) fn sim_account(name: &str) -> Account {
    let api = nowhere();
    Account {
        name: Arc::from(name),
        environment: Environment::Sim,
        key_id: Secret::new("SIM"),
        secret_key: Secret::new("SIM-SECRET"),
        order_stream: api.join("stream"),
        api,
    }
}

/// A loopback address whose port is still to come.
pub(super) fn nowhere() -> Endpoint {
    Endpoint { secure: false, host: "127.0.0.1".to_owned(), port: 0, path: "/".to_owned() }
}

fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|start| lower.starts_with(start))
}

/// An address without the endings that the broker adds by itself; TLS is required except on this machine.
pub(super) fn endpoint(given: &Given, endings: &[&str], example: &str, report: &mut Report) -> Option<Endpoint> {
    let text = given.text.trim().trim_end_matches('/');
    let text = endings.iter().find_map(|ending| text.strip_suffix(ending)).unwrap_or(text);
    if text.contains(['?', '#']) {
        given.refuse(report, "an address without ? and #");
        return None;
    }
    let found = match text.parse::<Endpoint>() {
        Ok(found) => found,
        Err(error) => {
            report.refuse(given.at.clone(), format!("{}: {error}", given.found()));
            return None;
        }
    };
    if !found.secure && !found.is_loopback() {
        given.refuse(report, format!("an address that starts with {example}, because keys travel to it; without TLS only on this machine"));
        return None;
    }
    Some(found)
}
