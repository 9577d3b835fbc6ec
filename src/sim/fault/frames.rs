//! What becomes of a data frame on its way to a stream.

use std::time::Instant;

use tungstenite::Bytes;

use super::state::{Faults, Target};
use super::{Fault, Measure};

/// A letter that never was in UTF-8.
const NO_UTF8: &[u8] = b"[{\"T\":\"\xff\xfe\"}]";

/// A frame that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) struct Wrapping {
    pub text: bool,
    pub bytes: Bytes,
    pub fragmented: bool,
    /// Sent whatever else waits: it does not count against the client's queue.
    pub forced: bool,
}

impl Faults {
    /// The frames that go out instead of this one, in order.
    pub(in crate::sim) fn framed(&mut self, text: bool, bytes: Bytes, target: &Target<'_>, now: Instant) -> Vec<Wrapping> {
        if self.until(Fault::Mute, target, now).is_some() {
            return Vec::new();
        }
        let mut frames = Vec::new();
        if let Some(Measure::Bytes(size)) = self.strike(Fault::OversizedFrame, target, now) {
            frames.push(Wrapping { text, bytes: oversized(size).into(), fragmented: false, forced: true });
        }
        if self.strike(Fault::BadUtf8, target, now).is_some() {
            frames.push(Wrapping { text: true, bytes: Bytes::from_static(NO_UTF8), fragmented: false, forced: false });
        }
        let text = text != self.strike(Fault::SwapFrames, target, now).is_some();
        let bytes = if self.strike(Fault::TruncateJson, target, now).is_some() { bytes.slice(..bytes.len() / 2) } else { bytes };
        frames.push(Wrapping { text, bytes, fragmented: self.strike(Fault::FragmentFrames, target, now).is_some(), forced: false });
        frames
    }
}

/// A well-formed document of an unknown type, of exactly this size where that is possible.
fn oversized(size: usize) -> Vec<u8> {
    let (start, end) = (&b"[{\"T\":\"zz\",\"pad\":\""[..], &b"\"}]"[..]);
    let mut out = Vec::with_capacity(size.max(start.len() + end.len()));
    out.extend_from_slice(start);
    out.resize(size.saturating_sub(end.len()).max(start.len()), b'x');
    out.extend_from_slice(end);
    out
}
