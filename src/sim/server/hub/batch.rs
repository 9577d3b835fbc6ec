//! A batch of market messages in one codec, of which each connection gets its part.
//!
//! Must not know connections.

use std::time::Instant;

use tungstenite::Bytes;

use crate::config::Codec;
use crate::sim::codec;
use crate::sim::fault::{Fault, Faults, Target};
use crate::sim::message::{Family, SimMessage};
use crate::sim::session::Subscriptions;

/// The batch with the times that a wrong clock gives it.
pub(super) fn skewed(batch: &[SimMessage], faults: &Faults, target: &Target<'_>, now: Instant) -> Option<Vec<SimMessage>> {
    faults.measure(Fault::ClockSkew, target, now)?;
    Some(batch.iter().map(|message| SimMessage { at: faults.skewed(message.at, target, now), ..message.clone() }).collect())
}

/// The elements of a batch in one codec.
pub(super) struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Encoded {
    pub fn new(codec: Codec, batch: &[SimMessage]) -> Encoded {
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(batch.len()));
        for message in batch {
            codec::write_message(codec, message, &mut bytes);
            ends.push(bytes.len());
        }
        Encoded { bytes, ends }
    }

    pub fn frame(&self, family: Family, codec: Codec, wanted: &Subscriptions, batch: &[SimMessage]) -> Option<Bytes> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let pieces = starts.zip(&self.ends).zip(batch);
        let chosen: Vec<&[u8]> = pieces
            .filter(|(_, message)| Family::of(&message.symbol) == family && wanted.wants(message))
            .map(|((start, end), _)| &self.bytes[start..*end])
            .collect();
        (!chosen.is_empty()).then(|| codec::frame(codec, chosen.into_iter()).into())
    }
}
