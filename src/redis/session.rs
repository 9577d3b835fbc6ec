//! A blocking connection of the redis crate, opened carefully and used within time limits, for the slow and rare work.
//!
//! The crate can neither be woken nor bounded over a whole call, so a link of our own looks first (name service, login,
//! role and TLS, all stoppable), and every read and write has a limit. Any I/O error ends the session: after one the
//! crate may take a late reply for another command's.

use std::time::{Duration, Instant};

use ::redis::io::tcp::TcpSettings;
use ::redis::{Client, Cmd, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, TlsCertificates, Value, from_redis_value};

use super::error::RedisError;
use super::link::{Connector, ServerInfo, check_role};
use super::resp::Reply;
use crate::config::RedisPlace;
use crate::runtime::StopToken;

/// One read or write. Short, for a stop waits it out.
pub(super) const IO_WITHIN: Duration = Duration::from_millis(500);
/// A whole exchange, since the crate's limit counts anew for each reply.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(1);
/// Commands in one exchange.
pub(super) const MAX_PIPELINE: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// This command was answered with an error; the session is as good as before. Carries the error's code.
    Refused(String, RedisError),
    /// The session is of no more use.
    Broken(RedisError),
}

impl Failure {
    pub(super) fn into_error(self) -> RedisError {
        match self {
            Failure::Refused(_, error) | Failure::Broken(error) => error,
        }
    }
}

pub(super) struct Session {
    connection: Connection,
    place: String,
    server: ServerInfo,
}

