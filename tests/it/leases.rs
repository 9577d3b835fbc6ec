use std::collections::HashMap;

use crate::support::bot::Bot;
use crate::support::rig::{PATIENCE, Rig, wait_until};

/// The names that the exchange sends on its one open data connection.
fn upstream(rig: &Rig) -> Vec<String> {
    rig.exchange.connections().into_iter().find(|c| c.is_open() && c.path == "/v2/iex").map(|c| c.symbols).unwrap_or_default()
}

fn wait_upstream(rig: &Rig, what: &str, wanted: &[&str]) {
    let fits = rig.exchange.wait_for(|all| all.iter().any(|c| c.is_open() && c.path == "/v2/iex" && c.symbols == wanted), PATIENCE);
    assert!(fits, "{what}: {wanted:?} wanted upstream, {:?} there", upstream(rig));
}

fn stored(rig: &Rig) -> HashMap<String, i64> {
    redis::cmd("HGETALL").arg("broker:registrations").query(&mut rig.redis_client()).unwrap()
}

fn stored_names(rig: &Rig) -> Vec<String> {
    let mut names: Vec<String> = stored(rig).into_keys().collect();
    names.sort();
    names
}

#[test]
fn a_lease_that_ends_is_dropped_everywhere_and_a_renewed_one_stays() {
    let rig = Rig::start();
    let mut bot = Bot::listening(&rig.redis.url(), &["b1:answers"]);
    bot.say("broker:registration", r#"{"action":"register","symbols":["GONE","KEPT"],"bot":"b1","ttl_s":1}"#);
    bot.say("broker:registration", r#"{"action":"register","symbols":["KEPT"],"bot":"b1","ttl_s":600,"reply_to":"b1:answers"}"#);
    let answer = bot.until("the answer", |_| true);
    assert_eq!((answer.body["action"].as_str(), answer.body["accepted"][0].as_str()), (Some("register"), Some("KEPT")), "{}", answer.text);
    wait_until("both are stored", || stored(&rig).len() == 2);
    wait_upstream(&rig, "the lease of GONE is over", &["KEPT"]);
    wait_until("what ran out is stored no longer", || stored_names(&rig) == ["b1|alpaca|KEPT|price|typed"]);
    let lease = stored(&rig)["b1|alpaca|KEPT|price|typed"];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    assert!((now + 500_000..now + 600_001).contains(&lease), "the lease was renewed for ten minutes: {} ms are left", lease - now);
    let mut listener = Bot::listening(&rig.redis.url(), &["price:*"]);
    rig.exchange.trade("GONE", "1.00", 1);
    rig.exchange.trade("KEPT", "2.00", 1);
    assert_eq!(listener.until("a price", |_| true).channel, "price:KEPT");
}

#[test]
fn an_anonymous_holding_stays_while_anybody_listens_and_goes_when_nobody_does() {
    let rig = Rig::start();
    let mut first = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_BUSY"]);
    let mut leaver = Bot::listening(&rig.redis.url(), &[]);
    for symbol in ["BUSY", "IDLE"] {
        leaver.say("BROKER_REGISTRATION", &format!(r#"{{"action":"subscribe","ticker":"{symbol}"}}"#));
    }
    wait_upstream(&rig, "both are registered", &["BUSY", "IDLE"]);
    // Both are asked about together with the last one, so what becomes of IDLE tells when BUSY was decided.
    leaver.say("BROKER_REGISTRATION", r#"{"action":"unsubscribe","ticker":"BUSY"}"#);
    leaver.say("BROKER_REGISTRATION", r#"{"action":"unsubscribe","ticker":"IDLE"}"#);
    wait_upstream(&rig, "nobody listens to IDLE", &["BUSY"]);
    rig.exchange.trade("BUSY", "3.00", 5);
    assert_eq!(first.until("a price", |_| true).body["symbol"], "BUSY");
    assert_eq!(stored_names(&rig), ["legacy|alpaca|BUSY|price|ticker"]);

    drop(first);
    wait_until("Redis has seen the listener leave", || {
        let counts: HashMap<String, i64> = redis::cmd("PUBSUB").arg("NUMSUB").arg("TICKER_UPDATES_BUSY").query(&mut rig.redis_client()).unwrap();
        counts["TICKER_UPDATES_BUSY"] == 0
    });
    leaver.say("BROKER_REGISTRATION", r#"{"action":"unsubscribe","ticker":"BUSY"}"#);
    wait_upstream(&rig, "nobody listens to BUSY any more", &[]);
    wait_until("nothing is stored", || stored(&rig).is_empty());
}

#[test]
fn registrations_outlive_a_restart_with_their_leases_and_what_ended_does_not() {
    let mut rig = Rig::start();
    let mut bot = Bot::listening(&rig.redis.url(), &[]);
    bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"ANON"}"#);
    bot.say("broker:registration", r#"{"action":"register","symbols":["LONG","LEFT"],"bot":"b1","ttl_s":600,"feeds":["price","quote"]}"#);
    bot.say("broker:registration", r#"{"action":"register","symbols":["SHORT"],"bot":"b2","ttl_s":600}"#);
    wait_upstream(&rig, "all are registered", &["ANON", "LEFT", "LONG", "SHORT"]);
    bot.say("broker:registration", r#"{"action":"unregister","symbols":["LEFT"],"bot":"b1"}"#);
    wait_upstream(&rig, "LEFT was given up", &["ANON", "LONG", "SHORT"]);
    let (ended, _) = rig.stop_broker();
    ended.unwrap();

    let before = stored(&rig);
    let names = ["b1|alpaca|LONG|price|typed", "b1|alpaca|LONG|quote|typed", "b2|alpaca|SHORT|price|typed", "legacy|alpaca|ANON|price|ticker"];
    assert_eq!(stored_names(&rig), names);
    // As though the service had been away for longer than the lease.
    let () = redis::cmd("HSET").arg("broker:registrations").arg("b2|alpaca|SHORT|price|typed").arg(1_000).query(&mut rig.redis_client()).unwrap();
    rig.start_broker(|_| {});
    rig.wait_ready();
    wait_upstream(&rig, "the others are restored", &["ANON", "LONG"]);
    wait_until("what had run out is deleted", || stored(&rig).len() == 3);
    let after = stored(&rig);
    assert!(after.iter().all(|(name, lease)| before[name] == *lease), "the leases are as before: {before:?}, {after:?}");

    let mut listener = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_*", "price:*", "quote:*"]);
    rig.exchange.trade("ANON", "4.00", 1);
    rig.exchange.quote("LONG", "4.90", 1, "5.10", 1);
    rig.exchange.trade("LONG", "5.00", 1);
    listener.until_heard(3);
    let channels: Vec<&str> = listener.heard.iter().map(|message| message.channel.as_str()).collect();
    assert_eq!(channels, ["TICKER_UPDATES_ANON", "quote:LONG", "price:LONG"]);
    assert_eq!(rig.exchange.connections().iter().filter(|c| c.path == "/v2/iex" && c.is_open()).count(), 1);
}

#[test]
fn an_unregistration_right_before_the_stop_is_not_forgotten() {
    let mut rig = Rig::start();
    let mut bot = Bot::listening(&rig.redis.url(), &["b1:answers"]);
    bot.say("broker:registration", r#"{"action":"register","symbols":["A","B"],"bot":"b1","ttl_s":600}"#);
    wait_upstream(&rig, "both are registered", &["A", "B"]);
    bot.say("broker:registration", r#"{"action":"unregister","symbols":["A"],"bot":"b1","reply_to":"b1:answers"}"#);
    bot.until("the answer", |message| message.body["action"] == "unregister");
    rig.stop_broker().0.unwrap();
    assert_eq!(stored_names(&rig), ["b1|alpaca|B|price|typed"]);
}

#[test]
fn registrations_that_cannot_be_read_at_once_are_read_later_and_who_left_meanwhile_stays_away() {
    let mut rig = Rig::start();
    let mut bot = Bot::listening(&rig.redis.url(), &["b1:answers"]);
    bot.say("broker:registration", r#"{"action":"register","symbols":["A","B","C"],"bot":"b1","ttl_s":600}"#);
    bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"ANON"}"#);
    wait_upstream(&rig, "all are registered", &["A", "ANON", "B", "C"]);
    wait_until("they are stored", || stored(&rig).len() == 4);
    rig.stop_broker().0.unwrap();
    let mut client = rig.redis_client();
    let () = redis::cmd("ACL").arg(&["SETUSER", "default", "-hgetall"]).query(&mut client).unwrap();
    rig.start_broker(|_| {});
    rig.wait_ready();
    wait_until("the reading was refused", || {
        let log: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query(&mut client).unwrap();
        !log.is_empty()
    });
    bot.say("broker:registration", r#"{"action":"unregister","symbols":["A","B"],"bot":"b1"}"#);
    bot.say("BROKER_REGISTRATION", r#"{"action":"unsubscribe","ticker":"ANON"}"#);
    bot.say("broker:registration", r#"{"action":"register","symbols":["B"],"bot":"b1","ttl_s":600,"reply_to":"b1:answers"}"#);
    bot.until("the answer", |_| true);
    let () = redis::cmd("ACL").arg(&["SETUSER", "default", "+hgetall"]).query(&mut client).unwrap();
    wait_upstream(&rig, "the rest is restored", &["B", "C"]);
    wait_until("what was given up is stored no longer", || stored_names(&rig) == ["b1|alpaca|B|price|typed", "b1|alpaca|C|price|typed"]);
}
