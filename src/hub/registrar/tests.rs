use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000_000;
const STOCKS: StreamId = StreamId(0);
const CRYPTO: StreamId = StreamId(1);

fn alpaca() -> ExchangeName {
    "alpaca".parse().unwrap()
}

/// A registrar that has restored nothing.
fn registrar() -> Registrar {
    let limits = RegistrationLimits { per_bot: 20_000, total: 20_000 };
    let route: Route = Box::new(|instrument| Some(if instrument.symbol.is_pair() { CRYPTO } else { STOCKS }));
    let mut registrar = Registrar::new(limits, Arc::default(), alpaca(), DialectRule::Auto, route, 1, Arc::default());
    registrar.restore(&HashMap::new(), NOW, &mut Consequences::default());
    registrar
}

fn say(registrar: &mut Registrar, action: &str, symbols: &[String]) -> Consequences {
    let mut out = Consequences::default();
    for part in symbols.chunks(1_000) {
        let message = json!({"action": action, "tickers": part, "bot": "b1"}).to_string();
        registrar.handle_registration_message(message.as_bytes(), NOW, &mut out);
    }
    out
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:05}")).collect()
}

#[test]
fn a_symbol_beside_eleven_thousand_entails_one_of_everything() {
    let mut registrar = registrar();
    assert_eq!(say(&mut registrar, "subscribe", &names("S", 11_000)).wants[&STOCKS].len(), 11_000);
    let out = say(&mut registrar, "subscribe", &names("X", 1));
    assert_eq!((out.stored.len(), out.removed.len(), out.interests.len()), (1, 0, 1));
    assert_eq!((out.wants[&STOCKS].len(), out.requests[&STOCKS].count()), (1, 1));
    assert_eq!(registrar.symbols_of(STOCKS), 11_001);
    let mut out = say(&mut registrar, "unsubscribe", &names("X", 1));
    out.settle(registrar.registry());
    assert_eq!((out.stored.len(), out.removed.len(), out.wants[&STOCKS].len()), (0, 1, 1));
}

#[test]
fn a_burst_that_takes_and_gives_up_is_settled_by_its_last_word() {
    let mut registrar = registrar();
    let mut out = Consequences::default();
    for (action, symbol) in
        [("subscribe", "A"), ("subscribe", "B"), ("unsubscribe", "A"), ("unsubscribe", "C"), ("subscribe", "C"), ("unsubscribe", "B"), ("subscribe", "B")]
    {
        registrar.handle_registration_message(json!({"action": action, "ticker": symbol, "bot": "b1"}).to_string().as_bytes(), NOW, &mut out);
    }
    out.settle(registrar.registry());
    let mut stored: Vec<String> = out.stored.iter().map(|(field, _)| field.clone()).collect();
    stored.sort();
    stored.dedup();
    assert_eq!(stored, ["b1|alpaca|B|price|ticker", "b1|alpaca|C|price|ticker"]);
    assert_eq!(out.removed, ["b1|alpaca|A|price|ticker"]);
}

#[test]
fn the_symbols_of_a_stream_are_counted_through_refusals_and_returns() {
    let mut registrar = registrar();
    say(&mut registrar, "subscribe", &["A".to_owned(), "B".to_owned(), "BTC/USD".to_owned()]);
    assert_eq!((registrar.symbols_of(STOCKS), registrar.symbols_of(CRYPTO)), (2, 1));
    let refused = |symbol: &str, feeds| RefusedSymbol { symbol: symbol.parse().unwrap(), feeds };
    let mut out = Consequences::default();
    let all = [refused("A", FeedSet::ALL), refused("B", FeedSet::NONE.with(Feed::Quote)), refused("Z", FeedSet::ALL)];
    registrar.refused_by_venue(&alpaca(), &all, "no", &mut out);
    assert!(out.wants.is_empty(), "the session has dropped it by itself");
    assert_eq!((registrar.symbols_of(STOCKS), registrar.registry().registrations()), (1, 2));
    say(&mut registrar, "subscribe", &["A".to_owned()]);
    say(&mut registrar, "unsubscribe", &["BTC/USD".to_owned()]);
    assert_eq!((registrar.symbols_of(STOCKS), registrar.symbols_of(CRYPTO)), (2, 0));
    assert_eq!(registrar.all_wants().values().map(Vec::len).sum::<usize>(), 2);
}
