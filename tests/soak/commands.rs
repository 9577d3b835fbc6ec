use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bots::{Shared, Speaker, listener, market, resting};
use crate::checker::{Entry, History, Said, check};
use crate::report::{in_words, line, parameter, say, seed};
use crate::stage::{Cursor, Stage};

/// Where the broker dies: on the way of a command, and on the way of what the exchange says of it.
const POINTS: [&str; 8] = ["C1-received", "C3-submitting", "C4-sent", "C5-answered", "C6-replied", "U3-heard", "U4-journaled", "U6-appended"];
/// What the exchange does beside that with one order in each life of the broker: it takes it and does not say so, or
/// says so in vain.
const FAULTS: [&str; 4] = ["order-504=1", "order-500=1", "order-reset=1", "order-lost=1"];
/// Deliveries of one command at most.
const DELIVERIES: u64 = 5;
/// Commands under way at once.
const WINDOW: usize = 8;
/// How long the broker may live until it has come to its point.
const LIFE: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(90);
const TURN: Duration = Duration::from_millis(2);

/// What becomes of one command after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Bought or sold at the market.
    Market,
    /// Rests, is changed and then cancelled.
    Changed,
    /// Bought to be taken back; refused by the exchange while that is on its way.
    Open,
    /// Takes a position back, if there is one by then.
    Close,
    /// Rests, and ends with everything of its symbol.
    Swept,
}

/// The symbol of which everything is cancelled again and again, and the name of that command: it is about no order of ours.
const SWEPT: &str = "AAPL";
const SWEEP: &str = "cancel_all ";

fn kind(n: usize) -> Kind {
    match n % 8 {
        3 => Kind::Changed,
        2 | 6 => Kind::Open,
        7 => Kind::Close,
        5 => Kind::Swept,
        _ => Kind::Market,
    }
}

fn id(n: usize) -> String {
    format!("cmd-{n}")
}

/// The order that stands in the place of a changed one.
fn changed(n: usize) -> String {
    format!("cmd-{n}-m")
}

/// The commands about one order, each with the name of its last word. Each is sent once the one before has that.
fn chain(n: usize) -> Vec<(String, Value)> {
    let (id, changed) = (id(n), changed(n));
    let side = if (n / 4).is_multiple_of(2) { "buy" } else { "sell" };
    let mut first = match kind(n) {
        Kind::Market => vec![(id.clone(), market(&id, ["F", "INTC"][n % 2], side))],
        Kind::Open => vec![(id.clone(), market(&id, "KO", "buy"))],
        Kind::Changed => vec![(id.clone(), resting(&id, "PFE"))],
        Kind::Swept => vec![(id.clone(), resting(&id, SWEPT)), (SWEEP.to_owned(), json!({"action": "cancel_all", "exchange": "alpaca", "symbol": SWEPT}))],
        Kind::Close => return vec![(id.clone(), json!({"action": "close_position", "exchange": "alpaca", "client_order_id": id, "symbol": "KO"}))],
    };
    if kind(n) == Kind::Changed {
        let expires = first[0].1["expires_at"].clone();
        let change = json!({"action": "modify", "exchange": "alpaca", "client_order_id": id, "new_client_order_id": changed, "limit_price": "1.01", "expires_at": expires});
        let cancel = json!({"action": "cancel", "exchange": "alpaca", "client_order_id": changed});
        first.extend([(format!("modify {id}"), change), (format!("cancel {changed}"), cancel)]);
    }
    first
}

/// Delivers commands one to five times each, up to the number that is allowed by now. Returns how often it delivered each.
fn sender(url: &str, seed: u64, total: usize, allowed: &Arc<AtomicUsize>, shared: &Shared) -> JoinHandle<BTreeMap<String, u64>> {
    let (url, allowed, shared) = (url.to_owned(), Arc::clone(allowed), shared.clone());
    std::thread::spawn(move || {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut speaker = Speaker::new(&url);
        let mut delivered: BTreeMap<String, u64> = BTreeMap::new();
        // What is still to be said about each order, with how often the first of it is still to be delivered.
        let mut under_way: Vec<(VecDeque<(String, Value)>, u64)> = Vec::new();
        let mut next = 0;
        while !shared.over.load(Ordering::Acquire) {
            for (chain, left) in &mut under_way {
                if *left == 0 && chain.front().is_some_and(|(name, _)| shared.is_answered(name)) {
                    chain.pop_front();
                    *left = rng.u64(1..=DELIVERIES);
                }
            }
            under_way.retain(|(chain, _)| !chain.is_empty());
            while next < total.min(allowed.load(Ordering::Acquire)) && under_way.len() < WINDOW {
                under_way.push((chain(next).into(), rng.u64(1..=DELIVERIES)));
                next += 1;
            }
            if next == total && under_way.is_empty() {
                return delivered;
            }
            for (chain, left) in under_way.iter_mut().filter(|(_, left)| *left > 0) {
                if let Some((name, command)) = chain.front()
                    && rng.u8(0..4) == 0
                    && speaker.say(command)
                {
                    *left -= 1;
                    *delivered.entry(name.clone()).or_default() += 1;
                }
            }
            std::thread::sleep(TURN);
        }
        delivered
    })
}

