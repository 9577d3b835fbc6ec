//! The command line: what can be asked, and its help.

mod order;
mod sim;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

pub use self::order::{AskArgs, CancelAllArgs, CancelArgs, FillsArgs, HaltArgs, OrderArgs, Part, ReconcileArgs, ResumeArgs, SideWord, Where, Whom};
pub use self::sim::{FaultWish, HoursWord, SimArgs};
use super::exit;
use crate::model::{Dialect, ExchangeName, Feed, Symbol};

const MAX_BOT: usize = 16;
/// The longest lease that the broker grants.
const MAX_TTL_S: u32 = 86_400;

/// One connection to the exchange, every bot served.
///
/// A running broker is found by its Redis: --redis, else REDIS_URL, else REDIS_HOST, REDIS_PORT and REDIS_DB, else the
/// file endpoint.json that the broker leaves in its data folder, else redis://127.0.0.1:6379/0. REDIS_USERNAME and
/// REDIS_PASSWORD count for an address without credentials.
#[derive(Debug, Parser)]
#[command(name = "alpaca-broker", version, after_help = exit::HELP)]
pub struct Cli {
    #[command(flatten)]
    pub reach: Reach,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// How to find a running broker.
#[derive(Debug, Args)]
pub struct Reach {
    /// The Redis of the broker, such as redis://127.0.0.1:6379/0
    #[arg(long, global = true, value_name = "URL")]
    pub redis: Option<String>,
    /// The data folder of the broker [default: BROKER_DATA_DIR, else ./data]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hold the connections and serve every bot; what is done when no command is given
    #[command(after_help = "Examples:\n  alpaca-broker\n  alpaca-broker run --config /etc/alpaca-broker/broker.yaml\n  alpaca-broker run --sim")]
    Run(RunArgs),
    /// Be an exchange: Alpaca's REST and streams on this machine, with an invented market
    ///
    /// The key SIM with the secret SIM-SECRET has every right and no limits, unless --key gives others in its place. While
    /// it runs, programs on this machine may POST {"fault":"mute=30s"} to /admin/faults, move prices by /admin/market, and
    /// read /admin/counters and /admin/record.
    #[command(after_help = "Examples:\n  alpaca-broker sim\n  alpaca-broker sim --listen 127.0.0.1:8080 --rate 1000 --symbols AAPL=228.50,MSFT=424.10\n  \
                            alpaca-broker sim --key PK1:secret:basic --slot-linger 90\n  alpaca-broker sim --fault list\n  \
                            alpaca-broker sim --fault lose-trade-update=1 --fault rest-429=10s@trading")]
    Sim(SimArgs),
    /// Check the configuration and say what is wrong with it
    #[command(after_help = "Examples:\n  alpaca-broker check\n  alpaca-broker check --config configs/broker.yaml --show")]
    Check(CheckArgs),
    /// Show how a running broker is; fails when none is running
    #[command(after_help = "Examples:\n  alpaca-broker status\n  alpaca-broker status --watch\n  alpaca-broker status --json | jq .health")]
    Status(StatusArgs),
    /// Register symbols for as long as this runs, and print what arrives
    ///
    /// Each line tells the sequence number, a gap in it, how many updates were folded into this one, and how old the
    /// message is. Ctrl-C ends it and unregisters.
    #[command(after_help = "Examples:\n  alpaca-broker watch AAPL MSFT\n  alpaca-broker watch AAPL --feeds price,quote --count 10\n  \
                            alpaca-broker watch BTC/USD --json | jq .price")]
    Watch(WatchArgs),
    /// Register symbols for a bot, and print what the broker says
    #[command(
        after_help = "Examples:\n  alpaca-broker register AAPL MSFT --bot scalper\n  alpaca-broker register AAPL --bot scalper --feeds price,bar --ttl 3600"
    )]
    Register(RegisterArgs),
    /// Take a bot's registrations back
    #[command(after_help = "Example:\n  alpaca-broker unregister AAPL --bot scalper")]
    Unregister(HoldingArgs),
    /// Print the log lines of a running broker as they come
    #[command(after_help = "Examples:\n  alpaca-broker logs\n  alpaca-broker logs --level warn --json")]
    Logs(LogsArgs),
    /// Place an order through a running broker, after its risk check
    #[command(after_help = "Examples:\n  alpaca-broker order buy 10 AAPL\n  alpaca-broker order buy 10 AAPL --limit 150.25 --tif gtc\n  \
                      alpaca-broker order sell 5 AAPL --trail-percent 1\n  alpaca-broker order buy 10 AAPL --take-profit 160 --stop-loss 145")]
    Order(OrderArgs),
    /// Cancel orders
    #[command(after_help = "Example:\n  alpaca-broker cancel cli-19aa-1")]
    Cancel(CancelArgs),
    /// Cancel everything that is open
    #[command(after_help = "Examples:\n  alpaca-broker cancel-all\n  alpaca-broker cancel-all --symbol AAPL")]
    CancelAll(CancelAllArgs),
    /// List the open orders
    #[command(
        after_help = "Examples:\n  alpaca-broker orders\n  alpaca-broker orders --bot scalper\n  alpaca-broker orders --external\n  alpaca-broker orders --json | jq .orders"
    )]
    Orders(AskArgs),
    /// List executions, oldest first
    #[command(after_help = "Examples:\n  alpaca-broker fills --since 2026-11-20T14:30:00Z\n  alpaca-broker fills --bot scalper")]
    Fills(FillsArgs),
    /// List what is held
    #[command(after_help = "Examples:\n  alpaca-broker positions\n  alpaca-broker positions --bot scalper")]
    Positions(AskArgs),
    /// Show the money of the account, or what one bot has earned on it
    #[command(after_help = "Examples:\n  alpaca-broker balance\n  alpaca-broker balance --bot scalper")]
    Balance(AskArgs),
    /// Compare what the broker knows of an account with what its venue holds, and put right what differs
    #[command(after_help = "Examples:\n  alpaca-broker reconcile --dry-run\n  alpaca-broker reconcile --broker alpaca")]
    Reconcile(ReconcileArgs),
    /// Tell the story of one order: who did what when, where it stands, and what nobody knows yet
    ///
    /// Reads the journal in the broker's data folder, whether a broker is running or not. Orders that it replaced, that
    /// replaced it or that hang on it are part of the story.
    #[command(after_help = "Examples:\n  alpaca-broker explain scalper-17\n  alpaca-broker explain 61e69015-8549-4bfd-b9c3-01e75843f47d --json")]
    Explain(ExplainArgs),
    /// Let no new orders pass; a restart does not lift it
    ///
    /// For the account, unless told otherwise. Cancels always pass.
    #[command(
        after_help = "Examples:\n  alpaca-broker halt --all --cancel --reason \"news\"\n  alpaca-broker halt --bot scalper\n  alpaca-broker halt --reduce-only"
    )]
    Halt(HaltArgs),
    /// Lift a halt
    #[command(after_help = "Examples:\n  alpaca-broker resume --all\n  alpaca-broker resume --bot scalper")]
    Resume(ResumeArgs),
}

