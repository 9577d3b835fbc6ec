//! What the files of real venues say beside the common keys: whose keys, which addresses, real money or not.
//!
//! Must not contact anybody. Live is never a default: it has to be said.

use std::collections::BTreeMap;

use super::super::accounts::{endpoint, secret};
use super::super::address;
use super::super::problem::{Report, nearest};
use super::super::section::{Given, Section};
use super::super::settings::{Account, Environment};
use super::Context;
use super::settings::{AlpacaSettings, BinanceSettings, IbSettings};
use crate::net::Endpoint;

/// The words of a file, and whether real money moves.
pub(super) const OF_BINANCE: [(&str, bool); 2] = [("testnet", false), ("live", true)];
pub(super) const OF_IB: [(&str, bool); 2] = [("paper", false), ("live", true)];
/// The ports that TWS and the gateway listen on unless somebody changes them.
const IB_PORTS: [(u16, bool, &str); 4] =
    [(7496, true, "a live TWS"), (4001, true, "a live gateway"), (7497, false, "a paper TWS"), (4002, false, "a paper gateway")];

/// `environment:`, which is not live unless the file says so and nobody forbids it.
fn live(top: &mut Section, names: &[(&str, bool); 2], context: &Context, report: &mut Report) -> bool {
    let Some(given) = top.text("environment", report) else { return false };
    let live = given.pick_of(names, report) == Some(true);
    if live && context.live_forbidden() {
        report.refuse(given.at, "is live, but BROKER_LIVE forbids live trading; delete one of the two");
    }
    live
}

pub(super) fn alpaca(top: &mut Section, active: bool, context: &Context, report: &mut Report) -> Option<AlpacaSettings> {
    top.refuse_key("environment", "is that of the account in broker.yaml; name the account under credentials.account, and delete this line", report);
    top.refuse_key("connection", "the addresses of Alpaca stand in broker.yaml with the account; delete this section", report);
    let mut section = top.inner("credentials", report);
    for key in ["api_key", "api_secret"] {
        section.refuse_key(key, "the keys of Alpaca stand in broker.yaml under accounts; name the account here with 'account: paper'", report);
    }
    let given = section.text("account", report);
    let at = section.at.clone();
    section.finish(report);
    if !active {
        return None;
    }
    account(given, at, context.accounts, report).map(|account| AlpacaSettings { account })
}

fn account(given: Option<Given>, at: String, accounts: &[Account], report: &mut Report) -> Option<Account> {
    // Without any account the whole configuration is refused, in words that say more.
    let first = accounts.first()?;
    if first.environment == Environment::Sim {
        return Some(first.clone());
    }
    let Some(given) = given else {
        let paper = accounts.iter().find(|account| account.environment != Environment::Live);
        if paper.is_none() {
            report.refuse(at, format!("names no account, and live is never a default; write 'account: {}' if real money is meant", first.name));
        }
        return paper.cloned();
    };
    let found = accounts.iter().find(|account| *account.name == *given.text);
    if found.is_none() {
        let names: Vec<&str> = accounts.iter().map(|account| &*account.name).collect();
        let meant = nearest(&given.text, names.iter().copied()).map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
        given.refuse(report, format!("the name of an account of broker.yaml: {}{meant}", names.join(", ")));
    }
    found.cloned()
}

pub(super) fn binance(top: &mut Section, active: bool, context: &Context, report: &mut Report) -> Option<BinanceSettings> {
    let live = live(top, &OF_BINANCE, context, report);
    let mut section = top.inner("credentials", report);
    let key = section.required("api_key", "the key of a Binance account, such as ${BINANCE_TESTNET_API_KEY}", report);
    let hidden = section.required("api_secret", "the secret of the key, such as ${BINANCE_TESTNET_SECRET}", report);
    section.finish(report);
    let mut section = top.inner("connection", report);
    for key in ["host", "port"] {
        section.refuse_key(key, "Binance has three addresses and no host and port of yours; write rest, ws_api or stream, or delete the line", report);
    }
    let [rest, ws_api, stream] = if live {
        ["https://api.binance.com", "wss://ws-api.binance.com/ws-api/v3", "wss://stream.binance.com:9443"]
    } else {
        ["https://testnet.binance.vision", "wss://ws-api.testnet.binance.vision/ws-api/v3", "wss://stream.testnet.binance.vision"]
    };
    let rest = binance_address(&mut section, "rest", rest, "https://", live, report);
    let ws_api = binance_address(&mut section, "ws_api", ws_api, "wss://", live, report);
    let stream = binance_address(&mut section, "stream", stream, "wss://", live, report);
    section.finish(report);
    if !active {
        return None;
    }
    let key = key.and_then(|given| Some((secret(&given, report)?, given)));
    let hidden = hidden.and_then(|given| Some((secret(&given, report)?, given)));
    let ((api_key, _), (api_secret, given)) = (key?, hidden?);
    if api_key == api_secret {
        report.refuse(given.at, "is the same as api_key; the secret is the second text that was shown once when the key was made");
    }
    Some(BinanceSettings { live, api_key, api_secret, rest: rest?, ws_api: ws_api?, stream: stream? })
}

