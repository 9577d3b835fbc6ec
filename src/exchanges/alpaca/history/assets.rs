//! What the venue trades, remembered for a while.
//!
//! Must not know how it is asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::facts::Asset;
use crate::exchanges::{BrokerError, Cached};
use crate::model::Symbol;

const MOST: usize = 4_096;

/// Assets by symbol; a symbol that the venue does not know is remembered as well.
#[derive(Debug)]
pub struct AssetCache {
    lifetime: Duration,
    kept: Mutex<BTreeMap<Symbol, Cached<Option<Asset>>>>,
}

impl AssetCache {
    pub fn new(lifetime: Duration) -> AssetCache {
        AssetCache { lifetime, kept: Mutex::default() }
    }

    /// The asset if it is known and fresh, else what `fetch` brings; errors are not kept.
    pub fn get_or_try(&self, symbol: &Symbol, now: Instant, fetch: impl FnOnce() -> Result<Option<Asset>, BrokerError>) -> Result<Option<Asset>, BrokerError> {
        let known = self.kept.lock().get(symbol).and_then(|kept| kept.get(now));
        if let Some(asset) = known {
            return Ok(asset);
        }
        // Two that miss at once both ask, rather than one waiting for the network of the other.
        let asset = fetch()?;
        let mut kept = self.kept.lock();
        if kept.len() >= MOST {
            kept.retain(|_, cached| cached.get(now).is_some());
        }
        if kept.len() >= MOST {
            // To ask again for what is in use costs less than to choose what to forget.
            kept.clear();
        }
        kept.entry(symbol.clone()).or_insert_with(|| Cached::new(self.lifetime)).put(asset.clone(), now);
        Ok(asset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_once_a_lifetime_and_memory_is_bounded() {
        let (cache, now) = (AssetCache::new(Duration::from_secs(60)), Instant::now());
        let symbol: Symbol = "NOSUCH".parse().unwrap();
        let down = || BrokerError::RateLimited { after: None };
        assert_eq!(cache.get_or_try(&symbol, now, || Err(down())), Err(down()));
        assert_eq!(cache.get_or_try(&symbol, now, || Ok(None)), Ok(None));
        assert_eq!(cache.get_or_try(&symbol, now + Duration::from_secs(59), || Err(down())), Ok(None));
        assert_eq!(cache.get_or_try(&symbol, now + Duration::from_secs(60), || Err(down())), Err(down()));
        for n in 0..2 * MOST {
            cache.get_or_try(&format!("S{n}").parse().unwrap(), now, || Ok(None)).unwrap();
        }
        assert!(cache.kept.lock().len() <= MOST);
    }
}
