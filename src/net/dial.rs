//! Dialling: resolve, connect, TLS; each step bounded in time and ended by a stop.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, select};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::Endpoint;
use super::poll::{Interest, wait_ready};
use super::transport::Transport;
use crate::runtime::StopToken;

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub struct DialLimits {
    pub resolve: Duration,
    pub connect: Duration,
    pub tls: Duration,
}

impl Default for DialLimits {
    fn default() -> DialLimits {
        DialLimits { resolve: Duration::from_secs(3), connect: Duration::from_secs(5), tls: Duration::from_secs(5) }
    }
}

/// Where dialling ended. All but `Stopped` are worth another try later; `Tls` may need the operator.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("stopped while dialling")]
    Stopped,
    #[error("cannot resolve {host}: {cause}; check the name and the DNS server")]
    Resolve { host: String, cause: String },
    #[error("cannot connect to {address}: {cause}")]
    Connect { address: String, cause: io::Error },
    #[error("TLS with {host} failed: {cause}")]
    Tls { host: String, cause: String },
}

type Addresses = io::Result<Vec<SocketAddr>>;

/// Dials one place again and again. Remembers the last good addresses for when DNS is away, and never has more than one
/// look-up under way, however often a hanging one is given up.
#[derive(Debug)]
pub struct Dialer {
    tls: Arc<ClientConfig>,
    limits: DialLimits,
    pending: Mutex<Option<Receiver<Addresses>>>,
    last_good: Mutex<Vec<SocketAddr>>,
}

impl Dialer {
    pub fn new(tls: Arc<ClientConfig>, limits: DialLimits) -> Dialer {
        Dialer { tls, limits, pending: Mutex::new(None), last_good: Mutex::new(Vec::new()) }
    }

    /// A connected transport in non-blocking mode, TLS handshake done where the endpoint is secure.
    pub fn dial(&self, to: &Endpoint, token: &StopToken) -> Result<Transport, DialError> {
        let addresses = self.resolve(&to.host, to.port, token)?;
        let tcp = connect_any(&addresses, Instant::now() + self.limits.connect, token)?;
        if !to.secure {
            return Ok(Transport::Tcp(tcp));
        }
        self.handshake(tcp, &to.host, token)
    }

    /// A unix socket, where there is nothing to resolve and nothing to wait for: a listener with a full queue refuses.
    pub fn dial_unix(&self, path: &Path) -> Result<Transport, DialError> {
        let failed = |cause| DialError::Connect { address: path.display().to_string(), cause };
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        socket.connect(&SockAddr::unix(path).map_err(failed)?).map_err(failed)?;
        Ok(Transport::Unix(UnixStream::from(socket)))
    }

    fn resolve(&self, host: &str, port: u16, token: &StopToken) -> Result<Vec<SocketAddr>, DialError> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let failed = |cause: String| DialError::Resolve { host: host.to_owned(), cause };
        let lookup = {
            let mut pending = self.pending.lock();
            match pending.take() {
                Some(lookup) => lookup,
                None => start_lookup(host, port).map_err(|e| failed(e.to_string()))?,
            }
        };
        let answer = select! {
            recv(lookup) -> answer => answer.ok(),
            recv(token.channel()) -> _ => {
                *self.pending.lock() = Some(lookup);
                return Err(DialError::Stopped);
            }
            default(self.limits.resolve) => {
                *self.pending.lock() = Some(lookup);
                None
            }
        };
        let cause = match answer {
            Some(Ok(addresses)) if !addresses.is_empty() => {
                self.last_good.lock().clone_from(&addresses);
                return Ok(addresses);
            }
            Some(Ok(_)) => "no address".to_owned(),
            Some(Err(error)) => error.to_string(),
            None => format!("no answer within {:?}", self.limits.resolve),
        };
        let known = self.last_good.lock().clone();
        if known.is_empty() { Err(failed(cause)) } else { Ok(known) }
    }

    fn handshake(&self, mut tcp: TcpStream, host: &str, token: &StopToken) -> Result<Transport, DialError> {
        let failed = |cause: String| DialError::Tls { host: host.to_owned(), cause };
        let name = ServerName::try_from(host.to_owned()).map_err(|e| failed(e.to_string()))?;
        let mut tls = ClientConnection::new(Arc::clone(&self.tls), name).map_err(|e| failed(e.to_string()))?;
        let deadline = Instant::now() + self.limits.tls;
        while tls.is_handshaking() {
            match tls.complete_io(&mut tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let interest = if tls.wants_write() { Interest::ReadWrite } else { Interest::Read };
                    wait_or_stop(&tcp, interest, token, deadline).map_err(|end| match end {
                        WaitEnd::Stopped => DialError::Stopped,
                        WaitEnd::Late => failed(format!("no handshake within {:?}", self.limits.tls)),
                        WaitEnd::Io(error) => failed(error.to_string()),
                    })?;
                }
                Err(error) => return Err(failed(error.to_string())),
            }
        }
        Ok(Transport::TlsClient(Box::new(StreamOwned::new(tls, tcp))))
    }
}