#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// The configuration file [default: BROKER_CONFIG, else configs/broker.yaml if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Use the exchange inside this process: no keys, invented prices
    #[arg(long)]
    pub sim: bool,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Print what is in force, with *** for secrets
    #[arg(long)]
    pub show: bool,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show it again every second
    #[arg(short, long)]
    pub watch: bool,
    /// Print the message of the broker as it is, one line each
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Such as AAPL, BTC/USD, binance:BTCUSDT
    #[arg(required = true, value_name = "SYMBOL")]
    pub symbols: Vec<Instrument>,
    /// What to ask for: price, quote, bar, status
    #[arg(long, value_delimiter = ',', default_value = "price", value_parser = feed)]
    pub feeds: Vec<Feed>,
    /// Which messages to ask for: ticker, typed
    #[arg(long, default_value = "ticker", value_parser = dialect)]
    pub dialect: Dialect,
    /// Stop after that many messages
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Print the messages as they are, one line each
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct HoldingArgs {
    /// Such as AAPL, BTC/USD, binance:BTCUSDT
    #[arg(required = true, value_name = "SYMBOL")]
    pub symbols: Vec<Instrument>,
    /// The bot that holds the registration
    #[arg(long, default_value = "cli", value_parser = bot)]
    pub bot: String,
    /// What of them: price, quote, bar, status
    #[arg(long, value_delimiter = ',', default_value = "price", value_parser = feed)]
    pub feeds: Vec<Feed>,
    /// For which messages: ticker, typed
    #[arg(long, default_value = "ticker", value_parser = dialect)]
    pub dialect: Dialect,
    /// Print the answer as it is
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RegisterArgs {
    #[command(flatten)]
    pub holding: HoldingArgs,
    /// Seconds until it lapses unless registered again
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TTL_S)))]
    pub ttl: u32,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Its client order id, or the venue's id
    #[arg(value_name = "ORDER")]
    pub order: String,
    /// The configuration file that says where the data folder is [default: BROKER_CONFIG, else configs/broker.yaml if
    /// it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Follow: the only way there is, as no lines are kept
    #[arg(short, long)]
    pub follow: bool,
    /// The least level to show: error, warn, info, debug, trace
    #[arg(long, default_value = "trace", value_name = "LEVEL")]
    pub level: log::Level,
    /// Print the messages as they are, one line each
    #[arg(long)]
    pub json: bool,
}

