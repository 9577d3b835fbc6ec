//! What one connection wants to hear: names by channel, `*` for all.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::sim::message::{Channel, Family, SimMessage};

const ALL: &str = "*";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::sim) struct Subscriptions(BTreeMap<Channel, BTreeSet<String>>);

impl Subscriptions {
    pub(in crate::sim) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, channel: Channel, names: &[String]) {
        if !names.is_empty() {
            self.0.entry(channel).or_default().extend(names.iter().cloned());
        }
    }

    pub(super) fn remove(&mut self, channel: Channel, names: &[String]) {
        if let Some(held) = self.0.get_mut(&channel) {
            held.retain(|name| !names.contains(name));
            if held.is_empty() {
                self.0.remove(&channel);
            }
        }
    }

    pub(in crate::sim) fn wants(&self, message: &SimMessage) -> bool {
        self.0.get(&message.channel()).is_some_and(|names| names.contains(&*message.symbol) || names.contains(ALL))
    }

    /// What a plan's symbol limit counts: distinct names over trades and quotes; `*` is beyond every limit.
    pub(super) fn counted(&self) -> usize {
        let names: BTreeSet<&String> = [Channel::Trades, Channel::Quotes].iter().filter_map(|c| self.0.get(c)).flatten().collect();
        if names.iter().any(|name| *name == ALL) { usize::MAX } else { names.len() }
    }

    pub(in crate::sim) fn channels(&self) -> BTreeMap<String, Vec<String>> {
        self.0.iter().map(|(channel, names)| (channel.key().to_owned(), names.iter().cloned().collect())).collect()
    }

    /// The acknowledgement: every channel of the endpoint, with the two that follow the trades of stocks.
    pub(super) fn acknowledgement(&self, offered: &[Channel], family: Family) -> Value {
        let names = |channel: Channel| json!(self.0.get(&channel).cloned().unwrap_or_default());
        let mut value = json!({"T": "subscription"});
        for channel in offered {
            value[channel.key()] = names(*channel);
        }
        if family != Family::Crypto {
            value["corrections"] = names(Channel::Trades);
            value["cancelErrors"] = names(Channel::Trades);
        }
        value
    }
}
