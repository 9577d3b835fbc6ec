//! Named points at which a test lets the process die, to prove that nothing is lost or doubled there.
//!
//! `ALPACA_BROKER_CRASH_AT=C4-sent:3` aborts at the third arrival at that point. Compiled into debug builds and into those
//! with the feature `crash-points`; elsewhere a point is nothing at all. Must not clean up: a crash does not either.

#[cfg(any(test, debug_assertions, feature = "crash-points"))]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    const VARIABLE: &str = "ALPACA_BROKER_CRASH_AT";

    /// Where to die, and the arrivals still to come before that.
    #[derive(Debug)]
    pub(super) struct Plan {
        point: String,
        left: AtomicU64,
    }

    impl Plan {
        /// A text that is none is nobody's order to die.
        pub(super) fn parse(text: &str) -> Option<Plan> {
            let (point, count) = text.rsplit_once(':')?;
            let count = count.parse().ok().filter(|count| *count > 0)?;
            Some(Plan { point: point.to_owned(), left: AtomicU64::new(count) })
        }

        /// Whether this arrival is the last; at most once.
        pub(super) fn strikes(&self, point: &str) -> bool {
            self.point == point && self.left.fetch_sub(1, Ordering::Relaxed) == 1
        }
    }

    pub(super) fn plan() -> Option<&'static Plan> {
        static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
        PLAN.get_or_init(|| std::env::var(VARIABLE).ok().as_deref().and_then(Plan::parse)).as_ref()
    }
}

/// The process dies here when it was told to.
#[cfg(any(test, debug_assertions, feature = "crash-points"))]
pub fn point(name: &'static str) {
    if armed::plan().is_some_and(|plan| plan.strikes(name)) {
        std::process::abort();
    }
}

/// Nothing: this build has no points.
#[cfg(not(any(test, debug_assertions, feature = "crash-points")))]
#[inline(always)]
pub fn point(_name: &'static str) {}

#[cfg(test)]
mod tests {
    use super::armed::Plan;

    #[test]
    fn the_counted_arrival_strikes_and_no_other() {
        let plan = Plan::parse("C4-sent:3").unwrap();
        let strikes: Vec<bool> = ["C4-sent", "C5-answered", "C4-sent", "C4-sent", "C4-sent"].map(|point| plan.strikes(point)).to_vec();
        assert_eq!(strikes, [false, false, false, true, false]);
        for text in ["", "C4-sent", "C4-sent:", "C4-sent:0", "C4-sent:x"] {
            assert!(Plan::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_process_that_was_told_nothing_lives() {
        (0..3).for_each(|_| super::point("C1-received"));
    }
}
