//! Where to connect: an address taken apart once, at configuration.

use std::fmt;
use std::str::FromStr;

/// `ws`, `wss`, `http` or `https` with host, port and path. Carries no user info, so it may be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub secure: bool,
    pub host: String,
    pub port: u16,
    pub path: String,
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("an address starts with ws://, wss://, http:// or https://")]
    Scheme,
    #[error("an address must not carry a user name or password")]
    UserInfo,
    #[error("an address needs a host and, after a colon, a port from 1 to 65535")]
    HostOrPort,
    #[error("an address has printable ASCII characters only")]
    Character,
}

impl Endpoint {
    /// The `Host` header.
    pub fn host_header(&self) -> String {
        let default = if self.secure { 443 } else { 80 };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default { host } else { format!("{host}:{}", self.port) }
    }

    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The same place with another path appended.
    pub fn join(&self, path: &str) -> Endpoint {
        let base = self.path.trim_end_matches('/');
        Endpoint { path: format!("{base}/{}", path.trim_start_matches('/')), ..self.clone() }
    }

    /// As an `http` or `https` address.
    pub fn http_url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}", self.host_header(), self.path)
    }

    /// As a `ws` or `wss` address.
    pub fn ws_url(&self) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}", self.host_header(), self.path)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(EndpointError::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(EndpointError::Scheme)?;
        let secure = match scheme {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(EndpointError::Scheme),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/"),
        };
        if authority.contains('@') {
            return Err(EndpointError::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        if host.is_empty() {
            return Err(EndpointError::HostOrPort);
        }
        let port = match port {
            Some(text) => text.parse::<u16>().ok().filter(|p| *p > 0).ok_or(EndpointError::HostOrPort)?,
            None if secure => 443,
            None => 80,
        };
        Ok(Endpoint { secure, host: host.to_owned(), port, path: path.to_owned() })
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), EndpointError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(EndpointError::HostOrPort)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(EndpointError::HostOrPort),
        };
    }
    Ok(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ws_url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_apart() {
        let e: Endpoint = "wss://stream.data.alpaca.markets/v2/iex".parse().unwrap();
        assert_eq!((e.secure, e.host.as_str(), e.port, e.path.as_str()), (true, "stream.data.alpaca.markets", 443, "/v2/iex"));
        let e: Endpoint = "http://[::1]:8080".parse().unwrap();
        assert_eq!((e.host_header().as_str(), e.is_loopback()), ("[::1]:8080", true));
        assert_eq!(e.join("v2/account").http_url(), "http://[::1]:8080/v2/account");
    }

    #[test]
    fn refuses_what_it_cannot_reach_or_must_not_carry() {
        for (text, why) in [
            ("stream.data.alpaca.markets", EndpointError::Scheme),
            ("ftp://x", EndpointError::Scheme),
            ("https://key:secret@host/", EndpointError::UserInfo),
            ("ws://host:0/", EndpointError::HostOrPort),
            ("ws://host:99999/", EndpointError::HostOrPort),
            ("ws://:80/", EndpointError::HostOrPort),
            ("ws://ho st/", EndpointError::Character),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(why), "{text}");
        }
    }
}
