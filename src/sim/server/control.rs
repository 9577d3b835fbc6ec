//! The hand on the exchange: makes the market say things, looks at connections, breaks them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Shared;
use super::counters::Counters;
use super::load::{self, LoadHandle, LoadSpec};
use super::outbox::{Out, Signal};
use super::record::{ConnectionRecord, StageFault};
use super::tape::Recorded;
use crate::model::{Amount, Price, Quote, Timestamp};
use crate::sim::exchange::Update;
use crate::sim::fault::{ActiveFault, FaultSpec};
use crate::sim::message::{SimBody, SimMessage};

/// Controls a running exchange; all clones control the same one. What is sent goes to those who are subscribed.
#[derive(Debug, Clone)]
pub struct SimControl {
    shared: Arc<Shared>,
}

impl SimControl {
    pub(super) fn new(shared: Arc<Shared>) -> SimControl {
        SimControl { shared }
    }

    /// What the exchange's clock shows.
    pub fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// Somebody trades. A price that is none is logged and nothing is sent.
    pub fn trade(&self, symbol: &str, price: &str, size: u64) {
        let id = self.shared.next_trade.fetch_add(1, Ordering::Relaxed);
        match price.parse::<Price>() {
            Ok(price) => self.emit(SimMessage { symbol: symbol.into(), at: self.now(), body: SimBody::Trade { id, price, size: Amount::from_u64(size) } }),
            Err(error) => log::error!("simulated exchange: no trade of {symbol} at {price:?}: {error}"),
        }
    }

    /// The best quote changes; resting orders that it crosses are filled. Prices that are none are logged and nothing
    /// is sent.
    pub fn quote(&self, symbol: &str, bid: &str, bid_size: u64, ask: &str, ask_size: u64) {
        match (bid.parse::<Amount>(), ask.parse::<Amount>()) {
            (Ok(bid), Ok(ask)) => {
                let quote = Quote { bid, bid_size: Amount::from_u64(bid_size), ask, ask_size: Amount::from_u64(ask_size) };
                self.emit(SimMessage { symbol: symbol.into(), at: self.now(), body: SimBody::Quote(quote) });
            }
            _ => log::error!("simulated exchange: no quote of {symbol} at {bid:?} to {ask:?}"),
        }
    }

    /// Any message of the market.
    pub fn emit(&self, message: SimMessage) {
        self.shared.emit(&[message]);
    }

    /// This very text to every data connection, whatever its codec and subscriptions.
    pub fn raw_data(&self, json_text: &str) {
        self.shared.hub.lock().push_raw(true, &Out::Frame { text: true, bytes: json_text.to_owned().into() });
    }

    /// These very bytes to every data connection, in a binary frame.
    pub fn raw_data_binary(&self, bytes: &[u8]) {
        self.shared.hub.lock().push_raw(true, &Out::Frame { text: false, bytes: bytes.to_vec().into() });
    }

    /// This very text to every trading connection, in a binary or a text frame.
    pub fn raw_order(&self, json_text: &str, binary: bool) {
        self.shared.hub.lock().push_raw(false, &Out::Frame { text: !binary, bytes: json_text.to_owned().into() });
    }

    /// The `data` object of a trade update to all listeners of the account.
    pub fn order_update(&self, account_id: &str, data_json: &str) {
        let update = Update { account: account_id.to_owned(), data: data_json.to_owned() };
        self.shared.hub.lock().deliver(&[update], self.shared.now());
    }

    /// Emits trades at a pace on a thread of their own. They pass the exchange by: no order is filled by them.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn load(&self, spec: LoadSpec) -> std::io::Result<LoadHandle> {
        load::start(&self.shared, spec)
    }

    /// The stream connections, oldest first: all open ones and the latest that were closed.
    pub fn connections(&self) -> Vec<ConnectionRecord> {
        let records = self.shared.hub.lock().records();
        with_lists(records)
    }

    /// When TCP connections came in, for REST or a stream.
    pub fn accept_times(&self) -> Vec<Instant> {
        self.shared.hub.lock().accept_times()
    }

    /// Cuts every stream connection without a close frame.
    pub fn drop_connections(&self) {
        self.shared.hub.lock().signal_all(Signal::Drop);
    }

    /// Ends every stream connection with a close frame of this code.
    pub fn close_connections(&self, code: u16) {
        self.shared.hub.lock().push_all(&Out::Close(code));
    }

    /// Leaves every stream connection open and silent from now on: no data, no answers, no pongs.
    pub fn mute_connections(&self) {
        self.shared.hub.lock().signal_all(Signal::Mute);
    }

    /// Lets something go wrong, as `--fault` does.
    pub fn fault(&self, spec: FaultSpec) {
        self.shared.arm(spec);
    }

    /// Ends every fault; trade updates that one held back are told.
    pub fn clear_faults(&self) {
        self.shared.clear_faults();
    }

    /// The faults in force and what is left of them.
    pub fn faults(&self) -> Vec<ActiveFault> {
        self.shared.hub.lock().faults.list(Instant::now())
    }

    pub fn counters(&self) -> Counters {
        self.shared.hub.lock().counters.clone()
    }

    /// What was sent and received since then, as far as it is kept: see `record_bytes`.
    pub fn record(&self, since: Timestamp) -> Vec<Recorded> {
        self.shared.tape.lock().read(since)
    }

    /// Lets something go wrong with the next connections, at a stage of theirs.
    pub fn arm(&self, fault: StageFault) {
        self.shared.hub.lock().arm(fault);
    }

    /// Waits until the connections are as described; `false` when they are not in time.
    pub fn wait_for(&self, what: impl Fn(&[ConnectionRecord]) -> bool, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let (records, generation) = {
                let hub = self.shared.hub.lock();
                (hub.records(), hub.generation)
            };
            if what(&with_lists(records)) {
                return true;
            }
            let mut hub = self.shared.hub.lock();
            while hub.generation == generation {
                if self.shared.changed.wait_until(&mut hub, deadline).timed_out() {
                    let records = hub.records();
                    drop(hub);
                    return what(&with_lists(records));
                }
            }
        }
    }
}

fn with_lists(records: Vec<ConnectionRecord>) -> Vec<ConnectionRecord> {
    records.into_iter().map(ConnectionRecord::with_lists).collect()
}
