//! Which faults are in force, and what is left of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Fault, FaultSpec, Measure};

/// More at a time are not of use; the oldest gives way.
const MAX_ACTIVE: usize = 100;
/// The worst of a hundred lies so many standard deviations above the median.
const WORST_OF_HUNDRED: f64 = 2.326;

/// What a fault may strike: a stream or a REST request.
#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct Target<'a> {
    pub trading: bool,
    pub path: &'a str,
}

/// How long a fault stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Times(u32),
    Time(Duration),
    UntilCleared,
}

/// A fault in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveFault {
    pub spec: FaultSpec,
    pub left: Left,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    After(u32),
    At(Instant),
    Never,
}

#[derive(Debug)]
struct Active {
    spec: FaultSpec,
    end: End,
}

/// The faults of one exchange.
#[derive(Debug)]
pub(in crate::sim) struct Faults {
    active: Vec<Active>,
    /// Whether there is any, for those who do not want to take a lock to learn that there is none.
    armed: Arc<AtomicBool>,
    pub(super) rng: fastrand::Rng,
    /// Trade updates that wait for their successor: account and text.
    pub(super) held: Vec<(String, String)>,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults { active: Vec::new(), armed: Arc::default(), rng: fastrand::Rng::with_seed(0x66_6175_6c74), held: Vec::new() }
    }
}

impl Faults {
    /// Set while any fault is in force.
    pub(in crate::sim) fn armed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.armed)
    }

    pub(in crate::sim) fn any(&self) -> bool {
        !self.active.is_empty() || !self.held.is_empty()
    }

    /// Puts a fault in force; one that lasts replaces its like.
    pub(in crate::sim) fn arm(&mut self, spec: FaultSpec, now: Instant) {
        let end = match spec.measure {
            Measure::Count(count) => End::After(count),
            Measure::Once | Measure::Code(_) | Measure::Burst(_) | Measure::Bytes(_) => End::After(1),
            Measure::For(time) => End::At(now + time),
            Measure::By(_) | Measure::Skew(_) | Measure::Spread(..) => End::Never,
        };
        self.forget_over(now);
        self.active.retain(|known| matches!(known.end, End::After(_)) || (known.spec.fault, &known.spec.scope) != (spec.fault, &spec.scope));
        if self.active.len() >= MAX_ACTIVE {
            self.active.remove(0);
        }
        self.active.push(Active { spec, end });
        self.note();
    }

    /// Ends all of them; returns the trade updates that were held back, with their accounts.
    pub(in crate::sim) fn clear(&mut self) -> Vec<(String, String)> {
        self.active.clear();
        self.note();
        std::mem::take(&mut self.held)
    }

    pub(in crate::sim) fn list(&mut self, now: Instant) -> Vec<ActiveFault> {
        self.forget_over(now);
        let left = |end| match end {
            End::After(times) => Left::Times(times),
            End::At(until) => Left::Time(until.saturating_duration_since(now)),
            End::Never => Left::UntilCleared,
        };
        self.active.iter().map(|active| ActiveFault { spec: active.spec.clone(), left: left(active.end) }).collect()
    }

    /// Whether the fault strikes now; of those that are counted, one is used up. The measure is that of the fault.
    pub(in crate::sim) fn strike(&mut self, fault: Fault, target: &Target<'_>, now: Instant) -> Option<Measure> {
        let at = self.find(fault, target, now)?;
        let active = &mut self.active[at];
        let measure = active.spec.measure;
        if let End::After(times) = &mut active.end {
            *times -= 1;
            if *times == 0 {
                self.active.remove(at);
                self.note();
            }
        }
        Some(measure)
    }

    /// Until when a fault that has a time is in force.
    pub(in crate::sim) fn until(&self, fault: Fault, target: &Target<'_>, now: Instant) -> Option<Instant> {
        let at = self.find(fault, target, now)?;
        if let End::At(until) = self.active[at].end { Some(until) } else { None }
    }

    /// By how much things are late or wrong, for faults that last.
    pub(in crate::sim) fn measure(&self, fault: Fault, target: &Target<'_>, now: Instant) -> Option<Measure> {
        self.find(fault, target, now).map(|at| self.active[at].spec.measure)
    }

    /// How late the next answer or datum is: log-normal, so that few are very late, as on a network.
    pub(in crate::sim) fn latency(&mut self, target: &Target<'_>, now: Instant) -> Option<Duration> {
        let Some(Measure::Spread(median, worst)) = self.measure(Fault::Latency, target, now) else { return None };
        let (one, two) = (self.rng.f64().max(f64::MIN_POSITIVE), self.rng.f64());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
        let spread = worst.as_secs_f64() / median.as_secs_f64();
        let late = median.as_secs_f64() * spread.powf(normal / WORST_OF_HUNDRED);
        Some(Duration::from_secs_f64(late.clamp(0.0, worst.as_secs_f64() * 2.0)))
    }

    /// The first in force that concerns the target.
    fn find(&self, fault: Fault, target: &Target<'_>, now: Instant) -> Option<usize> {
        let lives = |end: End| !matches!(end, End::At(until) if until <= now);
        self.active.iter().position(|active| active.spec.fault == fault && lives(active.end) && active.spec.scope.covers(target))
    }

    fn forget_over(&mut self, now: Instant) {
        self.active.retain(|active| !matches!(active.end, End::At(until) if until <= now));
        self.note();
    }

    pub(super) fn note(&self) {
        self.armed.store(self.any(), Ordering::Release);
    }
}
