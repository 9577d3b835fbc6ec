//! What one subscriber has been given: how much, in which order, and what was the last of each symbol.

use crate::clock::Stamp;
use crate::latency::Latency;
use crate::message::{MessageReader, Place};
use crate::universe::SEQ_SPAN;

/// Messages of one channel and type.
#[derive(Default)]
struct Track {
    next: Option<u64>,
    last_stamp_ns: u64,
    last: Vec<u8>,
}

#[derive(Default)]
pub struct Tally {
    tracks: Vec<[Track; 2]>,
    pub received: u64,
    /// Updates of the feed that the messages stand for.
    pub accounted: u64,
    pub merged: u64,
    /// Numbers left out of a sequence.
    pub gaps: u64,
    pub disordered: u64,
    pub unreadable: u64,
    pub first_ns: u64,
    pub first_stamp_ns: u64,
    pub last_ns: u64,
}

/// What the subscribers of a sink share.
pub struct Scale {
    pub reader: MessageReader,
    pub latency: Latency,
    /// Latency counts from this long after the first message.
    pub warm_up_ns: u64,
}

impl Tally {
    pub fn take(&mut self, scale: &mut Scale, channel: usize, payload: &[u8], now: u64) {
        let seen = scale.reader.read(payload);
        let stamp_ns = seen.stamp.map(Stamp::ns);
        if self.received == 0 {
            self.first_ns = now;
            self.first_stamp_ns = stamp_ns.unwrap_or(now);
        }
        self.received += 1;
        self.last_ns = now;
        if self.tracks.len() <= channel {
            self.tracks.resize_with(channel + 1, Default::default);
        }
        let track = &mut self.tracks[channel][usize::from(seen.quote)];
        self.accounted += 1;
        match seen.place {
            Place::Seq { seq, merged } => {
                self.accounted += merged;
                self.merged += merged;
                let expected = track.next.unwrap_or(seq);
                if seq < expected {
                    self.disordered += 1;
                } else {
                    self.gaps += seq - expected;
                    track.next = Some(seq + 1);
                }
            }
            Place::Volume(ordinal) => {
                let ahead = (ordinal + SEQ_SPAN - track.next.unwrap_or(0)) % SEQ_SPAN;
                if ahead < SEQ_SPAN / 2 {
                    self.gaps += ahead;
                    track.next = Some((ordinal + 1) % SEQ_SPAN);
                } else {
                    self.disordered += 1;
                }
            }
            Place::Unknown => self.unreadable += 1,
        }
        match stamp_ns {
            Some(ns) if ns < track.last_stamp_ns => self.disordered += 1,
            Some(ns) => track.last_stamp_ns = ns,
            None => self.unreadable += 1,
        }
        track.last.clear();
        track.last.extend_from_slice(payload);
        if let Some(Stamp::Exact(ns)) = seen.stamp.filter(|_| now - self.first_ns >= scale.warm_up_ns) {
            scale.latency.record(ns, now);
        }
    }

    /// The last message of each channel and type that had any, with the number of its channel.
    pub fn last(&self) -> impl Iterator<Item = (usize, bool, &[u8])> {
        let tracks =
            self.tracks.iter().enumerate().flat_map(|(channel, pair)| pair.iter().zip([false, true]).map(move |(track, quote)| (channel, quote, &*track.last)));
        tracks.filter(|(_, _, last)| !last.is_empty())
    }
}
