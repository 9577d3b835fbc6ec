//! A recording of stream frames, told again with its gaps of time.
//!
//! Reads the file; must not know threads or clocks: it says when a frame is due, and somebody else waits.

mod frame;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::model::Timestamp;
use crate::sim::message::SimMessage;
use frame::Line;

const MINUTE: i64 = 60_000_000_000;

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the recording {} cannot be read: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{}:{line}: {problem}; a line of a recording is a frame as the stream sends it, with the time of its receipt before it or not", path.display())]
    Line { path: PathBuf, line: usize, problem: String },
    #[error("the recording {} has no market message in it", path.display())]
    Empty { path: PathBuf },
}

/// What is to be emitted at a time of the exchange's clock.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sim) struct Frame {
    pub due: Timestamp,
    pub messages: Vec<SimMessage>,
}

#[derive(Debug)]
pub(in crate::sim) struct Replay {
    path: PathBuf,
    repeat: bool,
    reader: BufReader<File>,
    line: usize,
    /// When the first frame was recorded.
    first: Timestamp,
    /// From one beginning to the next, in whole minutes: bars stay on theirs.
    period: i64,
    /// Added to the times of the recording.
    shift: i64,
    /// Frames are due in their order, whatever their times.
    latest: Timestamp,
}

impl Replay {
    /// Opens a recording and reads it through once, so that what is wrong with it is told now.
    ///
    /// # Errors
    /// When the file cannot be read, a line of it is no frame, or none has a market message.
    pub(in crate::sim) fn open(path: &Path, repeat: bool) -> Result<Replay, ReplayError> {
        let start = Timestamp::default();
        let mut replay = Replay { path: path.to_owned(), repeat: false, reader: open(path)?, line: 0, first: start, period: 0, shift: 0, latest: start };
        let mut first = None;
        while let Some(frame) = replay.next()? {
            first.get_or_insert(frame.due);
        }
        let Some(first) = first else { return Err(ReplayError::Empty { path: path.to_owned() }) };
        let length = replay.latest.nanos() - first.nanos();
        (replay.first, replay.latest, replay.repeat) = (first, first, repeat);
        replay.period = (length / MINUTE + 1) * MINUTE;
        replay.rewind()?;
        Ok(replay)
    }

    pub(in crate::sim) fn first(&self) -> Timestamp {
        self.first
    }

    /// Moves the recording in time, by whole minutes, so that it begins at `start` or within the minute before.
    pub(in crate::sim) fn begin_at(&mut self, start: Timestamp) {
        self.shift = (start.nanos() - self.first.nanos()).div_euclid(MINUTE) * MINUTE;
        self.latest = shifted(self.first, self.shift);
    }

    /// The next frame with market messages; `None` at the end of a recording that is not repeated.
    pub(in crate::sim) fn next(&mut self) -> Result<Option<Frame>, ReplayError> {
        let mut text = String::new();
        loop {
            text.clear();
            let read = self.reader.read_line(&mut text).map_err(|cause| ReplayError::Read { path: self.path.clone(), cause })?;
            self.line += 1;
            if read == 0 {
                if !self.repeat {
                    return Ok(None);
                }
                self.shift = self.shift.saturating_add(self.period);
                self.rewind()?;
                continue;
            }
            let Line { at, mut messages } = frame::parse(&text).map_err(|problem| ReplayError::Line { path: self.path.clone(), line: self.line, problem })?;
            if messages.is_empty() {
                continue;
            }
            messages.iter_mut().for_each(|message| message.at = shifted(message.at, self.shift));
            self.latest = at.map_or(self.latest, |at| shifted(at, self.shift).max(self.latest));
            return Ok(Some(Frame { due: self.latest, messages }));
        }
    }

    fn rewind(&mut self) -> Result<(), ReplayError> {
        self.reader = open(&self.path)?;
        self.line = 0;
        Ok(())
    }
}

fn open(path: &Path) -> Result<BufReader<File>, ReplayError> {
    File::open(path).map(BufReader::new).map_err(|cause| ReplayError::Read { path: path.to_owned(), cause })
}

fn shifted(at: Timestamp, by: i64) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_add(by))
}

#[cfg(test)]
mod tests;
