//! What a built-in exchange is started with: where it listens, what it trades, who may use it.
//!
//! Must not know sockets, threads or the configuration file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::fault::FaultSpec;
pub(super) use super::key::SimKey;
use crate::model::{Price, Symbol, Timestamp};

/// Everything an exchange needs to know at its start. The default is silent (`rate` 0), plain, and on a free port.
#[derive(Debug, Clone)]
pub struct SimConfig {
    pub listen: SocketAddr,
    /// PEM files of the certificate chain and its key; `None` serves plain HTTP and WebSocket.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Where TLS is served beside plain, with a certificate made on the spot when none is given. Without it `tls` takes the
    /// place of plain.
    pub listen_tls: Option<SocketAddr>,
    /// Offers `/admin` though one of the addresses is not of this machine. Only this machine may call it in any case.
    pub admin: bool,
    /// How much of what is sent and received is kept for `/admin/record`; 0 keeps nothing.
    pub record_bytes: usize,
    /// What is to go wrong from the start.
    pub faults: Vec<FaultSpec>,
    /// Decides every price and every id.
    pub seed: u64,
    /// What is traded, and at which price the day starts.
    pub symbols: Vec<(Symbol, Price)>,
    /// Market messages a second of real time over all symbols; 0 leaves the market to [`super::SimControl`].
    pub rate: f64,
    /// What the exchange's clock shows at the start: the present when `None`, or the time of the first frame of a replay.
    pub start: Option<Timestamp>,
    /// How many times faster than time its clock runs.
    pub speed: f64,
    pub hours: Hours,
    /// A recording of stream frames, one a line, that is played in place of the invented market.
    pub replay: Option<PathBuf>,
    /// The recording begins anew at its end.
    pub replay_loop: bool,
    pub keys: Vec<SimKey>,
    /// How long a data connection that died without a close keeps its slot (error 406); the real venue takes about 90 s.
    pub slot_linger: Duration,
    /// How long a stream may stay unauthenticated.
    pub auth_timeout: Duration,
    /// Between the receipt of an order and the venue's answer to it.
    pub order_latency: Duration,
    /// Accounts show the fields of pattern day trading, as the venue did before July 2026.
    pub day_trading_fields: bool,
    /// What may wait for one connection before it counts as a slow client (error 407).
    pub queue_bytes: usize,
}

/// When equities trade. Crypto always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hours {
    /// Always: the market is as in the middle of its day, so that there is something to see at night.
    #[default]
    Always,
    /// In the sessions of the calendar, by the exchange's clock.
    Calendar,
}

impl Default for SimConfig {
    fn default() -> SimConfig {
        SimConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            listen_tls: None,
            admin: false,
            record_bytes: 0,
            faults: Vec::new(),
            seed: 1,
            symbols: default_symbols(),
            rate: 0.0,
            start: None,
            speed: 1.0,
            hours: Hours::default(),
            replay: None,
            replay_loop: false,
            keys: vec![SimKey::default()],
            slot_linger: Duration::ZERO,
            auth_timeout: Duration::from_secs(10),
            order_latency: Duration::ZERO,
            day_trading_fields: false,
            queue_bytes: 16 * 1024 * 1024,
        }
    }
}

fn default_symbols() -> Vec<(Symbol, Price)> {
    DEFAULT_SYMBOLS.iter().filter_map(|(symbol, price)| Some((symbol.parse().ok()?, price.parse().ok()?))).collect()
}

/// The symbol of the test feed.
pub(super) const TEST_SYMBOL: &str = "FAKEPACA";
/// Where its price starts.
pub(super) const TEST_PRICE: &str = "134.00";

const DEFAULT_SYMBOLS: [(&str, &str); 42] = [
    ("AAPL", "228.50"),
    ("MSFT", "424.10"),
    ("NVDA", "141.95"),
    ("AMZN", "202.60"),
    ("GOOGL", "175.90"),
    ("GOOG", "177.30"),
    ("META", "554.20"),
    ("TSLA", "339.60"),
    ("AVGO", "164.75"),
    ("BRK.B", "472.40"),
    ("JPM", "245.30"),
    ("V", "309.90"),
    ("MA", "520.15"),
    ("UNH", "590.85"),
    ("XOM", "120.30"),
    ("JNJ", "155.20"),
    ("WMT", "86.60"),
    ("PG", "171.05"),
    ("HD", "407.35"),
    ("COST", "928.40"),
    ("ORCL", "188.70"),
    ("NFLX", "883.90"),
    ("AMD", "137.60"),
    ("INTC", "24.40"),
    ("CRM", "338.20"),
    ("ADBE", "503.10"),
    ("CSCO", "57.50"),
    ("QCOM", "154.90"),
    ("BAC", "46.40"),
    ("WFC", "73.90"),
    ("GS", "587.20"),
    ("DIS", "114.30"),
    ("KO", "63.10"),
    ("PEP", "157.80"),
    ("PFE", "25.10"),
    ("BA", "146.10"),
    ("F", "10.95"),
    ("PLTR", "62.40"),
    ("SPY", "590.30"),
    ("QQQ", "503.60"),
    ("BTC/USD", "98250.00"),
    ("ETH/USD", "3345.00"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_list_is_whole() {
        assert_eq!(SimConfig::default().symbols.len(), DEFAULT_SYMBOLS.len());
        assert!(TEST_SYMBOL.parse::<Symbol>().is_ok() && TEST_PRICE.parse::<Price>().is_ok());
    }
}
