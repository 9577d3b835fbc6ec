//! The command line of the order desk: orders, questions, halts.

use clap::{Args, ValueEnum};

use super::bot;

/// Which broker, and whether its money is real.
#[derive(Debug, Args)]
pub struct Where {
    /// The broker, as `status` lists it [default: the first one]
    #[arg(long, value_name = "NAME")]
    pub broker: Option<String>,
    /// One of its accounts, by the configured name or the venue's id
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// Needed for an account with real money
    #[arg(long)]
    pub live: bool,
    /// Print the answer as it is
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SideWord {
    Buy,
    Sell,
}

#[derive(Debug, Args)]
pub struct OrderArgs {
    #[arg(value_enum)]
    pub side: SideWord,
    /// How many units; money with --notional
    #[arg(value_name = "QTY")]
    pub quantity: String,
    /// Such as AAPL, BTC/USD
    pub symbol: String,
    /// Not worse than this price
    #[arg(long, value_name = "PRICE")]
    pub limit: Option<String>,
    /// Wait until the market reaches this price
    #[arg(long, value_name = "PRICE")]
    pub stop: Option<String>,
    /// A stop that follows the market at this distance
    #[arg(long, value_name = "AMOUNT", conflicts_with_all = ["stop", "limit", "trail_percent"])]
    pub trail: Option<String>,
    /// A stop that follows the market at this distance, in percent
    #[arg(long, value_name = "PERCENT", conflicts_with_all = ["stop", "limit"])]
    pub trail_percent: Option<String>,
    /// day, gtc, ioc, fok, opg, cls
    #[arg(long, value_name = "WORD", default_value = "day", value_parser = ["day", "gtc", "ioc", "fok", "opg", "cls"])]
    pub tif: String,
    /// The quantity is an amount of money
    #[arg(long)]
    pub notional: bool,
    /// Also before the opening and after the close
    #[arg(long)]
    pub extended: bool,
    /// Take the gain at this price: a bracket with --stop-loss, else an OTO order
    #[arg(long, value_name = "PRICE")]
    pub take_profit: Option<String>,
    /// Take the loss at this price
    #[arg(long, value_name = "PRICE")]
    pub stop_loss: Option<String>,
    /// Not worse than this price when the loss is taken
    #[arg(long, value_name = "PRICE", requires = "stop_loss")]
    pub stop_loss_limit: Option<String>,
    /// This order is the gain of a position that is held; --stop-loss is its other end
    #[arg(long, requires_all = ["limit", "stop_loss"], conflicts_with = "take_profit")]
    pub oco: bool,
    /// The bot that the order is counted for
    #[arg(long, default_value = "cli", value_parser = bot)]
    pub bot: String,
    /// The client order id [default: made from the bot's name]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    #[command(flatten)]
    pub at: Where,
}

#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Client order ids, or the venue's ids with --venue
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    /// The ids are the venue's
    #[arg(long)]
    pub venue: bool,
    #[command(flatten)]
    pub at: Where,
}

#[derive(Debug, Args)]
pub struct CancelAllArgs {
    /// Only orders of this symbol
    #[arg(long)]
    pub symbol: Option<String>,
    #[command(flatten)]
    pub at: Where,
}

/// Whose part of the account a question is about: all of it, unless told otherwise.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
pub struct Part {
    /// What belongs to this bot, as the broker's journal counts it
    #[arg(long, value_parser = bot)]
    pub bot: Option<String>,
    /// What nobody asked of the broker, such as orders typed by hand at the venue
    #[arg(long)]
    pub external: bool,
}

#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// Compare, and repair nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub at: Where,
}

#[derive(Debug, Args)]
pub struct AskArgs {
    #[command(flatten)]
    pub part: Part,
    #[command(flatten)]
    pub at: Where,
}

#[derive(Debug, Args)]
pub struct FillsArgs {
    #[command(flatten)]
    pub part: Part,
    /// Only those after this time, such as 2026-11-20T14:30:00Z [default: a day ago]
    #[arg(long, value_name = "TIME", default_value = "")]
    pub since: String,
    /// At most so many
    #[arg(short = 'n', long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=500))]
    pub limit: u64,
    #[command(flatten)]
    pub at: Where,
}

/// Whom a halt is for.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Whom {
    /// Everything
    #[arg(long)]
    pub all: bool,
    /// Every account of the broker
    #[arg(long)]
    pub whole_broker: bool,
    /// One bot, on every account
    #[arg(long, value_parser = bot)]
    pub bot: Option<String>,
}

#[derive(Debug, Args)]
pub struct HaltArgs {
    #[command(flatten)]
    pub whom: Whom,
    /// Let pass what makes a position smaller
    #[arg(long, conflicts_with = "cancel")]
    pub reduce_only: bool,
    /// Cancel what is open, too
    #[arg(long)]
    pub cancel: bool,
    /// Why, for whoever finds it
    #[arg(long, default_value = "")]
    pub reason: String,
    #[command(flatten)]
    pub at: Where,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    pub whom: Whom,
    #[command(flatten)]
    pub at: Where,
}
