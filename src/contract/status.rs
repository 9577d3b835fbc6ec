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
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrdersStatus {
    /// Order updates received since the start.
    pub last_seq: u64,
    /// Received and not yet confirmed by Redis.
    pub waiting: u64,
}
