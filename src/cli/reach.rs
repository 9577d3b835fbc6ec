//! Finding a running broker and talking to it: which Redis, as whom, with which patience.

use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::{Client, Connection, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult};
use serde::Deserialize;

use super::args::Reach;
use super::error::{CliError, is_interruption};

const CONNECT: Duration = Duration::from_secs(2);
/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a listener looks up from its socket: for Ctrl-C, leases and clocks.
const GLANCE: Duration = Duration::from_millis(200);
const DEFAULT: &str = "redis://127.0.0.1:6379/0";

/// The Redis where a broker is looked for.
#[derive(Clone)]
pub struct Place {
    info: ConnectionInfo,
}

/// What a running broker leaves in its data folder.
#[derive(Debug, Deserialize)]
struct Endpoint {
    redis: String,
}

impl Place {
    /// # Errors
    /// When an address makes no sense, or the file of a running broker cannot be read.
    pub fn find(reach: &Reach, env: &dyn Fn(&str) -> Option<String>) -> Result<Place, CliError> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let place = if let Some(url) = &reach.redis {
            Place::parse(url, "what --redis names")?
        } else if let Some(url) = env("REDIS_URL") {
            Place::parse(&url, "the value of REDIS_URL")?
        } else if ["REDIS_HOST", "REDIS_PORT"].iter().any(|name| env(name).is_some()) {
            Place::of_parts(env("REDIS_HOST"), env("REDIS_PORT"), env("REDIS_DB"))?
        } else {
            let folder = reach.data_dir.clone().or_else(|| env("BROKER_DATA_DIR").map(PathBuf::from)).unwrap_or_else(|| "data".into());
            Place::of_endpoint(&folder.join("endpoint.json"))?.map_or_else(|| Place::parse(DEFAULT, "the default"), Ok)?
        };
        Ok(place.with_credentials(env("REDIS_USERNAME"), env("REDIS_PASSWORD")))
    }

    /// The address is not repeated in the error: it may hold a password.
    fn parse(url: &str, origin: &'static str) -> Result<Place, CliError> {
        url.into_connection_info().map(|info| Place { info }).map_err(|_| CliError::Address(origin))
    }

    fn of_parts(host: Option<String>, port: Option<String>, db: Option<String>) -> Result<Place, CliError> {
        let port: u16 = port.map_or(Ok(6379), |text| text.parse()).map_err(|_| CliError::Address("the value of REDIS_PORT"))?;
        let db: i64 = db.map_or(Ok(0), |text| text.parse()).map_err(|_| CliError::Address("the value of REDIS_DB"))?;
        let address = ConnectionAddr::Tcp(host.unwrap_or_else(|| "127.0.0.1".to_owned()), port);
        let info = address.into_connection_info().map_err(|_| CliError::Address("the value of REDIS_HOST"))?;
        Ok(Place { info: info.set_redis_settings(RedisConnectionInfo::default().set_db(db)) })
    }

    fn of_endpoint(file: &Path) -> Result<Option<Place>, CliError> {
        let broken = |why: String| CliError::Endpoint(file.display().to_string(), why);
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(broken(error.to_string())),
        };
        let endpoint: Endpoint = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        Place::parse(&endpoint.redis, "the address in endpoint.json").map(Some)
    }

    fn with_credentials(self, username: Option<String>, password: Option<String>) -> Place {
        let settings = self.info.redis_settings().clone();
        if settings.password().is_some() {
            return self;
        }
        let settings = match (username, password) {
            (Some(username), Some(password)) => settings.set_username(username).set_password(password),
            (None, Some(password)) => settings.set_password(password),
            _ => return self,
        };
        Place { info: self.info.set_redis_settings(settings) }
    }

    /// # Errors
    /// When nobody listens there, or we are not let in.
    pub fn connect(&self) -> Result<Link, CliError> {
        let settings = self.info.redis_settings().clone().set_lib_name("alpaca-broker-cli", env!("CARGO_PKG_VERSION"));
        let link = || -> RedisResult<Link> {
            let connection = Client::open(self.info.clone().set_redis_settings(settings))?.get_connection_with_timeout(CONNECT)?;
            connection.set_read_timeout(Some(PATIENCE))?;
            connection.set_write_timeout(Some(PATIENCE))?;
            Ok(Link { connection })
        };
        link().map_err(|source| self.failed(source))
    }

    /// A connection whose reads look up often: a time-out there means only that nothing came.
    ///
    /// # Errors
    /// As [`Place::connect`].
    pub fn listen(&self) -> Result<Connection, CliError> {
        let Link { connection } = self.connect()?;
        connection.set_read_timeout(Some(GLANCE)).map_err(|source| self.failed(source))?;
        Ok(connection)
    }

    pub fn failed(&self, source: RedisError) -> CliError {
        CliError::Redis { place: self.to_string(), source }
    }
}

