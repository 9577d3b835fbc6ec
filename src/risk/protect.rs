//! Market orders that cannot slip further than somebody allowed.
//!
//! Must not know other limits nor how old a quote may be.

use rust_decimal::{Decimal, RoundingStrategy};

use super::limits::Sight;
use crate::model::{OrderPrice, OrderRequest, OrderType, Quantity, Side, Size};

/// Decimals of a quantity that is worked out from money.
const FRACTIONS: u32 = 9;

/// A market order as a limit order that trades at once, at most the fraction `max_slippage` worse than the quote; any
/// other order as it is. `None` when nobody is quoted on the other side or the numbers make no order.
///
/// The time in force stays: what is not filled at once rests at the limit for as long as the sender wanted, and is
/// never filled worse than that. An order by money becomes one of units that cost no more than that, because venues
/// take money at the market alone. The limit is rounded to the tick (0.01 from 1 on, 0.0001 below) so that it never
/// exceeds what is allowed; where the tick is too coarse for the quote, to as many decimals as the quote has.
///
/// Roads not taken: immediate-or-cancel would drop the rest of an order that was to be filled whole; watching the fills
/// and cancelling comes too late. Stops and trailing stops keep their market leg: a limit could leave a losing position
/// open, which is the very thing that they are there to prevent.
pub fn protect(mut request: OrderRequest, sight: &Sight, max_slippage: Decimal) -> Option<OrderRequest> {
    if request.kind != OrderType::Market {
        return Some(request);
    }
    let quote = sight.quote(request.side)?;
    let limit = OrderPrice::new(worst_price(request.side, quote, max_slippage)).ok()?;
    request.kind = OrderType::Limit { limit };
    if let Size::Notional(money) = request.size {
        let price = limit.value().max(quote);
        let units = money.value().checked_div(price)?.round_dp_with_strategy(FRACTIONS, RoundingStrategy::ToZero);
        request.size = Size::Quantity(Quantity::new(units).ok()?);
    }
    Some(request)
}

fn worst_price(side: Side, quote: Decimal, slippage: Decimal) -> Decimal {
    let slipped = beyond(side, quote, slippage);
    let towards_quote = match side {
        Side::Buy => RoundingStrategy::ToZero,
        Side::Sell => RoundingStrategy::AwayFromZero,
    };
    let tick = if slipped >= Decimal::ONE { 2 } else { 4 };
    let rounded = slipped.round_dp_with_strategy(tick, towards_quote);
    let trades_at_once = match side {
        Side::Buy => rounded >= quote,
        Side::Sell => rounded <= quote,
    };
    if trades_at_once { rounded } else { slipped.round_dp_with_strategy(quote.normalize().scale(), towards_quote) }
}

/// `price` and a fraction of it more for a buyer, less for a seller.
pub(super) fn beyond(side: Side, price: Decimal, fraction: Decimal) -> Decimal {
    price.saturating_add(side.signed(price.saturating_mul(fraction)))
}
