//! The little of RESP that a publisher and a subscriber need, on a blocking socket.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustix::net::RecvFlags;

pub fn put_decimal(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn put_bulk(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.push(b'$');
    put_decimal(out, parts.iter().map(|part| part.len() as u64).sum());
    out.extend_from_slice(b"\r\n");
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

pub fn put_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.push(b'*');
    put_decimal(out, words.len() as u64);
    out.extend_from_slice(b"\r\n");
    for word in words {
        put_bulk(out, &[word]);
    }
}

pub fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// PUBLISH in pipelines on one connection. Commands pile up, go out in one write, and answers are taken without waiting.
pub struct Publisher {
    stream: TcpStream,
    out: Vec<u8>,
    answers: Vec<u8>,
    /// The first byte of the answer that is being read.
    answer_kind: Option<u8>,
    reads_answers: bool,
    pub sent: u64,
    pub answered: u64,
    pub errors: u64,
}

impl Publisher {
    /// Without answers Redis is told to send none.
    pub fn connect(port: u16, reads_answers: bool) -> io::Result<Publisher> {
        let mut stream = connect(port)?;
        if !reads_answers {
            stream.write_all(b"CLIENT REPLY OFF\r\n")?;
        }
        let (out, answers) = (Vec::with_capacity(1 << 18), vec![0; 1 << 16]);
        Ok(Publisher { stream, out, answers, answer_kind: None, reads_answers, sent: 0, answered: 0, errors: 0 })
    }

    pub fn push(&mut self, prefix: &[u8], symbol: &[u8], payload: &[u8]) {
        self.out.extend_from_slice(b"*3\r\n$7\r\nPUBLISH\r\n");
        put_bulk(&mut self.out, &[prefix, symbol]);
        put_bulk(&mut self.out, &[payload]);
        self.sent += 1;
    }

    pub fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out)?;
            self.out.clear();
            self.collect()?;
        }
        Ok(())
    }

    /// Takes the answers that have come.
    fn collect(&mut self) -> io::Result<()> {
        while self.reads_answers {
            match rustix::net::recv(&self.stream, &mut self.answers, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((length, _)) => {
                    self.scan(length);
                    if length < self.answers.len() {
                        break;
                    }
                }
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until everything sent has been answered.
    pub fn settle(&mut self) -> io::Result<()> {
        self.flush()?;
        while self.reads_answers && self.answered < self.sent {
            match self.stream.read(&mut self.answers)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.scan(length),
            }
        }
        Ok(())
    }

    /// An answer is one line: `:N` or `-ERR …`.
    fn scan(&mut self, length: usize) {
        for &byte in &self.answers[..length] {
            let kind = *self.answer_kind.get_or_insert(byte);
            if byte == b'\n' {
                self.answered += 1;
                self.errors += u64::from(kind != b':');
                self.answer_kind = None;
            }
        }
    }
}

/// What Redis sends to a subscriber, as it lies in the buffer.
pub enum Push<'a> {
    Message { channel: &'a [u8], payload: &'a [u8] },
    Subscribed,
}

/// The push at the start of the buffer and its length; `None` until it is complete.
pub fn parse_push(buffer: &[u8]) -> io::Result<Option<(Push<'_>, usize)>> {
    let mut at = 0;
    let Some(_parts) = header(buffer, &mut at, b'*')? else { return Ok(None) };
    let Some(kind) = bulk(buffer, &mut at)? else { return Ok(None) };
    let Some(channel) = bulk(buffer, &mut at)? else { return Ok(None) };
    match kind {
        b"message" => {
            let Some(payload) = bulk(buffer, &mut at)? else { return Ok(None) };
            Ok(Some((Push::Message { channel, payload }, at)))
        }
        b"subscribe" => {
            let Some(_count) = header(buffer, &mut at, b':')? else { return Ok(None) };
            Ok(Some((Push::Subscribed, at)))
        }
        other => Err(io::Error::other(format!("Redis pushes {:?}, which nobody asked for", String::from_utf8_lossy(other)))),
    }
}

fn header(buffer: &[u8], at: &mut usize, kind: u8) -> io::Result<Option<usize>> {
    let Some(&found) = buffer.get(*at) else { return Ok(None) };
    if found != kind {
        let line = buffer[*at..].split(|b| *b == b'\r').next().unwrap_or_default();
        return Err(io::Error::other(format!("Redis sends {:?} where {:?} belongs", String::from_utf8_lossy(line), kind as char)));
    }
    let mut value = 0;
    let mut here = *at + 1;
    loop {
        match buffer.get(here) {
            Some(digit) if digit.is_ascii_digit() => value = value * 10 + usize::from(digit - b'0'),
            Some(b'\r') if here + 1 < buffer.len() => break,
            Some(b'\r') | None => return Ok(None),
            Some(_) => return Err(io::Error::other("Redis sends a length that is no number")),
        }
        here += 1;
    }
    *at = here + 2;
    Ok(Some(value))
}

fn bulk<'a>(buffer: &'a [u8], at: &mut usize) -> io::Result<Option<&'a [u8]>> {
    let Some(length) = header(buffer, at, b'$')? else { return Ok(None) };
    if buffer.len() < *at + length + 2 {
        return Ok(None);
    }
    let text = &buffer[*at..*at + length];
    *at += length + 2;
    Ok(Some(text))
}
