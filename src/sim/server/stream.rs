//! One WebSocket connection: frames between its session, its outbox and its socket.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, WebSocket};

use super::Shared;
use super::door::Door;
use super::ears::Ears;
use super::framing::{close_frame, messages};
use super::hub::{Hub, Peer, PeerKind, document};
use super::outbox::{Out, Outbox, Signal};
use super::record::{FaultAction, StageFault};
use super::tape::Direction;
use super::upgrade::{StreamPath, Upgrade};
use super::wire;
use crate::config::Codec;
use crate::net::{Interest, Transport, wait_ready};
use crate::runtime::{Stop, StopToken};
use crate::sim::codec;
use crate::sim::fault::{Fault, Measure, Target};
use crate::sim::session::{self, DataPath, DataSession, Output, Session, Stage, Subscriptions, TradingSession};

/// Client messages are short.
const MAX_MESSAGE: usize = 1024 * 1024;
/// Messages read before the outbox has its turn.
const READS_A_TURN: usize = 64;
/// Bytes taken from the outbox at a time.
const WRITE_BATCH: usize = 256 * 1024;
/// How long a close may take before the connection is cut.
const CLOSING: Duration = Duration::from_millis(500);
/// After an error that ends the session. The venue's own choice is not documented.
const CLOSE_CODE: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) struct Stream<'a> {
    shared: &'a Shared,
    id: u64,
    token: StopToken,
    outbox: Arc<Outbox>,
    session: Session,
    codec: Codec,
    is_data: bool,
    path: String,
    fault: Option<StageFault>,
    /// What happens once all that is queued has gone out.
    afterwards: Option<Flow>,
    /// Set once a close frame is on its way.
    closing: Option<Instant>,
    /// A close frame was sent or received.
    clean: bool,
}

/// How the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    /// The socket takes no more for now.
    Blocked,
    Mute,
    End,
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.shared.change(|hub| hub.closed(self.id, self.clean, self.shared.config.slot_linger, Instant::now()));
    }
}

impl<'a> Stream<'a> {
    /// Serves the connection until it ends.
    pub(super) fn serve(shared: &'a Shared, id: u64, wake: &Stop, transport: Transport, mut upgrade: Upgrade<'_>) {
        let now = Instant::now();
        let patience = shared.config.auth_timeout;
        let outbox = Arc::new(Outbox::new(wake.clone(), shared.config.queue_bytes));
        let (session, kind) = match upgrade.kind {
            StreamPath::Data(path) => {
                let kind = PeerKind::Data { family: path.family, subscriptions: Arc::new(Subscriptions::default()) };
                (Session::Data(DataSession::new(path, upgrade.codec, now, patience)), kind)
            }
            StreamPath::Trading => (Session::Trading(TradingSession::new(now, patience)), PeerKind::Trading { account: None, listening: false }),
        };
        let is_data = matches!(session, Session::Data(_));
        shared.change(|hub| hub.opened(id, Peer { path: upgrade.path.to_owned(), outbox: Arc::clone(&outbox), codec: upgrade.codec, kind }, now));
        let (codec, fault) = (upgrade.codec, upgrade.fault);
        let (token, path) = (wake.token(), upgrade.path.to_owned());
        let mut stream = Stream { shared, id, token, outbox, session, codec, is_data, path, fault, afterwards: None, closing: None, clean: false };
        let config = WebSocketConfig::default().read_buffer_size(16 * 1024).max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let mut socket = WebSocket::from_partially_read(Ears::new(transport, &mut upgrade.rest), upgrade.rest, Role::Server, Some(config));
        let mut flow = stream.open(upgrade.credentials);
        while matches!(flow, Flow::On | Flow::Blocked) {
            flow = stream.turn(&mut socket);
        }
        if flow == Flow::Mute {
            stream.outbox.signal(Signal::Mute);
            let outbox = Arc::clone(&stream.outbox);
            wire::stay_mute(socket.get_mut().get_mut(), &stream.token, || outbox.signalled() != Some(Signal::Mute));
        }
        socket.get_ref().get_ref().shutdown();
    }

