//! Many threads, one gate.

use std::sync::Barrier;

use parking_lot::Mutex;

use super::*;

/// Eight threads, a bot each, try as often as they can; returns how many of each bot got through.
fn race(gate: Gate, tries: usize, quantity: &str) -> Vec<usize> {
    let (gate, start) = (Mutex::new(gate), Barrier::new(8));
    let run = &|thread: usize| {
        start.wait();
        let passed = |n: &usize| ask(&mut gate.lock(), buy(&format!("b{}-{thread}-{n}", thread % 2), quantity), "0").is_ok();
        (0..tries).filter(passed).count()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn racing_bots_never_exceed_a_limit_by_one() {
    let limits = [
        Limits { max_open_orders: Some(250), ..Limits::default() },
        Limits { max_orders_per_minute: Some(250), ..Limits::default() },
        Limits { max_position_size: Some(dec("250.9")), ..Limits::default() },
    ];
    for limits in limits {
        assert_eq!(race(gate(limits.clone()), 100, "1").iter().sum::<usize>(), 250, "{limits:?}");
    }
}

#[test]
fn nor_does_a_bot_with_four_threads_exceed_its_own() {
    let limited = |all: &str| {
        let bot = Limits { max_position_size: Some(dec("50")), ..Limits::default() };
        let passed = race(gate_with_bot(size_limit(all), "b0", bot), 100, "1");
        let of = |parity: usize| passed.iter().skip(parity).step_by(2).sum::<usize>();
        (of(0), of(1))
    };
    assert_eq!(limited("1000"), (50, 400));
    // The other bot may be through before this one begins.
    let (own, others) = limited("300");
    assert!(own <= 50 && own + others == 300, "{own} and {others}");
}
