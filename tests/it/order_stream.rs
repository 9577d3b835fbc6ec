use std::path::Path;
use std::time::{Duration, Instant};

use alpaca_broker::config::Config;
use alpaca_broker::runtime::Secret;
use serde_json::Value;

use crate::support::bot::Bot;
use crate::support::process::{ACCOUNT, Exchange, Program, service, wait_running};
use crate::support::promise::{kept, within};
use crate::support::redis_server::RedisServer;
use crate::support::rig::{Rig, RigOptions, wait_until};
use crate::support::schema::contract;

/// Longer than a lease that nobody renews.
const LEASE: Duration = Duration::from_secs(10);
/// The exit code for a Redis or a data folder that another broker has.
const ANOTHER_BROKER: Option<i32> = Some(75);

fn key() -> String {
    format!("broker:order_updates:{ACCOUNT}")
}

/// The entries of the account's stream, each of them judged: ids and the orders that they are about.
fn entries(redis: &mut redis::Connection) -> Vec<(String, String)> {
    let entries: Vec<(String, Vec<(String, String)>)> = redis::cmd("XRANGE").arg(key()).arg("-").arg("+").query(redis).unwrap();
    let told = entries.into_iter().map(|(id, fields)| {
        let [(_, text)] = fields.as_slice() else { panic!("{id}: {fields:?}") };
        let body: Value = serde_json::from_str(text).unwrap();
        contract().message(&key(), &body).unwrap_or_else(|reason| panic!("{id}: {reason}: {text}"));
        assert_eq!(body["stream_id"], Value::from(id.as_str()));
        (id, body["order_data"]["id"].as_str().unwrap_or_default().to_owned())
    });
    told.collect()
}

/// The epochs of the entries, and that their numbers have no gap.
fn epochs(entries: &[(String, String)]) -> Vec<&str> {
    let ids: Vec<(&str, u64)> = entries.iter().map(|(id, _)| id.split_once('-').map(|(epoch, n)| (epoch, n.parse().unwrap())).unwrap()).collect();
    for pair in ids.windows(2) {
        assert!(pair[0].0 != pair[1].0 || pair[1].1 == pair[0].1 + 1, "a gap: {pair:?}");
    }
    let mut epochs: Vec<&str> = ids.into_iter().map(|(epoch, _)| epoch).collect();
    epochs.dedup();
    epochs
}