    fn open(&mut self, credentials: Option<(&str, &str)>) -> Flow {
        if let Some(flow) = self.strike(Stage::Greeting) {
            return flow;
        }
        let mut outputs = Vec::new();
        let mut hub = self.shared.hub.lock();
        let mut door = Door { hub: &mut hub, keys: &self.shared.config.keys, connection: self.id, now: Instant::now() };
        self.session.opened(credentials, &mut door, &mut outputs);
        drop(hub);
        self.carry_out(outputs, false);
        Flow::On
    }

    /// Reads, writes, waits; in that order, so that nothing is left lying.
    fn turn(&mut self, socket: &mut WebSocket<Ears>) -> Flow {
        if !self.token.is_running() {
            let _ = socket.close(Some(close_frame(GOING_AWAY)));
            self.clean = true;
            return Flow::End;
        }
        self.token.clear_wake();
        let stalled = self.hindrances(socket);
        let mut more = stalled.is_none();
        for _ in 0..if more { READS_A_TURN } else { 0 } {
            let flow = self.read(socket);
            self.count_pings(socket);
            match flow {
                // The answer to a ping goes out with the next read: after a signal there is none.
                Flow::On if self.outbox.signalled().is_some() => break,
                Flow::On => {}
                Flow::Blocked => {
                    more = false;
                    break;
                }
                end => return end,
            }
        }
        match self.outbox.signalled() {
            Some(Signal::Drop) => return Flow::End,
            Some(Signal::Mute) => return Flow::Mute,
            Some(Signal::SlowClient) if self.closing.is_none() => {
                let slow = document(self.codec, self.is_data, &Value::from(vec![session::error_value(407)]));
                self.tape(&slow);
                messages(slow).into_iter().for_each(|message| drop(socket.write(message)));
                self.close(socket, CLOSE_CODE);
            }
            _ => {}
        }
        let now = Instant::now();
        if self.closing.is_some_and(|until| until <= now) {
            return Flow::End;
        }
        if self.session.deadline().is_some_and(|deadline| deadline <= now) {
            let mut outputs = Vec::new();
            self.session.timed_out(&mut outputs);
            self.carry_out(outputs, false);
        }
        let (flow, due) = self.write(socket);
        if more || !matches!(flow, Flow::On | Flow::Blocked) {
            return flow;
        }
        let interest = match (flow == Flow::Blocked || socket.get_ref().get_ref().has_buffered_output(), stalled.is_some()) {
            (true, false) => Interest::ReadWrite,
            (false, false) => Interest::Read,
            (true, true) => Interest::Write,
            (false, true) => Interest::Neither,
        };
        let wanted = [self.closing, self.session.deadline(), due, stalled, Some(now + HOUR)];
        let deadline = wanted.into_iter().flatten().min().unwrap_or(now);
        match wait_ready(socket.get_ref(), interest, &self.token, deadline) {
            Ok(_) => Flow::On,
            Err(_) => Flow::End,
        }
    }

    /// Before they are answered, which the next read does: whoever hears the answer finds them counted.
    fn count_pings(&self, socket: &mut WebSocket<Ears>) {
        let pings = std::mem::take(&mut socket.get_mut().pings);
        if pings > 0 {
            self.shared.tape(self.id, Direction::In, "ping", || pings.to_string().into());
            self.shared.hub.lock().counters.pings += pings;
        }
    }

