//! The status report: what `broker:status`, `/status` and `alpaca-broker status` show.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    #[serde(rename = "type")]
    pub kind: String,
    pub state: String,
    /// Unix milliseconds of the process start: when it changes, named bots register again.
    pub epoch: i64,
    pub pid: u32,
    pub version: String,
    pub started_at: String,
    pub updated_at: String,
    pub sim: bool,
    pub health: StatusHealth,
    pub streams: Vec<StreamStatus>,
    pub redis: RedisStatus,
    /// Distinct symbols that somebody holds.
    pub symbols: usize,
    pub bots: usize,
    pub registrations: usize,
    pub orders: OrdersStatus,
    /// Those that take orders; the first is the default.
    #[serde(default)]
    pub brokers: Vec<BrokerStatus>,
    /// Halts in force, in words.
    #[serde(default)]
    pub halts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusHealth {
    /// 0 (useless) to 1 (all well).
    pub score: f64,
    pub reasons: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamStatus {
    pub name: String,
    pub kind: String,
    pub state: String,
    pub since: String,
    pub symbols: usize,
    pub connects: u64,
    pub messages: u64,
    /// Why it is not streaming, when it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RedisStatus {
    pub prices: bool,
    pub orders: bool,
    pub registrations: bool,
    pub control: bool,
    /// This is the broker of its Redis.
    #[serde(default)]
    pub lease: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrdersStatus {
    /// Order updates received since the start.
    pub last_seq: u64,
    /// Received and not yet confirmed by Redis.
    pub waiting: u64,
    /// Why the journal takes nothing, while it does not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub journal: Option<String>,
}

/// A broker that takes orders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// As commands name it.
    pub name: String,
    pub kind: String,
    /// The account's configured name and the venue's.
    pub account: String,
    pub account_id: String,
    /// Real money moves.
    pub live: bool,
    pub connection: String,
    pub health: StatusHealth,
    pub open_orders: u32,
    pub orders_last_minute: u32,
    pub placed: u64,
    pub rejected: u64,
    pub fills: u64,
    /// Orders filled to the end, of all that have ended.
    pub fill_rate: Option<f64>,
    /// The share of its life that it was connected.
    pub uptime: f64,
    /// By kind.
    pub errors: std::collections::BTreeMap<String, u64>,
    pub requests_left: Option<u32>,
}
