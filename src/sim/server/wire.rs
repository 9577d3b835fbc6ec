//! Bytes on a non-blocking connection: the TLS handshake, reading more, writing all. Every wait has a deadline.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::net::{Interest, Transport, wait_ready};
use crate::runtime::StopToken;

const CHUNK: usize = 16 * 1024;
const HOUR: Duration = Duration::from_secs(3_600);

/// A transport on an accepted socket, with the TLS handshake done where there is TLS.
pub(super) fn open(mut tcp: TcpStream, tls: Option<&Arc<ServerConfig>>, token: &StopToken, deadline: Instant) -> io::Result<Transport> {
    let Some(config) = tls else { return Ok(Transport::Tcp(tcp)) };
    let mut tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        match tls.complete_io(&mut tcp) {
            Ok((0, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let interest = if tls.wants_write() { Interest::ReadWrite } else { Interest::Read };
                pause(&tcp, interest, token, deadline)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Transport::TlsServer(Box::new(StreamOwned::new(tls, tcp))))
}

/// Appends what has come, waiting for it; `false` when the client has finished.
pub(super) fn read_more(transport: &mut Transport, buffer: &mut Vec<u8>, token: &StopToken, deadline: Instant) -> io::Result<bool> {
    let mut chunk = [0; CHUNK];
    loop {
        match transport.read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                buffer.extend_from_slice(&chunk[..count]);
                return Ok(true);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let interest = if transport.has_buffered_output() { Interest::ReadWrite } else { Interest::Read };
                pause(&*transport, interest, token, deadline)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn write_all(transport: &mut Transport, mut bytes: &[u8], token: &StopToken, deadline: Instant) -> io::Result<()> {
    loop {
        let written = if bytes.is_empty() { transport.flush().map(|()| 0) } else { transport.write(bytes) };
        match written {
            Ok(0) if bytes.is_empty() => return Ok(()),
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => pause(&*transport, Interest::Write, token, deadline)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Keeps the connection without a word, until the client, the exchange or `ended` (looked at after each nudge) ends it.
pub(super) fn stay_mute(transport: &mut Transport, token: &StopToken, ended: impl Fn() -> bool) {
    let mut waste = [0; CHUNK];
    while !ended() {
        match transport.read(&mut waste) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match pause(&*transport, Interest::Read, token, Instant::now() + HOUR) {
                Ok(()) => {}
                Err(late) if late.kind() == io::ErrorKind::TimedOut => {}
                Err(_) => return,
            },
            Err(_) => return,
        }
    }
}

/// Waits for the socket or a nudge; late is `TimedOut`, a stop `ConnectionAborted`.
fn pause(socket: impl std::os::fd::AsFd, interest: Interest, token: &StopToken, deadline: Instant) -> io::Result<()> {
    let ready = wait_ready(socket, interest, token, deadline)?;
    if !token.is_running() {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    token.clear_wake();
    if ready.timed_out() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
}
