//! Redis addresses, taken apart without ever repeating them in an error: they may carry a password.

use std::path::PathBuf;

use super::settings::RedisPlace;
use crate::runtime::Secret;

pub(super) const DEFAULT_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RedisAddress {
    pub place: RedisPlace,
    pub db: Option<u32>,
    pub username: Option<String>,
    pub password: Option<Secret>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    #[error("it starts with redis://, rediss://, unix:// or redis+sentinel://")]
    Scheme,
    #[error("after the scheme comes a host and, after a colon, a port from 1 to 65535")]
    HostOrPort,
    #[error("what follows the host is the number of the database, as in redis://host:6379/0")]
    Database,
    #[error("a unix address is unix:///path/to/redis.sock, optionally with ?db=0")]
    Unix,
    #[error("a sentinel address is redis+sentinel://host:port,host2:port/master/0")]
    Sentinel,
    #[error("it takes nothing after ? here; user, password and database stand in redis://user:password@host:port/db")]
    Query,
    #[error("characters such as @ / : % in a user name or password are written as %40 %2F %3A %25")]
    Encoding,
}

pub(super) fn parse(text: &str) -> Result<RedisAddress, AddressError> {
    let (scheme, rest) = text.trim().split_once("://").ok_or(AddressError::Scheme)?;
    match scheme {
        "unix" | "redis+unix" => unix(rest),
        "redis" | "rediss" => plain(rest, scheme == "rediss"),
        "redis+sentinel" => sentinel(rest),
        _ => Err(AddressError::Scheme),
    }
}

fn plain(rest: &str, tls: bool) -> Result<RedisAddress, AddressError> {
    let (username, password, rest) = login(rest)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = host_port(authority, DEFAULT_PORT).ok_or(AddressError::HostOrPort)?;
    let place = if tls { RedisPlace::Tls { host, port } } else { RedisPlace::Tcp { host, port } };
    Ok(RedisAddress { place, db: database(path)?, username, password })
}

fn unix(rest: &str) -> Result<RedisAddress, AddressError> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let db = match query {
        "" => None,
        query => Some(query.strip_prefix("db=").and_then(|n| n.parse().ok()).ok_or(AddressError::Unix)?),
    };
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(AddressError::Unix);
    }
    let place = RedisPlace::Unix(PathBuf::from(decode(path).ok_or(AddressError::Unix)?));
    Ok(RedisAddress { place, db, username: None, password: None })
}

fn sentinel(rest: &str) -> Result<RedisAddress, AddressError> {
    let (username, password, rest) = login(rest)?;
    let (nodes, path) = rest.split_once('/').ok_or(AddressError::Sentinel)?;
    let (master, db) = path.split_once('/').unwrap_or((path, ""));
    if master.is_empty() || !master.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(AddressError::Sentinel);
    }
    let nodes = nodes.split(',').map(|node| host_port(node, SENTINEL_PORT)).collect::<Option<Vec<_>>>().ok_or(AddressError::Sentinel)?;
    Ok(RedisAddress { place: RedisPlace::Sentinel { master: master.to_owned(), nodes }, db: database(db)?, username, password })
}

type Login<'a> = (Option<String>, Option<Secret>, &'a str);

fn login(rest: &str) -> Result<Login<'_>, AddressError> {
    if rest.contains('?') && !rest.contains('@') || rest.rsplit_once('@').is_some_and(|(_, after)| after.contains('?')) {
        return Err(AddressError::Query);
    }
    let Some((info, rest)) = rest.rsplit_once('@') else { return Ok((None, None, rest)) };
    if info.contains(['@', '/']) {
        return Err(AddressError::Encoding);
    }
    let (user, password) = info.split_once(':').unwrap_or((info, ""));
    let decoded = |text: &str| if text.is_empty() { Ok(None) } else { decode(text).map(Some).ok_or(AddressError::Encoding) };
    Ok((decoded(user)?, decoded(password)?.map(Secret::new), rest))
}

fn database(path: &str) -> Result<Option<u32>, AddressError> {
    match path.strip_suffix('/').unwrap_or(path) {
        "" => Ok(None),
        number => number.parse().map(Some).map_err(|_| AddressError::Database),
    }
}

fn host_port(authority: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => {
            let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            if !is_host(host) {
                return None;
            }
            (host, port)
        }
    };
    let port = port.map_or(Some(default), |text| text.parse().ok().filter(|port| *port > 0))?;
    Some((host.to_owned(), port))
}

/// A name or an address as it stands in `REDIS_HOST`.
pub(super) fn is_host(text: &str) -> bool {
    let name = !text.is_empty() && text.len() <= 253 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    name || text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// Undoes `%40`; `None` when it is cut short or no UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16).map(|d| d as u8);
                digit(rest.next())? << 4 | digit(rest.next())?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp(host: &str, port: u16) -> RedisPlace {
        RedisPlace::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn takes_addresses_apart() {
        let nodes = vec![("a".to_owned(), 26379), ("b".to_owned(), 5)];
        for (text, place, db, username, password) in [
            ("redis://localhost", tcp("localhost", 6379), None, None, None),
            ("redis://localhost:1/2", tcp("localhost", 1), Some(2), None, None),
            ("redis://[::1]:7/", tcp("::1", 7), None, None, None),
            ("redis://:p%40%2Fw@h/0", tcp("h", 6379), Some(0), None, Some("p@/w")),
            ("rediss://me:pw:x@h", RedisPlace::Tls { host: "h".to_owned(), port: 6379 }, None, Some("me"), Some("pw:x")),
            ("unix:///run/redis.sock", RedisPlace::Unix("/run/redis.sock".into()), None, None, None),
            ("unix:///run/redis.sock?db=3", RedisPlace::Unix("/run/redis.sock".into()), Some(3), None, None),
            ("redis+sentinel://u:p@a,b:5/main/1", RedisPlace::Sentinel { master: "main".to_owned(), nodes }, Some(1), Some("u"), Some("p")),
        ] {
            let wanted = RedisAddress { place, db, username: username.map(str::to_owned), password: password.map(Secret::new) };
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn says_which_part_is_wrong() {
        for (text, why) in [
            ("localhost:6379", AddressError::Scheme),
            ("http://localhost", AddressError::Scheme),
            ("redis://", AddressError::HostOrPort),
            ("redis://h:0", AddressError::HostOrPort),
            ("redis://h:x", AddressError::HostOrPort),
            ("redis://[::1", AddressError::HostOrPort),
            ("redis://h/x", AddressError::Database),
            ("redis://h/-1", AddressError::Database),
            ("redis://h?protocol=resp3", AddressError::Query),
            ("redis://u:p%4@h", AddressError::Encoding),
            ("redis://u:p/w@h", AddressError::Encoding),
            ("redis://u:p@w@h", AddressError::Encoding),
            ("unix://run/redis.sock", AddressError::Unix),
            ("unix:///run/redis.sock?x=1", AddressError::Unix),
            ("redis+sentinel://a:1", AddressError::Sentinel),
            ("redis+sentinel://a:1/", AddressError::Sentinel),
            ("redis+sentinel://a:1,/main", AddressError::Sentinel),
        ] {
            assert_eq!(parse(text), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(redis://|rediss://|unix://|redis\\+sentinel://)?(\\PC|%|@|:|/|\\[|\\]|,|\\?){0,40}") {
            let _ = parse(&text);
        }
    }
}
