//! What becomes of a REST answer of an exchange that is behind, or whose clock is wrong.

use std::time::Instant;

use serde_json::Value;

use super::state::{Faults, Target};
use super::updates::skew_field;
use super::{Fault, Measure};
use crate::model::Timestamp;

const CLOCK: &str = "/v2/clock";
const ACTIVITIES: &str = "/v2/account/activities";

impl Faults {
    /// The body that is answered to a GET instead of this one.
    pub(in crate::sim) fn answered(&self, body: Vec<u8>, target: &Target<'_>, wall: Timestamp, now: Instant) -> Vec<u8> {
        let path = target.path.trim_end_matches('/');
        let lag = || if let Some(Measure::By(lag)) = self.measure(Fault::ActivitiesLag, target, now) { Some(lag) } else { None };
        if path == CLOCK
            && let Some(Measure::Skew(nanos)) = self.measure(Fault::ClockSkew, target, now)
        {
            return changed(body, |clock| skew_field(clock, "timestamp", nanos));
        }
        if path.starts_with(ACTIVITIES)
            && let Some(lag) = lag()
        {
            let shown = wall.nanos().saturating_sub(i64::try_from(lag.as_nanos()).unwrap_or(i64::MAX));
            return changed(body, |list| {
                if let Value::Array(activities) = list {
                    activities.retain(|activity| time_of(activity).is_none_or(|at| at.nanos() <= shown));
                }
            });
        }
        body
    }
}

fn time_of(activity: &Value) -> Option<Timestamp> {
    activity["transaction_time"].as_str()?.parse().ok()
}

/// A body that is no JSON stays as it is.
fn changed(body: Vec<u8>, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    match serde_json::from_slice::<Value>(&body) {
        Ok(mut value) => {
            change(&mut value);
            value.to_string().into_bytes()
        }
        Err(_) => body,
    }
}
