use super::*;
use crate::contract::parse_registration;
use proptest::prelude::*;

impl Changes {
    fn is_empty(&self) -> bool {
        self.stored.is_empty() && self.removed.is_empty()
    }
}

const NOW: i64 = 1_800_000_000_000;

fn alpaca() -> ExchangeName {
    "alpaca".parse().unwrap()
}

fn instrument(symbol: &str) -> Instrument {
    Instrument { exchange: alpaca(), symbol: symbol.parse().unwrap() }
}

fn registry() -> Registry {
    Registry::new(RegistrationLimits { per_bot: 3, total: 5 })
}

fn say(registry: &mut Registry, message: &str, now_ms: i64) -> Changes {
    registry.apply(&parse_registration(message.as_bytes()).unwrap(), &alpaca(), now_ms)
}

#[test]
fn the_dialect_of_the_registration_is_the_dialect_of_the_messages() {
    let mut registry = registry();
    let changes = say(&mut registry, r#"{"action":"subscribe","ticker":"AAPL"}"#, NOW);
    assert_eq!(changes.instruments.len(), 1);
    assert_eq!(changes.stored, [("legacy|alpaca|AAPL|price|ticker".to_owned(), 0)]);
    assert!(registry.interest(&instrument("AAPL")).typed.is_empty());
    say(&mut registry, r#"{"action":"register","symbols":["AAPL"],"bot":"b1","feeds":["quote"]}"#, NOW);
    let interest = registry.interest(&instrument("AAPL"));
    assert!(interest.ticker.contains(Feed::Price) && !interest.ticker.contains(Feed::Quote) && interest.typed.contains(Feed::Quote));
}

#[test]
fn saying_it_twice_changes_nothing_upstream() {
    let mut registry = registry();
    say(&mut registry, r#"{"action":"register","symbols":["AAPL"],"bot":"b1"}"#, NOW);
    let again = say(&mut registry, r#"{"action":"register","symbols":["AAPL"],"bot":"b1"}"#, NOW + 1_000);
    assert!(again.instruments.is_empty());
    assert_eq!(again.stored, [("b1|alpaca|AAPL|price|typed".to_owned(), NOW + 61_000)]);
    assert!(say(&mut registry, r#"{"action":"register","symbols":["AAPL"],"bot":"b2"}"#, NOW).instruments.is_empty());
    assert!(say(&mut registry, r#"{"action":"unregister","symbols":["AAPL"],"bot":"b1"}"#, NOW).instruments.is_empty());
    assert_eq!(say(&mut registry, r#"{"action":"unregister","symbols":["AAPL"],"bot":"b2"}"#, NOW).instruments.len(), 1);
    assert_eq!((registry.symbols(), registry.bots()), (0, 0));
}

#[test]
fn leases_run_out_and_are_renewed() {
    let mut registry = registry();
    say(&mut registry, r#"{"action":"register","symbols":["A"],"bot":"b1","ttl_s":10}"#, NOW);
    say(&mut registry, r#"{"action":"register","symbols":["B"],"bot":"b1","ttl_s":20}"#, NOW);
    assert!(registry.expire(NOW + 9_999).is_empty());
    say(&mut registry, r#"{"action":"register","symbols":["A"],"bot":"b1","ttl_s":30}"#, NOW + 9_999);
    assert!(registry.expire(NOW + 10_001).is_empty());
    let ended = registry.expire(NOW + 20_000);
    assert_eq!(ended.removed, ["b1|alpaca|B|price|typed"]);
    assert_eq!(ended.instruments.into_iter().collect::<Vec<_>>(), [instrument("B")]);
    assert_eq!(registry.expire(NOW + 100_000).removed, ["b1|alpaca|A|price|typed"]);
}

#[test]
fn an_anonymous_holding_goes_only_when_nobody_listens() {
    let mut registry = registry();
    say(&mut registry, r#"{"action":"subscribe","ticker":"AAPL"}"#, NOW);
    let left = say(&mut registry, r#"{"action":"unsubscribe","ticker":"AAPL"}"#, NOW);
    assert!(left.removed.is_empty() && left.instruments.is_empty());
    assert_eq!(registry.leaving().count(), 1);
    let gone = registry.abandoned(&instrument("AAPL"), Dialect::Ticker);
    assert_eq!(gone.removed, ["legacy|alpaca|AAPL|price|ticker"]);
    say(&mut registry, r#"{"action":"subscribe","ticker":"AAPL"}"#, NOW);
    say(&mut registry, r#"{"action":"unsubscribe","ticker":"AAPL"}"#, NOW);
    say(&mut registry, r#"{"action":"subscribe","ticker":"AAPL"}"#, NOW);
    assert!(registry.abandoned(&instrument("AAPL"), Dialect::Ticker).is_empty(), "a new subscription cancels the leave");
}

#[test]
fn only_the_holders_own_are_unregistered() {
    let mut registry = registry();
    say(&mut registry, r#"{"action":"register","symbols":["AAPL"],"bot":"b1"}"#, NOW);
    assert!(say(&mut registry, r#"{"action":"unregister","symbols":["AAPL"],"bot":"b2"}"#, NOW).is_empty());
    assert!(say(&mut registry, r#"{"action":"unregister","symbols":["AAPL"]}"#, NOW).is_empty());
    assert_eq!(registry.symbols(), 1);
}

#[test]
fn caps_hold_per_bot_and_in_all() {
    let mut registry = registry();
    let changes = say(&mut registry, r#"{"action":"register","symbols":["A","B","C","D"],"bot":"b1"}"#, NOW);
    assert_eq!((changes.accepted.len(), changes.refused.len()), (3, 1));
    assert!(changes.refused[0].reason.contains("3 symbols per bot"));
    let changes = say(&mut registry, r#"{"action":"register","symbols":["X","Y","Z","A"],"bot":"b2"}"#, NOW);
    assert_eq!(changes.accepted, ["A".parse().unwrap(), "X".parse().unwrap(), "Y".parse().unwrap()]);
    assert!(changes.refused[0].reason.contains("3 symbols per bot") || changes.refused[0].reason.contains("5 symbols in all"));
}

#[test]
fn what_was_stored_is_restored_and_nothing_else() {
    let mut registry = registry();
    say(&mut registry, r#"{"action":"register","symbols":["A"],"bot":"b1"}"#, NOW);
    say(&mut registry, r#"{"action":"subscribe","ticker":"B"}"#, NOW);
    registry.hold_for_config(&instrument("C"), FeedSet::ALL, Dialect::Ticker);
    let stored = registry.stored_fields();
    assert_eq!(stored.len(), 2, "{stored:?}");
    let mut second = self::registry();
    for (field, lease) in &stored {
        assert!(second.restore(field, *lease, NOW).is_some());
    }
    assert_eq!(second.stored_fields(), stored);
    assert!(second.restore("b1|alpaca|D|price|typed", NOW - 1, NOW).is_none(), "a lease that is over");
    for field in ["", "x", "b1|alpaca|d|price|typed", "config|alpaca|D|price|typed", "b1|alpaca|D|price|typed|x", "b1|alpaca|D|news|typed"] {
        assert!(second.restore(field, 0, NOW).is_none(), "{field}");
    }
}

#[test]
fn a_refusal_of_the_venue_tells_every_holder() {
    let mut registry = registry();
    say(&mut registry, r#"{"action":"register","symbols":["A"],"bot":"b1"}"#, NOW);
    say(&mut registry, r#"{"action":"subscribe","ticker":"A"}"#, NOW);
    say(&mut registry, r#"{"action":"register","symbols":["A"],"bot":"b2","feeds":["quote"]}"#, NOW);
    let (changes, holders) = registry.refuse(&instrument("A"), FeedSet::NONE.with(Feed::Price));
    assert_eq!((changes.removed.len(), holders.len(), registry.symbols()), (2, 2, 1));
    assert_eq!(registry.interest(&instrument("A")).feeds(), FeedSet::NONE.with(Feed::Quote));
}

proptest! {
    #[test]
    fn counts_return_to_zero(steps in proptest::collection::vec((0u8..3, 0u8..4, 0u8..6, 0u8..2), 0..200)) {
        let mut registry = Registry::new(RegistrationLimits { per_bot: 4, total: 5 });
        for (action, bot, symbol, dialect) in steps {
            let verb = match (action < 2, dialect) { (true, 0) => "subscribe", (true, _) => "register", (false, 0) => "unsubscribe", (false, _) => "unregister" };
            say(&mut registry, &format!(r#"{{"action":"{verb}","tickers":["S{symbol}"],"bot":"b{bot}"}}"#), NOW);
            prop_assert!(registry.symbols() <= 5);
        }
        registry.expire(NOW + 61_000);
        prop_assert_eq!((registry.symbols(), registry.bots(), registry.registrations()), (0, 0, 0));
    }
}
