//! The effective settings of a broker as a file of the same form, with `***` for every secret.
//!
//! Must not print a secret.

use rust_decimal::Decimal;
use yaml_serde::{Mapping, Value};

use super::super::show::{name_of, put};
use super::file::ORDER_TYPES;
use super::paper::{MODELS, Model};
use super::settings::{BrokerSettings, PaperSettings, Slippage, VenueSettings};
use super::venues::{OF_BINANCE, OF_IB};
use crate::risk::Limits;

impl BrokerSettings {
    /// Every value that is in effect, defaults included; decimals in quotes, so that no reader makes floats of them.
    pub fn masked_yaml(&self) -> String {
        let mut top = Mapping::new();
        put(&mut top, "name", self.name.as_str());
        put(&mut top, "broker_type", self.broker_type());
        put(&mut top, "enabled", true);
        self.venue(&mut top);
        let mut trading = Mapping::new();
        put(&mut trading, "default_order_type", name_of(&ORDER_TYPES, self.default_order_type));
        decimal(&mut trading, "max_slippage", self.limits.max_slippage);
        put(&mut top, "trading", trading);
        let mut limits = of_limits(&self.limits);
        if !self.bot_limits.is_empty() {
            let mut bots = Mapping::new();
            for (name, limits) in &self.bot_limits {
                let mut map = of_limits(limits);
                decimal(&mut map, "max_slippage", limits.max_slippage);
                put(&mut bots, name, map);
            }
            put(&mut limits, "bots", bots);
        }
        put(&mut top, "risk_limits", limits);
        if let VenueSettings::Paper(settings) = &self.venue {
            put(&mut top, "paper", paper(settings));
        }
        yaml_serde::to_string(&top).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }

    fn venue(&self, top: &mut Mapping) {
        let (mut credentials, mut connection) = (Mapping::new(), Mapping::new());
        match &self.venue {
            VenueSettings::Paper(_) => {}
            VenueSettings::Alpaca(alpaca) => put(&mut credentials, "account", &*alpaca.account.name),
            VenueSettings::Binance(binance) => {
                put(top, "environment", name_of(&OF_BINANCE, binance.live));
                put(&mut credentials, "api_key", binance.api_key.to_string());
                put(&mut credentials, "api_secret", binance.api_secret.to_string());
                put(&mut connection, "rest", binance.rest.http_url());
                put(&mut connection, "ws_api", binance.ws_api.ws_url());
                put(&mut connection, "stream", binance.stream.ws_url());
            }
            VenueSettings::InteractiveBrokers(ib) => {
                put(top, "environment", name_of(&OF_IB, ib.live));
                if let Some(account) = &ib.account {
                    put(&mut credentials, "account", account.as_str());
                }
                put(&mut connection, "host", ib.host.as_str());
                put(&mut connection, "port", u64::from(ib.port));
                put(&mut connection, "client_id", u64::from(ib.client_id));
            }
        }
        for (key, map) in [("credentials", credentials), ("connection", connection)] {
            if !map.is_empty() {
                put(top, key, map);
            }
        }
    }
}

fn decimal(map: &mut Mapping, key: &str, value: Option<Decimal>) {
    if let Some(value) = value {
        put(map, key, value.to_string());
    }
}

/// All but `max_slippage`, which stands elsewhere for the account.
fn of_limits(limits: &Limits) -> Mapping {
    let mut map = Mapping::new();
    decimal(&mut map, "max_position_size", limits.max_position_size);
    decimal(&mut map, "max_order_value", limits.max_order_value);
    decimal(&mut map, "max_order_quantity", limits.max_order_quantity);
    for (key, value) in [("max_open_orders", limits.max_open_orders), ("max_orders_per_minute", limits.max_orders_per_minute)] {
        if let Some(value) = value {
            put(&mut map, key, u64::from(value));
        }
    }
    if let Some(symbols) = &limits.allowed_symbols {
        put(&mut map, "allowed_symbols", Value::Sequence(symbols.iter().map(|symbol| Value::from(symbol.as_str())).collect()));
    }
    decimal(&mut map, "price_collar", limits.price_collar);
    if limits.require_open_market {
        put(&mut map, "require_open_market", true);
    }
    if let Some(age) = limits.max_price_age {
        put(&mut map, "max_price_age_ms", age.as_millis() as u64);
    }
    decimal(&mut map, "max_daily_loss", limits.max_daily_loss);
    map
}

fn paper(settings: &PaperSettings) -> Mapping {
    let mut map = Mapping::new();
    decimal(&mut map, "initial_balance", Some(settings.initial_balance));
    put(&mut map, "base_currency", settings.base_currency.as_str());
    put(&mut map, "latency_ms", settings.latency.as_millis() as u64);
    put(&mut map, "latency_jitter_ms", settings.latency_jitter.as_millis() as u64);
    let (model, value) = match settings.slippage {
        Slippage::None => (Model::None, None),
        Slippage::Fixed(value) => (Model::Fixed, Some(value)),
        Slippage::Percentage(value) => (Model::Percentage, Some(value)),
        Slippage::Impact { base, .. } => (Model::Impact, Some(base)),
    };
    put(&mut map, "slippage_model", name_of(&MODELS, model));
    decimal(&mut map, "slippage_value", value);
    if let Slippage::Impact { slope, ceiling, .. } = settings.slippage {
        decimal(&mut map, "impact_slope", Some(slope));
        decimal(&mut map, "impact_ceiling", Some(ceiling));
    }
    decimal(&mut map, "commission_rate", Some(settings.commission_rate));
    put(&mut map, "regulatory_fees", settings.regulatory_fees);
    decimal(&mut map, "margin", Some(settings.margin));
    put(&mut map, "shorting", settings.shorting);
    put(&mut map, "extended_hours", settings.extended_hours);
    put(&mut map, "partial_fills", settings.partial_fills);
    decimal(&mut map, "random_partials", Some(settings.random_partials));
    put(&mut map, "queue", settings.queue);
    put(&mut map, "prices", settings.prices.as_str());
    put(&mut map, "data_file", settings.data_file.as_str());
    put(&mut map, "seed", settings.seed);
    map
}
