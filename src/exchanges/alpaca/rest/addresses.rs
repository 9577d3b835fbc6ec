//! Where a host is, remembered for a while.
//!
//! ureq looks the name up before it takes a connection that stands already, on a thread of its own where the look-up has a
//! time limit. An order must not wait for that. Must not know what is asked for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::exchanges::Cached;

/// A venue that has moved is found again after so long.
const LIFETIME: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Addresses {
    names: DefaultResolver,
    /// By scheme, host and port: a client has two hosts.
    known: Mutex<HashMap<String, Cached<Vec<SocketAddr>>>>,
}

impl Resolver for Addresses {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let place = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |authority| authority.as_str()));
        let known = self.known.lock().get(&place).and_then(|known| known.get(Instant::now()));
        if let Some(known) = known {
            let mut addresses = self.empty();
            known.into_iter().for_each(|address| addresses.push(address));
            return Ok(addresses);
        }
        let found = self.names.resolve(uri, config, timeout)?;
        self.known.lock().entry(place).or_insert_with(|| Cached::new(LIFETIME)).put(found.iter().copied().collect(), Instant::now());
        Ok(found)
    }
}
