//! The checked settings of one broker: every value validated, units in the types.
//!
//! Must not know YAML, file names or environment variables.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;

use super::super::settings::{Account, Environment};
use crate::model::ExchangeName;
use crate::net::Endpoint;
use crate::risk::Limits;
use crate::runtime::Secret;

/// One broker that is to be built. A disabled one has no settings, so that nobody can build it.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// By which bots and the registry know it.
    pub name: ExchangeName,
    /// Where it was described, for messages.
    pub file: String,
    pub venue: VenueSettings,
    /// What an order is that names no type.
    pub default_order_type: DefaultOrderType,
    /// Of the whole account.
    pub limits: Limits,
    /// Of one bot each, on top of those of the account and never looser.
    pub bot_limits: BTreeMap<String, Limits>,
}

impl BrokerSettings {
    /// The word of the file, by which a constructor is found.
    pub fn broker_type(&self) -> &'static str {
        match self.venue {
            VenueSettings::Paper(_) => "paper",
            VenueSettings::Alpaca(_) => "alpaca",
            VenueSettings::Binance(_) => "binance",
            VenueSettings::InteractiveBrokers(_) => "interactive_brokers",
        }
    }

    /// Whether real money moves.
    pub fn is_live(&self) -> bool {
        match &self.venue {
            VenueSettings::Paper(_) => false,
            VenueSettings::Alpaca(alpaca) => alpaca.account.environment == Environment::Live,
            VenueSettings::Binance(binance) => binance.live,
            VenueSettings::InteractiveBrokers(ib) => ib.live,
        }
    }
}

/// A file that is there and switched off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisabledBroker {
    pub name: ExchangeName,
    pub file: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultOrderType {
    Market,
    Limit,
}

/// What only one kind of broker needs.
#[derive(Debug, Clone)]
pub enum VenueSettings {
    Paper(PaperSettings),
    Alpaca(AlpacaSettings),
    Binance(BinanceSettings),
    InteractiveBrokers(IbSettings),
}

/// The engine inside this process, filled from somebody's live prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaperSettings {
    pub initial_balance: Decimal,
    /// Capital letters, such as `USD`.
    pub base_currency: String,
    /// On the way of orders, changes and cancels to the market.
    pub latency: Duration,
    /// At most so much more, by chance.
    pub latency_jitter: Duration,
    pub slippage: Slippage,
    /// The share of an execution's value that is taken; 0.001 is 0.1 %.
    pub commission_rate: Decimal,
    /// Sales of stocks pay what regulators in the United States take.
    pub regulatory_fees: bool,
    /// Buying power in equities; 1 is a cash account.
    pub margin: Decimal,
    /// More may be sold than is held.
    pub shorting: bool,
    /// Orders may trade before the opening and after the close.
    pub extended_hours: bool,
    /// An execution takes at most the size that is displayed.
    pub partial_fills: bool,
    /// How often an order that takes gets only a random part at once: 0.1 is every tenth time.
    pub random_partials: Decimal,
    /// A limit order waits until what was displayed before it has traded.
    pub queue: bool,
    /// The exchange whose live prices fill orders.
    pub prices: ExchangeName,
    /// The account's file, inside the data folder.
    pub data_file: String,
    /// Of everything that chance decides.
    pub seed: u64,
}

/// How much worse than the seen price an order is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slippage {
    None,
    /// Money a unit.
    Fixed(Decimal),
    /// A fraction of the price.
    Percentage(Decimal),
    /// A fraction of the price that grows with the order: `base + slope * quantity / displayed`, at most `ceiling`.
    Impact {
        base: Decimal,
        slope: Decimal,
        ceiling: Decimal,
    },
}

#[derive(Debug, Clone)]
pub struct AlpacaSettings {
    /// One of [`Config::accounts`](crate::config::Config::accounts).
    pub account: Account,
}

#[derive(Debug, Clone)]
pub struct BinanceSettings {
    pub live: bool,
    pub api_key: Secret,
    pub api_secret: Secret,
    /// Without `/api/v3`.
    pub rest: Endpoint,
    pub ws_api: Endpoint,
    /// Of market data.
    pub stream: Endpoint,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IbSettings {
    pub live: bool,
    /// Of TWS or the gateway.
    pub host: String,
    pub port: u16,
    pub client_id: u32,
    /// `None`: the first one that the gateway manages.
    pub account: Option<String>,
}
