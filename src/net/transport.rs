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