    fn target(&self) -> Target<'_> {
        Target { trading: !self.is_data, path: &self.path }
    }

    /// Stops the ears to pings when a fault says so; returns until when nothing is to be read.
    fn hindrances(&self, socket: &mut WebSocket<Ears>) -> Option<Instant> {
        if !self.shared.armed() {
            socket.get_mut().deaf = false;
            return None;
        }
        let (hub, now, target) = (self.shared.hub.lock(), Instant::now(), self.target());
        socket.get_mut().deaf = hub.faults.until(Fault::NoPongs, &target, now).is_some();
        hub.faults.until(Fault::StallReads, &target, now)
    }

    /// One message; `Blocked` when there is none.
    fn read(&mut self, socket: &mut WebSocket<Ears>) -> Flow {
        match socket.read() {
            Ok(Message::Text(text)) => self.received(serde_json::from_str(&text).ok()),
            Ok(Message::Binary(bytes)) => {
                let json = || serde_json::from_slice(&bytes).ok();
                self.received(if self.codec == Codec::MsgPack { codec::decode_msgpack(&bytes).or_else(json) } else { json() })
            }
            Ok(Message::Close(frame)) => {
                self.clean = true;
                self.closing.get_or_insert(Instant::now() + CLOSING);
                let code = frame.map_or(1005, |frame| frame.code.into());
                self.shared.change(|hub| hub.record(self.id, |record| record.close_code = Some(code)));
                self.shared.tape(self.id, Direction::In, "close", || Bytes::from(code.to_string()));
                Flow::On
            }
            Ok(_) => Flow::On,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Flow::Blocked,
            Err(_) => Flow::End,
        }
    }

    fn received(&mut self, value: Option<Value>) -> Flow {
        let text = value.as_ref().map_or_else(|| "unreadable".to_owned(), |value| session::masked(value).to_string());
        self.shared.tape(self.id, Direction::In, "message", || Bytes::from(text.clone()));
        self.shared.change(|hub| hub.record(self.id, |record| record.heard(text)));
        let stage = value.as_ref().and_then(session::stage_of);
        if let Some(flow) = stage.and_then(|stage| self.strike(stage)) {
            return flow;
        }
        let mut outputs = Vec::new();
        let mut hub = self.shared.hub.lock();
        let now = Instant::now();
        let mut door = Door { hub: &mut hub, keys: &self.shared.config.keys, connection: self.id, now };
        self.session.received(now, value.as_ref(), &mut door, &mut outputs);
        drop(hub);
        let granted = outputs.iter().any(|output| matches!(output, Output::Subscribed(..) | Output::Listening(true)));
        let last_words = granted && self.fault.as_ref().is_some_and(|f| f.stage == Stage::Streaming && !matches!(f.action, FaultAction::Error { .. }));
        self.carry_out(outputs, last_words);
        if granted {
            let added = value.is_some_and(|value| value["action"] != "unsubscribe");
            self.shared.change(|hub| {
                let count = if added { &mut hub.counters.subscribes } else { &mut hub.counters.unsubscribes };
                *count += 1;
                hub.record(self.id, |record| if added { record.subscribes += 1 } else { record.unsubscribes += 1 });
            });
            let flow = self.strike(Stage::Streaming);
            if last_words {
                self.afterwards = flow;
            }
        }
        Flow::On
    }

    /// Lets the armed fault happen if this is its stage.
    fn strike(&mut self, stage: Stage) -> Option<Flow> {
        let fault = self.fault.take_if(|fault| fault.stage == stage)?;
        Some(match fault.action {
            FaultAction::Close | FaultAction::Refuse { .. } => Flow::End,
            FaultAction::Mute => Flow::Mute,
            FaultAction::Error { code } => {
                let value = if self.is_data {
                    Value::from(vec![session::error_value(code)])
                } else {
                    serde_json::json!({"action": "error", "data": {"code": code, "error_message": session::error_text(code)}})
                };
                self.outbox.push(document(self.codec, self.is_data, &value));
                if session::is_final(code) {
                    self.outbox.push(Out::Close(CLOSE_CODE));
                }
                Flow::On
            }
        })
    }

    /// The acknowledgement of a whole list.
    fn acknowledgement(&self, path: DataPath, list: &Subscriptions) -> Out {
        Out::Frame { text: self.codec == Codec::Json, bytes: codec::write_lists(self.codec, list.lists(path.offers(), path.family)).into() }
    }

    /// The hub's lock is held throughout: no data can come between an acknowledgement and the change that it tells of,
    /// and none before it. After `last_words` nothing follows.
    fn carry_out(&mut self, outputs: Vec<Output>, last_words: bool) {
        let mut subscribed = outputs.iter().find_map(|output| match output {
            // Long lists are written before the market has to wait for them.
            Output::Subscribed(path, list) => Some((self.acknowledgement(*path, list), Arc::clone(list))),
            _ => None,
        });
        let granted = outputs.iter().any(|output| matches!(output, Output::Subscribed(..) | Output::Listening(true)));
        let afterwards = self.shared.change(|hub| {
            let due = self.lateness(hub);
            for output in outputs {
                match output {
                    Output::Send(value) => self.outbox.push_late(document(self.codec, self.is_data, &value), due),
                    Output::Authenticated(grant) => hub.authenticated(self.id, grant),
                    Output::Subscribed(..) => {}
                    Output::Listening(on) => hub.listen(self.id, on),
                    Output::Close => self.outbox.push(Out::Close(CLOSE_CODE)),
                }
            }
            if let Some((acknowledgement, list)) = subscribed.take() {
                self.outbox.push_late(acknowledgement, due);
                hub.subscribe(self.id, list);
            }
            let afterwards = if granted && hub.faults.any() { self.claim(hub) } else { None };
            if last_words || afterwards.is_some() {
                self.outbox.seal();
            }
            afterwards
        });
        self.afterwards = self.afterwards.or(afterwards);
    }

    /// When an answer goes out that a fault makes late.
    fn lateness(&self, hub: &Hub) -> Option<Instant> {
        let now = hub.faults.any().then(Instant::now)?;
        let Some(Measure::By(late)) = hub.faults.measure(Fault::SlowAcks, &self.target(), now) else { return None };
        Some(now + late)
    }

    /// Takes the faults upon itself that found no open stream; returns how the connection ends by one.
    fn claim(&self, hub: &mut Hub) -> Option<Flow> {
        let (now, target) = (Instant::now(), self.target());
        let mut strike = |fault| hub.faults.strike(fault, &target, now);
        if let Some(Measure::Burst(count)) = strike(Fault::PingFlood) {
            self.outbox.push(Out::Pings(count));
        }
        if let Some(Measure::Code(code)) = strike(Fault::Close) {
            self.outbox.push(Out::Close(code));
        } else if strike(Fault::SlowClient).is_some() {
            self.outbox.push(document(self.codec, self.is_data, &Value::from(vec![session::error_value(407)])));
            self.outbox.push(Out::Close(CLOSE_CODE));
        }
        strike(Fault::Drop).map(|_| Flow::End).or_else(|| strike(Fault::HalfOpen).map(|_| Flow::Mute))
    }

    /// How the connection goes on, and when the next thing is due.
    fn write(&mut self, socket: &mut WebSocket<Ears>) -> (Flow, Option<Instant>) {
        let mut batch = Vec::new();
        loop {
            match socket.flush() {
                Ok(()) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return (Flow::Blocked, None),
                Err(_) => return (Flow::End, None),
            }
            let due = self.outbox.take(WRITE_BATCH, Instant::now, &mut batch);
            if batch.is_empty() {
                let flow = self.afterwards.filter(|_| due.is_none()).unwrap_or(Flow::On);
                return (flow, due);
            }
            for out in batch.drain(..) {
                if self.closing.is_some() {
                    continue;
                }
                self.tape(&out);
                if let Out::Close(code) = out {
                    self.close(socket, code);
                    continue;
                }
                for message in messages(out) {
                    match socket.write(message) {
                        Ok(()) => {}
                        // It is kept and goes with the next flush.
                        Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(_) => return (Flow::End, None),
                    }
                }
            }
        }
    }

    fn tape(&self, out: &Out) {
        let (kind, bytes) = match out {
            Out::Frame { text, bytes } | Out::Fragments { text, bytes } => (if *text { "text" } else { "binary" }, bytes.clone()),
            Out::Pings(count) => ("ping", count.to_string().into()),
            Out::Close(code) => ("close", code.to_string().into()),
        };
        self.shared.tape(self.id, Direction::Out, kind, || bytes);
    }

    fn close(&mut self, socket: &mut WebSocket<Ears>, code: u16) {
        // Whatever does not go out now goes with the next flush, or not at all.
        let _ = socket.close(Some(close_frame(code)));
        self.clean = true;
        self.closing = Some(Instant::now() + CLOSING);
    }
}
