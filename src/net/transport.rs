//! One byte stream, whatever it runs over: TCP, TLS on TCP, or a unix socket.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustls::{ClientConnection, ServerConnection, StreamOwned};

/// A connected socket in non-blocking mode.
#[derive(Debug)]
pub enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    TlsClient(Box<StreamOwned<ClientConnection, TcpStream>>),
    TlsServer(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Transport {
    /// Bytes that a poll on the socket would not announce, because TLS has them decrypted already.
    pub fn has_buffered_input(&mut self) -> bool {
        let (received, closed) = match self {
            Transport::Tcp(_) | Transport::Unix(_) => return false,
            Transport::TlsClient(tls) => tls.conn.process_new_packets().map_or((0, true), |s| (s.plaintext_bytes_to_read(), s.peer_has_closed())),
            Transport::TlsServer(tls) => tls.conn.process_new_packets().map_or((0, true), |s| (s.plaintext_bytes_to_read(), s.peer_has_closed())),
        };
        received > 0 || closed
    }

    /// TLS records that wait for a writable socket.
    pub fn has_buffered_output(&self) -> bool {
        match self {
            Transport::Tcp(_) | Transport::Unix(_) => false,
            Transport::TlsClient(tls) => tls.conn.wants_write(),
            Transport::TlsServer(tls) => tls.conn.wants_write(),
        }
    }

    /// Ends the connection at once, in both directions.
    pub fn shutdown(&self) {
        let _ = match self {
            Transport::Tcp(tcp) => tcp.shutdown(Shutdown::Both),
            Transport::Unix(unix) => unix.shutdown(Shutdown::Both),
            Transport::TlsClient(tls) => tls.sock.shutdown(Shutdown::Both),
            Transport::TlsServer(tls) => tls.sock.shutdown(Shutdown::Both),
        };
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Tcp(tcp) => tcp.as_fd(),
            Transport::Unix(unix) => unix.as_fd(),
            Transport::TlsClient(tls) => tls.sock.as_fd(),
            Transport::TlsServer(tls) => tls.sock.as_fd(),
        }
    }
}

impl Read for Transport {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(tcp) => tcp.read(buf),
            Transport::Unix(unix) => unix.read(buf),
            Transport::TlsClient(tls) => tls.read(buf),
            Transport::TlsServer(tls) => tls.read(buf),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(tcp) => tcp.write(buf),
            Transport::Unix(unix) => unix.write(buf),
            Transport::TlsClient(tls) => tls.write(buf),
            Transport::TlsServer(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Tcp(tcp) => tcp.flush(),
            Transport::Unix(unix) => unix.flush(),
            Transport::TlsClient(tls) => tls.flush(),
            Transport::TlsServer(tls) => tls.flush(),
        }
    }
}

/// A transport that is not asked again right after it gave less than it was asked for: there is nothing more, and the
/// system call that would say so is saved. A poll says when there is.
#[derive(Debug)]
pub struct Draining {
    transport: Transport,
    empty: bool,
}

impl Draining {
    pub fn new(transport: Transport) -> Draining {
        Draining { transport, empty: false }
    }

    pub fn get_ref(&self) -> &Transport {
        &self.transport
    }

    /// What a read gives says nothing about the socket where TLS stands between.
    fn is_plain(&self) -> bool {
        matches!(self.transport, Transport::Tcp(_) | Transport::Unix(_))
    }
}

impl AsFd for Draining {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

impl Read for Draining {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.empty) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.transport.read(buf)?;
        self.empty = (1..buf.len()).contains(&read) && self.is_plain();
        Ok(read)
    }
}

impl Write for Draining {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.transport.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.transport.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_read_is_the_last_until_the_next_look() {
        let (mut far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut near = Draining::new(Transport::Unix(near));
        let mut buf = [0; 4];
        let kind = |read: io::Result<usize>| read.map_err(|error| error.kind());
        far.write_all(b"abcdef").unwrap();
        assert_eq!(kind(near.read(&mut buf)), Ok(4), "as much as was asked for");
        assert_eq!(kind(near.read(&mut buf)), Ok(2));
        far.write_all(b"gh").unwrap();
        assert_eq!(kind(near.read(&mut buf)), Err(io::ErrorKind::WouldBlock), "not asked again");
        assert_eq!(kind(near.read(&mut buf)), Ok(2), "asked at the next look");
        drop(far);
        assert_eq!(kind(near.read(&mut buf)), Err(io::ErrorKind::WouldBlock));
        assert_eq!(kind(near.read(&mut buf)), Ok(0), "the end is told");
        assert_eq!(kind(near.read(&mut buf)), Ok(0), "as often as it is asked for");
    }
}
