//! The supervisor's loop: one `select!`, and what follows from each thing that it hears.
//!
//! It waits on nothing but its channels: whatever takes time is asked of another thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, bounded, never, select, tick};

use super::{ASK_LISTENERS_EVERY, AlpacaBroker, HubError, KEEP_PRICES_EVERY};
use crate::contract::channel::REGISTRATIONS;
use crate::exchanges::SymbolWant;
use crate::hub::price_handler::PriceControl;
use crate::hub::prices::StreamId;
use crate::hub::publisher::AllWants;
use crate::hub::registrar::Consequences;
use crate::hub::registry::{Instrument, LeaseEnd};
use crate::hub::streams::{self, CRYPTO, STOCKS};
use crate::model::Dialect;
use crate::redis::{ControlCommand, ControlEvent, Inbound, RedisError};
use crate::runtime::{ServiceState, ThreadExit, ThreadOutcome, wall_now};

/// Messages taken up before the wanted set is acted on: a burst becomes one cycle.
const INBOUND_BURST: usize = 1_024;
const SECOND: Duration = Duration::from_secs(1);

/// A question about listeners that is under way.
pub(super) struct Listeners {
    asked: Vec<(Instrument, Dialect, Vec<String>)>,
    answer: Receiver<Result<Vec<(String, u64)>, RedisError>>,
}

impl AlpacaBroker {
    /// The supervisor's loop: one `select!`, then whatever has become due.
    pub(super) fn serve(&mut self) -> Result<(), HubError> {
        let seconds = tick(SECOND);
        let (nothing_loading, nothing_counted, nothing_wished, nobody, nobody_speaks) = (never(), never(), never(), never(), never());
        loop {
            self.heartbeat.beat();
            let loading = self.loading.clone();
            let listeners = self.listeners.as_ref().map(|listeners| listeners.answer.clone());
            let wishes = self.order_side.as_ref().map(|side| side.wishes().clone());
            let learned = self.learned.clone();
            let patience = self.cycle_at.map_or(SECOND, |at| at.saturating_duration_since(Instant::now()));
            select! {
                recv(self.stop_requests) -> _ => return Ok(()),
                recv(self.exits) -> exit => if let Ok(exit) = exit { self.thread_exited(&exit)? },
                recv(if self.may_serve() { &self.inbound } else { &nobody_speaks }) -> inbound => if let Ok(inbound) = inbound { self.hear(inbound) },
                recv(self.control_events) -> event => if let Ok(event) = event { self.control_event(event) },
                recv(self.hints) -> _ => {
                    self.look_for_others()?;
                    self.look_at_lease()?;
                    self.look_at_streams();
                }
                recv(loading.as_ref().unwrap_or(&nothing_loading)) -> fields => self.registrations_loaded(fields.ok()),
                recv(listeners.as_ref().unwrap_or(&nothing_counted)) -> answer => self.listeners_counted(answer.ok().and_then(Result::ok)),
                recv(wishes.as_ref().unwrap_or(&nothing_wished)) -> wish => if let Ok(instrument) = wish { self.hold_for_desk(instrument) },
                recv(learned.as_ref().unwrap_or(&nobody)) -> learned => match learned {
                    Ok(learned) => self.account_learned(learned)?,
                    Err(_) => self.learned = None,
                },
                recv(seconds) -> _ => self.second_passed()?,
                default(patience) => {}
            }
            self.cycle_what_is_due()?;
        }
    }

    fn hear(&mut self, first: Inbound) {
        let mut out = Consequences::default();
        let now_ms = wall_now().millis();
        let mut next = Some(first);
        for _ in 0..INBOUND_BURST {
            let Some(inbound) = next.take().or_else(|| self.inbound.try_recv().ok()) else { break };
            match inbound {
                Inbound::Connected => log::info!("listening for registrations"),
                Inbound::Lost(cause) => log::warn!("not listening for registrations: {cause}"),
                Inbound::Message { payload, .. } => self.registrar.handle_registration_message(&payload, now_ms, &mut out),
                Inbound::Oversized { bytes, .. } => self.registrar.handle_oversized(bytes, &mut out),
            }
        }
        self.carry_out(out);
    }

