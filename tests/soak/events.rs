use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bots::{Shared, by_hand, listener, trader};
use crate::checker::check;
use crate::report::{in_words, line, parameter, say, seed};
use crate::stage::{Cursor, Stage};

/// How long the broker may take at the end to tell what it has not told: two rounds of comparing with the exchange.
const SETTLE: Duration = Duration::from_secs(90);
/// No more than that without any event: then nothing moves any more.
const STUCK: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    KillBroker,
    KillRedis,
    Cut,
}

/// At which event each blow falls, in order.
fn plan(rng: &mut fastrand::Rng, events: u64, counts: [(Blow, u64); 3]) -> Vec<(u64, Blow)> {
    let mut plan: Vec<(u64, Blow)> = Vec::new();
    for (blow, count) in counts {
        plan.extend((0..count).map(|_| (rng.u64(events / 50..events - events / 20), blow)));
    }
    plan.sort_by_key(|(at, _)| *at);
    plan
}

#[test]
fn no_order_event_is_lost_or_doubled_through_kills_and_cuts() {
    let seed = seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let events = parameter("SOAK_EVENTS", 2_000).max(100);
    let counts =
        [(Blow::KillBroker, parameter("SOAK_BROKER_KILLS", 6)), (Blow::KillRedis, parameter("SOAK_REDIS_KILLS", 3)), (Blow::Cut, parameter("SOAK_CUTS", 6))];
    let rate = parameter("SOAK_ORDERS_PER_SECOND", 40);
    let begun = Instant::now();
    let mut stage = Stage::open(&["--seed", &seed.to_string()]);
    let (shared, placed) = (Shared::default(), Arc::new(AtomicUsize::new(0)));
    let (url, key, hand) = (stage.redis.url(), stage.stream_key(), stage.venue.hand());
    let listeners = [listener(&url, &key, &shared), listener(&url, &key, &shared)];
    let traders = [trader("scalper", "F", &url, &shared), trader("dipper", "INTC", &url, &shared)];
    let outsider = by_hand(hand.clone(), rate as f64, &shared, &placed);

    let mut cursor = Cursor::default();
    let (mut revived, mut moved) = (0, (0, Instant::now()));
    let mut reached = |stage: &mut Stage, wanted: u64, cursor: &mut Cursor| {
        loop {
            let count = hand.history(cursor).produced.len() as u64;
            if count >= wanted {
                return;
            }
            if count > moved.0 {
                moved = (count, Instant::now());
            }
            assert!(moved.1.elapsed() < STUCK, "nothing has happened since event {count}; {}", stage.service.log());
            revived += u64::from(stage.service.revive());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    for (at, blow) in plan(&mut rng, events, counts) {
        reached(&mut stage, at, &mut cursor);
        std::thread::sleep(Duration::from_millis(rng.u64(0..50)));
        match blow {
            Blow::KillBroker => {
                stage.service.kill();
                std::thread::sleep(Duration::from_millis(rng.u64(0..200)));
                stage.service.start(None);
            }
            Blow::KillRedis => {
                stage.redis.kill();
                std::thread::sleep(Duration::from_millis(rng.u64(0..200)));
                stage.redis.restart();
            }
            Blow::Cut => hand.fault("drop@/stream"),
        }
    }
    reached(&mut stage, events, &mut cursor);
    let loaded = begun.elapsed();
    shared.closing.store(true, Ordering::Release);
    outsider.join().unwrap();
    // A bot that waits for an answer still gets it, or the end of the test.
    let patience = Instant::now() + SETTLE;
    while !traders.iter().all(|trader| trader.is_finished()) && Instant::now() < patience {
        revived += u64::from(stage.service.revive());
        std::thread::sleep(Duration::from_millis(20));
    }
    let settled = stage.stream_when(SETTLE, |entries| check(hand.history(&mut cursor), entries, &[]).is_clean());
    shared.over.store(true, Ordering::Release);
    let named: Vec<String> = traders.into_iter().flat_map(|trader| trader.join().unwrap()).collect();
    let readers: Vec<_> = listeners.into_iter().map(|listener| listener.join().unwrap()).collect();
    let stream = settled.unwrap_or_else(|| stage.stream());
    let history = hand.history(&mut cursor);
    let verdict = check(history, &stream, &readers);
    let twice = history.accepted_other_than_once(named.iter().map(String::as_str));
    let twice: Vec<_> = twice.into_iter().filter(|(_, count)| *count > 1).collect();
    say(&line(
        "events",
        seed,
        &json!({
            "events": history.produced.len(), "orders_by_hand": placed.load(Ordering::Relaxed), "orders_by_bots": named.len(), "entries": stream.len(),
            "broker_kills": counts[0].1, "redis_kills": counts[1].1, "cuts": counts[2].1, "broker_ended_by_itself": revived,
            "lost": verdict.lost.len(), "duplicated": verdict.duplicated.len(), "disordered": verdict.disordered.len(),
            "invented": verdict.invented.len(), "broken": verdict.broken.len(), "placed_twice": twice.len(),
            "connected_share": (history.connected_share() * 10_000.0).round() / 10_000.0,
            "load_seconds": loaded.as_secs(), "seconds": begun.elapsed().as_secs(),
        }),
    ));
    assert!(verdict.is_clean(), "the histories differ:{}\nthe broker said last:\n{}", in_words(&verdict), stage.service.log());
    assert!(twice.is_empty(), "the exchange took orders more than once: {twice:?}");
}