impl Session {
    pub(super) fn open(connector: &Connector, token: &StopToken) -> Result<Session, RedisError> {
        let configured = connector.resolve(token)?;
        let link = connector.connect(token)?;
        let (peer, place, server) = (link.peer(), link.place.clone(), link.server.clone());
        // Closed before the crate dials, so that we never hold two of Redis' client places.
        drop(link);
        let address = match configured {
            // The address that was just seen to work spares the crate a look-up without a limit.
            RedisPlace::Tcp { host, port } => match peer {
                Some(peer) => ConnectionAddr::Tcp(peer.ip().to_string(), peer.port()),
                None => ConnectionAddr::Tcp(host, port),
            },
            RedisPlace::Tls { host, port } => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            RedisPlace::Unix(path) => ConnectionAddr::Unix(path),
            RedisPlace::Sentinel { master, .. } => {
                return Err(RedisError::Sentinel { master, cause: "a sentinel address is no server".to_owned() });
            }
        };
        let failed = |error: ::redis::RedisError| from_crate(&place, "the login", &error);
        let client = client(connector, address, &place).map_err(|error| *error)?;
        let mut connection = client.get_connection_with_timeout(IO_WITHIN).map_err(failed)?;
        connection.set_read_timeout(Some(IO_WITHIN)).map_err(failed)?;
        connection.set_write_timeout(Some(IO_WITHIN)).map_err(failed)?;
        // A name is worth having, not worth failing for: an error reply is ignored, a broken connection is not.
        let named = ::redis::cmd("CLIENT").arg("SETNAME").arg(connector.client_name()).exec(&mut connection);
        match named {
            Err(error) if error.is_io_error() => Err(failed(error)),
            _ => Ok(Session { connection, place, server }),
        }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn server(&self) -> &ServerInfo {
        &self.server
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Sends up to [`MAX_PIPELINE`] commands in one go; one answer each, error replies among them.
    pub(super) fn exchange(&mut self, name: &'static str, commands: &[Cmd]) -> Result<Vec<Result<Value, Failure>>, RedisError> {
        let deadline = Instant::now() + EXCHANGE_WITHIN;
        let packed: Vec<u8> = commands.iter().flat_map(Cmd::get_packed_command).collect();
        self.connection.send_packed_command(&packed).map_err(|error| from_crate(&self.place, name, &error))?;
        let mut answers = Vec::with_capacity(commands.len());
        for _ in commands {
            if Instant::now() >= deadline {
                return Err(RedisError::Silent { place: self.place.clone(), waited: EXCHANGE_WITHIN });
            }
            answers.push(match self.connection.recv_response() {
                Ok(Value::ServerError(error)) => Err(self.refusal(name, &::redis::RedisError::from(error))?),
                Ok(value) => Ok(value),
                Err(error) if error.code().is_some() => Err(self.refusal(name, &error)?),
                Err(error) => return Err(from_crate(&self.place, name, &error)),
            });
        }
        Ok(answers)
    }

    /// One command, one answer.
    pub(super) fn ask(&mut self, name: &'static str, command: &Cmd) -> Result<Value, Failure> {
        let mut answers = self.exchange(name, std::slice::from_ref(command)).map_err(Failure::Broken)?;
        answers.pop().unwrap_or_else(|| Err(Failure::Broken(RedisError::Closed { place: self.place.clone(), cause: "no answer".to_owned() })))
    }

    /// Whether it leads to a master still, and sentinels would lead nowhere else. `Refused` for a user who may not ask.
    pub(super) fn check_master(&mut self, connector: &Connector, token: &StopToken) -> Result<(), Failure> {
        let answer: Vec<Value> = from_redis_value(self.ask("ROLE", &::redis::cmd("ROLE"))?).unwrap_or_default();
        let role = answer.into_iter().next().and_then(|role| from_redis_value::<String>(role).ok()).unwrap_or_default();
        check_role(&self.place, &Reply::Array(vec![Reply::Simple(role)])).map_err(Failure::Broken)?;
        connector.moved_from(&self.place, token).map_or(Ok(()), |moved| Err(Failure::Broken(moved)))
    }

    /// An error reply that leaves the session usable; `Err` for those that say it is of no more use.
    fn refusal(&self, name: &'static str, error: &::redis::RedisError) -> Result<Failure, RedisError> {
        let code = error.code().unwrap_or("ERR").to_owned();
        let meaning = from_crate(&self.place, name, error);
        if matches!(code.as_str(), "READONLY" | "NOAUTH" | "LOADING") { Err(meaning) } else { Ok(Failure::Refused(code, meaning)) }
    }
}

fn client(connector: &Connector, address: ConnectionAddr, place: &str) -> Result<Client, Box<RedisError>> {
    let settings = connector.settings();
    let mut login = RedisConnectionInfo::default().set_db(i64::from(settings.db)).set_skip_set_lib_name();
    if let Some(user) = &settings.username {
        login = login.set_username(user);
    }
    if let Some(password) = &settings.password {
        login = login.set_password(password.expose());
    } else if settings.username.is_some() {
        // A user without a password is let in with any, but the crate logs nobody in without one.
        login = login.set_password("");
    }
    let secure = matches!(address, ConnectionAddr::TcpTls { .. });
    let refused = |error: ::redis::RedisError| Box::new(from_crate(place, "the login", &error));
    let info = address.into_connection_info().map_err(refused)?;
    let info = info.set_redis_settings(login).set_tcp_settings(TcpSettings::default().set_nodelay(true));
    if !secure {
        return Client::open(info).map_err(refused);
    }
    let unreadable = |error: std::io::Error| Box::new(RedisError::Tls { place: place.to_owned(), cause: error.to_string() });
    let root_cert = settings.ca_file.as_deref().map(std::fs::read).transpose().map_err(unreadable)?;
    Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert }).map_err(refused)
}

/// The crate's error in our terms. The texts of a login stay out, since a server may echo what was sent.
pub(super) fn from_crate(place: &str, command: &'static str, error: &::redis::RedisError) -> RedisError {
    let place_owned = place.to_owned();
    if error.is_timeout() {
        return RedisError::Silent { place: place_owned, waited: IO_WITHIN };
    }
    if error.kind() == ErrorKind::AuthenticationFailed {
        return RedisError::WrongPassword { place: place_owned, code: error.code().unwrap_or("ERR").to_owned() };
    }
    match error.code() {
        Some(code) => RedisError::from_answer(place, command, &format!("{code} {}", error.detail().unwrap_or_default())),
        None if error.is_io_error() => RedisError::Closed { place: place_owned, cause: super::error::safe_text(&error.to_string()) },
        None => RedisError::Refused { place: place_owned, command, answer: error.category().to_owned() },
    }
}
