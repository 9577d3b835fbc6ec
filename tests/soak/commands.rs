use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bots::{Shared, Speaker, listener, market};
use crate::checker::{Said, check};
use crate::report::{in_words, line, parameter, say, seed};
use crate::stage::{Cursor, Stage};

/// Where the broker dies: on the way of a command, and on the way of what the exchange says of it.
const POINTS: [&str; 8] = ["C1-received", "C3-submitting", "C4-sent", "C5-answered", "C6-replied", "U3-heard", "U4-journaled", "U6-appended"];
/// Deliveries of one command at most.
const DELIVERIES: u64 = 5;
/// Commands under way at once.
const WINDOW: usize = 8;
/// How long the broker may live until it has come to its point.
const LIFE: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(90);
const TURN: Duration = Duration::from_millis(2);

/// Delivers commands one to five times each, up to the number that is allowed by now. Returns how often it delivered.
fn sender(url: &str, seed: u64, total: usize, allowed: &Arc<AtomicUsize>, shared: &Shared) -> JoinHandle<u64> {
    let (url, allowed, shared) = (url.to_owned(), Arc::clone(allowed), shared.clone());
    std::thread::spawn(move || {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut speaker = Speaker::new(&url);
        let mut delivered = 0;
        // Those without an answer, with how often they are still to be delivered.
        let mut under_way: Vec<(String, Value, u64)> = Vec::new();
        let mut next = 0;
        while !shared.over.load(Ordering::Acquire) {
            under_way.retain(|(id, _, left)| *left > 0 || !shared.is_answered(id));
            while next < total.min(allowed.load(Ordering::Acquire)) && under_way.len() < WINDOW {
                let id = format!("cmd-{next}");
                let command = market(&id, ["F", "INTC", "PFE", "KO"][next % 4], if next / 4 % 2 == 0 { "buy" } else { "sell" });
                under_way.push((id, command, rng.u64(1..=DELIVERIES)));
                next += 1;
            }
            if next == total && under_way.is_empty() {
                return delivered;
            }
            for (_, command, left) in under_way.iter_mut().filter(|(_, _, left)| *left > 0) {
                if rng.u8(0..4) == 0 && speaker.say(command) {
                    *left -= 1;
                    delivered += 1;
                }
            }
            std::thread::sleep(TURN);
        }
        delivered
    })
}

#[test]
fn each_command_is_carried_out_once_though_the_broker_dies_on_the_way() {
    let seed = seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let total = usize::try_from(parameter("SOAK_COMMANDS", 240)).unwrap();
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
        allowed.store(total * (number + 1) / rounds.len(), Ordering::Release);
        if !stage.service.ends_within(LIFE) {
            missed.push(*point);
        }
    }
    stage.service.kill();
    stage.service.start(None);
    allowed.store(total, Ordering::Release);
    let names: Vec<String> = (0..total).map(|n| format!("cmd-{n}")).collect();
    let deadline = Instant::now() + SETTLE;
    while !names.iter().all(|name| shared.is_answered(name)) && Instant::now() < deadline {
        stage.service.revive();
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut cursor = Cursor::default();
    let settled = stage.stream_when(SETTLE, |entries| check(hand.history(&mut cursor), entries, &[]).is_clean());
    shared.over.store(true, Ordering::Release);
    let (delivered, heard) = (sent.join().unwrap(), reader.join().unwrap());
    let stream = settled.unwrap_or_else(|| stage.stream());
    let history = hand.history(&mut cursor);
    let verdict = check(history, &stream, &[heard]);
    let wrong = history.accepted_other_than_once(names.iter().map(String::as_str));
    // The desk itself has to answer: what the venue says of an order is no answer.
    let desk = |name: &str| stream.iter().any(|entry| entry.answers() == Some(name) && !matches!(entry.said, Said::Order { answer: false, .. }));
    let unanswered: Vec<&String> = names.iter().filter(|name| !desk(name)).collect();
    say(&line(
        "commands",
        seed,
        &json!({
            "commands": total, "deliveries": delivered, "crashes": rounds.len() - missed.len(), "crashes_per_point": each, "points_missed": missed.len(),
            "accepted_other_than_once": wrong.len(), "unanswered": unanswered.len(), "entries": stream.len(), "lost": verdict.lost.len(),
            "duplicated": verdict.duplicated.len(), "disordered": verdict.disordered.len(), "invented": verdict.invented.len(),
            "broken": verdict.broken.len(), "seconds": begun.elapsed().as_secs(),
        }),
    ));
    let log = stage.service.log();
    assert!(wrong.is_empty(), "the exchange took commands other than once: {wrong:?}\n{log}");
    assert!(unanswered.is_empty(), "commands without an answer: {unanswered:?}\n{log}");
    assert!(missed.is_empty(), "the broker never came to {missed:?}\n{log}");
    assert!(verdict.is_clean(), "the histories differ:{}\n{log}", in_words(&verdict));
}
