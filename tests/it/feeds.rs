use alpaca_broker::config::{Config, DialectRule, StockFeed};
use alpaca_broker::model::Dialect;
use alpaca_broker::sim::{ConnectionRecord, SimConfig};

use crate::support::bot::Bot;
use crate::support::rig::{PATIENCE, Rig, RigOptions, wait_until};

const STOCKS: &str = "/v2/iex";
const CRYPTO: &str = "/v1beta3/crypto/us";
const TEST: &str = "/v2/test";

fn configured(change: impl FnOnce(&mut Config) + 'static) -> Rig {
    Rig::with(RigOptions { config: Box::new(change), ..RigOptions::default() })
}

fn wait_subscribed(rig: &Rig, path: &str, symbol: &str) {
    let stands = |c: &ConnectionRecord| c.is_open() && c.path == path && c.symbols.iter().any(|known| known == symbol);
    assert!(rig.exchange.wait_for(|all| all.iter().any(stands), PATIENCE), "{symbol} is not asked for: {:?}", rig.exchange.connections());
}

fn connections(rig: &Rig, path: &str) -> usize {
    rig.exchange.connections().iter().filter(|c| c.path == path).count()
}

/// The channels on which the next messages came, sorted.
fn next_channels(bot: &mut Bot, count: usize) -> Vec<String> {
    let mark = bot.heard.len();
    bot.until_heard(mark + count);
    let mut channels: Vec<String> = bot.heard[mark..].iter().map(|message| message.channel.clone()).collect();
    channels.sort();
    channels
}

#[test]
fn with_the_wildcard_every_stock_is_published_in_both_dialects_though_nobody_has_registered() {
    let rig = configured(|config| config.all_symbols = true);
    wait_subscribed(&rig, STOCKS, "*");
    let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_*", "price:*"]);
    for symbol in ["AAPL", "MSFT"] {
        rig.exchange.trade(symbol, "150.250", 7);
        assert_eq!(next_channels(&mut bot, 2), [format!("TICKER_UPDATES_{symbol}"), format!("price:{symbol}")]);
    }
    assert!(bot.heard[0].text.contains(r#""price":150.250,"#), "{}", bot.heard[0].text);
    bot.assert_contiguous();
}

#[test]
fn with_the_wildcard_and_one_dialect_the_other_stays_silent() {
    let rig = configured(|config| {
        config.all_symbols = true;
        config.dialects = DialectRule::Only(Dialect::Typed);
    });
    wait_subscribed(&rig, STOCKS, "*");
    let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_*", "price:*"]);
    rig.exchange.trade("AAPL", "1", 1);
    rig.exchange.trade("MSFT", "2", 1);
    assert_eq!(next_channels(&mut bot, 2), ["price:AAPL", "price:MSFT"]);
}

#[test]
fn the_rule_of_dialects_decides_where_a_registered_symbol_is_published() {
    let ticker = r#"{"action":"subscribe","ticker":"AAPL"}"#;
    let rules = [
        (DialectRule::Both, &["TICKER_UPDATES_AAPL", "price:AAPL"][..]),
        (DialectRule::Only(Dialect::Typed), &["price:AAPL"]),
        (DialectRule::Only(Dialect::Ticker), &["TICKER_UPDATES_AAPL"]),
    ];
    for (rule, channels) in rules {
        let rig = configured(move |config| config.dialects = rule);
        let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_AAPL", "price:AAPL"]);
        bot.say("BROKER_REGISTRATION", ticker);
        wait_subscribed(&rig, STOCKS, "AAPL");
        // Of the first trade nothing may come beside this, else it would come before the second.
        for price in ["1", "2"] {
            rig.exchange.trade("AAPL", price, 1);
            assert_eq!(next_channels(&mut bot, channels.len()), channels, "{rule:?}");
        }
        bot.assert_contiguous();
    }
}

#[test]
fn a_symbol_of_the_configuration_is_published_in_the_only_dialect_there_is() {
    let rig = configured(|config| {
        config.symbols = vec!["AAPL".parse().unwrap()];
        config.dialects = DialectRule::Only(Dialect::Ticker);
    });
    wait_subscribed(&rig, STOCKS, "AAPL");
    let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_AAPL", "price:AAPL"]);
    rig.exchange.trade("AAPL", "1", 1);
    rig.exchange.trade("AAPL", "2", 1);
    assert_eq!(next_channels(&mut bot, 2), ["TICKER_UPDATES_AAPL", "TICKER_UPDATES_AAPL"]);
}

#[test]
fn the_crypto_stream_is_opened_for_the_first_pair_and_carries_the_next() {
    let rig = Rig::start();
    assert_eq!(connections(&rig, CRYPTO), 0);
    let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_BTC/USD", "TICKER_UPDATES_ETH/USD"]);
    for (symbol, price) in [("BTC/USD", "65000.125"), ("ETH/USD", "3100.50")] {
        bot.say("BROKER_REGISTRATION", &format!(r#"{{"action":"subscribe","ticker":"{symbol}"}}"#));
        wait_subscribed(&rig, CRYPTO, symbol);
        rig.exchange.trade(symbol, price, 1);
        let heard = bot.until("the price of the pair", |message| message.body["symbol"] == symbol);
        assert!(heard.text.contains(&format!(r#""price":{price},"#)), "{}", heard.text);
    }
    assert_eq!((connections(&rig, CRYPTO), connections(&rig, STOCKS)), (1, 1));
    let boards = rig.broker.boards();
    let crypto = boards.iter().find(|board| &*board.name == "alp-crypto").unwrap();
    assert!(crypto.state().is_live());
}

#[test]
fn the_test_feed_brings_the_test_symbol() {
    let config = Box::new(|config: &mut Config| config.market_data.stock_feed = StockFeed::Test);
    let rig = Rig::with(RigOptions { config, sim: SimConfig { rate: 1.0, ..SimConfig::default() }, ..RigOptions::default() });
    let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_FAKEPACA"]);
    bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"FAKEPACA"}"#);
    wait_subscribed(&rig, TEST, "FAKEPACA");
    bot.until("a price of the test symbol", |message| message.body["type"] == "price" && message.body["symbol"] == "FAKEPACA");
    assert_eq!(connections(&rig, STOCKS), 0);
}

#[test]
fn a_stream_that_the_venue_closes_with_a_code_is_opened_again_with_all_it_had() {
    let rig = Rig::start();
    let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_AAPL"]);
    bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"AAPL"}"#);
    wait_subscribed(&rig, STOCKS, "AAPL");
    rig.exchange.close_connections(1012);
    wait_until("the stream is opened again", || connections(&rig, STOCKS) == 2);
    wait_subscribed(&rig, STOCKS, "AAPL");
    rig.exchange.trade("AAPL", "7.5", 1);
    bot.until("a price from the second connection", |message| message.body["price"] == 7.5);
}