    /// Sees to it that what the registrar decided happens.
    pub(super) fn carry_out(&mut self, mut out: Consequences) {
        out.settle(self.registrar.registry());
        for change in std::mem::take(&mut out.interests) {
            let _ = self.price_control.send(PriceControl::Interest { id: change.id, name: change.name, stream: change.stream, interest: change.interest });
        }
        for (stream, wants) in std::mem::take(&mut out.wants) {
            if let Some(board) = self.publisher.boards().find(|board| &*board.name == streams::name_of(stream)) {
                board.put_wants(wants);
                let requests = out.requests.get(&stream).copied().unwrap_or_default();
                self.due.entry(stream).or_default().join(requests);
            } else {
                self.add_late_stream(stream, wants);
            }
        }
        self.store(out.stored, out.removed);
        for (channel, message) in out.replies {
            self.ask_control(ControlCommand::Publish { channel, payload: message.into_bytes() });
        }
        if out.ask_listeners {
            self.ask_listeners_at = self.ask_listeners_at.min(Instant::now());
            self.ask_about_listeners();
        }
    }

    /// The crypto stream is there only once somebody wants a pair: each stream takes a connection of the plan.
    fn add_late_stream(&mut self, stream: StreamId, wants: Vec<SymbolWant>) {
        let Some(lane) = self.price_lane.as_ref().filter(|_| stream == CRYPTO) else { return };
        let board = streams::market_board(stream, self.hint.clone());
        board.put_wants(wants);
        if let Err(error) = self.publisher.add_stream(Arc::clone(&board), self.workshop.market(stream, &board, lane)) {
            log::error!("no stream {}: {error}", board.name);
        }
        self.show_boards();
    }

    /// Hands work to the control thread, unless it is drowning: what it holds is the newest anyway.
    pub(super) fn ask_control(&self, command: ControlCommand) {
        if self.control.try_send(command).is_err() {
            self.handle.showcase.control.dropped.add(1);
        }
    }

    /// Register a ticker: stop and join the producer, change its list, start it. The list has changed already; the
    /// producer takes it up when it starts.
    fn cycle_what_is_due(&mut self) -> Result<(), HubError> {
        self.cycle_at = None;
        while let Some((stream, requests)) = self.due.pop_first() {
            if let Err(at) = self.pace.take(requests.count(), Instant::now()) {
                self.due.insert(stream, requests);
                self.cycle_at = Some(at);
                return Ok(());
            }
            self.publisher.cycle(streams::name_of(stream))?;
        }
        Ok(())
    }

    fn look_at_streams(&mut self) {
        let refused: Vec<_> = self.publisher.boards().flat_map(|board| board.take_refused()).collect();
        let mut out = Consequences::default();
        for refused in refused {
            self.registrar.refused_by_venue(&self.config.default_exchange, &refused.symbols, &refused.reason, &mut out);
        }
        self.carry_out(out);
        self.report();
    }

