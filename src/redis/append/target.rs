//! Where one stream stands that we alone write, with ids that we choose: `{epoch}-{n}`.
//!
//! Pure. Must not know connections, nor where the entries come from.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use ::redis::Cmd;

/// The id of an entry: in which life of the stream, and the how-manieth in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryNumber {
    pub epoch: u64,
    pub n: u64,
}

impl fmt::Display for EntryNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.n)
    }
}

impl FromStr for EntryNumber {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<EntryNumber, ParseIntError> {
        let (epoch, n) = text.split_once('-').unwrap_or((text, "0"));
        Ok(EntryNumber { epoch: epoch.parse()?, n: n.parse()? })
    }
}

/// Somebody else writes this stream; the text is for whoever has to decide which of the two goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    #[error(
        "{key} was continued by another journal: its last entry is {last} and the epoch of ours is {epoch}; another broker writes to this Redis, or this \
         journal is an old one: end the other broker, or name another Redis or database, or move this journal away"
    )]
    Continued { key: String, last: EntryNumber, epoch: u64 },
    #[error(
        "{key} holds entries up to {last}, of which this journal knows those up to {given}: it was restored from an older copy; move this journal away, so \
         that a new one is begun and the venue is asked for what happened"
    )]
    Ahead { key: String, last: EntryNumber, given: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The last id has to be read.
    Unknown,
    /// There is no stream.
    Gone,
    /// There is no stream; the first entry above this number makes it.
    Making(u64),
    /// This number of our epoch is the last one in it; 0 for none.
    At(u64),
}

/// What has to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Read the last id, then tell [`Target::looked`].
    Look,
    /// Say from where the stream is made anew, with [`Target::make_above`].
    Make,
    /// Append what is above this number, one at a time.
    Append(u64),
}

/// One stream.
#[derive(Debug, Clone)]
pub struct Target {
    key: String,
    field: &'static str,
    epoch: u64,
    place: Place,
}

impl Target {
    pub fn new(key: String, field: &'static str) -> Target {
        Target { key, field, epoch: 0, place: Place::Unknown }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn next(&self) -> Next {
        match self.place {
            Place::Unknown => Next::Look,
            Place::Gone => Next::Make,
            Place::Making(after) | Place::At(after) => Next::Append(after),
        }
    }

    /// The last number of ours in the stream, as far as it is known.
    pub fn last(&self) -> Option<u64> {
        match self.place {
            Place::At(n) => Some(n),
            _ => None,
        }
    }

    /// The stream was looked at: `last` is the id that was given last, also if that entry is gone; `epoch` is ours, and
    /// `given` the last number that its owner has given.
    ///
    /// # Errors
    /// When it is another's.
    pub fn looked(&mut self, last: Option<EntryNumber>, epoch: u64, given: u64) -> Result<(), Foreign> {
        self.epoch = epoch;
        // A reader's group may have made it, empty.
        let last = last.filter(|last| *last != EntryNumber { epoch: 0, n: 0 });
        self.place = match last {
            None => Place::Gone,
            Some(last) if last.epoch > epoch => return Err(Foreign::Continued { key: self.key.clone(), last, epoch }),
            Some(last) if last.epoch < epoch => Place::At(0),
            Some(last) if last.n > given => return Err(Foreign::Ahead { key: self.key.clone(), last, given }),
            Some(last) => Place::At(last.n),
        };
        Ok(())
    }

    /// The stream is to be made anew with what is above this number.
    pub fn make_above(&mut self, after: u64) {
        if self.place == Place::Gone {
            self.place = Place::Making(after);
        }
    }

    /// The command that appends number `n`.
    pub(super) fn command(&self, n: u64, json: &str) -> Cmd {
        let mut command = ::redis::cmd("XADD");
        command.arg(&self.key);
        if !matches!(self.place, Place::Making(_)) {
            command.arg("NOMKSTREAM");
        }
        command.arg(self.id(n).to_string()).arg(self.field).arg(json);
        command
    }

    pub fn id(&self, n: u64) -> EntryNumber {
        EntryNumber { epoch: self.epoch, n }
    }

    /// Redis has acknowledged number `n`.
    pub fn appended(&mut self, n: u64) {
        self.place = Place::At(n);
    }

    /// Redis says that the stream is not there any more.
    pub fn vanished(&mut self) {
        self.place = Place::Gone;
    }

    /// What we know of it may not hold any more.
    pub fn doubt(&mut self) {
        self.place = Place::Unknown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::new("s".to_owned(), "event")
    }

    fn words(command: &Cmd) -> Vec<String> {
        let text = |arg: ::redis::Arg<&[u8]>| match arg {
            ::redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        command.args_iter().map(text).collect()
    }

    fn at(epoch: u64, n: u64) -> Option<EntryNumber> {
        Some(EntryNumber { epoch, n })
    }

    #[test]
    fn a_missing_stream_is_made_by_its_first_entry_alone() {
        let mut target = target();
        assert_eq!(target.next(), Next::Look);
        target.looked(None, 7, 9).unwrap();
        assert_eq!(target.next(), Next::Make);
        target.make_above(4);
        assert_eq!((target.next(), target.last()), (Next::Append(4), None));
        assert_eq!(words(&target.command(5, "{}")), ["XADD", "s", "7-5", "event", "{}"]);
        target.appended(5);
        assert_eq!(words(&target.command(6, "{}")), ["XADD", "s", "NOMKSTREAM", "7-6", "event", "{}"]);
        target.vanished();
        assert_eq!(target.next(), Next::Make);
        target.doubt();
        target.make_above(0);
        assert_eq!(target.next(), Next::Look);
    }

    #[test]
    fn the_last_id_says_what_is_missing_or_whose_it_is() {
        let look = |last, given| {
            let mut target = target();
            target.looked(last, 7, given).map(|()| target.next())
        };
        assert_eq!(look(at(7, 3), 9), Ok(Next::Append(3)));
        assert_eq!(look(at(7, 9), 9), Ok(Next::Append(9)));
        assert_eq!(look(at(6, 400), 9), Ok(Next::Append(0)));
        assert_eq!(look(at(0, 0), 9), Ok(Next::Make));
        assert!(matches!(look(at(8, 0), 9), Err(Foreign::Continued { epoch: 7, .. })));
        assert!(matches!(look(at(7, 10), 9), Err(Foreign::Ahead { given: 9, .. })));
        assert!(look(at(7, 10), 9).unwrap_err().to_string().contains("move this journal away"));
    }

    #[test]
    fn ids_are_read_back() {
        let id: EntryNumber = "18446744073709551615-3".parse().unwrap();
        assert_eq!((id.epoch, id.to_string().as_str()), (u64::MAX, "18446744073709551615-3"));
        assert!("x-1".parse::<EntryNumber>().is_err());
    }
}
