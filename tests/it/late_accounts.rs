use std::time::Duration;

use alpaca_broker::config::Config;
use alpaca_broker::risk::Limits;
use alpaca_broker::sim::SimConfig;
use serde_json::Value;

use crate::support::bot::Bot;
use crate::support::process::ACCOUNT;
use crate::support::rig::{Rig, RigOptions, alpaca_broker, paper_broker, wait_until};

/// Nobody learns which account it is, and everything else is answered.
const AWAY: &str = "rest-503=10m@/v2/account";

/// The exchange is the default, and has the first place.
fn both(config: &mut Config) {
    config.brokers = vec![alpaca_broker(config), paper_broker(Limits::default())];
}

fn rig(faults: &[&str]) -> Rig {
    let sim = SimConfig { faults: faults.iter().map(|fault| fault.parse().unwrap()).collect(), rate: 500.0, ..SimConfig::default() };
    Rig::begin(RigOptions { sim, config: Box::new(both), ..RigOptions::default() })
}

fn word(rig: &Rig, broker: usize, word: &str) -> Value {
    rig.status()["brokers"][broker][word].clone()
}

fn wait_connected(rig: &Rig, broker: usize) {
    wait_until("the broker is connected", || word(rig, broker, "connection") == "connected");
}

fn bot(rig: &Rig) -> Bot {
    Bot::listening(&rig.redis.url(), &["order:*", "late:answers"])
}

/// An order that rests.
fn order(id: &str, words: &str) -> String {
    format!(
        r#"{{"action":"place","client_order_id":"{id}","symbol":"AAPL","side":"buy","qty":1,"limit_price":"10","time_in_force":"gtc",{words}"reply_to":"late:answers"}}"#
    )
}

fn answer(bot: &mut Bot) -> Value {
    bot.until("an answer", |message| message.channel == "late:answers").body
}

fn answered(bot: &mut Bot, command: &str) -> Value {
    bot.command(command);
    answer(bot)
}

