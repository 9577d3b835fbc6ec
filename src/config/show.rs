//! The effective configuration as a file of the same form, with `***` for every secret: what `check --show` prints.
//!
//! Must not print a secret.

use yaml_serde::{Mapping, Value};

use super::checked::{CODECS, CRYPTO_VENUES, DIALECTS, STOCK_FEEDS};
use super::settings::{Account, Config, Environment, MarketData, RedisPlace, RedisSettings};

impl Config {
    /// Every value that is in effect, defaults included.
    pub fn masked_yaml(&self) -> String {
        let mut top = Mapping::new();
        put(&mut top, "redis", redis(&self.redis));
        put(&mut top, "accounts", Value::Sequence(self.accounts.iter().map(account).collect()));
        put(&mut top, "market_data", market_data(self));
        let symbols: Vec<Value> = self.symbols.iter().map(|symbol| Value::from(symbol.as_str())).collect();
        put(&mut top, "symbols", if self.all_symbols { Value::from("*") } else { Value::Sequence(symbols) });
        put(&mut top, "symbol_feeds", Value::Sequence(self.symbol_feeds.iter().map(|feed| Value::from(feed.as_str())).collect()));
        put(&mut top, "dialects", name_of(&DIALECTS, self.dialects));
        let mut limits = Mapping::new();
        put(&mut limits, "per_bot", self.limits.per_bot as u64);
        put(&mut limits, "total", self.limits.total as u64);
        put(&mut top, "limits", limits);
        put(&mut top, "orders_on_ticker_channel", self.orders_on_ticker_channel.map_or(Value::from("auto"), Value::from));
        put(&mut top, "order_streams_per_bot", self.order_streams_per_bot);
        put(&mut top, "data_dir", self.data_dir.display().to_string());
        if let Some(file) = &self.trusted_ca {
            put(&mut top, "trusted_ca", file.display().to_string());
        }
        put(&mut top, "http", self.http.map_or("off".to_owned(), |address| address.to_string()));
        put(&mut top, "log_level", self.log_level.as_str().to_ascii_lowercase());
        if let Some(sim) = &self.sim {
            let mut section = Mapping::new();
            put(&mut section, "seed", sim.seed);
            put(&mut section, "rate", sim.rate);
            put(&mut section, "latency_ms", sim.latency.as_millis() as u64);
            put(&mut top, "sim", section);
        }
        yaml_serde::to_string(&top).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }
}

pub(super) fn put(map: &mut Mapping, key: &str, value: impl Into<Value>) {
    map.insert(Value::from(key), value.into());
}

pub(super) fn name_of<T: PartialEq>(names: &[(&str, T)], value: T) -> Value {
    names.iter().find(|(_, named)| *named == value).map_or(Value::Null, |(name, _)| Value::from(*name))
}

fn redis(settings: &RedisSettings) -> Mapping {
    let mut map = Mapping::new();
    match &settings.place {
        RedisPlace::Tcp { host, port } => {
            put(&mut map, "host", host.as_str());
            put(&mut map, "port", u64::from(*port));
        }
        RedisPlace::Sentinel { .. } => put(&mut map, "url", format!("redis+{}", settings.place)),
        RedisPlace::Tls { host, port } if host.contains(':') => put(&mut map, "url", format!("rediss://[{host}]:{port}")),
        place => put(&mut map, "url", place.to_string()),
    }
    put(&mut map, "db", u64::from(settings.db));
    if let Some(username) = &settings.username {
        put(&mut map, "username", username.as_str());
    }
    if let Some(password) = &settings.password {
        put(&mut map, "password", password.to_string());
    }
    if let Some(file) = &settings.ca_file {
        put(&mut map, "ca_file", file.display().to_string());
    }
    map
}

fn account(account: &Account) -> Value {
    let mut map = Mapping::new();
    put(&mut map, "name", &*account.name);
    match account.environment {
        Environment::Sim => put(&mut map, "environment", "sim"),
        real => {
            put(&mut map, "environment", if real == Environment::Live { "live" } else { "paper" });
            put(&mut map, "key_id", account.key_id.to_string());
            put(&mut map, "secret_key", account.secret_key.to_string());
            put(&mut map, "api", account.api.http_url());
            put(&mut map, "order_stream", account.order_stream.ws_url());
        }
    }
    Value::Mapping(map)
}

fn market_data(config: &Config) -> Mapping {
    let MarketData { key_id, host, rest, stock_feed, crypto_venue, codec, .. } = &config.market_data;
    let mut map = Mapping::new();
    if let Some(owner) = config.accounts.iter().find(|account| account.key_id == *key_id) {
        put(&mut map, "account", &*owner.name);
    }
    if config.sim.is_none() {
        put(&mut map, "host", host.ws_url());
        put(&mut map, "rest", rest.http_url());
    }
    put(&mut map, "stock_feed", name_of(&STOCK_FEEDS, *stock_feed));
    put(&mut map, "crypto_venue", name_of(&CRYPTO_VENUES, *crypto_venue));
    put(&mut map, "codec", name_of(&CODECS, *codec));
    map
}