/// Without credentials.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let db = self.info.redis_settings().db();
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) => write!(f, "redis://{host}:{port}/{db}"),
            ConnectionAddr::TcpTls { host, port, .. } => write!(f, "rediss://{host}:{port}/{db}"),
            ConnectionAddr::Unix(path) => write!(f, "unix://{}?db={db}", path.display()),
            other => write!(f, "{other}"),
        }
    }
}

/// As shown: what redis-rs derives would tell the password.
impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A connection for commands.
pub struct Link {
    connection: Connection,
}

impl Link {
    /// What the broker says of itself; nothing when none is running.
    ///
    /// # Errors
    /// Those of Redis.
    pub fn status(&mut self) -> RedisResult<Option<String>> {
        redis::cmd("GET").arg("broker:status").query(&mut self.connection)
    }

    /// How many heard it.
    ///
    /// # Errors
    /// Those of Redis.
    pub fn publish(&mut self, channel: &str, message: &str) -> RedisResult<u64> {
        redis::cmd("PUBLISH").arg(channel).arg(message).query(&mut self.connection)
    }

    /// Leaves a command for the order desk.
    ///
    /// # Errors
    /// Those of Redis.
    pub fn command(&mut self, command: &str) -> RedisResult<String> {
        redis::cmd("XADD").arg("broker:orders").arg("*").arg("command").arg(command).query(&mut self.connection)
    }

    /// The newest message of each type.
    ///
    /// # Errors
    /// Those of Redis.
    pub fn last_values(&mut self, key: &str) -> RedisResult<Vec<(String, String)>> {
        redis::cmd("HGETALL").arg(key).query(&mut self.connection)
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Nothing came in time, or a signal ended the wait, which the system does not take up again on a socket with a
/// time-out: a listener listens on.
pub fn is_idle(error: &RedisError) -> bool {
    error.is_timeout() || is_interruption(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn find(redis: Option<&str>, data_dir: Option<&Path>, env: &[(&str, &str)]) -> Result<Place, CliError> {
        let reach = Reach { redis: redis.map(str::to_owned), data_dir: Some(data_dir.unwrap_or_else(|| Path::new("/nowhere/at/all")).into()) };
        Place::find(&reach, &|name| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_nearest_word_wins() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("endpoint.json"), r#"{"redis":"redis://127.0.0.1:7001/3","http":null,"pid":1,"epoch":2}"#).unwrap();
        let env = [("REDIS_URL", "rediss://far:6380/1"), ("REDIS_HOST", "near"), ("REDIS_PORT", ""), ("REDIS_DB", "2")];
        for (redis, data_dir, env, expected) in [
            (Some("unix:///run/redis.sock?db=4"), Some(folder.path()), &env[..], "unix:///run/redis.sock?db=4"),
            (None, Some(folder.path()), &env[..], "rediss://far:6380/1"),
            (None, Some(folder.path()), &env[1..], "redis://near:6379/2"),
            (None, Some(folder.path()), &[], "redis://127.0.0.1:7001/3"),
            (None, None, &[], "redis://127.0.0.1:6379/0"),
        ] {
            assert_eq!(find(redis, data_dir, env).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_password_is_used_and_never_shown() {
        let place = find(Some("redis://bot:hunter2@h:1/0"), None, &[("REDIS_PASSWORD", "other")]).unwrap();
        assert_eq!(format!("{place} {place:?}"), "redis://h:1/0 redis://h:1/0");
        assert_eq!(place.info.redis_settings().password(), Some("hunter2"));
        let place = find(None, None, &[("REDIS_USERNAME", "bot"), ("REDIS_PASSWORD", "hunter2")]).unwrap();
        assert_eq!((place.info.redis_settings().username(), place.info.redis_settings().password()), (Some("bot"), Some("hunter2")));
        let error = find(Some("http://bot:hunter2@h/"), None, &[]).unwrap_err().to_string();
        assert!(error.starts_with("what --redis names is no Redis address") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_signal_is_no_failure_of_redis() {
        let idle = |kind: io::ErrorKind| is_idle(&RedisError::from(io::Error::from(kind)));
        assert!(idle(io::ErrorKind::Interrupted) && idle(io::ErrorKind::WouldBlock));
        assert!(!idle(io::ErrorKind::ConnectionReset));
    }

    #[test]
    fn broken_words_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("endpoint.json"), "{").unwrap();
        assert!(matches!(find(None, Some(folder.path()), &[]), Err(CliError::Endpoint(..))));
        assert!(matches!(find(None, None, &[("REDIS_PORT", "x")]), Err(CliError::Address("the value of REDIS_PORT"))));
    }
}
