//! RESP2 on the wire: commands packed into a buffer that is used again, replies read as they trickle in.
//!
//! Pure: bytes in, bytes out. Must not know sockets, channels or what a command is for.

use std::io::{self, Read};

/// No reply to our commands comes near; a longer one is a broken or hostile server.
const MAX_REPLY: usize = 1024 * 1024;
/// Ours nest two deep.
const MAX_DEPTH: usize = 8;
/// Holds some ten thousand integer replies, and is what one read asks for.
const READ_BUFFER: usize = 64 * 1024;
/// The shortest reply there is, `+\r\n`: bounds the elements that an announced array can have.
const SHORTEST: usize = 3;

/// The bytes are no RESP2, or beyond what we accept. The connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RespError {
    #[error("a reply is longer than {MAX_REPLY} bytes")]
    TooLong,
    #[error("a reply is nested deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("the reply is not RESP2: {0}")]
    Malformed(&'static str),
}

/// Appends one command.
pub fn command(out: &mut Vec<u8>, parts: &[&[u8]]) {
    header(out, b'*', parts.len());
    for part in parts {
        bulk(out, part);
    }
}

/// Appends `PUBLISH channel payload`.
pub fn publish(out: &mut Vec<u8>, channel: &[u8], payload: &[u8]) {
    out.extend_from_slice(b"*3\r\n$7\r\nPUBLISH\r\n");
    bulk(out, channel);
    bulk(out, payload);
}

/// Appends the start of a command of `parts` parts, for callers that append each with [`bulk`].
pub fn header(out: &mut Vec<u8>, kind: u8, count: usize) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends one part of a command.
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// `PUBLISH channel` and the first bytes of its payload, prepared for a channel that is published to often.
#[derive(Debug, Clone)]
pub struct PublishHead {
    bytes: Box<[u8]>,
    payload_at: usize,
}

/// What a length of three digits looks like before it is known; nearly all payloads have one.
const LENGTH_UNKNOWN: &[u8] = b"$000\r\n";

impl PublishHead {
    pub fn new(channel: &str, payload_start: &[u8]) -> PublishHead {
        let mut bytes = Vec::new();
        header(&mut bytes, b'*', 3);
        bulk(&mut bytes, b"PUBLISH");
        bulk(&mut bytes, channel.as_bytes());
        bytes.extend_from_slice(LENGTH_UNKNOWN);
        let payload_at = bytes.len();
        bytes.extend_from_slice(payload_start);
        PublishHead { bytes: bytes.into_boxed_slice(), payload_at }
    }

    /// The ends of what [`PublishHead::write`] copies, mixed: a reason to fetch it.
    pub fn touch(&self) -> u8 {
        self.bytes.first().copied().unwrap_or(0) ^ self.bytes.last().copied().unwrap_or(0)
    }

    /// Appends the command; `rest` appends what follows the prepared start of the payload.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, rest: impl FnOnce(&mut Vec<u8>)) {
        let payload_at = out.len() + self.payload_at;
        out.extend_from_slice(&self.bytes);
        rest(out);
        let length = out.len() - payload_at;
        let digits_at = payload_at - 5;
        if (100..1_000).contains(&length) {
            let digits = [length / 100, length / 10 % 10, length % 10].map(|digit| b'0' + digit as u8);
            out[digits_at..payload_at - 2].copy_from_slice(&digits);
        } else {
            let mut buffer = itoa::Buffer::new();
            let digits = buffer.format(length).as_bytes();
            let end = out.len();
            // What stands behind three digits is moved to where it stands behind these.
            out.resize(end + digits.len().saturating_sub(3), 0);
            out.copy_within(payload_at - 2..end, digits_at + digits.len());
            out[digits_at..digits_at + digits.len()].copy_from_slice(digits);
            out.truncate(end + digits.len() - 3);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// A whole reply, for the rare ones that are looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Reply>),
}

impl Reply {
    /// The text of a simple or bulk string that is UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Reply::Simple(text) => Some(text),
            Reply::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

/// Integer and simple replies that were consumed in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Run {
    pub count: u64,
    /// Of the integers, negative ones left out.
    pub sum: u64,
}

/// Reads replies out of a stream that may be cut anywhere.
#[derive(Debug)]
pub struct ReplyReader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    scan: Scan,
}

impl Default for ReplyReader {
    fn default() -> ReplyReader {
        ReplyReader { buffer: vec![0; READ_BUFFER], start: 0, end: 0, scan: Scan::default() }
    }
}

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    pub bytes: usize,
    /// The source gave less than it could have: it is probably empty now.
    pub short: bool,
}

impl ReplyReader {
    /// One read from the source; no bytes mean its end.
    ///
    /// # Errors
    /// Those of the source.
    pub fn fill(&mut self, source: &mut impl Read) -> io::Result<Filled> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end == self.buffer.len() {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                // Grows only while one reply fills it all, and `take_reply` refuses such a reply at MAX_REPLY.
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        let room = &mut self.buffer[self.end..];
        let bytes = source.read(room)?;
        let short = bytes < room.len();
        self.end += bytes;
        Ok(Filled { bytes, short })
    }

    /// Consumes up to `max` integer and simple replies, and stops before anything else.
    ///
    /// # Errors
    /// When the bytes are no RESP2.
    pub fn take_run(&mut self, max: u64) -> Result<Run, RespError> {
        let mut run = Run::default();
        let data = &self.buffer[self.start..self.end];
        let mut at = 0;
        while run.count < max && matches!(data.get(at), Some(b':' | b'+')) {
            let Some(line) = line_at(data, at) else { break };
            if data[at] == b':' {
                run.sum = run.sum.saturating_add(u64::try_from(integer(line)?).unwrap_or(0));
            }
            at += line.len() + SHORTEST;
            run.count += 1;
        }
        if at > 0 {
            self.start += at;
            self.scan = Scan::default();
        }
        Ok(run)
    }

