//! The lease that makes one broker of a Redis: taken, renewed and given back by a thread of its own.
//!
//! A key with an end, held by whoever wrote it, and a counter from which each holder has a greater token than the one before.
//! `WATCH` makes each step one with the look before it, so no script is needed. How long the lease counts as held is told by
//! our own clock from before the last renewal was sent, which is never later than Redis has it.
//!
//! | file | what |
//! |---|---|
//! | `claim` | who holds it and what to do, without a clock or a socket |
//! | `state` | what other threads ask |
//!
//! Must not know what is done under the lease.

mod claim;
mod state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Cmd, FromRedisValue, Value, cmd};

pub use claim::Holder;
use claim::{Action, Claim, Note, Seen, Terms};
pub use state::LeaseState;

use super::error::RedisError;
use super::link::Connector;
use super::pace::{Hush, Pacer};
use super::session::{Failure, Session};
use crate::config::RedisSettings;
use crate::runtime::{StopToken, Waited};

const TERMS: Terms =
    Terms { ttl: Duration::from_secs(10), renew_every: Duration::from_secs(3), look_every: Duration::from_millis(500), watch_for: Duration::from_secs(11) };
/// A session that ended at once is not tried again sooner.
const AT_LEAST: Duration = Duration::from_millis(20);

/// Where the lease stands.
#[derive(Debug, Clone, Copy)]
pub struct LeasePlace {
    /// The key that the holder has.
    pub leader: &'static str,
    /// The counter of the tokens.
    pub fence: &'static str,
}

/// The body of the lease thread: ends with the token, and gives the lease back then, or with the certainty that another
/// broker holds it ([`LeaseState::refused`]).
pub fn run_lease(settings: Arc<RedisSettings>, place: LeasePlace, holder: Holder, token: StopToken, state: Arc<LeaseState>) {
    run(settings, place, holder, TERMS, token, state);
}

fn run(settings: Arc<RedisSettings>, place: LeasePlace, holder: Holder, terms: Terms, token: StopToken, state: Arc<LeaseState>) {
    let connector = Connector::new(settings, "lease");
    let (mut pacer, mut hush) = (Pacer::new(fastrand::u64(..)), Hush::default());
    let mut lease = Lease { place, terms, claim: Claim::new(holder, terms.watch_for), token, state, seen_free: false };
    while lease.token.is_running() {
        let opened = Instant::now();
        let Err(error) = Session::open(&connector, &lease.token).and_then(|mut session| lease.serve(&mut session)) else { return };
        lease.look_at_the_clock();
        if error == RedisError::Stopped {
            break;
        }
        lease.state.set_nobodys(std::mem::take(&mut lease.seen_free) && matches!(error, RedisError::Refused { .. }));
        hush.warn("lease", &error, Instant::now());
        let mut delay = pacer.lost(&error, opened.elapsed()).max(AT_LEAST);
        if lease.state.is_held() {
            // Nobody hears of the end but from this thread, and a renewal may come just in time.
            delay = delay.min(terms.renew_every);
        }
        if lease.token.wait(delay) == Waited::Stopped {
            break;
        }
    }
    lease.state.give_up();
}

struct Lease {
    place: LeasePlace,
    terms: Terms,
    claim: Claim,
    token: StopToken,
    state: Arc<LeaseState>,
    /// We have looked, nobody else has it, and we are about to write it.
    seen_free: bool,
}

impl Lease {
    /// `Ok` when there is nothing more to do: given back, or another broker's.
    fn serve(&mut self, session: &mut Session) -> Result<(), RedisError> {
        loop {
            let seen = self.look(session)?;
            let action = self.claim.decide(Instant::now(), seen);
            self.seen_free = matches!(action, Action::Take { .. } | Action::Renew { .. });
            let next = match action {
                Action::Take { above } => self.take(session, above)?,
                Action::Renew { token } => self.renew(session, token)?,
                Action::Watch => {
                    self.state.set_nobodys(false);
                    self.terms.look_every
                }
                Action::Refuse(holder) => {
                    log::error!("another broker serves this Redis: {holder}");
                    self.state.refuse(holder);
                    return Ok(());
                }
                Action::Lose(holder) => {
                    log::error!("another broker has taken this Redis over: {holder}");
                    self.state.refuse(holder);
                    return Ok(());
                }
            };
            self.seen_free = false;
            self.look_at_the_clock();
            if self.token.wait(next) == Waited::Stopped {
                return self.release(session);
            }
        }
    }

