//! What one connection wants to hear: names by channel, `*` for all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::sim::message::{Channel, Family, SimMessage};

const ALL: &str = "*";

/// Names are shared and in order, so that a list of eleven thousand is copied for a change in no time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::sim) struct Subscriptions(BTreeMap<Channel, Vec<Arc<str>>>);

impl Subscriptions {
    pub(in crate::sim) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, channel: Channel, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let held = self.0.entry(channel).or_default();
        held.extend(names.iter().map(|name| Arc::from(name.as_str())));
        // What was there is in order, which this sort makes use of.
        held.sort();
        held.dedup();
    }

    pub(super) fn remove(&mut self, channel: Channel, names: &[String]) {
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        if let Some(held) = self.0.get_mut(&channel) {
            held.retain(|name| !names.contains(&**name));
            if held.is_empty() {
                self.0.remove(&channel);
            }
        }
    }

    pub(in crate::sim) fn wants(&self, message: &SimMessage) -> bool {
        let has = |names: &[Arc<str>], name: &str| names.binary_search_by(|held| (**held).cmp(name)).is_ok();
        self.0.get(&message.channel()).is_some_and(|names| has(names, &message.symbol) || has(names, ALL))
    }

    /// What a plan's symbol limit counts: distinct names over some channels; `*` is beyond every limit.
    pub(super) fn counted(&self, over: &[Channel]) -> usize {
        let names: BTreeSet<&str> = over.iter().flat_map(|channel| self.names(*channel)).map(|name| &**name).collect();
        if names.contains(ALL) { usize::MAX } else { names.len() }
    }

    pub(in crate::sim) fn channels(&self) -> BTreeMap<String, Vec<String>> {
        self.0.iter().map(|(channel, names)| (channel.key().to_owned(), names.iter().map(|name| (**name).to_owned()).collect())).collect()
    }

    fn names(&self, channel: Channel) -> &[Arc<str>] {
        self.0.get(&channel).map_or(&[], Vec::as_slice)
    }

    /// The lists of the acknowledgement: every channel of the endpoint, with the two that follow the trades of stocks.
    pub(in crate::sim) fn lists<'a>(&'a self, offered: &'a [Channel], family: Family) -> impl Iterator<Item = (&'static str, &'a [Arc<str>])> {
        let followers: &[&str] = if matches!(family, Family::Stocks | Family::Test) { &["corrections", "cancelErrors"] } else { &[] };
        let offered = offered.iter().map(|channel| (channel.key(), self.names(*channel)));
        offered.chain(followers.iter().map(|key| (*key, self.names(Channel::Trades))))
    }
}
