//! What a paper account is, as somebody configures it, and what its broker can do.
//!
//! Must not know the file that the configuration was written in.

use std::path::PathBuf;
use std::time::Duration;

use rust_decimal::Decimal;

use crate::exchanges::Capabilities;
use crate::exchanges::paper::engine::EngineSettings;
use crate::exchanges::paper::models::{
    Combined, CommissionRate, FeeModel, FillRules, Fixed, Latency, MarketImpact, NoSlippage, Percentage, RegulatoryFees, SlippageModel,
};
use crate::model::{AccountId, ExchangeName, TimeInForce};

/// The type of this broker, as configured.
pub const KIND: &str = "paper";

/// How much worse than shown an order trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slippage {
    None,
    /// So much a unit.
    Fixed(Decimal),
    /// A share of the price: 0.0005 is 0.05 %.
    Percentage(Decimal),
    /// More, the more an order takes of what is displayed.
    MarketImpact(MarketImpact),
}

/// The settings of a paper account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaperSettings {
    pub name: ExchangeName,
    pub account: AccountId,
    pub currency: String,
    /// What a new account begins with.
    pub balance: Decimal,
    pub latency: Latency,
    pub slippage: Slippage,
    /// A share of what an execution is worth.
    pub commission: Decimal,
    /// The fees that regulators take of sales of stocks.
    pub regulatory_fees: bool,
    /// Buying power in equities; 1 is a cash account.
    pub margin: Decimal,
    pub shorting: bool,
    pub extended_hours: bool,
    pub fills: FillRules,
    pub seed: u64,
    /// Orders that have ended and are held in memory; older ones are looked up in the file.
    pub remembered: usize,
    /// Where the account is kept.
    pub file: PathBuf,
}

impl PaperSettings {
    /// An account of 100,000 dollars in cash: 50 ms to the market, 0.05 % slippage, 0.1 % commission.
    pub fn new(name: ExchangeName, account: AccountId, file: PathBuf) -> PaperSettings {
        PaperSettings {
            name,
            account,
            currency: "USD".to_owned(),
            balance: Decimal::new(100_000, 0),
            latency: Latency { fixed: Duration::from_millis(50), jitter: Duration::ZERO },
            slippage: Slippage::Percentage(Decimal::new(5, 4)),
            commission: Decimal::new(1, 3),
            regulatory_fees: false,
            margin: Decimal::ONE,
            shorting: false,
            extended_hours: true,
            fills: FillRules::HONEST,
            seed: 0,
            remembered: 10_000,
            file,
        }
    }

    pub(super) fn engine(&self, generation: u64) -> EngineSettings {
        let mut fees: Vec<Box<dyn FeeModel>> = vec![Box::new(CommissionRate(self.commission))];
        if self.regulatory_fees {
            fees.push(Box::new(RegulatoryFees::default()));
        }
        let slippage: Box<dyn SlippageModel> = match self.slippage {
            Slippage::None => Box::new(NoSlippage),
            Slippage::Fixed(amount) => Box::new(Fixed(amount)),
            Slippage::Percentage(share) => Box::new(Percentage(share)),
            Slippage::MarketImpact(impact) => Box::new(impact),
        };
        EngineSettings {
            // Names that the engine makes must not come again in the next life of the account.
            seed: self.seed ^ generation.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            latency: self.latency,
            slippage,
            fees: Box::new(Combined(fees)),
            fills: self.fills,
            margin: self.margin,
            shorting: self.shorting,
            extended_hours: self.extended_hours,
            remembered: self.remembered,
            ..EngineSettings::honest(self.name.clone(), self.seed)
        }
    }

    pub fn capabilities(&self) -> Capabilities {
        Capabilities {
            broker: KIND.to_owned(),
            order_types: vec!["market", "limit", "stop", "stop_limit", "trailing_stop"],
            times_in_force: TimeInForce::ALL.to_vec(),
            classes: vec!["simple", "bracket", "oco", "oto"],
            modify: true,
            cancel_all: true,
            extended_hours: self.extended_hours,
            notional: true,
            fractional: true,
            short_selling: self.shorting,
            fills: true,
            batch_orders: true,
            local: true,
            unique_client_ids: true,
            live: false,
        }
    }
}
