use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use redis::Connection;
use serde_json::{Value, json};

use super::*;
use crate::model::{ClientOrderId, Modification, OrderClass, OrderRequest, OrderType, Side, Size, StopLoss, TakeProfit, TimeInForce};
use crate::redis::test_server::RedisServer;

const STREAM: &str = "broker:order_updates:acc-1";

fn dial(server: &RedisServer) -> Connection {
    redis::Client::open(server.url()).unwrap().get_connection().unwrap()
}

fn client(server: &RedisServer) -> BrokerClient {
    let status = json!({"brokers": [{"name": "paper", "account": "paper", "account_id": "acc-1"}]}).to_string();
    redis::cmd("SET").arg("broker:status").arg(status).exec(&mut dial(server)).unwrap();
    BrokerClient::new(&server.url(), "scalper", "paper").unwrap().within(Duration::from_secs(10))
}

/// A desk that a test scripts: what it does with each command, in order, until the script ends.
fn desk(server: &RedisServer, script: Vec<fn(&mut Connection, &Value)>) -> (JoinHandle<()>, Receiver<Value>) {
    let mut redis = dial(server);
    let (say, heard) = channel();
    let thread = std::thread::spawn(move || {
        let mut last = "0-0".to_owned();
        for act in script {
            let command = redis::cmd("XREAD").arg(&["COUNT", "1", "BLOCK", "10000", "STREAMS", "broker:orders", &last]).query(&mut redis);
            let found: broker_client::Streams = command.unwrap();
            let (id, fields) = &found[0].1[0];
            last.clone_from(id);
            let command: Value = serde_json::from_str(&fields[0].1).unwrap();
            act(&mut redis, &command);
            say.send(command).unwrap();
        }
    });
    (thread, heard)
}

fn reply(redis: &mut Connection, command: &Value, result: &str) {
    let mut body = json!({"type": "order_reply", "action": command["action"], "result": result});
    // As the desk does, not every refusal names the order.
    if result == "accepted" {
        body["client_order_id"] = command["client_order_id"].clone();
    }
    redis::cmd("PUBLISH").arg(command["reply_to"].as_str()).arg(body.to_string()).exec(redis).unwrap();
}

fn write(redis: &mut Connection, id: &str, event: &Value) {
    redis::cmd("XADD").arg(STREAM).arg(id).arg("event").arg(event.to_string()).exec(redis).unwrap();
}

fn told(event: &str, name: &str, execution: Option<&str>) -> Value {
    json!({"type": "order", "event": event, "execution_id": execution, "order_data": {"client_order_id": name, "symbol": "AAPL", "status": "x"}})
}

fn bracket(name: ClientOrderId) -> OrderRequest {
    let price = |text: &str| text.parse().unwrap();
    OrderRequest {
        client_order_id: name,
        symbol: "AAPL".parse().unwrap(),
        side: Side::Buy,
        size: Size::Quantity("10".parse().unwrap()),
        kind: OrderType::Limit { limit: price("150.10") },
        time_in_force: TimeInForce::Day,
        extended_hours: false,
        class: OrderClass::Bracket { profit: TakeProfit { limit: price("160") }, loss: StopLoss { stop: price("145"), limit: None } },
    }
}

#[test]
fn the_desk_reads_the_very_order_that_was_placed() {
    let server = RedisServer::start();
    let mut client = client(&server);
    let (thread, heard) = desk(&server, vec![|redis, command| reply(redis, command, "accepted")]);
    let order = bracket(client.new_id());
    assert_eq!(client.place(&order).result, Verdict::Accepted);
    thread.join().unwrap();
    let command = crate::contract::parse_command(heard.recv().unwrap().to_string().as_bytes()).unwrap();
    let crate::contract::Wish::Order(crate::events::Command::Place(read)) = command.wish else { panic!("{command:?}") };
    assert_eq!((read, command.account.as_deref()), (order, Some("paper")));
}

#[test]
fn names_of_orders_sort_by_time_and_fit() {
    let mut client = BrokerClient::new("redis://127.0.0.1:1", "sixteen_letters_", "paper").unwrap();
    let names: Vec<String> = (0..1_000).map(|_| client.new_id().to_string()).collect();
    assert!(names.is_sorted() && names.iter().all(|name| name.len() == 36 && name.starts_with("sixteen_letters_-")));
    let distinct: std::collections::HashSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), 1_000);
    assert!(BrokerClient::new("redis://127.0.0.1:1", "Not a bot", "paper").is_err());
}

#[test]
fn an_answer_in_the_order_stream_counts_and_another_order_s_does_not() {
    let server = RedisServer::start();
    let mut client = client(&server);
    let (thread, _heard) = desk(
        &server,
        vec![|redis, command| {
            let entry = |name: &Value, event: &str| json!({"type": "order", "event": event, "answer": true, "order_data": {"client_order_id": name}});
            write(redis, "7-1", &entry(&"scalper-other".into(), "rejected"));
            write(redis, "7-2", &entry(&command["client_order_id"], "denied"));
        }],
    );
    let order = bracket(client.new_id());
    let answer = client.place(&order);
    thread.join().unwrap();
    assert_eq!((answer.result, answer.client_order_id), (Verdict::Denied, Some(order.client_order_id.to_string())));
}

