//! How an engine behaves: the models it uses and the rules of its house.
//!
//! Must not know configuration files.

use std::time::Duration;

use rust_decimal::Decimal;

use crate::exchanges::paper::models::{Combined, FeeModel, FillRules, Latency, MarketImpact, NoFees, NoSlippage, RegulatoryFees, SlippageModel};
use crate::model::ExchangeName;

/// The settings of an engine.
#[derive(Debug)]
pub struct EngineSettings {
    /// The broker that its events name.
    pub broker: ExchangeName,
    /// Same seed, same start and same input: same output.
    pub seed: u64,
    /// On the way of orders, cancels and changes to the market.
    pub latency: Latency,
    pub slippage: Box<dyn SlippageModel>,
    pub fees: Box<dyn FeeModel>,
    pub fills: FillRules,
    /// Buying power is this many times the equity, less what positions and open orders use; 1 is a cash account.
    pub margin: Decimal,
    /// Whether anybody may sell what he does not hold.
    pub shorting: bool,
    /// Whether limit orders may trade before the opening and after the close.
    pub extended_hours: bool,
    /// An order is refused that could trade with another one of the same account.
    pub refuse_wash_trades: bool,
    /// A stop that buys becomes a limit order a little above its stop, as much as is held for it.
    pub collar: bool,
    /// Closed orders that are remembered; their names are remembered for ever.
    pub remembered: usize,
}

impl EngineSettings {
    /// A market as hard as the real one: latency, impact, regulatory fees, queues, nothing beyond what is shown.
    pub fn honest(broker: ExchangeName, seed: u64) -> EngineSettings {
        EngineSettings {
            broker,
            seed,
            latency: Latency { fixed: Duration::from_millis(50), jitter: Duration::from_millis(50) },
            slippage: Box::new(MarketImpact { base: Decimal::new(1, 5), slope: Decimal::new(1, 4), ceiling: Decimal::new(5, 3) }),
            fees: Box::new(Combined(vec![Box::new(RegulatoryFees::default())])),
            fills: FillRules::HONEST,
            margin: Decimal::TWO,
            shorting: true,
            extended_hours: true,
            refuse_wash_trades: true,
            collar: true,
            remembered: 100_000,
        }
    }

    /// As Alpaca documents its paper accounts: filled at the displayed price whatever the size, a tenth of the time in
    /// random parts, free of charge and at once.
    pub fn alpaca_paper(broker: ExchangeName, seed: u64) -> EngineSettings {
        EngineSettings {
            latency: Latency::NONE,
            slippage: Box::new(NoSlippage),
            fees: Box::new(NoFees),
            fills: FillRules::ALPACA_PAPER,
            ..EngineSettings::honest(broker, seed)
        }
    }
}
