//! A logged-in connection to the master: dial, log in, look whom we talk to; all of it within a deadline.
//!
//! Must not know what is published or read over it.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::error::RedisError;
use super::resp::{self, Reply, ReplyReader};
use crate::config::{RedisPlace, RedisSettings};
use crate::net::{self, DialLimits, Dialer, Endpoint, Interest, Transport, wait_ready};
use crate::runtime::StopToken;

/// From the first packet to the last answer of the login. A name server gets as much again, and so does a TLS handshake.
pub const LOGIN_WITHIN: Duration = Duration::from_secs(1);

/// What the server says it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerInfo {
    /// `redis` or `valkey`; `unknown` when the user may not ask.
    pub product: &'static str,
    pub version: String,
}

/// A logged-in connection to a master, in non-blocking mode.
#[derive(Debug)]
pub struct Link {
    pub(super) transport: Transport,
    pub(super) replies: ReplyReader,
    /// An address that may be logged.
    pub(super) place: String,
    pub(super) server: ServerInfo,
}

impl Link {
    pub fn server(&self) -> &ServerInfo {
        &self.server
    }

    /// The address behind the name, where there is one.
    pub fn peer(&self) -> Option<SocketAddr> {
        match &self.transport {
            Transport::Tcp(tcp) => tcp.peer_addr().ok(),
            Transport::TlsClient(tls) => tls.sock.peer_addr().ok(),
            Transport::Unix(_) | Transport::TlsServer(_) => None,
        }
    }

    /// Sends commands and waits for their `count` replies.
    fn ask(&mut self, commands: &[u8], count: usize, deadline: Instant, token: &StopToken) -> Result<Vec<Reply>, RedisError> {
        let closed = |cause: &dyn std::fmt::Display| RedisError::Closed { place: self.place.clone(), cause: cause.to_string() };
        let (mut unsent, mut replies) = (commands, Vec::with_capacity(count));
        while replies.len() < count {
            if !token.is_running() {
                return Err(RedisError::Stopped);
            }
            if !unsent.is_empty() {
                match self.transport.write(unsent) {
                    Ok(n) => unsent = &unsent[n..],
                    Err(error) if is_pause(&error) => {}
                    Err(error) => return Err(closed(&error)),
                }
            } else if self.transport.has_buffered_output() {
                match self.transport.flush() {
                    Err(error) if !is_pause(&error) => return Err(closed(&error)),
                    _ => {}
                }
            }
            match self.replies.fill(&mut self.transport) {
                Ok(filled) if filled.bytes == 0 => return Err(closed(&"it closed during the login")),
                Ok(_) => {
                    while let Some(reply) = self.replies.take_reply().map_err(|cause| RedisError::Protocol { place: self.place.clone(), cause })? {
                        replies.push(reply);
                    }
                    continue;
                }
                Err(error) if is_pause(&error) => {}
                Err(error) => return Err(closed(&error)),
            }
            let wants_write = !unsent.is_empty() || self.transport.has_buffered_output();
            let interest = if wants_write { Interest::ReadWrite } else { Interest::Read };
            let ready = wait_ready(&self.transport, interest, token, deadline).map_err(|error| closed(&error))?;
            if ready.woken {
                token.clear_wake();
            } else if ready.timed_out() {
                return Err(RedisError::Silent { place: self.place.clone(), waited: LOGIN_WITHIN });
            }
        }
        Ok(replies)
    }
}

fn is_pause(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted)
}

/// Makes links to one configured Redis for one role.
#[derive(Debug)]
pub struct Connector {
    settings: Arc<RedisSettings>,
    client_name: String,
    dialer: Mutex<Option<Arc<Dialer>>>,
    /// The sentinel that answered last is asked first, so that a hanging one costs its time once.
    first_sentinel: AtomicUsize,
}

impl Connector {
    /// `role` ends the name under which the connection shows in `CLIENT LIST`.
    pub fn new(settings: Arc<RedisSettings>, role: &str) -> Connector {
        Connector { settings, client_name: format!("alpaca-broker-{role}"), dialer: Mutex::new(None), first_sentinel: AtomicUsize::new(0) }
    }

    pub fn settings(&self) -> &Arc<RedisSettings> {
        &self.settings
    }

    pub fn client_name(&self) -> &str {
        &self.client_name
    }