fn start_lookup(host: &str, port: u16) -> io::Result<Receiver<Addresses>> {
    let (give, take) = bounded(1);
    let target = (host.to_owned(), port);
    std::thread::Builder::new().name("dns".to_owned()).stack_size(256 * 1024).spawn(move || {
        let _ = give.send((target.0.as_str(), target.1).to_socket_addrs().map(Iterator::collect));
    })?;
    Ok(take)
}

enum WaitEnd {
    Stopped,
    Late,
    Io(io::Error),
}

fn wait_or_stop(tcp: &TcpStream, interest: Interest, token: &StopToken, deadline: Instant) -> Result<(), WaitEnd> {
    let ready = wait_ready(tcp, interest, token, deadline).map_err(WaitEnd::Io)?;
    if !token.is_running() {
        return Err(WaitEnd::Stopped);
    }
    token.clear_wake();
    if ready.timed_out() { Err(WaitEnd::Late) } else { Ok(()) }
}

/// Tries each address in turn within one deadline, sharing the time left evenly among those not yet tried.
fn connect_any(addresses: &[SocketAddr], deadline: Instant, token: &StopToken) -> Result<TcpStream, DialError> {
    let mut last = DialError::Connect { address: "(none)".to_owned(), cause: io::ErrorKind::AddrNotAvailable.into() };
    for (tried, address) in addresses.iter().enumerate() {
        let untried = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / untried;
        match connect(*address, Instant::now() + share, token) {
            Ok(tcp) => return Ok(tcp),
            Err(DialError::Stopped) => return Err(DialError::Stopped),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect(address: SocketAddr, deadline: Instant, token: &StopToken) -> Result<TcpStream, DialError> {
    let failed = |cause: io::Error| DialError::Connect { address: address.to_string(), cause };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    socket.set_tcp_nodelay(true).map_err(failed)?;
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5));
    socket.set_tcp_keepalive(&keepalive).map_err(failed)?;
    match socket.connect(&SockAddr::from(address)) {
        Ok(()) => return Ok(socket.into()),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(failed(error)),
    }
    let tcp: TcpStream = socket.into();
    loop {
        match wait_or_stop(&tcp, Interest::Write, token, deadline) {
            Ok(()) => {}
            Err(WaitEnd::Stopped) => return Err(DialError::Stopped),
            Err(WaitEnd::Late) => return Err(failed(io::ErrorKind::TimedOut.into())),
            Err(WaitEnd::Io(error)) => return Err(failed(error)),
        }
        if let Some(error) = tcp.take_error().map_err(failed)? {
            return Err(failed(error));
        }
        // A nudge may have ended the wait before the connection stood.
        if tcp.peer_addr().is_ok() {
            return Ok(tcp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Stop, StopKind};
    use std::net::TcpListener;

    fn dialer() -> Dialer {
        let limits = DialLimits { resolve: Duration::from_secs(3), connect: Duration::from_secs(2), tls: Duration::from_millis(100) };
        Dialer::new(super::super::client_config(None).unwrap(), limits)
    }

    #[test]
    fn connects_to_a_listener_and_names_a_refusal() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Stop::new().unwrap();
        let to: Endpoint = format!("ws://localhost:{port}/").parse().unwrap();
        assert!(dialer().dial(&to, &stop.token()).is_ok());
        drop(listener);
        assert!(matches!(dialer().dial(&to, &stop.token()), Err(DialError::Connect { .. })));
    }

    #[test]
    fn a_unix_listener_that_hangs_does_not_hold_the_caller() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(2).unwrap();
        let (dialer, mut held) = (dialer(), Vec::new());
        let error = loop {
            match dialer.dial_unix(&path) {
                Ok(transport) => held.push(transport),
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, DialError::Connect { cause, .. } if cause.kind() == io::ErrorKind::WouldBlock), "{error}");
    }

    #[test]
    fn a_mute_tls_peer_is_given_up_and_a_stop_ends_the_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to: Endpoint = format!("wss://localhost:{}/", listener.local_addr().unwrap().port()).parse().unwrap();
        let stop = Stop::new().unwrap();
        assert!(matches!(dialer().dial(&to, &stop.token()), Err(DialError::Tls { .. })));
        stop.stop(StopKind::Shutdown);
        assert!(matches!(dialer().dial(&to, &stop.token()), Err(DialError::Stopped)));
    }
}
