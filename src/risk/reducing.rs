//! Orders that may only make a position smaller: by how much one may, and why it does not.
//!
//! Must not know who counts the position, nor which limit asks for this.

use rust_decimal::Decimal;

use super::denial::{Denial, Measure, Rule};
use super::halt::HaltRecord;
use crate::model::{OrderClass, OrderRequest, Side};

pub(super) fn reduced_by(halt: &HaltRecord, why: &str, measure: Option<Measure>) -> Denial {
    let reason = format!("{halt}; until it is resumed positions may only be reduced: {why}");
    Denial { rule: Rule::ReduceOnly, reason, config_key: "", bot: halt.scope.bot().map(str::to_owned), measure }
}

/// Why an order does more than reduce a position that other orders have spoken for in part; `None` when it does not.
pub(super) fn too_much(request: &OrderRequest, asked: Option<Decimal>, position: Decimal, spoken_for: Decimal) -> Option<(String, Option<Measure>)> {
    let (side, symbol) = (request.side, &request.symbol);
    let Some(asked) = asked else {
        return Some((format!("no price of {symbol} is known to tell how much this order would reduce"), None));
    };
    if let Some(why) = takes_back(request) {
        return Some((why, None));
    }
    let held = side.opposite().signed(position).max(Decimal::ZERO);
    let room = held.saturating_sub(spoken_for).max(Decimal::ZERO);
    if asked <= room && !room.is_zero() {
        return None;
    }
    let measure = Measure { asked: asked.normalize(), allowed: held.normalize(), used: spoken_for.normalize() };
    let (act, state) = if side == Side::Buy { ("buy", "sold short") } else { ("sell", "held") };
    let why = format!(
        "to {act} are at most {} {symbol}, not {}: {} are {state}, open orders have spoken for {}",
        room.normalize(),
        measure.asked,
        measure.allowed,
        measure.used
    );
    Some((why, Some(measure)))
}

pub(super) fn takes_back(request: &OrderRequest) -> Option<String> {
    let with_exits = matches!(request.class, OrderClass::Bracket { .. } | OrderClass::Oto { .. });
    with_exits.then(|| "the exits of this order would take back what it reduces".to_owned())
}