    /// A link to the master, logged in.
    ///
    /// # Errors
    /// Whatever kept it from that, with what to do about it.
    pub fn connect(&self, token: &StopToken) -> Result<Link, RedisError> {
        let place = self.resolve(token)?;
        let (transport, deadline) = self.dial(&place, token)?;
        let mut link = Link { transport, replies: ReplyReader::default(), place: place.to_string(), server: ServerInfo::default() };
        self.log_in(&mut link, deadline, token)?;
        Ok(link)
    }

    /// Where the master is: the configured place, or what the sentinels say.
    ///
    /// # Errors
    /// When no sentinel can be asked, or none knows the master.
    pub fn resolve(&self, token: &StopToken) -> Result<RedisPlace, RedisError> {
        let RedisPlace::Sentinel { master, nodes } = &self.settings.place else {
            return Ok(self.settings.place.clone());
        };
        let mut cause = "no sentinel is configured".to_owned();
        let first = self.first_sentinel.load(Ordering::Relaxed);
        for at in (0..nodes.len()).map(|n| (first + n) % nodes.len()) {
            let (host, port) = &nodes[at];
            match self.ask_sentinel(host, *port, master, token) {
                Ok(Some((host, port))) => {
                    self.first_sentinel.store(at, Ordering::Relaxed);
                    return Ok(RedisPlace::Tcp { host, port });
                }
                Ok(None) => cause = format!("{host}:{port} does not know it"),
                Err(RedisError::Stopped) => return Err(RedisError::Stopped),
                Err(error) => cause = error.to_string(),
            }
        }
        Err(RedisError::Sentinel { master: master.clone(), cause })
    }

    /// The sentinels name another master than the server at `place`. It may not know yet: one that hung through a
    /// failover goes on as a master, and takes PUBLISH, until it is told. Sentinels that cannot be asked move nobody.
    pub(super) fn moved_from(&self, place: &str, token: &StopToken) -> Option<RedisError> {
        if !self.has_sentinels() {
            return None;
        }
        let master = self.resolve(token).ok()?.to_string();
        (master != place).then(|| RedisError::NotMaster { place: place.to_owned(), role: format!("former master (now {master})") })
    }

    pub(super) fn has_sentinels(&self) -> bool {
        matches!(self.settings.place, RedisPlace::Sentinel { .. })
    }

    fn ask_sentinel(&self, host: &str, port: u16, master: &str, token: &StopToken) -> Result<Option<(String, u16)>, RedisError> {
        let place = RedisPlace::Tcp { host: host.to_owned(), port };
        let (transport, deadline) = self.dial(&place, token)?;
        let mut link = Link { transport, replies: ReplyReader::default(), place: place.to_string(), server: ServerInfo::default() };
        let mut question = Vec::new();
        resp::command(&mut question, &[b"SENTINEL", b"get-master-addr-by-name", master.as_bytes()]);
        let mut answers = link.ask(&question, 1, deadline, token)?;
        if matches!(answers.first(), Some(Reply::Error(text)) if text.starts_with("NOAUTH")) {
            // A guarded sentinel is taken to share the login of its servers; a wrong one answers the question with
            // NOAUTH again.
            let mut login = Zeroizing::new(Vec::new());
            self.write_auth(&mut login);
            login.extend_from_slice(&question);
            answers = link.ask(&login, 2, deadline, token)?.split_off(1);
        }
        match answers.first() {
            Some(Reply::Nil) => Ok(None),
            Some(Reply::Array(parts)) => match parts.as_slice() {
                [host, port] => Ok(host.text().map(str::to_owned).zip(port.text().and_then(|p| p.parse().ok()))),
                _ => Ok(None),
            },
            Some(Reply::Error(text)) => Err(RedisError::from_answer(&link.place, "SENTINEL", text)),
            _ => Ok(None),
        }
    }

    /// A connected transport and the deadline for the login over it.
    fn dial(&self, place: &RedisPlace, token: &StopToken) -> Result<(Transport, Instant), RedisError> {
        let name = place.to_string();
        let dialer = self.dialer().map_err(|cause| RedisError::Tls { place: name.clone(), cause })?;
        let (host, port, secure) = match place {
            RedisPlace::Tcp { host, port } => (host, *port, false),
            RedisPlace::Tls { host, port } => (host, *port, true),
            RedisPlace::Unix(path) => {
                let transport = dialer.dial_unix(path).map_err(|error| RedisError::from_dial(&name, error))?;
                return Ok((transport, Instant::now() + LOGIN_WITHIN));
            }
            RedisPlace::Sentinel { .. } => {
                return Err(RedisError::Sentinel { master: name, cause: "a sentinel address is no server".to_owned() });
            }
        };
        let endpoint = Endpoint { secure, host: host.clone(), port, path: String::new() };
        let transport = dialer.dial(&endpoint, token).map_err(|error| RedisError::from_dial(&name, error))?;
        Ok((transport, Instant::now() + LOGIN_WITHIN))
    }

