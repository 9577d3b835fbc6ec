//! An open-loop schedule: event `k` is due at `start + k * interval`, however late the ones before it were, so a receiver
//! that stalls shows up as lateness.

use std::time::{Duration, Instant};

pub struct Pacer {
    start: Instant,
    interval_ns: f64,
    issued: u64,
}

impl Pacer {
    /// Starts now. Belongs to the thread that made it.
    pub fn new(per_second: f64) -> Pacer {
        // By default the kernel may let a sleeper wait 50 µs more. Where it does not take the wish, lateness tells.
        #[cfg(target_os = "linux")]
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        Pacer { start: Instant::now(), interval_ns: 1e9 / per_second, issued: 0 }
    }

    /// When event `k` is due, in nanoseconds since the start.
    pub fn due_ns(&self, k: u64) -> u64 {
        (k as f64 * self.interval_ns) as u64
    }

    /// Waits until an event is due and returns how many are.
    pub fn wait(&mut self) -> u64 {
        loop {
            let elapsed = self.start.elapsed().as_nanos() as u64;
            let due = (elapsed as f64 / self.interval_ns) as u64 + 1;
            if due > self.issued {
                let fresh = due - self.issued;
                self.issued = due;
                return fresh;
            }
            std::thread::sleep(Duration::from_nanos(self.due_ns(self.issued).saturating_sub(elapsed).max(1)));
        }
    }
}
