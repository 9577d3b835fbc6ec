use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alpaca_broker::config::{Config, RegistrationLimits};
use alpaca_broker::hub::CyclePace;
use alpaca_broker::model::{Amount, Bar, BarKind, Correction, Digits, Fact, Luld, Quote, Status, TradeCancel};
use alpaca_broker::runtime::Secret;
use alpaca_broker::sim::{ConnectionRecord, LoadReport, LoadSpec, SimBody, SimConfig, SimKey, SimMessage};
use serde_json::{Value, json};

use crate::support::bot::Bot;
use crate::support::promise::{Late, kept, undisturbed, within};
use crate::support::rig::{PATIENCE, Rig, RigOptions, wait_until};

const DATA: &str = "/v2/iex";
const ORDERS: &str = "/stream";

fn wait_upstream(rig: &Rig, what: &str, fits: impl Fn(&ConnectionRecord) -> bool) {
    let came = rig.exchange.wait_for(|all| all.iter().any(|c| c.is_open() && c.path == DATA && fits(c)), PATIENCE);
    assert!(came, "waited in vain until {what}: {:?}", rig.exchange.connections());
}

/// The connections ever made to a path.
fn connections(rig: &Rig, path: &str) -> Vec<ConnectionRecord> {
    rig.exchange.connections().into_iter().filter(|c| c.path == path).collect()
}

/// The subscriptions and cancellations that the exchange was asked for.
fn asked(connection: &ConnectionRecord) -> Vec<Value> {
    let all = connection.messages_in.iter().map(|text| serde_json::from_str::<Value>(text).unwrap());
    all.filter(|message| ["subscribe", "unsubscribe"].iter().any(|verb| message["action"] == *verb)).collect()
}

fn names(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:04}")).collect()
}

fn list(symbols: &[String]) -> String {
    serde_json::to_string(symbols).unwrap()
}

/// An exchange that has had no processor for five seconds is left, as it should be; what follows is another scene.
fn exchange_answers(rig: &Rig) -> Result<(), Late> {
    undisturbed(rig.metric("broker_stream_losses_total") == 0.0, "the exchange did not answer in time")
}

/// Waits until the data producer has been cycled once more than before; says how often it has been now.
fn next_cycle(rig: &Rig, before: u64) -> Result<u64, Late> {
    let board = rig.broker.boards().into_iter().find(|board| &*board.name == "alp-data").unwrap();
    wait_until("the producer is cycled", || board.stats.cycles.get() > before || exchange_answers(rig).is_err());
    exchange_answers(rig)?;
    Ok(board.stats.cycles.get())
}

/// What a bot made of the messages of one symbol.
#[derive(Debug, Default)]
struct Heard {
    updates: u64,
    volume: u64,
    last: String,
}

/// Listens until so many updates have been heard, folded ones counted.
fn listen_to_load(mut bot: Bot, total: u64) -> (Bot, BTreeMap<String, Heard>) {
    let (mut heard, mut updates) = (BTreeMap::<String, Heard>::new(), 0);
    while updates < total {
        let message = bot.next_within(PATIENCE).unwrap_or_else(|| panic!("{updates} of {total} updates heard, then nothing for {PATIENCE:?}"));
        let of = heard.entry(message.body["symbol"].as_str().unwrap().to_owned()).or_default();
        let stands_for = 1 + message.body["merged"].as_u64().unwrap_or(0);
        of.updates += stands_for;
        of.volume += message.body["volume"].as_u64().unwrap();
        of.last = message.text;
        updates += stands_for;
    }
    (bot, heard)
}

