//! Who comes in: keys, plans, and how often at a time.

use std::time::Instant;

use super::hub::{Hub, Slot};
use crate::sim::config::SimKey;
use crate::sim::fault::{Fault, Target};
use crate::sim::message::Family;
use crate::sim::session::{DataPath, Gate, Grant};

/// The gate of one connection.
pub(super) struct Door<'a> {
    pub hub: &'a mut Hub,
    pub keys: &'a [SimKey],
    pub connection: u64,
    pub now: Instant,
}

impl Gate for Door<'_> {
    fn admit(&mut self, key: &str, secret: &str, path: Option<&DataPath>) -> Result<Grant, u16> {
        let granted = self.decide(key, secret, path);
        self.hub.counters.auths_refused += u64::from(granted.is_err());
        granted
    }
}

impl Door<'_> {
    fn decide(&mut self, key: &str, secret: &str, path: Option<&DataPath>) -> Result<Grant, u16> {
        let known = self.keys.iter().find(|known| known.opens_with(key, secret)).ok_or(402_u16)?;
        let account_id = known.account_id.clone();
        let Some(path) = path else { return Ok(Grant { account_id, symbol_limit: None }) };
        if path.feed.is_some_and(|feed| !known.feeds.iter().any(|allowed| allowed == feed)) {
            return Err(409);
        }
        if self.hub.faults.strike(Fault::Auth406, &Target { trading: false, path: path.path }, self.now).is_some() {
            return Err(406);
        }
        let held = self.hub.slots.entry((known.key_id.clone(), path.path)).or_default();
        held.retain(|slot| !matches!(slot, Slot::Haunted(until) if *until <= self.now));
        if !held.iter().any(|slot| matches!(slot, Slot::Held(holder) if *holder == self.connection)) {
            if held.len() >= known.connections {
                return Err(406);
            }
            held.push(Slot::Held(self.connection));
        }
        let symbol_limit = if path.family == Family::Options { known.option_limit } else { known.symbol_limit };
        Ok(Grant { account_id, symbol_limit })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn admit(hub: &mut Hub, connection: u64, now: Instant) -> Result<Grant, u16> {
        let keys = [SimKey::default()];
        let path = DataPath::find("/v2/iex").unwrap();
        Door { hub, keys: &keys, connection, now }.admit("SIM", "SIM-SECRET", Some(&path))
    }

    #[test]
    fn a_slot_is_held_haunted_and_freed() {
        let (mut hub, now, linger) = (Hub::default(), Instant::now(), Duration::from_secs(90));
        assert!(admit(&mut hub, 1, now).is_ok());
        assert_eq!(admit(&mut hub, 2, now), Err(406));
        hub.closed(1, false, linger, now);
        assert_eq!(admit(&mut hub, 2, now + Duration::from_secs(89)), Err(406));
        assert!(admit(&mut hub, 2, now + Duration::from_secs(91)).is_ok());
        hub.closed(2, true, linger, now);
        assert!(admit(&mut hub, 3, now).is_ok());
        hub.closed(3, false, Duration::ZERO, now);
        assert!(admit(&mut hub, 4, now).is_ok());
    }

    #[test]
    fn a_feed_outside_the_plan_is_refused() {
        let (keys, mut hub) = ([SimKey { feeds: vec!["iex".to_owned()], ..SimKey::default() }], Hub::default());
        let mut door = Door { hub: &mut hub, keys: &keys, connection: 1, now: Instant::now() };
        assert_eq!(door.admit("SIM", "SIM-SECRET", DataPath::find("/v2/sip").as_ref()), Err(409));
        assert_eq!(door.admit("SIM", "wrong", DataPath::find("/v2/iex").as_ref()), Err(402));
        assert!(door.admit("SIM", "SIM-SECRET", DataPath::find("/v1beta3/crypto/us").as_ref()).is_ok());
    }
}