fn open(bot: &mut Bot, exchange: &str) -> Vec<String> {
    let answer = answered(bot, &format!(r#"{{"action":"orders","exchange":"{exchange}","reply_to":"late:answers"}}"#));
    let orders = answer["orders"].as_array().unwrap_or_else(|| panic!("{answer}"));
    orders.iter().map(|order| order["client_order_id"].as_str().unwrap().to_owned()).collect()
}

fn pending(rig: &Rig) -> usize {
    let (pending, ..): (usize, redis::Value, redis::Value, redis::Value) =
        redis::cmd("XPENDING").arg("broker:orders").arg("desk").query(&mut rig.redis_client()).unwrap();
    pending
}

#[test]
fn who_is_known_serves_at_once_and_who_is_not_joins_later() {
    let rig = rig(&[AWAY]);
    let mut bot = bot(&rig);
    wait_connected(&rig, 1);
    assert_eq!((word(&rig, 0, "connection"), word(&rig, 0, "account_id"), word(&rig, 0, "account")), ("connecting".into(), "".into(), "sim".into()));
    // What names nobody is for the first place, and nobody waits behind it.
    bot.command(&order("b-1", ""));
    let paper = answered(&mut bot, &order("b-2", r#""exchange":"paper","#));
    assert_eq!((&paper["client_order_id"], &paper["result"]), (&"b-2".into(), &"accepted".into()), "{paper}");
    let denied = answer(&mut bot);
    assert_eq!((&denied["client_order_id"], &denied["result"], &denied["advice"]), (&"b-1".into(), &"denied".into(), &"retry".into()), "{denied}");
    assert_eq!((&denied["rule"], &denied["broker"]), (&"not_ready".into(), &"alpaca".into()), "{denied}");
    let sent = std::time::Instant::now();
    assert_eq!(answered(&mut bot, r#"{"action":"cancel_all","reply_to":"late:answers"}"#)["rule"], "not_ready");
    assert!(sent.elapsed() < Duration::from_secs(5), "who comes late enough waits no more");
    assert_eq!(open(&mut bot, "paper"), ["b-2"]);

    rig.exchange.clear_faults();
    wait_connected(&rig, 0);
    assert_eq!((word(&rig, 0, "account_id"), word(&rig, 1, "name")), (ACCOUNT.into(), "paper".into()));
    let mark = bot.heard.len();
    let accepted = answered(&mut bot, &order("b-1", ""));
    assert_eq!((&accepted["result"], &accepted["account_id"]), (&"accepted".into(), &ACCOUNT.into()), "{accepted}");
    let told = bot.since(mark, "the order of the venue", |message| message.body["event"] == "new" && message.body["client_order_id"] == "b-1");
    assert_eq!(told.channel, format!("order:{ACCOUNT}"));
    assert_eq!((open(&mut bot, "alpaca"), open(&mut bot, "paper")), (vec!["b-1".to_owned()], vec!["b-2".to_owned()]));
    wait_until("nothing is left", || pending(&rig) == 0);
}

#[test]
fn what_was_handed_out_before_waits_until_its_account_is_known() {
    let mut rig = rig(&[]);
    let mut bot = bot(&rig);
    wait_connected(&rig, 0);
    let first = answered(&mut bot, &order("b-1", ""));
    assert_eq!(first["result"], "accepted", "{first}");
    rig.stop_broker().0.unwrap();
    // As if the process had ended before it acknowledged the entry.
    let mut redis = rig.redis_client();
    redis::cmd("XGROUP").arg("SETID").arg("broker:orders").arg("desk").arg("0").exec(&mut redis).unwrap();
    redis::cmd("XREADGROUP").arg("GROUP").arg("desk").arg("desk").arg("COUNT").arg(9).arg("STREAMS").arg("broker:orders").arg(">").exec(&mut redis).unwrap();
    assert_eq!(pending(&rig), 1);

    rig.exchange.fault(AWAY.parse().unwrap());
    rig.start_broker(both);
    let paper = answered(&mut bot, &order("b-2", r#""exchange":"paper","#));
    assert_eq!((&paper["client_order_id"], &paper["result"]), (&"b-2".into(), &"accepted".into()), "{paper}");
    wait_until("one entry is left", || pending(&rig) == 1);
    rig.exchange.clear_faults();
    let mut again = answer(&mut bot);
    assert_eq!(again.as_object_mut().unwrap().remove("repeated"), Some(true.into()), "{again}");
    assert_eq!((&again["client_order_id"], &again["result"], &again["order"]["id"]), (&"b-1".into(), &"accepted".into(), &first["order"]["id"]));
    wait_until("nothing is left", || pending(&rig) == 0);
    // What the journal knows is told before the venue can be asked for anything.
    wait_connected(&rig, 0);
    assert_eq!((open(&mut bot, "alpaca"), open(&mut bot, "paper")), (vec!["b-1".to_owned()], vec!["b-2".to_owned()]));
}

#[test]
fn a_halt_waits_for_no_account_and_cancels_there_once_it_is_known() {
    let mut rig = rig(&[]);
    let mut bot = bot(&rig);
    wait_connected(&rig, 0);
    assert_eq!(answered(&mut bot, &order("b-1", ""))["result"], "accepted");
    rig.stop_broker().0.unwrap();
    rig.exchange.fault(AWAY.parse().unwrap());
    rig.start_broker(both);
    let halted = answered(&mut bot, r#"{"action":"halt","scope":"all","cancel_open":true,"reason":"night","reply_to":"late:answers"}"#);
    assert_eq!(halted["result"], "accepted", "{halted}");
    assert!(halted["reason"].as_str().is_some_and(|reason| reason.contains("what is open on sim is cancelled as soon as")), "{halted}");
    rig.exchange.clear_faults();
    wait_connected(&rig, 0);
    wait_until("what was open is cancelled", || open(&mut bot, "alpaca").is_empty());
    let denied = answered(&mut bot, &order("b-2", ""));
    assert_eq!((&denied["result"], &denied["rule"]), (&"denied".into(), &"halted".into()), "{denied}");
}