    fn control_event(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::Connected { product, version, .. } => {
                log::info!("connected to {product} {version}");
                self.reporter.redis_version = Some(format!("{product} {version}"));
                if self.loaded {
                    // Redis may have lost them; written twice they are the same.
                    self.store_everything();
                } else if self.may_serve() {
                    self.load_registrations();
                }
            }
            ControlEvent::Lost(cause) => log::warn!("no Redis: {cause}"),
        }
        self.report();
    }

    pub(super) fn load_registrations(&mut self) {
        if self.loading.is_none() {
            let (reply, answer) = bounded(1);
            self.ask_control(ControlCommand::Load { key: REGISTRATIONS, reply });
            self.loading = Some(answer);
        }
    }

    fn registrations_loaded(&mut self, fields: Option<Result<HashMap<String, String>, RedisError>>) {
        self.loading = None;
        match fields {
            Some(Ok(fields)) => {
                let mut out = Consequences::default();
                let restored = self.registrar.restore(&fields, wall_now().millis(), &mut out);
                log::info!("{restored} registrations restored");
                (self.loaded, self.load_again) = (true, false);
                self.carry_out(out);
                self.store_everything();
            }
            failed => {
                if let Some(Err(error)) = failed.filter(|_| !self.load_again) {
                    log::warn!("registrations not read: {error}; they are asked for each second until they are");
                }
                self.load_again = true;
            }
        }
    }

    pub(super) fn store_everything(&mut self) {
        self.store(self.registrar.registry().stored_fields(), Vec::new());
    }

    /// Has durable fields written and deleted. Unlike all else they are kept until the control thread has room: a deletion
    /// that got lost would come back at the next start.
    fn store(&mut self, set: Vec<(String, LeaseEnd)>, remove: Vec<String>) {
        self.unstored.extend(remove.into_iter().map(|field| (field, None)));
        self.unstored.extend(set.into_iter().map(|(field, lease)| (field, Some(lease))));
        self.store_what_waits(Duration::ZERO);
    }

    pub(super) fn store_what_waits(&mut self, patience: Duration) {
        if self.unstored.is_empty() {
            return;
        }
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        for (field, word) in std::mem::take(&mut self.unstored) {
            match word {
                Some(lease) => set.push((field, lease)),
                None => remove.push(field),
            }
        }
        let command = ControlCommand::StoreRegistrations { key: REGISTRATIONS, set, remove };
        if let Err(SendTimeoutError::Timeout(ControlCommand::StoreRegistrations { set, remove, .. })) = self.control.send_timeout(command, patience) {
            self.unstored.extend(remove.into_iter().map(|field| (field, None)));
            self.unstored.extend(set.into_iter().map(|(field, lease)| (field, Some(lease))));
        }
    }

    fn ask_about_listeners(&mut self) {
        if self.listeners.is_some() || Instant::now() < self.ask_listeners_at {
            return;
        }
        self.ask_listeners_at = Instant::now() + ASK_LISTENERS_EVERY;
        let asked = self.registrar.questions();
        if asked.is_empty() {
            return;
        }
        let channels = asked.iter().flat_map(|(_, _, channels)| channels.clone()).collect();
        let (reply, answer) = bounded(1);
        self.ask_control(ControlCommand::NumSub { channels, reply });
        self.listeners = Some(Listeners { asked, answer });
    }

    fn listeners_counted(&mut self, counts: Option<Vec<(String, u64)>>) {
        let (Some(listeners), Some(counts)) = (self.listeners.take(), counts) else { return };
        let counts: HashMap<String, u64> = counts.into_iter().collect();
        let mut out = Consequences::default();
        for (instrument, dialect, channels) in listeners.asked {
            if channels.iter().all(|channel| counts.get(channel) == Some(&0)) {
                self.registrar.abandoned(&instrument, dialect, &mut out);
            }
        }
        self.carry_out(out);
    }

    fn second_passed(&mut self) -> Result<(), HubError> {
        let mut out = Consequences::default();
        self.registrar.expire(wall_now().millis(), &mut out);
        self.carry_out(out);
        if self.load_again && self.may_serve() {
            self.load_registrations();
        }
        self.ask_about_listeners();
        self.look_at_kill_switch();
        self.look_for_others()?;
        self.look_at_lease()?;
        if let Some(side) = self.order_side.as_ref().filter(|_| Instant::now() >= self.keep_prices_at) {
            self.keep_prices_at = Instant::now() + KEEP_PRICES_EVERY;
            side.keep_prices();
        }
        let registrar = &self.registrar;
        let wants = || -> AllWants { registrar.all_wants().into_iter().map(|(stream, wants)| (streams::name_of(stream).into(), wants)).collect() };
        self.publisher.revive(Instant::now(), wants)?;
        for board in self.publisher.boards() {
            let stream = if &*board.name == streams::CRYPTO_NAME { CRYPTO } else { STOCKS };
            board.stats.symbols.store(self.registrar.symbols_of(stream) as u64, Ordering::Relaxed);
        }
        self.report();
        self.ping_watchdog();
        Ok(())
    }

    pub(super) fn report(&mut self) {
        let health = self.reporter.report(self.state, self.registrar.registry());
        if matches!(self.state, ServiceState::Running | ServiceState::Degraded) && health.state != self.state {
            self.go(health.state);
        }
        if !self.may_serve() {
            return;
        }
        let commands = self.reporter.commands();
        for command in commands {
            self.ask_control(command);
        }
    }

    fn ping_watchdog(&mut self) {
        let now = Instant::now();
        if let Some(every) = self.notifier.ping_every().filter(|_| now >= self.next_ping) {
            self.next_ping = now + every.min(SECOND);
            if let Err((name, silence)) = self.notifier.ping(&self.heartbeats, now) {
                log::error!("thread {name} has been silent for {silence:?}: the watchdog is not told that we live");
            }
        }
    }

    fn thread_exited(&mut self, exit: &ThreadExit) -> Result<(), HubError> {
        if self.publisher.thread_exited(exit) {
            return Ok(());
        }
        match &exit.outcome {
            ThreadOutcome::Panicked(text) => Err(HubError::Panicked(Arc::clone(&exit.name), text.clone())),
            ThreadOutcome::Finished => Ok(()),
        }
    }
}