fn tell(rig: &Rig, orders: impl Iterator<Item = usize>) {
    for n in orders {
        let order = format!(r#"{{"event":"new","order":{{"id":"o-{n}","symbol":"AAPL","status":"new","side":"buy","filled_qty":"0"}}}}"#);
        rig.exchange.order_update(ACCOUNT, &order);
    }
}

fn wait_for_entries(redis: &mut redis::Connection, count: usize) -> Vec<(String, String)> {
    let mut found = Vec::new();
    wait_until(&format!("{count} entries are in the stream"), || {
        found = entries(redis);
        found.len() >= count
    });
    assert_eq!(found.len(), count, "{found:?}");
    found
}

fn leader(redis: &mut redis::Connection) -> Option<Value> {
    let text: Option<String> = redis::cmd("GET").arg("broker:leader").query(redis).unwrap();
    text.map(|text| serde_json::from_str(&text).unwrap())
}

/// A redis and an exchange for services that are processes of their own.
struct Stage {
    redis: RedisServer,
    exchange: Exchange,
    folder: tempfile::TempDir,
}

impl Stage {
    fn set() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        Stage { redis: RedisServer::start(), exchange: Exchange::start(folder.path(), 0), folder }
    }

    fn begin(&self, folder: &Path) -> Program {
        service(folder, &self.redis.url(), &self.exchange.variables(), &[])
    }

    fn client(&self) -> redis::Connection {
        redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap()
    }

    fn run(&self) -> Program {
        let mut redis = self.client();
        redis::cmd("DEL").arg("broker:status").exec(&mut redis).unwrap();
        let program = self.begin(self.folder.path());
        wait_running(&mut redis, &program);
        program
    }

    /// Somebody trades at the venue; two updates come of an order that rests.
    fn order(&self, name: &str) {
        let order = format!(r#"{{"symbol":"AAPL","qty":"1","side":"buy","type":"limit","limit_price":"1","time_in_force":"gtc","client_order_id":"{name}"}}"#);
        let asked = ureq::post(format!("{}/v2/orders", self.exchange.url)).header("APCA-API-KEY-ID", "SIM").header("APCA-API-SECRET-KEY", "SIM-SECRET");
        asked.send(&order).unwrap();
    }
}

/// How many entries there are once nothing is waiting and at least `above` have come.
fn settled(redis: &mut redis::Connection, above: usize) -> Vec<(String, String)> {
    let mut found = Vec::new();
    wait_until("the stream goes on", || {
        found = entries(redis);
        found.len() > above
    });
    found
}

#[test]
fn a_second_broker_on_one_redis_ends_with_75_and_the_first_goes_on() {
    let stage = Stage::set();
    let mut redis = stage.client();
    let first = stage.run();
    stage.order("by-hand-1");
    let before = settled(&mut redis, 0).len();

    let elsewhere = tempfile::tempdir().unwrap();
    let second = stage.begin(elsewhere.path()).end();
    assert_eq!(second.code, ANOTHER_BROKER, "{}", second.errors);
    assert!(second.errors.contains(&format!("process {} on ", first.pid())), "{}", second.errors);
    // In the folder of the first the lock says it at once.
    let third = stage.begin(stage.folder.path()).end();
    assert_eq!(third.code, ANOTHER_BROKER, "{}", third.errors);
    assert!(third.errors.contains("broker.db.lock") && third.errors.contains(&format!("process {} since", first.pid())), "{}", third.errors);

    stage.order("by-hand-2");
    let after = settled(&mut redis, before);
    assert_eq!(epochs(&after).len(), 1, "{after:?}");
    first.signal("TERM");
    let ended = first.end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    assert_eq!(leader(&mut redis), None, "the lease was given back");
}

#[test]
fn after_a_kill_the_next_one_holds_the_lease_at_once_and_its_stream_goes_on() {
    kept(|| {
        let stage = Stage::set();
        let mut redis = stage.client();
        let first = stage.run();
        stage.order("by-hand-1");
        let before = settled(&mut redis, 0);
        let token = leader(&mut redis).unwrap()["token"].as_u64().unwrap();
        first.signal("KILL");
        first.end();
        // What happens meanwhile is asked of the venue.
        stage.order("by-hand-2");

        let started = Instant::now();
        let _second = stage.run();
        // It does not wait for the lease.
        within(LEASE / 2, started.elapsed())?;
        assert!(leader(&mut redis).unwrap()["token"].as_u64().unwrap() > token);
        let after = settled(&mut redis, before.len());
        assert_eq!(after[..before.len()], before[..], "what was told is told once");
        assert_eq!(epochs(&after).len(), 1, "{after:?}");
        Ok(())
    });
}

#[test]
fn a_journal_whose_stream_another_one_has_continued_is_refused_with_75() {
    let stage = Stage::set();
    let mut redis = stage.client();
    let ours = stage.run();
    stage.order("by-hand-1");
    let last = settled(&mut redis, 0).pop().unwrap().0;
    ours.signal("TERM");
    assert_eq!(ours.end().code, Some(0));
    let epoch: u64 = last.split('-').next().unwrap().parse().unwrap();
    redis::cmd("XADD").arg(key()).arg(format!("{}-1", epoch + 1)).arg("event").arg("{}").exec(&mut redis).unwrap();
    let ended = stage.begin(stage.folder.path()).end();
    assert_eq!(ended.code, ANOTHER_BROKER, "{}", ended.errors);
    assert!(ended.errors.contains("was continued by another journal") && ended.errors.contains("move this journal away"), "{}", ended.errors);
    assert_eq!(leader(&mut redis), None, "the lease was given back");
}

#[test]
fn an_account_that_the_venue_refuses_is_shown_and_leaves_the_others_alone() {
    let config = Box::new(|config: &mut Config| {
        let mut refused = config.accounts[0].clone();
        (refused.name, refused.key_id) = ("other".into(), Secret::new("PKUNKNOWN"));
        config.accounts.push(refused);
    });
    let rig = Rig::begin(RigOptions { config, ..RigOptions::default() });
    let state = |name: &str| {
        let streams = rig.status()["streams"].as_array().cloned().unwrap_or_default();
        streams.into_iter().find(|stream| stream["name"] == name).unwrap_or_default()
    };
    wait_until("one is refused and the other one streams", || state("ord-other")["state"] == "refused" && state("ord-sim")["state"] == "streaming");
    assert!(state("ord-other")["cause"].as_str().unwrap().contains("before the next start"), "{}", state("ord-other"));
    tell(&rig, 1..=3);
    wait_for_entries(&mut rig.redis_client(), 3);
    wait_until("the health tells of it", || rig.status()["health"]["reasons"].to_string().contains("ord-other: refused by the exchange"));
}

#[test]
fn a_broker_that_loses_its_lease_ends_with_75_and_says_who_has_it() {
    let stage = Stage::set();
    let mut redis = stage.client();
    let program = stage.run();
    let thief = r#"{"journal":"ffff","host":"elsewhere","pid":4711,"since_ms":1795185000000,"token":99}"#;
    redis::cmd("SET").arg("broker:leader").arg(thief).arg("PX").arg(60_000).exec(&mut redis).unwrap();
    wait_until("it has noticed", || program.errors().contains("has taken this Redis over"));
    // From here on this is the other one's.
    redis::cmd("SET").arg("broker:status").arg("{}").exec(&mut redis).unwrap();
    let ended = program.end();
    assert_eq!(ended.code, ANOTHER_BROKER, "{}", ended.errors);
    assert!(ended.errors.contains("process 4711 on elsewhere"), "{}", ended.errors);
    assert_eq!(leader(&mut redis).unwrap()["pid"], 4711, "what is another's is left alone");
    assert_eq!(redis::cmd("GET").arg("broker:status").query::<String>(&mut redis).unwrap(), "{}");
}

#[test]
fn a_redis_that_is_flushed_is_filled_again() {
    let rig = Rig::start();
    let mut redis = rig.redis_client();
    let mut bot = Bot::listening(&rig.redis.url(), &["broker:replies:flushed"]);
    bot.say("broker:registration", r#"{"action":"register","symbols":["AAPL"],"bot":"flushed","ttl_s":600,"reply_to":"broker:replies:flushed"}"#);
    bot.until("the answer", |message| message.channel == "broker:replies:flushed");
    tell(&rig, 1..=20);
    let before = wait_for_entries(&mut redis, 20);
    let fields = |redis: &mut redis::Connection| -> Vec<String> { redis::cmd("HKEYS").arg("broker:registrations").query(redis).unwrap() };
    let registered = fields(&mut redis);
    let token = leader(&mut redis).unwrap()["token"].as_u64().unwrap();

    redis::cmd("FLUSHALL").exec(&mut redis).unwrap();
    assert_eq!(wait_for_entries(&mut redis, 20), before, "the same entries under the same ids");
    tell(&rig, 21..=25);
    let after = wait_for_entries(&mut redis, 25);
    assert_eq!((&after[..20], epochs(&after).len()), (&before[..], 1));
    wait_until("the lease is held again, under a greater token", || leader(&mut redis).is_some_and(|now| now["token"].as_u64() > Some(token)));
    wait_until("the registrations are written again", || fields(&mut redis) == registered);
    // The group is made anew: a command is taken, and answered for what it is.
    bot.command(r#"{"action":"orders","reply_to":"broker:replies:flushed"}"#);
    bot.until("the answer to the command", |message| message.name == "OrderReply");
    assert!(rig.broker.is_running());
}

#[test]
fn a_redis_that_comes_back_with_older_data_gets_exactly_what_it_lost() {
    let mut rig = Rig::start();
    tell(&rig, 1..=10);
    let mut redis = rig.redis_client();
    wait_for_entries(&mut redis, 10);
    redis::cmd("SAVE").exec(&mut redis).unwrap();
    tell(&rig, 11..=30);
    let before = wait_for_entries(&mut redis, 30);
    rig.redis.kill();
    tell(&rig, 31..=40);
    rig.redis.restart();
    let after = wait_for_entries(&mut rig.redis_client(), 40);
    assert_eq!((&after[..30], epochs(&after).len()), (&before[..], 1));
    rig.wait_ready();
}

#[test]
fn a_redis_without_memory_is_said_to_be_so_and_gets_everything_once_it_has_some() {
    let rig = Rig::start();
    let mut redis = rig.redis_client();
    tell(&rig, 1..=3);
    wait_for_entries(&mut redis, 3);
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").exec(&mut redis).unwrap();
    tell(&rig, 4..=50);
    wait_until("the status tells of it", || {
        let status = rig.status();
        let reasons = status["health"]["reasons"].to_string();
        status["state"] == "degraded" && status["orders"]["waiting"] == 47 && reasons.contains("47 order updates wait for Redis")
    });
    assert_eq!(rig.metric("broker_orders_waiting"), 47.0);
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("0").exec(&mut redis).unwrap();
    let after = wait_for_entries(&mut redis, 50);
    assert_eq!(epochs(&after).len(), 1);
    rig.wait_ready();
    assert_eq!((rig.metric("broker_lease_held"), rig.metric("broker_journal_up")), (1.0, 1.0));
}

#[test]
fn while_the_journal_takes_nothing_updates_wait_and_a_stop_does_not() {
    kept(|| {
        let mut rig = Rig::start();
        let mut other = rusqlite::Connection::open(rig.data_dir().join("broker.db")).unwrap();
        let mut redis = rig.redis_client();
        let held = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        tell(&rig, 1..=20);
        wait_until("the status tells of it", || {
            let status = rig.status();
            status["state"] == "degraded" && status["orders"]["journal"].as_str().is_some_and(|cause| cause.contains("locked"))
        });
        assert_eq!(entries(&mut redis), []);
        assert_eq!(rig.metric("broker_journal_up"), 0.0);
        drop(held);
        wait_for_entries(&mut redis, 20);
        rig.wait_ready();

        let held = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        tell(&rig, 21..=22);
        wait_until("the next ones wait too", || rig.status()["orders"]["journal"].is_string());
        let (ended, took) = rig.stop_broker();
        ended.unwrap();
        drop(held);
        within(Duration::from_secs(2), took)?;
        Ok(())
    });
}