    fn look_at_the_clock(&self) {
        if self.state.tell() == Some(false) {
            log::warn!("the lease of this Redis has run out: nothing is published or sent to a venue until it is ours again");
        }
    }

    /// What stands under the key; a change of it from here on makes the next [`Lease::change`] fail.
    fn look(&self, session: &mut Session) -> Result<Option<Seen>, RedisError> {
        let key = self.place.leader;
        let commands = [cmd("UNWATCH"), cmd("WATCH").arg(key).clone(), cmd("GET").arg(key).clone(), cmd("PTTL").arg(key).clone()];
        let answers = answers(session, "WATCH", &commands)?;
        let [_, _, note, left] = answers.as_slice() else { return Ok(None) };
        let Some(note) = read::<Option<Vec<u8>>>(note).flatten() else { return Ok(None) };
        // -1 for a key without an end; -2 for one that ended between the two questions.
        Ok(match read::<i64>(left).unwrap_or(-1) {
            -2 => None,
            left => Some(Seen { note: Note::read(&note), left: u64::try_from(left).ok().map(Duration::from_millis) }),
        })
    }

    /// Whether the change was made: it is not when somebody touched the key since we looked.
    fn change(session: &mut Session, name: &'static str, change: &Cmd) -> Result<bool, RedisError> {
        let answers = answers(session, name, &[cmd("MULTI"), change.clone(), cmd("EXEC")])?;
        Ok(matches!(answers.last(), Some(Value::Array(_))))
    }

    /// How long to wait before the next look.
    fn take(&mut self, session: &mut Session, above: u64) -> Result<Duration, RedisError> {
        let fence = self.place.fence;
        let mut token = count(session, cmd("INCR").arg(fence))?;
        if token <= above {
            // The counter was lost with everything else.
            token = count(session, cmd("INCRBY").arg(fence).arg(above - token + 1))?;
        }
        let note = Note { holder: self.claim.holder.clone(), token };
        let sent = Instant::now();
        if !Lease::change(session, "SET", cmd("SET").arg(self.place.leader).arg(note.write()).arg("PX").arg(millis(self.terms.ttl)))? {
            return Ok(Duration::ZERO);
        }
        self.claim.took(token);
        self.state.hold(sent + self.terms.ttl, token);
        log::info!("this broker holds the lease of its Redis, token {token}");
        Ok(self.terms.renew_every)
    }

    fn renew(&mut self, session: &mut Session, token: u64) -> Result<Duration, RedisError> {
        let sent = Instant::now();
        if !Lease::change(session, "PEXPIRE", cmd("PEXPIRE").arg(self.place.leader).arg(millis(self.terms.ttl)))? {
            return Ok(Duration::ZERO);
        }
        self.claim.took(token);
        self.state.hold(sent + self.terms.ttl, token);
        Ok(self.terms.renew_every)
    }

    /// So that whoever comes next need not wait for the end.
    fn release(&mut self, session: &mut Session) -> Result<(), RedisError> {
        // First, so that nobody works under it when another takes it.
        self.state.give_up();
        if let Some(seen) = self.look(session)?
            && seen.note.holder == self.claim.holder
        {
            Lease::change(session, "DEL", cmd("DEL").arg(self.place.leader))?;
        }
        Ok(())
    }
}

fn answers(session: &mut Session, name: &'static str, commands: &[Cmd]) -> Result<Vec<Value>, RedisError> {
    session.exchange(name, commands)?.into_iter().map(|answer| answer.map_err(Failure::into_error)).collect()
}

fn read<T: FromRedisValue>(value: &Value) -> Option<T> {
    ::redis::from_redis_value_ref(value).ok()
}

fn count(session: &mut Session, command: &Cmd) -> Result<u64, RedisError> {
    let answer = session.ask("INCR", command).map_err(Failure::into_error)?;
    let place = session.place().to_owned();
    read(&answer).ok_or_else(|| RedisError::Refused { place, command: "INCR", answer: "it is no number above zero".to_owned() })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
