//! The phases of a trading day.
//!
//! Must not know when they begin: that is the calendar's.

/// Which phase a market is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MarketSession {
    Closed,
    /// Before the opening: orders for extended hours alone.
    Pre,
    Regular,
    /// After the close: orders for extended hours alone.
    Post,
}

impl MarketSession {
    pub fn as_str(self) -> &'static str {
        match self {
            MarketSession::Closed => "closed",
            MarketSession::Pre => "pre",
            MarketSession::Regular => "regular",
            MarketSession::Post => "post",
        }
    }

    pub fn is_extended(self) -> bool {
        matches!(self, MarketSession::Pre | MarketSession::Post)
    }
}
