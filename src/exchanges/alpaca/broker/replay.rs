//! What happened while nobody listened, as the venue tells it once more.
//!
//! Not every host has the history; where it cannot be had, lists tell the same in fewer words. Must not know what the
//! updates are for.

use std::sync::Arc;
use std::time::Instant;

use super::super::rest::{Ask, Urgency, Verb, encode};
use super::super::trading::{read_update, too_deep};
use super::{AlpacaBroker, LIST_WITHIN};
use crate::events::{OrderUpdate, Source};
use crate::exchanges::BrokerError;
use crate::model::Timestamp;

impl AlpacaBroker {
    pub(super) fn read_history(&self, since: Timestamp, until: Timestamp) -> Result<Option<Vec<OrderUpdate>>, BrokerError> {
        self.check_open()?;
        if until <= since {
            return Ok(Some(Vec::new()));
        }
        if self.no_history.lock().get(Instant::now()).is_some() {
            return Ok(None);
        }
        let path = format!("/v2/events/trades?since={}&until={}", encode(&since.to_string()), encode(&until.to_string()));
        match self.rest.ask_events(&Ask { verb: Verb::Get, path: &path, body: None, urgency: Urgency::Sweep, within: LIST_WITHIN }) {
            Ok(page) => Ok(Some(self.read_events(&page.body))),
            Err(error @ (BrokerError::RateLimited { .. } | BrokerError::NotConnected { .. })) => Err(error),
            Err(error) => {
                // A venue that is away says so again when it is asked for lists.
                if is_lasting(&error) {
                    self.no_history.lock().put((), Instant::now());
                }
                log::info!("{} tells no history of events: {error}", self.of.broker);
                Ok(None)
            }
        }
    }

    fn read_events(&self, body: &str) -> Vec<OrderUpdate> {
        let events = body.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
        let read = |json: &str| {
            if too_deep(json) {
                return Err("nested too deeply".to_owned());
            }
            let event = read_update(&self.account_name, json).map_err(str::to_owned)?;
            self.understand(&Arc::new(event), Source::Replay).map_err(|unread| unread.to_string())
        };
        let heard = |json: &str| read(json).inspect_err(|error| log::warn!("{}: a past event is left out: {error}", self.of.broker)).ok();
        events.filter_map(heard).collect()
    }
}

/// The host has no history, or not for us: another answer is not to be had soon.
fn is_lasting(error: &BrokerError) -> bool {
    match error {
        BrokerError::UnknownOrder(_) | BrokerError::Unauthorised { .. } | BrokerError::Unsupported { .. } => true,
        BrokerError::Rejected { code: Some(code), .. } => code.starts_with("403") || code.starts_with("404"),
        _ => false,
    }
}