    fn dialer(&self) -> Result<Arc<Dialer>, String> {
        let mut dialer = self.dialer.lock();
        if let Some(made) = &*dialer {
            return Ok(Arc::clone(made));
        }
        let tls = net::client_config(self.settings.ca_file.as_deref()).map_err(|error| error.to_string())?;
        let limits = DialLimits { resolve: LOGIN_WITHIN, connect: LOGIN_WITHIN, tls: LOGIN_WITHIN };
        Ok(Arc::clone(dialer.insert(Arc::new(Dialer::new(tls, limits)))))
    }

    /// Appends AUTH; false when there is nothing to log in with.
    fn write_auth(&self, out: &mut Vec<u8>) -> bool {
        let password = self.settings.password.as_ref().map(|secret| secret.expose().as_bytes());
        match (&self.settings.username, password) {
            (None, None) => return false,
            (None, Some(password)) => resp::command(out, &[b"AUTH", password]),
            // A user without a password is let in with any.
            (Some(user), password) => resp::command(out, &[b"AUTH", user.as_bytes(), password.unwrap_or_default()]),
        }
        true
    }

    fn log_in(&self, link: &mut Link, deadline: Instant, token: &StopToken) -> Result<(), RedisError> {
        let mut out = Zeroizing::new(Vec::with_capacity(512));
        let mut asked: Vec<&'static str> = Vec::new();
        if self.write_auth(&mut out) {
            asked.push("AUTH");
        }
        if self.settings.db != 0 {
            resp::command(&mut out, &[b"SELECT", itoa::Buffer::new().format(self.settings.db).as_bytes()]);
            asked.push("SELECT");
        }
        resp::command(&mut out, &[b"CLIENT", b"SETNAME", self.client_name.as_bytes()]);
        resp::command(&mut out, &[b"ROLE"]);
        resp::command(&mut out, &[b"INFO", b"server"]);
        resp::command(&mut out, &[b"INFO", b"persistence"]);
        asked.extend(["CLIENT SETNAME", "ROLE", "INFO", "INFO"]);
        let answers = link.ask(&out, asked.len(), deadline, token)?;
        for (command, answer) in asked.into_iter().zip(&answers) {
            check_login_answer(link, command, answer)?;
        }
        Ok(())
    }
}

fn check_login_answer(link: &mut Link, command: &'static str, answer: &Reply) -> Result<(), RedisError> {
    match (command, answer) {
        // A name and a version are worth having, not worth failing for.
        ("CLIENT SETNAME" | "INFO", Reply::Error(text)) if text.starts_with("NOPERM") || text.starts_with("ERR unknown") => Ok(()),
        (_, Reply::Error(text)) => Err(RedisError::from_answer(&link.place, command, text)),
        ("ROLE", answer) => check_role(&link.place, answer),
        ("INFO", answer) => {
            let text = answer.text().unwrap_or_default();
            if info_field(text, "loading") == Some("1") {
                return Err(RedisError::Loading { place: link.place.clone() });
            }
            if let Some(info) = server_info(text) {
                link.server = info;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Is this the answer of a master?
pub(super) fn check_role(place: &str, answer: &Reply) -> Result<(), RedisError> {
    let role = match answer {
        Reply::Array(parts) => parts.first().and_then(Reply::text).unwrap_or("(no role)"),
        Reply::Error(text) => return Err(RedisError::from_answer(place, "ROLE", text)),
        _ => "(no role)",
    };
    match role {
        "master" => Ok(()),
        "slave" => Err(RedisError::NotMaster { place: place.to_owned(), role: "replica".to_owned() }),
        other => Err(RedisError::NotMaster { place: place.to_owned(), role: super::error::safe_text(other) }),
    }
}

fn server_info(info: &str) -> Option<ServerInfo> {
    let of = |product, version: &str| ServerInfo { product, version: super::error::safe_text(version) };
    // Valkey gives a redis_version too, the one that it is compatible with.
    info_field(info, "valkey_version").map(|v| of("valkey", v)).or_else(|| info_field(info, "redis_version").map(|v| of("redis", v)))
}

fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