fn assert_same(rig: &Rig, report: &LoadReport, heard: &BTreeMap<String, Heard>) {
    assert_eq!(report.symbols.keys().collect::<Vec<_>>(), heard.keys().collect::<Vec<_>>());
    let mut client = rig.redis_client();
    for (symbol, sent) in &report.symbols {
        let got = &heard[symbol];
        let price = format!(r#""price":{},"#, sent.last_price);
        assert_eq!((got.updates, got.volume), (sent.count, sent.volume), "{symbol}");
        assert!(got.last.contains(&price), "{symbol}: {price} in {}", got.last);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let last: Option<String> = redis::cmd("HGET").arg(format!("broker:last:{symbol}")).arg("price").query(&mut client).unwrap();
            if last.as_ref().is_some_and(|text| text.contains(&price) && text.contains(r#""stale":false"#)) {
                break;
            }
            assert!(Instant::now() < deadline, "{symbol}: {price} is wanted as the last value, and it is {last:?}");
        }
    }
}

#[test]
fn a_thousand_tickers_come_and_half_of_them_go_and_the_two_hundred_that_stream_notice_nothing() {
    kept(|| {
        let rig = Rig::start();
        let (streaming, others) = (numbered("S", 200), numbered("X", 1_000));
        let channels: Vec<String> = streaming.iter().map(|symbol| format!("TICKER_UPDATES_{symbol}")).collect();
        let mut bot = Bot::listening(&rig.redis.url(), &channels.iter().map(String::as_str).collect::<Vec<_>>());
        bot.say("BROKER_REGISTRATION", &format!(r#"{{"action":"subscribe","tickers":{},"bot":"streamer","ttl_s":3600}}"#, list(&streaming)));
        wait_upstream(&rig, "the two hundred are subscribed", |c| c.symbols == streaming);
        let first_subscribes = connections(&rig, DATA)[0].subscribes;

        let total = 40_000;
        let load = rig.exchange.load(LoadSpec { symbols: streaming.clone(), per_second: 5_000, per_frame: 10, total }).unwrap();
        let listener = std::thread::spawn(move || listen_to_load(bot, total));
        let mut registrar = Bot::listening(&rig.redis.url(), &[]);
        let started = Instant::now();
        let mut cycles = rig.broker.boards().iter().find(|board| &*board.name == "alp-data").unwrap().stats.cycles.get();
        for symbol in &others {
            registrar.say("BROKER_REGISTRATION", &format!(r#"{{"action":"subscribe","ticker":"{symbol}","bot":"collector","ttl_s":3600}}"#));
            cycles = next_cycle(&rig, cycles)?;
        }
        for symbol in &others[..500] {
            registrar.say("BROKER_REGISTRATION", &format!(r#"{{"action":"unsubscribe","ticker":"{symbol}","bot":"collector","ttl_s":3600}}"#));
            cycles = next_cycle(&rig, cycles)?;
        }
        let registered_in = started.elapsed();
        let report = load.wait(PATIENCE).unwrap();
        exchange_answers(&rig)?;
        let (bot, heard) = listener.join().unwrap();
        assert_eq!(report.sent, total);
        bot.assert_contiguous();
        assert_same(&rig, &report, &heard);

        let mut wanted: Vec<String> = streaming.iter().chain(&others[500..]).cloned().collect();
        wanted.sort();
        wait_upstream(&rig, "the exchange's list is what is wanted", |c| c.symbols == wanted);
        let data = connections(&rig, DATA);
        assert_eq!((data.len(), data[0].is_open()), (1, true), "one connection, never lost");
        assert!(data[0].subscribes - first_subscribes <= 1_000 && data[0].unsubscribes <= 500, "{} and {}", data[0].subscribes, data[0].unsubscribes);
        let mut seen: HashMap<String, u32> = HashMap::new();
        for message in asked(&data[0]).iter().filter(|message| message["action"] == "subscribe") {
            names(&message["trades"]).into_iter().for_each(|name| *seen.entry(name.to_owned()).or_default() += 1);
        }
        assert!(streaming.iter().all(|symbol| seen.get(symbol) == Some(&1)), "each of the two hundred was subscribed once");

        let board = rig.broker.boards().into_iter().find(|board| &*board.name == "alp-data").unwrap();
        let mut times = board.take_cycle_times();
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "1500 changes in {registered_in:?} under a load of {:?}: {} cycles, p50 {:?}, p99 {:?}, max {:?}; {} messages folded",
            report.took,
            times.len(),
            at(0.5),
            at(0.99),
            at(1.0),
            rig.metric("broker_prices_merged_total")
        );
        Ok(())
    });
}

#[test]
fn a_ticker_beside_eleven_thousand_is_asked_for_and_stored_alone() {
    kept(|| {
        let limits = |config: &mut Config| config.limits = RegistrationLimits { per_bot: 20_000, total: 20_000 };
        let rig = Rig::with(RigOptions { config: Box::new(limits), ..RigOptions::default() });
        let all: Vec<String> = (0..11_000).map(|n| format!("S{n:05}")).collect();
        let mut bot = Bot::listening(&rig.redis.url(), &[]);
        for part in all.chunks(1_000) {
            bot.say("BROKER_REGISTRATION", &format!(r#"{{"action":"subscribe","tickers":{},"bot":"streamer","ttl_s":3600}}"#, list(part)));
        }
        wait_upstream(&rig, "the eleven thousand are subscribed", |c| c.symbols == all);
        let mut client = rig.redis_client();
        let mut fields = || redis::cmd("HLEN").arg("broker:registrations").query::<usize>(&mut client).unwrap();
        wait_until("all are stored", || fields() == all.len());
        let asked_before = asked(&connections(&rig, DATA)[0]).len();

        let mut monitor = rig.redis_client();
        monitor.send_packed_command(&redis::cmd("MONITOR").get_packed_command()).unwrap();
        monitor.recv_response().unwrap();
        bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"X","bot":"collector","ttl_s":3600}"#);
        wait_upstream(&rig, "the ticker is subscribed", |c| c.symbols.len() == all.len() + 1);
        wait_until("the ticker is stored", || fields() == all.len() + 1);
        bot.say("the:end", "of what is watched");
        let mut writes = Vec::new();
        loop {
            let redis::Value::SimpleString(line) = monitor.recv_response().unwrap() else { continue };
            if line.contains("the:end") {
                break;
            }
            if line.contains(r#""broker:registrations""#) && !line.contains(r#""HLEN""#) {
                writes.push(line);
            }
        }
        assert_eq!(writes.len(), 1, "{writes:?}");
        assert!(writes[0].contains(r#""HSET" "broker:registrations" "collector|alpaca|X|price|ticker""#) && writes[0].len() < 200, "{writes:?}");
        let data = connections(&rig, DATA);
        exchange_answers(&rig)?;
        assert_eq!(data.len(), 1);
        assert_eq!(asked(&data[0])[asked_before..], [json!({"action": "subscribe", "trades": ["X"]})]);
        Ok(())
    });
}

/// What a bot of the crowd registers for and hears.
struct Member {
    bot: Bot,
    name: String,
    ticker: bool,
    symbols: [String; 2],
    quotes: bool,
}

impl Member {
    fn join(url: &str, n: usize) -> Member {
        let ticker = n < 25;
        let own = |k: usize| format!("SYM{}", k % 10);
        let member_no = n % 25;
        let symbols = [own(member_no), own(member_no + 3)];
        let quotes = member_no < 5 && ticker || n == 25;
        let prefixes = if ticker { vec!["TICKER_UPDATES_"] } else { vec!["price:", "quote:"] };
        let channels: Vec<String> = prefixes.iter().flat_map(|prefix| symbols.iter().map(move |symbol| format!("{prefix}{symbol}"))).collect();
        let channels: Vec<&str> = channels.iter().map(String::as_str).chain(["TICKER_UPDATES_LAST"]).collect();
        let bot = Bot::listening(url, &channels);
        let mut member = Member { bot, name: format!("member_{n}"), ticker, symbols, quotes };
        member.say("subscribe", "register");
        member
    }

    fn say(&mut self, in_ticker: &str, in_typed: &str) {
        let feeds = if self.quotes { r#"["price","quote"]"# } else { r#"["price"]"# };
        let (action, field) = if self.ticker { (in_ticker, "tickers") } else { (in_typed, "symbols") };
        let symbols = list(&self.symbols);
        let message = format!(r#"{{"action":"{action}","{field}":{symbols},"bot":"{}","ttl_s":600,"feeds":{feeds}}}"#, self.name);
        self.bot.say(if self.ticker { "broker:registration" } else { "BROKER_REGISTRATION" }, &message);
    }
}

/// One trade and one quote of each symbol, and the end of the round, which all bots hear.
fn one_round(rig: &Rig) {
    for symbol in (0..10).map(|n| format!("SYM{n}")).chain(["TICKONLY".to_owned(), "TYPEDONLY".to_owned()]) {
        rig.exchange.trade(&symbol, "10.50", 10);
        rig.exchange.quote(&symbol, "10.40", 1, "10.60", 2);
    }
    rig.exchange.trade("LAST", "1.00", 1);
}

/// The channels and types heard in a round, by how often.
fn heard_in_round(bot: &mut Bot) -> BTreeMap<(String, String), u32> {
    bot.heard.clear();
    bot.until("the end of the round", |message| message.channel == "TICKER_UPDATES_LAST");
    let mut heard = BTreeMap::new();
    for message in &bot.heard[..bot.heard.len() - 1] {
        *heard.entry((message.channel.clone(), message.body["type"].as_str().unwrap().to_owned())).or_default() += 1;
    }
    heard
}

fn expected_round(quoted_in_ticker: &[u32], quoted_in_typed: &[u32]) -> BTreeMap<(String, String), u32> {
    let all = 0..10_u32;
    let ticker_prices = all.clone().map(|n| (format!("TICKER_UPDATES_SYM{n}"), "price"));
    let typed_prices = all.map(|n| (format!("price:SYM{n}"), "price_update"));
    let ticker_quotes = quoted_in_ticker.iter().map(|n| (format!("TICKER_UPDATES_SYM{n}"), "quote"));
    let typed_quotes = quoted_in_typed.iter().map(|n| (format!("quote:SYM{n}"), "quote"));
    let single = [("TICKER_UPDATES_TICKONLY".to_owned(), "price"), ("price:TYPEDONLY".to_owned(), "price_update")];
    let each = ticker_prices.chain(typed_prices).chain(ticker_quotes).chain(typed_quotes).chain(single);
    each.map(|(channel, kind)| ((channel, kind.to_owned()), 1)).collect()
}

#[test]
fn fifty_bots_in_both_dialects_share_one_connection_and_disturb_nobody() {
    let rig = Rig::start();
    let url = rig.redis.url();
    let mut members: Vec<Member> = (0..50).map(|n| Member::join(&url, n)).collect();
    let mut observer = Bot::listening(&url, &["TICKER_UPDATES_*", "price:*", "quote:*", "bar:*", "status:*"]);
    observer.say("BROKER_REGISTRATION", r#"{"action":"subscribe","tickers":["LAST","TICKONLY"],"bot":"observer"}"#);
    observer.say("BROKER_REGISTRATION", r#"{"action":"register","symbols":["TYPEDONLY"],"bot":"observer"}"#);
    wait_upstream(&rig, "all are registered", |c| c.symbols.len() == 13 && c.channels.get("quotes").is_some_and(|quotes| quotes.len() == 8));
    wait_until("all is stored", || {
        // 50 times two symbols, six times their quotes, and three of the observer.
        let stored: u32 = redis::cmd("HLEN").arg("broker:registrations").query(&mut rig.redis_client()).unwrap();
        stored == 100 + 12 + 3
    });
    one_round(&rig);
    let round = expected_round(&[0, 1, 2, 3, 4, 5, 6, 7], &[0, 3]);
    assert_eq!(heard_in_round(&mut observer), round);
    for member in &mut members {
        let (ticker, symbols) = (member.ticker, member.symbols.clone());
        let own = |channel: &str| channel.starts_with("TICKER_UPDATES_") == ticker && symbols.iter().any(|symbol| channel.ends_with(symbol));
        let wanted: BTreeMap<_, _> = round.clone().into_iter().filter(|((channel, _), _)| own(channel)).collect();
        assert_eq!(heard_in_round(&mut member.bot), wanted, "{}", member.name);
    }

    // SYM0 and SYM3 in the ticker dialect with quotes: others hold both, and the quotes of SYM3.
    members[0].say("unsubscribe", "unregister");
    wait_until("the leave is stored", || {
        let stored: u32 = redis::cmd("HLEN").arg("broker:registrations").query(&mut rig.redis_client()).unwrap();
        stored == 111
    });
    one_round(&rig);
    assert_eq!(heard_in_round(&mut observer), expected_round(&[1, 2, 3, 4, 5, 6, 7], &[0, 3]), "the quotes of SYM0 go to the typed dialect alone");

    // The last that wanted quotes of SYM0.
    members[25].say("unsubscribe", "unregister");
    wait_upstream(&rig, "nobody wants the quotes of SYM0", |c| c.channels["quotes"].len() == 7 && c.channels["trades"].len() == 13);
    one_round(&rig);
    assert_eq!(heard_in_round(&mut observer), expected_round(&[1, 2, 3, 4, 5, 6, 7], &[]));
    observer.assert_contiguous();

    assert_eq!((connections(&rig, DATA).len(), connections(&rig, ORDERS).len(), rig.exchange.connections().len()), (1, 1, 2));
}

#[test]
fn beyond_the_plans_limit_of_symbols_the_rest_is_refused_by_name_and_the_others_are_served() {
    let sim = SimConfig { keys: vec![SimKey { symbol_limit: Some(30), ..SimKey::default() }], ..SimConfig::default() };
    let rig = Rig::with(RigOptions { sim, ..RigOptions::default() });
    let symbols = numbered("L", 35);
    let mut bot = Bot::listening(&rig.redis.url(), &["big:answers", "broker:replies", "TICKER_UPDATES_*"]);
    bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","tickers":["L0000","L0001"],"bot":"small"}"#);
    wait_upstream(&rig, "the small bot is served", |c| c.symbols.len() == 2);
    bot.say("BROKER_REGISTRATION", &format!(r#"{{"action":"subscribe","tickers":{},"bot":"big","reply_to":"big:answers"}}"#, list(&symbols)));
    let answer = bot.until("the answer", |message| message.channel == "big:answers");
    assert_eq!(answer.body["accepted"].as_array().unwrap().len(), 35, "our own limits allow them: {}", answer.text);

    let (mut own, mut public) = (BTreeSet::new(), BTreeSet::new());
    while own.len() < 5 || public.len() < 5 {
        let message = bot.until("a refusal", |message| message.body["action"] == "refused");
        assert_eq!(message.body["bot"], "big");
        for refusal in message.body["refused"].as_array().unwrap() {
            assert!(refusal["reason"].as_str().unwrap().contains("405"), "{}", message.text);
            let heard = if message.channel == "big:answers" { &mut own } else { &mut public };
            heard.insert(refusal["symbol"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!((own.len(), &own), (5, &public));
    let served: Vec<String> = symbols.iter().filter(|symbol| !own.contains(*symbol)).cloned().collect();
    wait_upstream(&rig, "the thirty are served", |c| c.symbols == served);
    assert!(served.contains(&"L0000".to_owned()) && served.contains(&"L0001".to_owned()), "what was served before still is");
    wait_until("the refused ones are stored no longer", || {
        let stored: u32 = redis::cmd("HLEN").arg("broker:registrations").query(&mut rig.redis_client()).unwrap();
        stored == 2 + 30
    });
    for symbol in &symbols {
        rig.exchange.trade(symbol, "7.00", 1);
    }
    let last = format!("TICKER_UPDATES_{}", served.last().unwrap());
    bot.until("the last price", |message| message.channel == last);
    let prices: Vec<&str> = bot.heard.iter().filter(|m| m.body["type"] == "price").map(|m| m.body["symbol"].as_str().unwrap()).collect();
    assert_eq!(prices, served);
    let data = connections(&rig, DATA);
    assert_eq!((data.len(), data[0].is_open()), (1, true));

    // A place that is given up can be taken.
    bot.say("BROKER_REGISTRATION", &format!(r#"{{"action":"unsubscribe","ticker":"{}","bot":"big"}}"#, served[29]));
    bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"NEW","bot":"small"}"#);
    wait_upstream(&rig, "the new one has the place", |c| c.symbols.contains(&"NEW".to_owned()) && c.symbols.len() == 30);
}

fn calm() -> RigOptions {
    RigOptions { pace: CyclePace::calm(Instant::now()), ..RigOptions::default() }
}

#[test]
fn a_burst_of_a_thousand_registrations_becomes_a_few_requests() {
    let rig = Rig::with(calm());
    let symbols = numbered("B", 1_000);
    let mut burst = redis::pipe();
    for symbol in &symbols {
        burst.publish("BROKER_REGISTRATION", format!(r#"{{"action":"subscribe","ticker":"{symbol}","bot":"burst","ttl_s":3600}}"#)).ignore();
    }
    let () = burst.query(&mut rig.redis_client()).unwrap();
    wait_upstream(&rig, "all are subscribed", |c| c.symbols == symbols);
    let data = connections(&rig, DATA);
    let requests = asked(&data[0]);
    assert!(data.len() == 1 && requests.len() <= 25, "{} connections, {} requests", data.len(), requests.len());
    println!("1000 registrations at once: {} requests", requests.len());
    let asked_for: Vec<&str> = requests.iter().flat_map(|request| names(&request["trades"])).collect();
    assert_eq!(asked_for.len(), 1_000, "each was asked for once");
}

/// Publishes at a pace of thousands a second until the time is over; says how many.
fn flood(url: &str, lasting: Duration, message: impl Fn(u64) -> String + Send + 'static) -> std::thread::JoinHandle<u64> {
    let mut client = redis::Client::open(url).unwrap().get_connection().unwrap();
    std::thread::spawn(move || {
        let (started, mut sent) = (Instant::now(), 0);
        // Fewer would be no flood, on however slow a machine.
        while started.elapsed() < lasting || sent < 3_500 {
            let mut some = redis::pipe();
            for _ in 0..25 {
                some.publish("BROKER_REGISTRATION", message(sent)).ignore();
                sent += 1;
            }
            let () = some.query(&mut client).unwrap();
            let due = Duration::from_micros(sent * 400);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
        sent
    })
}

/// The names of the threads of this process, but for the exchange's: it has one for each connection, open or closing.
fn threads() -> Vec<String> {
    let all = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let named = all.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    let mut names: Vec<String> = named.map(|name| name.trim().to_owned()).filter(|name| !name.starts_with("sim-")).collect();
    names.sort();
    names
}

#[test]
fn a_flood_of_registrations_keeps_nobody_from_being_served_and_does_not_reach_the_venue() {
    kept(|| {
        let rig = Rig::with(calm());
        let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_GOOD"]);
        let (before, started, lasting) = (threads(), Instant::now(), Duration::from_secs(3));
        let garbage = flood(&rig.redis.url(), lasting, |n| match n % 5 {
            0 => "\u{0}\u{1}not json".to_owned(),
            1 => format!(r#"{{"action":"subscribe","ticker":"../{n}"}}"#),
            2 => format!(r#"{{"action":"dance","ticker":"A{n}","reply_to":"nobody"}}"#),
            3 => "[".repeat(500),
            _ => format!(r#"{{"action":"subscribe","ticker":"A{n}","bot":"Not A Name"}}"#),
        });
        // Ever new symbols come, and others go at the same time.
        let valid = flood(&rig.redis.url(), lasting, |n| {
            let (action, symbol) = if n % 2 == 0 { ("subscribe", n / 2 + 1_000) } else { ("unsubscribe", n / 2 + 500) };
            format!(r#"{{"action":"{action}","ticker":"F{symbol}","bot":"flood","reply_to":"nobody"}}"#)
        });
        wait_until("the flood has begun", || heard(&rig) > 500.0);
        let said = Instant::now();
        bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"GOOD","bot":"good"}"#);
        wait_upstream(&rig, "the valid bot is served", |c| c.symbols.contains(&"GOOD".to_owned()));
        let served_in = said.elapsed();
        rig.exchange.trade("GOOD", "9.00", 1);
        bot.until_heard(1);

        let (sent, sent_valid) = (garbage.join().unwrap(), valid.join().unwrap());
        let took = started.elapsed();
        let data = connections(&rig, DATA);
        let requests = asked(&data[0]).len();
        println!("{} garbled and {sent_valid} valid registrations in {took:?}: the valid bot was served in {served_in:?}, {requests} requests", sent);
        assert!(sent + sent_valid > 6_000, "{sent} and {sent_valid} are no flood");
        let allowed = 20.0 + 5.0 * took.as_secs_f64();
        assert!(requests as f64 <= allowed, "{requests} requests, {allowed} allowed");
        assert_eq!(data.len(), 1);
        within(Duration::from_secs(2), served_in)?;
        // Under the plain test runner, other tests of the same process start and end threads.
        if std::env::var_os("NEXTEST").is_some() {
            // A cycle may be under way: its thread is there again in a moment.
            wait_until("the threads are those of before", || threads() == before);
        }
        Ok(())
    });
}

fn heard(rig: &Rig) -> f64 {
    rig.metric("broker_registration_messages_total")
}

#[test]
fn every_registration_of_a_flood_that_wants_answers_is_stored() {
    let rig = Rig::start();
    let symbols = numbered("D", 4_000);
    let mut burst = redis::pipe();
    for symbol in &symbols {
        let message = format!(r#"{{"action":"register","symbols":["{symbol}"],"bot":"b1","ttl_s":600,"reply_to":"b1:answers"}}"#);
        burst.publish("broker:registration", message).ignore();
    }
    for symbol in &symbols[..2_000] {
        let message = format!(r#"{{"action":"unregister","symbols":["{symbol}"],"bot":"b1","reply_to":"b1:answers"}}"#);
        burst.publish("broker:registration", message).ignore();
    }
    let (mut client, before) = (rig.redis_client(), heard(&rig));
    let publisher = std::thread::spawn(move || burst.query::<()>(&mut client).unwrap());
    // Redis answers nobody for a while, just when there is much to write.
    wait_until("the flood has begun", || heard(&rig) > before + 500.0);
    rig.redis.stop();
    let (mut last, mut since) = (heard(&rig), Instant::now());
    wait_until("all that Redis had passed on is heard", || {
        if heard(&rig) > last {
            (last, since) = (heard(&rig), Instant::now());
        }
        since.elapsed() > Duration::from_millis(200)
    });
    rig.redis.cont();
    publisher.join().unwrap();
    wait_upstream(&rig, "all have been served", |c| c.symbols == symbols[2_000..]);
    let wanted: BTreeSet<String> = symbols[2_000..].iter().map(|symbol| format!("b1|alpaca|{symbol}|price|typed")).collect();
    wait_until("the stored registrations are those that hold", || {
        let stored: BTreeSet<String> = redis::cmd("HKEYS").arg("broker:registrations").query(&mut rig.redis_client()).unwrap();
        stored == wanted
    });
}

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn digits(text: &str) -> Digits {
    Digits::parse(text).unwrap()
}

fn bar(kind: BarKind, close: &str) -> SimBody {
    SimBody::Fact(Fact::Bar(Bar {
        kind,
        open: digits("10.10"),
        high: digits("10.90"),
        low: digits("10.00"),
        close: digits(close),
        volume: amount("1200"),
        vwap: Some(digits("10.4567")),
        trade_count: Some(12),
    }))
}

/// What the exchange says, with what bots should read: the type, and the fields of this type.
fn facts() -> Vec<(SimBody, &'static str, Value)> {
    let quote = Quote { bid: amount("10.40"), bid_size: amount("1"), ask: amount("10.60"), ask_size: amount("2") };
    let status = Status { code: "H".into(), message: "Halted \"now\"".into(), reason_code: "T1".into(), reason: "News\nPending".into(), tape: "C".into() };
    let luld = Luld { limit_up: digits("11.00"), limit_down: digits("9.00"), indicator: "B".into(), tape: "C".into() };
    let correction = Correction {
        original_id: 5,
        original_price: digits("10.50"),
        original_size: amount("100"),
        corrected_id: 6,
        corrected_price: digits("10.05"),
        corrected_size: amount("90"),
        exchange: "V".into(),
        tape: "C".into(),
    };
    let cancel = TradeCancel { id: 6, price: digits("10.05"), size: amount("90"), action: "C".into(), exchange: "V".into(), tape: "C".into() };
    let candle = |close: Value| json!({"timeframe":"1Min","open":10.1,"high":10.9,"low":10.0,"close":close,"volume":1200,"vwap":10.4567,"trade_count":12});
    let mut updated = candle(json!(10.3));
    updated["updated"] = json!(true);
    let mut day = candle(json!(10.4));
    day["timeframe"] = json!("1Day");
    vec![
        (SimBody::Trade { id: 5, price: "10.500".parse().unwrap(), size: amount("100") }, "price", json!({"price":10.5,"volume":100})),
        (SimBody::Quote(quote), "quote", json!({"bid":10.4,"bid_size":1,"ask":10.6,"ask_size":2})),
        (bar(BarKind::Minute, "10.20"), "bar", candle(json!(10.2))),
        (bar(BarKind::UpdatedMinute, "10.30"), "bar", updated),
        (bar(BarKind::Day, "10.40"), "bar", day),
        (SimBody::Fact(Fact::Status(status)), "status", json!({"code":"H","message":"Halted \"now\"","reason_code":"T1","reason":"News\nPending","tape":"C"})),
        (SimBody::Fact(Fact::Luld(luld)), "luld", json!({"limit_up":11.0,"limit_down":9.0,"indicator":"B","tape":"C"})),
        (
            SimBody::Fact(Fact::Correction(correction)),
            "correction",
            json!({"original_id":5,"original_price":10.5,"original_volume":100,"corrected_id":6,"corrected_price":10.05,"corrected_volume":90,"venue":"V","tape":"C"}),
        ),
        (SimBody::Fact(Fact::Cancel(cancel)), "cancel", json!({"id":6,"price":10.05,"volume":90,"action":"C","venue":"V","tape":"C"})),
    ]
}

#[test]
fn every_kind_of_market_message_arrives_in_both_dialects_as_the_contract_says() {
    let rig = Rig::start();
    let mut ticker = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_AAPL"]);
    let mut typed = Bot::listening(&rig.redis.url(), &["price:AAPL", "quote:AAPL", "bar:AAPL", "status:AAPL"]);
    let feeds = r#"["price","quote","bar","status"]"#;
    ticker.say("BROKER_REGISTRATION", &format!(r#"{{"action":"subscribe","ticker":"AAPL","bot":"b1","feeds":{feeds}}}"#));
    typed.say("broker:registration", &format!(r#"{{"action":"register","symbols":["AAPL"],"bot":"b2","feeds":{feeds}}}"#));
    wait_upstream(&rig, "every channel is subscribed", |c| c.channels.len() == 7);
    wait_until("both are stored", || {
        let stored: u32 = redis::cmd("HLEN").arg("broker:registrations").query(&mut rig.redis_client()).unwrap();
        stored == 8
    });
    let (facts, at) = (facts(), "2026-11-20T14:30:00.123456789Z");
    for _ in 0..2 {
        for (body, _, _) in &facts {
            rig.exchange.emit(SimMessage { symbol: "AAPL".into(), at: at.parse().unwrap(), body: body.clone() });
        }
    }
    ticker.until_heard(2 * facts.len());
    typed.until_heard(2 * facts.len());

    for (n, (heard, (_, kind, fields))) in ticker.heard.iter().zip(facts.iter().cycle()).enumerate() {
        let mut wanted = fields.clone();
        for (name, value) in [("type", json!(kind)), ("symbol", json!("AAPL")), ("timestamp", json!(at)), ("sim", json!(true))] {
            wanted[name] = value;
        }
        let mut body = heard.body.clone();
        assert!(body.as_object_mut().unwrap().remove("seq").unwrap().is_u64());
        assert_eq!((body, heard.channel.as_str()), (wanted.clone(), "TICKER_UPDATES_AAPL"), "message {n}");

        let channel = match *kind {
            "price" => "price:AAPL",
            "quote" => "quote:AAPL",
            "bar" => "bar:AAPL",
            _ => "status:AAPL",
        };
        let other = &typed.heard[n];
        if *kind == "price" {
            let short = json!({"type":"price_update","symbol":"AAPL","price":10.5,"timestamp":1_795_185_000_u64,"seq":heard.body["seq"],"sim":true});
            assert_eq!((&other.body, other.channel.as_str()), (&short, channel));
            assert!(heard.text.contains(r#""price":10.500,"#) && other.text.contains(r#""price":10.500,"#), "digit for digit: {}", other.text);
        } else {
            assert_eq!((&other.text, other.channel.as_str()), (&heard.text, channel), "one and the same in both dialects");
        }
    }
    ticker.assert_contiguous();
    typed.assert_contiguous();
    let kinds: BTreeSet<&str> = facts.iter().map(|(_, kind, _)| *kind).collect();
    wait_until("the last of each kind is kept", || {
        let last: BTreeMap<String, String> = redis::cmd("HGETALL").arg("broker:last:AAPL").query(&mut rig.redis_client()).unwrap();
        last.keys().map(String::as_str).eq(kinds.iter().copied()) && last.values().all(|text| text.contains(r#""snapshot":true,"stale":false"#))
    });
}

const FIRST_ACCOUNT: &str = "5eed0000-0000-4000-8000-000000000001";
const SECOND_ACCOUNT: &str = "5eed0000-0000-4000-8000-000000000002";

/// Buys one share at the exchange, as somebody beside the service; the order's id.
fn buy(rig: &Rig, key: &str, secret: &str, symbol: &str, client_order_id: &str) -> String {
    let order = json!({"symbol":symbol,"side":"buy","type":"market","qty":"1","time_in_force":"day","client_order_id":client_order_id}).to_string();
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).http_status_as_error(false).build().into();
    let url = format!("http://{}/v2/orders", rig.exchange_address());
    let mut answer = agent.post(&url).header("APCA-API-KEY-ID", key).header("APCA-API-SECRET-KEY", secret).send(&order).unwrap();
    let body = answer.body_mut().read_to_string().unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned()
}

fn wait_order_streams(rig: &Rig, count: usize) {
    let listening = rig.exchange.wait_for(|all| all.iter().filter(|c| c.path == ORDERS && c.is_open() && c.listening).count() == count, PATIENCE);
    assert!(listening, "{count} order streams listen: {:?}", rig.exchange.connections());
    // What the first look at an account finds by asking is not heard once more from its stream.
    let journal = rusqlite::Connection::open(rig.data_dir().join("broker.db")).unwrap();
    let looked_at = || journal.query_row("SELECT count(*) FROM compared", [], |row| row.get::<_, i64>(0)).unwrap();
    wait_until("the accounts were looked at", || looked_at() == count as i64);
}

#[test]
fn an_orders_way_through_the_venue_is_seen_in_both_dialects_in_order() {
    let rig = Rig::start();
    wait_order_streams(&rig, 1);
    let account = format!("order:{FIRST_ACCOUNT}");
    let mut ticker = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_AAPL"]);
    let mut typed = Bot::listening(&rig.redis.url(), &[account.as_str()]);
    // Nobody has registered the symbol: orders are published all the same.
    let id = buy(&rig, "SIM", "SIM-SECRET", "AAPL", "b1-1");
    ticker.until_heard(3);
    typed.until_heard(3);
    for (heard, event) in ticker.heard.iter().zip(["pending_new", "new", "fill"]) {
        let body = &heard.body;
        let what = (body["type"].as_str(), body["event"].as_str(), body["account_id"].as_str(), body["order_data"]["id"].as_str());
        assert_eq!(what, (Some("order"), Some(event), Some(FIRST_ACCOUNT), Some(id.as_str())), "{}", heard.text);
        assert_eq!((&body["order_data"]["client_order_id"], &body["sim"]), (&json!("b1-1"), &json!(true)));
    }
    let fill = &ticker.heard[2].body;
    assert!(fill["execution_id"].is_string() && fill["price"].is_string() && fill["qty"] == "1" && fill["position_qty"] == "1", "{fill}");
    for (heard, event) in typed.heard.iter().zip(["pending_new", "new", "fill"]) {
        let body = &heard.body;
        let what = (body["type"].as_str(), body["event"].as_str(), body["order_id"].as_str(), body["symbol"].as_str(), body["side"].as_str());
        assert_eq!(what, (Some("order_update"), Some(event), Some(id.as_str()), Some("AAPL"), Some("buy")), "{}", heard.text);
        assert!(body["timestamp"].is_u64() && body["client_order_id"] == "b1-1");
    }
    let filled = &typed.heard[2].body;
    assert_eq!((filled["status"].as_str(), filled["filled_qty"].as_u64()), (Some("filled"), Some(1)));
    assert!(filled["filled_avg_price"].is_number(), "{filled}");
}

fn two_accounts(on_ticker_channel: Option<bool>) -> RigOptions {
    let second = SimKey { key_id: "TWO".to_owned(), secret: Secret::new("TWO-SECRET"), account_id: SECOND_ACCOUNT.to_owned(), ..SimKey::default() };
    RigOptions {
        sim: SimConfig { keys: vec![SimKey::default(), second], ..SimConfig::default() },
        config: Box::new(move |config| {
            let mut account = config.accounts[0].clone();
            (account.name, account.key_id, account.secret_key) = ("second".into(), Secret::new("TWO"), Secret::new("TWO-SECRET"));
            config.accounts.push(account);
            config.orders_on_ticker_channel = on_ticker_channel;
        }),
        ..RigOptions::default()
    }
}

/// The events that a bot on all channels hears of one order of each account.
fn orders_of_two(options: RigOptions) -> BTreeMap<String, Vec<(String, String)>> {
    let rig = Rig::with(options);
    wait_order_streams(&rig, 2);
    assert_eq!(connections(&rig, ORDERS).len(), 2, "one order connection for each account");
    let mut bot = Bot::listening(&rig.redis.url(), &["order:*", "TICKER_UPDATES_*"]);
    buy(&rig, "SIM", "SIM-SECRET", "AAPL", "b1-1");
    buy(&rig, "TWO", "TWO-SECRET", "AAPL", "b2-1");
    // An update is sent to the ticker channel first, so with both last ones all have come.
    for account in [FIRST_ACCOUNT, SECOND_ACCOUNT] {
        let channel = format!("order:{account}");
        let is_fill = |m: &crate::support::bot::Message| m.channel == channel && m.body["event"] == "fill";
        if !bot.heard.iter().any(is_fill) {
            bot.until("the fill", is_fill);
        }
    }
    let mut events: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for message in &bot.heard {
        let of = message.body["client_order_id"].as_str().or(message.body["order_data"]["client_order_id"].as_str()).unwrap();
        events.entry(message.channel.clone()).or_default().push((of.to_owned(), message.body["event"].as_str().unwrap().to_owned()));
    }
    assert_eq!(connections(&rig, DATA).len(), 1);
    events
}

fn way_of(order: &str) -> Vec<(String, String)> {
    ["pending_new", "new", "fill"].map(|event| (order.to_owned(), event.to_owned())).to_vec()
}

#[test]
fn two_accounts_have_an_order_stream_each_and_the_shared_ticker_channel_stays_silent() {
    let events = orders_of_two(two_accounts(None));
    let wanted = BTreeMap::from([(format!("order:{FIRST_ACCOUNT}"), way_of("b1-1")), (format!("order:{SECOND_ACCOUNT}"), way_of("b2-1"))]);
    assert_eq!(events, wanted);
}

#[test]
fn two_accounts_share_the_ticker_channel_when_the_configuration_says_so() {
    let mut events = orders_of_two(two_accounts(Some(true)));
    let shared = events.remove("TICKER_UPDATES_AAPL").unwrap();
    for order in ["b1-1", "b2-1"] {
        let of_one: Vec<_> = shared.iter().filter(|(of, _)| of == order).cloned().collect();
        assert_eq!(of_one, way_of(order));
    }
    assert_eq!((shared.len(), events.len()), (6, 2));
}

#[test]
fn a_symbol_held_by_two_bots_is_asked_for_once() {
    let rig = Rig::start();
    let mut bot = Bot::listening(&rig.redis.url(), &["b2:answers"]);
    bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"AAPL","bot":"b1"}"#);
    wait_upstream(&rig, "it is subscribed", |c| c.symbols == ["AAPL"]);
    bot.say("broker:registration", r#"{"action":"register","symbols":["AAPL"],"bot":"b2","reply_to":"b2:answers"}"#);
    bot.until("the answer", |message| message.body["accepted"] == json!(["AAPL"]));
    bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"MSFT","bot":"b1"}"#);
    wait_upstream(&rig, "the next one is subscribed", |c| c.symbols == ["AAPL", "MSFT"]);
    let requests = asked(&connections(&rig, DATA)[0]);
    assert_eq!(requests.iter().map(|request| names(&request["trades"])).collect::<Vec<_>>(), [BTreeSet::from(["AAPL"]), BTreeSet::from(["MSFT"])]);
    let board = rig.broker.boards().into_iter().find(|board| &*board.name == "alp-data").unwrap();
    assert_eq!(board.stats.cycles.get(), 2, "nothing was to be asked for the second bot");
    assert!(board.stats.last_message_ms.load(Ordering::Relaxed) > 0);
}
