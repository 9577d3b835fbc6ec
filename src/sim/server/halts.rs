//! Halts, resumptions and price limits, made by hand.

use super::control::SimControl;
use crate::model::{Digits, DigitsError, Fact, Luld, Status};
use crate::sim::message::{SimBody, SimMessage};

/// The tape whose letters are used.
const TAPE: &str = "C";

/// That trading stops, for a reason.
pub(super) fn halted(reason_code: &str) -> Fact {
    let reason = match reason_code {
        "T1" => "Halt - News Pending",
        "T12" => "Trading Halted; For information requested by NASDAQ",
        "LUDP" => "Volatility Trading Pause",
        "MWC1" | "MWC2" | "MWC3" => "Market Wide Circuit Breaker Halt",
        _ => "",
    };
    status("H", "Trading Halt", reason_code, reason)
}

/// That trading goes on.
pub(super) fn resumed() -> Fact {
    status("T", "Trading Resumption", "", "")
}

/// The prices between which a symbol may trade.
pub(super) fn limited(limit_down: &str, limit_up: &str) -> Result<Fact, DigitsError> {
    let (limit_down, limit_up) = (Digits::parse(limit_down)?, Digits::parse(limit_up)?);
    Ok(Fact::Luld(Luld { limit_up, limit_down, indicator: "B".to_owned(), tape: TAPE.to_owned() }))
}

fn status(code: &str, message: &str, reason_code: &str, reason: &str) -> Fact {
    let [code, message, reason_code, reason, tape] = [code, message, reason_code, reason, TAPE].map(str::to_owned);
    Fact::Status(Status { code, message, reason_code, reason, tape })
}

impl SimControl {
    /// Trading of a symbol stops, for a reason such as `T1` (news pending) or `LUDP` (volatility). The invented market
    /// leaves it alone until [`SimControl::resume`].
    pub fn halt(&self, symbol: &str, reason_code: &str) {
        self.fact(symbol, halted(reason_code));
    }

    /// Trading of a symbol goes on.
    pub fn resume(&self, symbol: &str) {
        self.fact(symbol, resumed());
    }

    /// The prices between which a symbol may trade.
    ///
    /// # Errors
    /// When one of them is no number.
    pub fn luld(&self, symbol: &str, limit_down: &str, limit_up: &str) -> Result<(), DigitsError> {
        self.fact(symbol, limited(limit_down, limit_up)?);
        Ok(())
    }

    fn fact(&self, symbol: &str, fact: Fact) {
        self.emit(SimMessage { symbol: symbol.into(), at: self.now(), body: SimBody::Fact(fact) });
    }
}
