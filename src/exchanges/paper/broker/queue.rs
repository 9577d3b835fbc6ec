//! Callers who want the same kind of thing at the same time: one of them does it for all, and tells each what came of it.
//!
//! Whoever comes first leads; who comes while he does waits. When the leader is done and others wait, the lead goes to the
//! first of them. Nobody is left behind: a leader that breaks off gives the lead on, and those whose requests he had taken
//! learn that nobody will answer. Must not know what is asked for.

use std::collections::VecDeque;

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;

/// What a waiting caller hears.
#[derive(Debug)]
enum Word<A> {
    /// It is his turn to lead.
    Lead,
    Answer(A),
}

/// A request that was taken out of the queue, with the way back to its caller.
#[derive(Debug)]
pub(super) struct Caller<A>(Sender<Word<A>>);

impl<A> Caller<A> {
    pub fn answer(self, answer: A) {
        // Each hears one answer and never more than one word at a time: there is room.
        let _ = self.0.try_send(Word::Answer(answer));
    }
}

#[derive(Debug)]
struct State<R, A> {
    waiting: VecDeque<(R, Caller<A>)>,
    led: bool,
}

/// Requests that wait for their leader.
#[derive(Debug)]
pub(super) struct Queue<R, A> {
    state: Mutex<State<R, A>>,
}

impl<R, A> Default for Queue<R, A> {
    fn default() -> Queue<R, A> {
        Queue { state: Mutex::new(State { waiting: VecDeque::new(), led: false }) }
    }
}

impl<R, A> Queue<R, A> {
    /// Waits for the answer to a request. `work` does what waits, and ends its turn when the next leader may begin; it is
    /// called only if this caller has to lead. `None` when whoever was at it broke off.
    pub fn ask(&self, request: R, work: impl Fn(Turn<'_, R, A>)) -> Option<A> {
        let (say, said) = bounded(1);
        if self.join(request, Caller(say)) {
            work(Turn(self));
        }
        loop {
            match said.recv() {
                Ok(Word::Lead) => work(Turn(self)),
                Ok(Word::Answer(answer)) => return Some(answer),
                Err(_) => return None,
            }
        }
    }

    /// True when the caller leads.
    fn join(&self, request: R, caller: Caller<A>) -> bool {
        let mut state = self.state.lock();
        state.waiting.push_back((request, caller));
        !std::mem::replace(&mut state.led, true)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.state.lock().waiting.len()
    }
}

/// The right and the duty to lead, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a, R, A>(&'a Queue<R, A>);

impl<R, A> Turn<'_, R, A> {
    /// The first that wait.
    pub fn take(&self, most: usize) -> Vec<(R, Caller<A>)> {
        let mut state = self.0.state.lock();
        let count = state.waiting.len().min(most);
        state.waiting.drain(..count).collect()
    }
}

impl<R, A> Drop for Turn<'_, R, A> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        while let Some((_, next)) = state.waiting.front() {
            if next.0.try_send(Word::Lead).is_ok() {
                return;
            }
            // He is gone, and wants nothing any more.
            state.waiting.pop_front();
        }
        state.led = false;
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn each_gets_his_own_answer_in_the_order_of_asking() {
        const EACH: u64 = 2_000;
        let (queue, count, most) = (Queue::default(), AtomicU64::new(0), AtomicU64::new(0));
        let work = |turn: Turn<'_, u64, (u64, u64)>| {
            let batch = turn.take(4);
            most.fetch_max(batch.len() as u64, Ordering::Relaxed);
            for (request, caller) in batch {
                caller.answer((request, count.fetch_add(1, Ordering::Relaxed)));
            }
        };
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (queue, work) = (&queue, &work);
                scope.spawn(move || {
                    let mut before = None;
                    for n in 0..EACH {
                        let (request, place) = queue.ask(thread * EACH + n, work).unwrap();
                        assert!(request == thread * EACH + n && before < Some(place));
                        before = Some(place);
                    }
                });
            }
        });
        assert_eq!((count.into_inner(), queue.len()), (8 * EACH, 0));
        assert!((1..=4).contains(&most.into_inner()));
    }

    #[test]
    fn a_leader_that_breaks_off_leaves_nobody_waiting() {
        const EACH: u64 = 500;
        let (queue, turns) = (Queue::default(), AtomicU64::new(0));
        let work = |turn: Turn<'_, u64, u64>| {
            let batch = turn.take(3);
            if turns.fetch_add(1, Ordering::Relaxed).is_multiple_of(5) {
                resume_unwind(Box::new("on purpose"));
            }
            batch.into_iter().for_each(|(request, caller)| caller.answer(request));
        };
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for n in 0..EACH {
                        // Either his own turn broke off, or somebody else's with his request, or he was answered.
                        let heard = catch_unwind(AssertUnwindSafe(|| queue.ask(n, work)));
                        assert!(heard.is_err() || heard.is_ok_and(|answer| answer.is_none_or(|answer| answer == n)));
                    }
                });
            }
        });
        assert_eq!(queue.len(), 0);
        assert_eq!(queue.ask(7, |turn| turn.take(1).into_iter().for_each(|(request, caller)| caller.answer(request))), Some(7));
    }
}