/// Ends every connection but that one, as a restart of Redis would.
fn cut(redis: &mut Connection) {
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).exec(redis).unwrap();
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).exec(redis).unwrap();
}

#[test]
fn what_may_have_been_lost_is_sent_again_the_same_and_no_refusal_of_the_second_is_believed() {
    let server = RedisServer::start();
    let mut client = client(&server);
    let (thread, heard) = desk(
        &server,
        vec![|redis, _| cut(redis), |redis, command| reply(redis, command, "accepted"), |redis, _| cut(redis), |redis, command| {
            reply(redis, command, "rejected")
        }],
    );
    let name = client.new_id();
    assert_eq!(client.place(&bracket(name.clone())).result, Verdict::Accepted);
    let change = Modification { limit: Some("151".parse().unwrap()), ..Modification::default() };
    let answer = client.modify(&name, &change);
    assert_eq!(answer.result, Verdict::Unknown, "{answer:?}");
    thread.join().unwrap();
    let sent: Vec<Value> = heard.iter().collect();
    assert_eq!((&sent[0], &sent[2]), (&sent[1], &sent[3]));
}

#[test]
fn no_answer_is_unknown_and_no_redis_is_nothing_sent() {
    let mut server = RedisServer::start();
    let mut client = client(&server).within(Duration::from_millis(200));
    let name = client.new_id();
    let answer = client.cancel(&name);
    assert_eq!((answer.result, answer.reason.unwrap().contains("look it up")), (Verdict::Unknown, true));
    server.kill();
    let answer = client.cancel(&name);
    assert_eq!((answer.result, answer.reason.unwrap().contains("nothing was sent")), (Verdict::Denied, true));
}

/// What is there: events as `event order execution`, gaps as they are told.
fn all(updates: &mut OrderUpdates) -> Vec<String> {
    std::iter::from_fn(|| match updates.poll(Duration::from_millis(50)) {
        Ok(update) => update.map(|u| format!("{} {} {}", u.event, u.client_order_id().unwrap_or_default(), u.execution_id.as_deref().unwrap_or("-"))),
        Err(gap) => Some(format!("gap {} {}", gap.after, gap.found)),
    })
    .collect()
}

#[test]
fn updates_go_on_behind_what_was_handled_and_tell_gaps_and_epochs() {
    let server = RedisServer::start();
    let client = client(&server);
    let mut redis = dial(&server);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bot.cursor");
    let follow = || client.updates(Cursor::open(&path).unwrap());
    for (id, name) in [("10-1", "scalper-1"), ("10-2", "other-1"), ("10-3", "scalper-2")] {
        write(&mut redis, id, &told("fill", name, Some(&format!("e{id}"))));
    }
    let mut updates = follow();
    let wait = Duration::from_secs(10);
    assert_eq!(updates.next().unwrap().unwrap().client_order_id(), Some("scalper-1"));
    assert_eq!(updates.poll(wait).unwrap().unwrap().execution_id.as_deref(), Some("e10-3"));
    drop(updates);
    // The second was handed out and not handled.
    assert_eq!(all(&mut follow()), ["fill scalper-2 e10-3"]);

    // Told again, in one part or another; its bust is news.
    write(&mut redis, "10-4", &told("partial_fill", "scalper-2", Some("e10-3")));
    write(&mut redis, "10-5", &told("trade_bust", "scalper-2", Some("e10-3")));
    write(&mut redis, "10-8", &told("canceled", "scalper-3", None));
    // A new epoch, and one whose beginning is missing.
    write(&mut redis, "11-1", &told("new", "scalper-4", None));
    write(&mut redis, "12-2", &told("new", "scalper-5", None));
    let mut updates = follow();
    let expected = ["trade_bust scalper-2 e10-3", "gap 10-5 10-8", "canceled scalper-3 -", "new scalper-4 -", "gap 11-1 12-2", "new scalper-5 -"];
    assert_eq!(all(&mut updates), expected);

    // The stream is lost with its journal, and the new one is older by its clock.
    redis::cmd("DEL").arg(STREAM).exec(&mut redis).unwrap();
    write(&mut redis, "9-1", &told("fill", "scalper-2", Some("e10-3")));
    write(&mut redis, "9-2", &told("fill", "scalper-6", Some("e9")));
    assert_eq!(updates.poll(wait).unwrap().unwrap().execution_id.as_deref(), Some("e9"));
    cut(&mut redis);
    write(&mut redis, "9-3", &told("canceled", "scalper-6", None));
    assert_eq!(updates.poll(wait).unwrap().unwrap().event, "canceled");
}

#[test]
fn a_cursor_outlives_its_program_with_what_the_bot_made_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bot.cursor");
    let mut cursor = Cursor::open(&path).unwrap();
    cursor.position = "1795185000000-42".parse().unwrap();
    cursor.state = json!({"held": "10"});
    cursor.see("fill:e1".to_owned());
    cursor.save().unwrap();
    let again = Cursor::open(&path).unwrap();
    assert_eq!((again.position, &again.state, again.has_seen("fill:e1")), (cursor.position, &cursor.state, true));
    std::fs::write(&path, "{").unwrap();
    assert!(Cursor::open(&path).unwrap_err().to_string().contains("cannot be read"));
    let nowhere = Cursor::open(&folder.path().join("no/such/cursor")).unwrap();
    assert!(nowhere.save().unwrap_err().to_string().contains("cannot be written"));
}
