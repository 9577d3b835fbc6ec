//! Server-sent events, one at a time as they come: how large one may be is bounded, how many come is not.
//!
//! Must not know what the events hold nor where they come from.

use std::io::{self, BufRead, BufReader, Read};

/// The largest order with all its legs takes some tens of kilobytes.
const EVENT_MAX: usize = 256 * 1024;
/// Nobody else's page begins as a line of events does.
const BEGINNINGS: [&[u8]; 5] = [b":", b"data", b"event", b"id", b"retry"];
/// What a venue says in a comment when it has left something out.
const LOSS: [&str; 3] = ["too slowly", "dropped", "error"];

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Event(String),
    /// An event larger than any: it was passed over.
    TooLarge,
}

/// Reads events until they end.
#[derive(Debug)]
pub(super) struct Events<R> {
    from: BufReader<R>,
    begun: bool,
    line: Vec<u8>,
    /// Of the event that is being read.
    data: Option<Vec<u8>>,
    too_large: bool,
}

impl<R: Read> Events<R> {
    pub fn new(from: R) -> Events<R> {
        Events { from: BufReader::new(from), begun: false, line: Vec::new(), data: None, too_large: false }
    }

    /// The next event; `None` at an end in good order.
    ///
    /// # Errors
    /// Those of the source; an end within a line; what is no list of events; a venue that says that it left something out.
    pub fn next(&mut self) -> io::Result<Option<Heard>> {
        while self.read_line()? {
            if self.line.is_empty() {
                let whole = self.finish();
                if whole.is_some() {
                    return Ok(whole);
                }
            } else {
                self.take_line()?;
            }
        }
        Ok(self.finish())
    }

    fn take_line(&mut self) -> io::Result<()> {
        let (name, value) = match self.line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&self.line[..colon], &self.line[colon + 1..]),
            None => (&self.line[..], &[][..]),
        };
        if name.is_empty() {
            let comment = String::from_utf8_lossy(value);
            if LOSS.iter().any(|word| comment.contains(word)) {
                return Err(io::Error::other(format!("the venue says: {}", comment.trim())));
            }
        } else if name == b"data" && !self.too_large {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            }
            if self.data.as_ref().is_some_and(|data| data.len() > EVENT_MAX) {
                self.pass_over();
            }
        }
        Ok(())
    }

    /// The next line without its end; false at the end of all. A line that is too large is passed over with its event.
    fn read_line(&mut self) -> io::Result<bool> {
        let most = EVENT_MAX as u64 + 8;
        let mut cut = false;
        self.line.clear();
        loop {
            if self.from.by_ref().take(most).read_until(b'\n', &mut self.line)? == 0 {
                return if self.line.is_empty() && !cut { Ok(false) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            if !self.begun && !is_beginning(&self.line) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is no list of events"));
            }
            self.begun = true;
            if self.line.last() == Some(&b'\n') {
                break;
            }
            if self.line.len() > EVENT_MAX {
                self.pass_over();
                self.line.clear();
                cut = true;
            }
        }
        if cut {
            // A comment without words: what is left of it says nothing.
            self.line.splice(.., *b":");
            return Ok(true);
        }
        let end = if self.line.ends_with(b"\r\n") { 2 } else { 1 };
        self.line.truncate(self.line.len() - end);
        Ok(true)
    }

    fn pass_over(&mut self) {
        (self.too_large, self.data) = (true, None);
    }

    fn finish(&mut self) -> Option<Heard> {
        let data = self.data.take();
        if std::mem::take(&mut self.too_large) {
            return Some(Heard::TooLarge);
        }
        data.map(|data| Heard::Event(String::from_utf8_lossy(&data).into_owned()))
    }
}

fn is_beginning(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n") || BEGINNINGS.iter().any(|name| line.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that gives little at a time, as a socket does.
    struct Sips<'a>(&'a [u8]);

    impl Read for Sips<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let few = buffer.len().min(7).min(self.0.len());
            let (now, later) = self.0.split_at(few);
            buffer[..few].copy_from_slice(now);
            self.0 = later;
            Ok(few)
        }
    }

    fn read(text: &str) -> (Vec<Heard>, Option<String>) {
        let (mut events, mut all) = (Events::new(Sips(text.as_bytes())), Vec::new());
        loop {
            match events.next() {
                Ok(Some(heard)) => all.push(heard),
                Ok(None) => return (all, None),
                Err(error) => return (all, Some(error.to_string())),
            }
        }
    }

    fn event(text: &str) -> Heard {
        Heard::Event(text.to_owned())
    }

    #[test]
    fn each_event_is_told_once_however_it_is_written() {
        let text = ": heartbeat\n\ndata: {\"n\":1}\n\nid: 7\r\nevent: x\r\ndata:{\"n\":\r\ndata: 2}\r\n\r\nretry: 5\n\ndata: 3\n";
        assert_eq!(read(text), (vec![event("{\"n\":1}"), event("{\"n\":\n2}"), event("3")], None));
        assert_eq!((read(""), read("\n\n: x\n\n")), ((vec![], None), (vec![], None)));
    }

    #[test]
    fn what_breaks_off_or_says_that_something_was_lost_is_no_good_end() {
        for (rest, cause) in [
            ("data: {\"n\":", "unexpected end"),
            (": you are reading too slowly, dropped 10000 messages\n\n", "dropped 10000"),
            (": internal server error\n", "internal server"),
        ] {
            let (heard, error) = read(&format!("data: 1\n\n{rest}"));
            assert_eq!(heard, [event("1")]);
            assert!(error.as_ref().is_some_and(|error| error.contains(cause)), "{error:?}");
        }
    }

    #[test]
    fn another_page_is_no_list_of_events() {
        for page in ["<html>", "<html>\n\n", "{\"message\":\"no\"}", &"<".repeat(2 * EVENT_MAX)] {
            assert_eq!(read(page), (vec![], Some("the answer is no list of events".to_owned())));
        }
    }

    #[test]
    fn an_event_that_is_too_large_is_passed_over_and_kept_nowhere() {
        let line = "x".repeat(3 * EVENT_MAX);
        let lines = format!("data: {}\n", "y".repeat(EVENT_MAX / 2)).repeat(5);
        for large in [format!("data: {line}\ndata: 5\n"), lines, format!("data: 1\nid: {line}error dropped\n"), format!("data: 1\n: {line}\n")] {
            let text = format!("data: before\n\n{large}\ndata: after\n\n");
            assert_eq!(read(&text), (vec![event("before"), Heard::TooLarge, event("after")], None));
            let mut events = Events::new(text.as_bytes());
            while events.next().unwrap().is_some() {
                assert!(events.line.capacity() + events.data.as_ref().map_or(0, Vec::capacity) < 4 * EVENT_MAX);
            }
        }
        let largest = "z".repeat(EVENT_MAX);
        assert_eq!(read(&format!("data: {largest}\n\n")), (vec![event(&largest)], None));
    }
}