fn binance_address(section: &mut Section, key: &'static str, default: &str, example: &str, live: bool, report: &mut Report) -> Option<Endpoint> {
    let Some(given) = section.text(key, report).filter(|given| !given.text.is_empty()) else { return default.parse().ok() };
    let found = endpoint(&given, &["/api/v3", "/api"], example, report)?;
    let testnet = found.host.ends_with("testnet.binance.vision");
    if found.host.ends_with(".binance.com") && !live {
        report.refuse(given.at, format!("{} is the live host, but the environment is testnet; delete the line to use the right host", found.host));
        return None;
    }
    if testnet && live {
        report.refuse(given.at, format!("{} is the testnet host, but the environment is live; delete the line to use the right host", found.host));
        return None;
    }
    Some(found)
}

pub(super) fn interactive_brokers(top: &mut Section, context: &Context, report: &mut Report) -> IbSettings {
    let live = live(top, &OF_IB, context, report);
    let mut section = top.inner("credentials", report);
    for key in ["api_key", "api_secret"] {
        section.refuse_key(key, "Interactive Brokers has no keys: TWS or the gateway logs in; delete the line", report);
    }
    let account = section.text("account", report).filter(|given| !given.text.is_empty()).and_then(|given| ib_account(given, live, report));
    section.finish(report);
    let mut section = top.inner("connection", report);
    let host = section.text("host", report).and_then(|given| {
        if address::is_host(&given.text) {
            return Some(given.text);
        }
        given.refuse(report, "a host name or an IP address, without scheme and port");
        None
    });
    let port = section.text("port", report).and_then(|given| ib_port(&given, live, report));
    let client_id = section.text("client_id", report).and_then(|given| given.whole(0..=999_999, report));
    section.finish(report);
    IbSettings {
        live,
        host: host.unwrap_or_else(|| "127.0.0.1".to_owned()),
        port: port.unwrap_or(if live { 7496 } else { 7497 }),
        client_id: client_id.unwrap_or(1),
        account,
    }
}

fn ib_account(given: Given, live: bool, report: &mut Report) -> Option<String> {
    let fits = (4..=16).contains(&given.text.len()) && given.text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if !fits {
        given.refuse(report, "an account number such as DU1234567");
        return None;
    }
    // Demonstration accounts start with D as well: DU and DF.
    match (given.text.starts_with('D'), live) {
        (true, true) => report.refuse(given.at, format!("{} is a paper account, but the environment is live; change one of the two", given.text)),
        (false, false) => report
            .refuse(given.at, format!("{} is a live account (those of paper start with D), but the environment is paper; change one of the two", given.text)),
        _ => return Some(given.text),
    }
    None
}

fn ib_port(given: &Given, live: bool, report: &mut Report) -> Option<u16> {
    let port = given.whole(1..=65535, report)?;
    if let Some((_, of_live, whose)) = IB_PORTS.iter().find(|(usual, of_live, _)| *usual == port && *of_live != live) {
        let other = if *of_live { "paper" } else { "live" };
        let right: Vec<String> = IB_PORTS.iter().filter(|(_, of_live, _)| *of_live == live).map(|(port, ..)| port.to_string()).collect();
        report.refuse(
            given.at.clone(),
            format!("{}, the usual port of {whose}, but the environment is {other}; allowed is another port, usually {}", given.found(), right.join(" or ")),
        );
        return None;
    }
    Some(port)
}

/// What two brokers must not share, and how to say it.
pub(super) fn exclusive(settings: &super::BrokerSettings) -> (String, &'static str) {
    use super::settings::VenueSettings;
    match &settings.venue {
        VenueSettings::Paper(paper) => (format!("paper {}", paper.data_file), "keep their account in the same file; give each its own paper.data_file"),
        VenueSettings::Alpaca(alpaca) => {
            (format!("alpaca {}", alpaca.account.name), "trade the same account, so that the limits of neither hold; disable one of the two")
        }
        VenueSettings::Binance(binance) => {
            (format!("binance {}", binance.api_key.expose()), "trade with the same key, so that the limits of neither hold; disable one of the two")
        }
        VenueSettings::InteractiveBrokers(ib) => (
            format!("ib {}:{} {}", ib.host, ib.port, ib.client_id),
            "use the same client id at one gateway, which takes each once; give each its own client_id",
        ),
    }
}

/// Each pair that shares what it must not, told at the second one.
pub(super) fn refuse_sharing(list: &[super::BrokerSettings], report: &mut Report) {
    let mut first: BTreeMap<String, &super::BrokerSettings> = BTreeMap::new();
    for settings in list {
        let (what, why) = exclusive(settings);
        if let Some(other) = first.get(&what) {
            report.refuse(settings.file.clone(), format!("this broker and {} {why}", other.file));
        } else {
            first.insert(what, settings);
        }
    }
}