/// What is wrong with the commands that own no order: every one of them is answered, a cancel with each delivery, a
/// change once and as it is at the exchange.
fn wrong_replies(history: &History, stream: &[Entry], total: usize, delivered: &BTreeMap<String, u64>) -> Vec<String> {
    let mut told: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, result) in stream.iter().filter_map(|entry| entry.said.reply()) {
        told.entry(name).or_default().push(result);
    }
    let made = |name: &str| history.accepted.iter().filter(|accepted| accepted.client == name).count();
    let results = |name: &str| told.get(name).map_or(&[][..], Vec::as_slice);
    let mut wrong = Vec::new();
    for n in 0..total {
        let (change, cancel, taken) = (format!("modify {}", id(n)), format!("cancel {}", changed(n)), made(&changed(n)));
        match (kind(n), results(&change)) {
            (Kind::Open | Kind::Close | Kind::Swept, _) if made(&id(n)) > 1 => wrong.push(format!("{} was taken {} times", id(n), made(&id(n)))),
            (Kind::Market | Kind::Open | Kind::Close | Kind::Swept, _) | (Kind::Changed, ["accepted"]) if taken == usize::from(kind(n) == Kind::Changed) => {}
            (Kind::Changed, ["rejected" | "denied"]) if taken == 0 => {}
            (_, results) => wrong.push(format!("{change} was answered {results:?} and made {taken} times")),
        }
        let (asked, answers) = (delivered.get(&cancel).copied().unwrap_or(0), results(&cancel));
        let unknown = stream
            .iter()
            .filter(|entry| matches!(&entry.said, Said::Reply { action, client, result } if action == "cancel" && *client == changed(n) && result == "unknown"))
            .count();
        if asked != (answers.len() + unknown) as u64 || kind(n) == Kind::Changed && answers.is_empty() {
            wrong.push(format!("{cancel} was sent {asked} times and answered {answers:?}, and {unknown} times unknown"));
        }
    }
    let (asked, answers) = (delivered.get(SWEEP).copied().unwrap_or(0), sweeps(stream).count());
    if asked != answers as u64 {
        wrong.push(format!("{SWEEP}was sent {asked} times and answered {answers} times"));
    }
    wrong
}

/// What the sweeps were answered.
fn sweeps(stream: &[Entry]) -> impl Iterator<Item = &str> {
    stream
        .iter()
        .filter_map(|entry| if let Said::Reply { action, result, .. } = &entry.said { (action == "cancel_all").then_some(result.as_str()) } else { None })
}

/// Orders that a sweep has left open, or that were neither taken nor called lost. A sweep that the broker was away for too
/// long for is refused, and ends nothing.
fn wrongly_swept(history: &History, stream: &[Entry], total: usize, open: &Value) -> Vec<String> {
    let refused = sweeps(stream).any(|result| result != "accepted");
    let open = open.as_array().into_iter().flatten().filter(|order| order["symbol"] == SWEPT && !refused);
    let mut wrong: Vec<String> = open.map(|order| format!("{} is open", order["client_order_id"])).collect();
    let lost = |id: &str| {
        stream.iter().any(
            |entry| matches!(&entry.said, Said::Order { event, client, answer: true, .. } if client == id && (event == "never_arrived" || event == "denied")),
        )
    };
    let swept = (0..total).filter(|n| kind(*n) == Kind::Swept).map(id);
    wrong.extend(
        swept
            .filter(|id| history.accepted.iter().any(|accepted| accepted.client == *id) == lost(id))
            .map(|id| format!("{id} is neither there nor lost, or both")),
    );
    wrong
}

