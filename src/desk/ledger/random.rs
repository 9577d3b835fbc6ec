//! Whatever is lost, repeated, late or out of turn: in the end every execution stands in the journal once.

use proptest::prelude::*;

use super::tests::{Bench, bench, fill, of, order, told};
use super::*;

/// What the venue did with one order.
#[derive(Debug, Clone)]
struct History {
    /// Units of each execution; they come a second after each other.
    executions: Vec<u32>,
    /// In tenths of a second.
    apart: i64,
    /// The ledger of the venue names executions as its stream does.
    same_names: bool,
}

#[derive(Debug, Clone, Copy)]
enum Happens {
    Told(usize),
    /// The order and its executions as they were after that step; of the executions the last may be missing yet.
    Shown {
        step: usize,
        lag: usize,
    },
}

impl History {
    fn steps(&self) -> usize {
        self.executions.len() + 2
    }

    fn time(&self, step: usize) -> Timestamp {
        Timestamp::from_nanos(10_000_000_000 + i64::try_from(step).unwrap() * self.apart * 100_000_000)
    }

    /// Whether what happens leaves no doubt. A list that lags, under names of its own, of executions that look alike within
    /// two seconds does: which of them it holds nobody can tell, and an earlier one that is told later may count twice.
    fn is_clear(&self, what: &[Happens]) -> bool {
        let lags = what.iter().any(|happens| matches!(happens, Happens::Shown { lag: 1.., .. }));
        self.same_names || self.apart > 20 || !lags
    }

    /// The order after step `step`: 0 is the acknowledgement, the last its end.
    fn order(&self, step: usize) -> Order {
        let done: u32 = self.executions.iter().take(step).sum();
        let status = match step {
            0 => OrderStatus::New,
            _ if done == 10 => OrderStatus::Filled,
            _ if step > self.executions.len() => OrderStatus::Canceled,
            _ => OrderStatus::PartiallyFilled,
        };
        let mut order = order(status, &done.to_string(), 0);
        order.times.updated = self.time(step);
        order
    }

    fn fill(&self, step: usize, name: &str) -> Fill {
        Fill { at: self.time(step), ..fill(&format!("{name}-{step}"), &self.executions[step - 1].to_string(), 0) }
    }

    fn told(&self, step: usize) -> Option<OrderUpdate> {
        let order = self.order(step);
        let id = format!("x-{step}");
        if step == 0 {
            return Some(told(OrderChange::New, order, None, Some(&id)));
        }
        if step <= self.executions.len() {
            let change = if order.status == OrderStatus::Filled { OrderChange::Fill } else { OrderChange::PartialFill };
            return Some(told(change, order, Some(self.fill(step, "x")), Some(&id)));
        }
        (order.status == OrderStatus::Canceled).then(|| told(OrderChange::Canceled, order, None, Some(&id)))
    }

    fn show(&self, bench: &Bench, step: usize, lag: usize, manner: Manner) {
        let name = if self.same_names { "x" } else { "activity" };
        let fills: Vec<Fill> = (1..=step.min(self.executions.len())).map(|step| self.fill(step, name)).collect();
        let shown = fills.len().saturating_sub(lag);
        bench.report(&self.order(step), &fills[..shown], manner);
    }

    fn happen(&self, bench: &Bench, what: &[Happens], manner: Manner) {
        for happens in what {
            match happens {
                Happens::Told(step) => {
                    if let Some(update) = self.told(step % self.steps()) {
                        bench.take(update);
                    }
                }
                Happens::Shown { step, lag } => self.show(bench, step % self.steps(), *lag, manner),
            }
        }
    }
}

fn history() -> impl Strategy<Value = History> {
    let executions = prop::collection::vec(1..4_u32, 0..6).prop_map(|mut executions| {
        while executions.iter().sum::<u32>() > 10 {
            executions.pop();
        }
        executions
    });
    (executions, 1..40_i64, any::<bool>()).prop_map(|(executions, apart, same_names)| History { executions, apart, same_names })
}

fn happens() -> impl Strategy<Value = Vec<Happens>> {
    let told = (0..8_usize).prop_map(Happens::Told);
    let shown = (0..8_usize, 0..3_usize).prop_map(|(step, lag)| Happens::Shown { step, lag });
    prop::collection::vec(prop_oneof![3 => told, 1 => shown], 0..16)
}

/// What stands in the journal: units of each execution, in order of time.
fn standing(bench: &Bench) -> (Vec<u32>, OrderStatus, String) {
    let mut done = bench.ledger.journal().executions(&of().account, None, None).unwrap();
    done.sort_by_key(|done| done.at);
    let units = done.iter().map(|done| done.quantity.to_string().parse().unwrap()).collect();
    (units, bench.known().status, bench.known().filled.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_execution_stands_once(history in history(), before in happens(), after in happens()) {
        prop_assume!(history.is_clear(&before) && history.is_clear(&after));
        let (bench, last) = (bench(), history.steps() - 1);
        history.happen(&bench, &before, Manner::default());
        history.show(&bench, last, 0, Manner::default());
        let end = history.order(last);
        let expected = (history.executions.clone(), end.status, end.filled.to_string());
        prop_assert_eq!(standing(&bench), expected.clone());
        prop_assert!(bench.ledger.with_gaps(&of().account).unwrap().is_empty());
        // What was lost comes after all, and old reports too: nothing of it is news.
        history.happen(&bench, &after, Manner::default());
        prop_assert_eq!(standing(&bench), expected);
        let executed = bench.events().iter().filter(|event| event.contains("fill")).count();
        prop_assert_eq!(executed, history.executions.len());
    }

    #[test]
    fn what_is_reckoned_adds_up(history in history(), before in happens(), after in happens()) {
        let (bench, last) = (bench(), history.steps() - 1);
        let reckoning = Manner::default().estimating(true);
        history.happen(&bench, &before, Manner::default());
        history.show(&bench, last, 2, reckoning);
        history.happen(&bench, &after, reckoning);
        history.show(&bench, last, 0, reckoning);
        let (units, status, filled) = standing(&bench);
        let end = history.order(last);
        prop_assert_eq!((units.iter().sum::<u32>().to_string(), status, filled), (end.filled.to_string(), end.status, end.filled.to_string()));
    }
}

#[test]
fn neighbours_that_look_alike_are_not_taken_for_each_other() {
    let history = History { executions: vec![1, 2, 1, 2, 1], apart: 1, same_names: false };
    for (first, lag) in [(2, 0), (4, 0), (4, 1), (4, 2)] {
        let bench = bench();
        let before = [Happens::Told(first), Happens::Shown { step: first.min(2), lag: 0 }, Happens::Shown { step: 5, lag }];
        history.happen(&bench, &before, Manner::default());
        history.show(&bench, 6, 0, Manner::default());
        history.happen(&bench, &[Happens::Told(3), Happens::Told(1), Happens::Told(5)], Manner::default());
        assert_eq!(standing(&bench), (history.executions.clone(), OrderStatus::Canceled, "7".to_owned()), "{first} {lag}");
    }
}
