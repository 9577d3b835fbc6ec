//! The command line of the built-in exchange.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::model::{Price, Symbol, Timestamp};
use crate::sim::{FaultSpec, FaultTextError, SimKey};

#[derive(Debug, Args)]
pub struct SimArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Market messages a second, over all symbols
    #[arg(long, value_name = "N", default_value_t = 50.0, value_parser = rate)]
    pub rate: f64,
    /// Decides every price; ids too when --start is given
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What is traded and where its price starts [default: forty US stocks and two pairs]
    #[arg(long, value_name = "SYMBOL=PRICE", value_delimiter = ',', value_parser = priced)]
    pub symbols: Vec<(Symbol, Price)>,
    /// Distinct symbols that a connection may have, whatever the key; beyond it error 405 [default: as the plan of the key]
    #[arg(long, value_name = "N")]
    pub symbol_limit: Option<usize>,
    /// PEM file of the certificate chain; with --tls-key it serves TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Where to serve TLS, so that --listen stays plain; without --tls-cert a certificate is made and shown by
    /// /admin/certificate
    #[arg(long, value_name = "ADDRESS")]
    pub listen_tls: Option<SocketAddr>,
    /// A key in place of SIM; may be given more than once, each with an account of its own and the rights and limits of
    /// a plan: basic, plus, or unlimited [default plan: basic]
    #[arg(long = "key", value_name = "ID:SECRET[:PLAN]")]
    pub keys: Vec<SimKey>,
    /// REST requests a minute that a key has on each host; beyond it 429 [default: as its plan]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rest_limit: Option<u32>,
    /// Seconds that a data connection which died without a close keeps its place (error 406); the real venue takes about 90
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub slot_linger: u32,
    /// Something to go wrong, such as mute=30s@data; list prints all there is
    #[arg(long = "fault", value_name = "NAME[=VALUE][@SCOPE]", value_parser = fault)]
    pub faults: Vec<FaultWish>,
    /// Offer /admin though --listen is open to other machines; it answers this machine only
    #[arg(long)]
    pub admin: bool,
    /// Milliseconds from the receipt of an order to the market
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub latency_ms: u32,
    /// What the exchange's clock shows at the start, such as 2026-11-20T14:29:00Z [default: the present]
    #[arg(long, value_name = "TIME")]
    pub start: Option<Timestamp>,
    /// How many times faster than time its clock runs
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub speed: f64,
    /// When stocks trade: always, or by the calendar of the New York exchanges
    #[arg(long, value_enum, default_value = "always")]
    pub hours: HoursWord,
    /// Play this recording, a stream frame a line, instead of an invented market
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// Begin the recording anew at its end
    #[arg(long, requires = "replay")]
    pub replay_loop: bool,
    /// Accounts show the fields of pattern day trading, as the venue did before July 2026
    #[arg(long)]
    pub day_trading_fields: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HoursWord {
    Always,
    Calendar,
}

/// What `--fault` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultWish {
    List,
    One(FaultSpec),
}

fn rate(text: &str) -> Result<f64, &'static str> {
    let rate: f64 = text.parse().map_err(|_| "a number of messages a second")?;
    if (0.0..=1_000_000.0).contains(&rate) { Ok(rate) } else { Err("from 0 to 1000000 messages a second") }
}

fn priced(text: &str) -> Result<(Symbol, Price), String> {
    let (symbol, price) = text.split_once('=').ok_or("a symbol, =, and its first price")?;
    let symbol = symbol.parse::<Symbol>().map_err(|e| e.to_string())?;
    Ok((symbol, price.parse::<Price>().map_err(|e| e.to_string())?))
}

fn fault(text: &str) -> Result<FaultWish, FaultTextError> {
    if text == "list" { Ok(FaultWish::List) } else { text.parse().map(FaultWish::One) }
}