/// A symbol and where it trades, as channels spell it: `AAPL`, `binance:BTCUSDT`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instrument {
    pub exchange: Option<ExchangeName>,
    pub symbol: Symbol,
}

impl FromStr for Instrument {
    type Err = String;

    /// Small letters are taken for capitals: every symbol has capitals only.
    fn from_str(text: &str) -> Result<Instrument, String> {
        let (exchange, symbol) = match text.split_once(':') {
            Some((exchange, symbol)) => (Some(exchange.parse::<ExchangeName>().map_err(|e| e.to_string())?), symbol),
            None => (None, text),
        };
        let symbol = symbol.to_ascii_uppercase().parse::<Symbol>().map_err(|e| e.to_string())?;
        Ok(Instrument { exchange, symbol })
    }
}

impl fmt::Display for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.exchange {
            Some(exchange) => write!(f, "{exchange}:{}", self.symbol),
            None => write!(f, "{}", self.symbol),
        }
    }
}

fn feed(name: &str) -> Result<Feed, &'static str> {
    Feed::from_name(name).ok_or("the feeds are price, quote, bar and status")
}

fn dialect(name: &str) -> Result<Dialect, &'static str> {
    Dialect::from_name(name).ok_or("the dialects are ticker and typed")
}

fn bot(name: &str) -> Result<String, &'static str> {
    let fits = (1..=MAX_BOT).contains(&name.len()) && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if fits { Ok(name.to_owned()) } else { Err("the name of a bot has 1 to 16 small letters, digits and _") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command.unwrap_or(Command::Run(RunArgs::default())))
    }

    #[test]
    fn the_command_line_is_sound_and_shows_examples() {
        Cli::command().debug_assert();
        for mut command in Cli::command().get_subcommands().cloned() {
            assert!(command.render_long_help().to_string().contains("Example"), "{}", command.get_name());
        }
        assert!(Cli::command().render_long_help().to_string().contains("Exit codes:"));
    }

    #[test]
    fn symbols_are_checked_and_capitalised() {
        let Command::Watch(args) = parse("x watch aapl binance:btcusdt BTC/USD --feeds price,bar").unwrap() else { panic!("not watch") };
        assert_eq!(args.symbols.iter().map(ToString::to_string).collect::<Vec<_>>(), ["AAPL", "binance:BTCUSDT", "BTC/USD"]);
        assert_eq!(args.feeds, [Feed::Price, Feed::Bar]);
        for line in [
            "x watch",
            "x watch *",
            "x watch A:B:C",
            "x watch AAPL --feeds trades",
            "x watch AAPL -n 0",
            "x register A --ttl 0",
            "x register A --ttl 86401",
            "x register A --bot Bad-Name",
            "x logs --level loud",
            "x orders --bot scalper --external",
            "x positions --bot Bad-Name",
            "x explain",
            "x sim --rate -1",
            "x sim --symbols AAPL",
            "x sim --tls-cert a.pem",
            "x sim --listen-tls here",
            "x sim --key SIM",
            "x sim --key a:b:gold",
            "x sim --fault mutte=3s",
            "x sim --fault mute=3s@nowhere",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), i32::from(exit::USAGE), "{line}");
        }
    }

    #[test]
    fn faults_and_keys_of_the_exchange_are_read() {
        let Command::Sim(args) = parse("x sim --fault list --fault mute=30s@data --key PK1:s --key PK2:t:plus").unwrap() else { panic!("not sim") };
        assert_eq!(args.faults, [FaultWish::List, FaultWish::One("mute=30s@data".parse().unwrap())]);
        assert_eq!(args.keys.iter().map(|key| key.plan).collect::<Vec<_>>(), [crate::sim::Plan::Basic, crate::sim::Plan::Plus]);
        let refused = parse("x sim --fault mutte=3s").unwrap_err().to_string();
        assert!(refused.contains("did you mean mute?"), "{refused}");
        let refused = parse("x sim --key PK1:hunter2:gold").unwrap_err().to_string();
        assert!(refused.contains("basic and plus"), "{refused}");
    }
}