    /// The next reply, if all of it is here.
    ///
    /// # Errors
    /// When the bytes are no RESP2, or the reply is too long or too deep.
    pub fn take_reply(&mut self) -> Result<Option<Reply>, RespError> {
        let data = &self.buffer[self.start..self.end];
        if !self.scan.advance(data)? {
            return if data.len() > MAX_REPLY { Err(RespError::TooLong) } else { Ok(None) };
        }
        let mut at = 0;
        let reply = decode(&data[..self.scan.at], &mut at)?;
        self.start += at;
        self.scan = Scan::default();
        Ok(Some(reply))
    }
}

/// How far into the current reply we have looked, so that no byte is looked at twice however the stream is cut.
#[derive(Debug, Default)]
struct Scan {
    at: usize,
    /// Elements still missing of each array we are inside of.
    missing: [usize; MAX_DEPTH],
    depth: usize,
}

impl Scan {
    /// True when the reply ends at `self.at`.
    fn advance(&mut self, data: &[u8]) -> Result<bool, RespError> {
        while self.at < data.len() {
            let kind = Kind::of(data[self.at])?;
            let Some(line) = line_at(data, self.at) else { return Ok(false) };
            let body = self.at + line.len() + SHORTEST;
            let end = match kind {
                Kind::Simple | Kind::Error => body,
                Kind::Integer => integer(line).map(|_| body)?,
                Kind::Bulk => match length(line)? {
                    None => body,
                    Some(len) if len > MAX_REPLY => return Err(RespError::TooLong),
                    Some(len) if data.len() < body + len + 2 => return Ok(false),
                    Some(len) if &data[body + len..body + len + 2] != b"\r\n" => return Err(RespError::Malformed("a string does not end where it said")),
                    Some(len) => body + len + 2,
                },
                Kind::Array => match length(line)? {
                    None | Some(0) => body,
                    Some(len) if len > MAX_REPLY / SHORTEST => return Err(RespError::TooLong),
                    Some(_) if self.depth == MAX_DEPTH => return Err(RespError::TooDeep),
                    Some(len) => {
                        self.missing[self.depth] = len;
                        self.depth += 1;
                        self.at = body;
                        continue;
                    }
                },
            };
            self.at = end;
            if end > MAX_REPLY {
                return Err(RespError::TooLong);
            }
            if self.element_ended() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True when the whole reply ended with it.
    fn element_ended(&mut self) -> bool {
        while self.depth > 0 {
            self.missing[self.depth - 1] -= 1;
            if self.missing[self.depth - 1] > 0 {
                return false;
            }
            self.depth -= 1;
        }
        true
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Simple,
    Error,
    Integer,
    Bulk,
    Array,
}

impl Kind {
    fn of(byte: u8) -> Result<Kind, RespError> {
        match byte {
            b'+' => Ok(Kind::Simple),
            b'-' => Ok(Kind::Error),
            b':' => Ok(Kind::Integer),
            b'$' => Ok(Kind::Bulk),
            b'*' => Ok(Kind::Array),
            _ => Err(RespError::Malformed("unknown type")),
        }
    }
}

/// The line at `at` without its type byte and its end, if the end is here.
fn line_at(data: &[u8], at: usize) -> Option<&[u8]> {
    let line = &data[at + 1..];
    let mut from = 0;
    loop {
        let end = from + line[from..].iter().position(|byte| *byte == b'\r')?;
        match line.get(end + 1) {
            Some(b'\n') => return Some(&line[..end]),
            Some(_) => from = end + 1,
            None => return None,
        }
    }
}

fn integer(digits: &[u8]) -> Result<i64, RespError> {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(RespError::Malformed("a number is none"))
}

/// `None` for the -1 that stands for nothing.
fn length(digits: &[u8]) -> Result<Option<usize>, RespError> {
    match integer(digits)? {
        -1 => Ok(None),
        number => usize::try_from(number).map(Some).map_err(|_| RespError::Malformed("a negative length")),
    }
}

/// Builds the reply that a completed scan has seen whole; its depth is bounded by the scan's.
fn decode(data: &[u8], at: &mut usize) -> Result<Reply, RespError> {
    let cut = RespError::Malformed("cut short");
    let kind = Kind::of(*data.get(*at).ok_or(cut)?)?;
    let line = line_at(data, *at).ok_or(cut)?;
    *at += line.len() + SHORTEST;
    let owned = || String::from_utf8_lossy(line).into_owned();
    Ok(match kind {
        Kind::Simple => Reply::Simple(owned()),
        Kind::Error => Reply::Error(owned()),
        Kind::Integer => Reply::Integer(integer(line)?),
        Kind::Bulk => match length(line)? {
            None => Reply::Nil,
            Some(len) => {
                let bytes = data.get(*at..*at + len).ok_or(cut)?.to_vec();
                *at += len + 2;
                Reply::Bulk(bytes)
            }
        },
        Kind::Array => match length(line)? {
            None => Reply::Nil,
            Some(len) => Reply::Array((0..len).map(|_| decode(data, at)).collect::<Result<_, _>>()?),
        },
    })
}

#[cfg(test)]
#[path = "resp_tests.rs"]
mod tests;
