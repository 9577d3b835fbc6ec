//! The table that gives every symbol a small number, for good: what threads pass on instead of a name.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use parking_lot::RwLock;

use super::registry::Instrument;
use crate::exchanges::Names;
use crate::model::{ExchangeName, Symbol, SymbolId};

/// Numbers are never reused, so a flood of ever new symbols must end somewhere.
const MAX_SYMBOLS: usize = 65_536;

/// Shared by the supervisor, which names symbols, and the wildcard streams, which meet them.
#[derive(Debug, Default)]
pub struct SymbolTable {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ids: HashMap<Instrument, SymbolId, RandomState>,
    instruments: Vec<Instrument>,
}

impl SymbolTable {
    /// The symbol's number; `None` when the table is full.
    pub fn id(&self, instrument: &Instrument) -> Option<SymbolId> {
        if let Some(id) = self.inner.read().ids.get(instrument) {
            return Some(*id);
        }
        let mut inner = self.inner.write();
        if let Some(id) = inner.ids.get(instrument) {
            return Some(*id);
        }
        let next = inner.instruments.len();
        if next >= MAX_SYMBOLS {
            return None;
        }
        let id = SymbolId(u32::try_from(next).ok()?);
        inner.ids.insert(instrument.clone(), id);
        inner.instruments.push(instrument.clone());
        Some(id)
    }

    pub fn instrument(&self, id: SymbolId) -> Option<Instrument> {
        self.inner.read().instruments.get(id.0 as usize).cloned()
    }
}

/// The table as one exchange's wildcard stream sees it.
#[derive(Debug)]
pub struct ExchangeNames {
    pub table: std::sync::Arc<SymbolTable>,
    pub exchange: ExchangeName,
}

impl Names for ExchangeNames {
    fn intern(&self, symbol: &str) -> Option<SymbolId> {
        let symbol: Symbol = symbol.parse().ok()?;
        self.table.id(&Instrument { exchange: self.exchange.clone(), symbol })
    }
}