#[test]
fn each_command_is_carried_out_once_though_the_broker_dies_on_the_way() {
    let seed = seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let total = usize::try_from(parameter("SOAK_COMMANDS", 168)).unwrap();
    let each = parameter("SOAK_CRASHES_PER_POINT", 2);
    let begun = Instant::now();
    let mut stage = Stage::open(&["--seed", &seed.to_string()]);
    let (shared, allowed) = (Shared::default(), Arc::new(AtomicUsize::new(0)));
    let (url, key, hand) = (stage.redis.url(), stage.stream_key(), stage.venue.hand());
    let reader = listener(&url, &key, &shared);
    let sent = sender(&url, seed, total, &allowed, &shared);
    let mut rounds: Vec<&str> = (0..each).flat_map(|_| POINTS).collect();
    rng.shuffle(&mut rounds);
    let mut missed = Vec::new();
    for (number, point) in rounds.iter().enumerate() {
        stage.service.kill();
        // Few enough arrivals that the commands of this round suffice.
        stage.service.start(Some(&format!("{point}:{}", rng.u64(1..=4))));
        hand.fault(FAULTS[number % FAULTS.len()]);
        allowed.store(total * (number + 1) / rounds.len(), Ordering::Release);
        if !stage.service.ends_within(LIFE) {
            missed.push(*point);
        }
    }
    stage.service.kill();
    stage.service.start(None);
    allowed.store(total, Ordering::Release);
    let names: Vec<String> = (0..total).map(id).collect();
    let all: Vec<String> = (0..total).flat_map(chain).map(|(name, _)| name).collect();
    let deadline = Instant::now() + SETTLE;
    while !(sent.is_finished() && all.iter().all(|name| shared.is_answered(name))) && Instant::now() < deadline {
        stage.service.revive();
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut cursor = Cursor::default();
    // What is still to be filled would be history that the stream as it was read cannot have.
    let moves = || hand.get("/v2/orders?status=open&limit=500").as_array().into_iter().flatten().any(|order| order["type"] == "market");
    let settled = stage.stream_when(SETTLE, |entries| !moves() && check(hand.history(&mut cursor), entries, &[]).is_clean());
    shared.over.store(true, Ordering::Release);
    let (delivered, heard) = (sent.join().unwrap(), reader.join().unwrap());
    let stream = settled.unwrap_or_else(|| stage.stream());
    let history = hand.history(&mut cursor);
    let verdict = check(history, &stream, &[heard]);
    let placed: Vec<String> = (0..total).filter(|n| matches!(kind(*n), Kind::Market | Kind::Changed)).map(id).collect();
    let wrong = history.accepted_other_than_once(placed.iter().map(String::as_str));
    let wrong_replies = wrong_replies(history, &stream, total, &delivered);
    // The desk itself has to answer: what the venue says of an order is no answer.
    let desk = |name: &str| stream.iter().any(|entry| entry.answers() == Some(name) && !matches!(entry.said, Said::Order { answer: false, .. }));
    let unanswered: Vec<&String> = names.iter().filter(|name| !desk(name)).collect();
    say(&line(
        "commands",
        seed,
        &json!({
            "commands": all.len(), "deliveries": delivered.values().sum::<u64>(), "wrong_replies": wrong_replies.len(), "crashes": rounds.len() - missed.len(), "crashes_per_point": each, "points_missed": missed.len(),
            "accepted_other_than_once": wrong.len(), "unanswered": unanswered.len(), "entries": stream.len(), "lost": verdict.lost.len(),
            "duplicated": verdict.duplicated.len(), "disordered": verdict.disordered.len(), "invented": verdict.invented.len(),
            "broken": verdict.broken.len(), "seconds": begun.elapsed().as_secs(),
        }),
    ));
    let log = stage.service.log();
    let said_of = |name: &str| stream.iter().filter(|entry| entry.answers() == Some(name)).map(|entry| entry.text.as_str()).collect::<Vec<_>>().join("\n");
    let told: String = wrong.iter().take(1).map(|(name, _)| said_of(name)).collect();
    assert!(wrong.is_empty(), "the exchange took commands other than once: {wrong:?}\n{told}\n{log}");
    assert!(unanswered.is_empty(), "commands without an answer: {unanswered:?}\n{log}");
    let wrongly_swept = wrongly_swept(history, &stream, total, &hand.get("/v2/orders?status=open&limit=500"));
    assert!(wrongly_swept.is_empty(), "{wrongly_swept:?}\n{log}");
    assert!(wrong_replies.is_empty(), "changes and cancels were not answered as they were done: {wrong_replies:?}\n{log}");
    let positions = hand.get("/v2/positions");
    let sold_short = positions.as_array().into_iter().flatten().find(|held| held["symbol"] == "KO" && held["side"] == "short");
    assert!(sold_short.is_none(), "more was taken back than was held: {sold_short:?}");
    assert!(missed.is_empty(), "the broker never came to {missed:?}\n{log}");
    assert!(verdict.is_clean(), "the histories differ:{}\n{log}", in_words(&verdict));
}
