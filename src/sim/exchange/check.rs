//! What the venue refuses in an order whatever the account holds, in its own words.

use rust_decimal::Decimal;

use super::refusal::{Refusal, plain, sub_penny};
use super::{Asset, Book, OrderWish};
use crate::model::{Exit, OrderClass, OrderPrice, OrderType, PositionIntent, Side, Size, StopLoss, TakeProfit, TimeInForce};

/// The least that exits keep from the price of the order that they belong to.
const CENT: Decimal = Decimal::from_parts(1, 0, 0, false, 2);
/// A pair is not traded for less.
const MIN_COST_OF_PAIR: Decimal = Decimal::TEN;

type Verdict = Result<(), Refusal>;

fn demand(holds: bool, message: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(Refusal::unprocessable(message)) }
}

pub(super) fn form(wish: &OrderWish, asset: &Asset, book: Option<&Book>) -> Verdict {
    increments(wish, asset)?;
    if asset.pair {
        pair(wish)?;
    } else {
        fraction(wish)?;
    }
    times(wish)?;
    extended_hours(wish)?;
    by_money(wish)?;
    class(wish, book)
}

/// Stock prices of a dollar and more have two decimals, lower ones four.
fn increments(wish: &OrderWish, asset: &Asset) -> Verdict {
    if asset.pair {
        return Ok(());
    }
    let (profit, loss) = exits(wish.class);
    let prices = [
        ("limit_price", wish.kind.limit()),
        ("stop_price", wish.kind.stop()),
        ("take_profit.limit_price", profit.map(|profit| profit.limit)),
        ("stop_loss.stop_price", loss.map(|loss| loss.stop)),
        ("stop_loss.limit_price", loss.and_then(|loss| loss.limit)),
    ];
    let is_fine = |price: OrderPrice| price.value().normalize().scale() > if price.value() >= Decimal::ONE { 2 } else { 4 };
    let fine = prices.into_iter().find_map(|(field, price)| price.filter(|price| is_fine(*price)).map(|price| (field, price)));
    fine.map_or(Ok(()), |(field, price)| Err(sub_penny(field, price.value())))
}

fn exits(class: OrderClass) -> (Option<TakeProfit>, Option<StopLoss>) {
    match class {
        OrderClass::Simple => (None, None),
        OrderClass::Bracket { profit, loss } => (Some(profit), Some(loss)),
        OrderClass::Oco { loss } | OrderClass::Oto { exit: Exit::Loss(loss) } => (None, Some(loss)),
        OrderClass::Oto { exit: Exit::Profit(profit) } => (Some(profit), None),
    }
}

fn pair(wish: &OrderWish) -> Verdict {
    demand(matches!(wish.time_in_force, TimeInForce::Gtc | TimeInForce::Ioc), "invalid crypto time_in_force")?;
    let kind = matches!(wish.kind, OrderType::Market | OrderType::Limit { .. } | OrderType::StopLimit { .. });
    demand(kind, "invalid order type for crypto order")?;
    demand(wish.class == OrderClass::Simple, format!("crypto orders not allowed for advanced order_class: {}", wish.class.as_str()))
}

fn fraction(wish: &OrderWish) -> Verdict {
    let fractional = match wish.size {
        Size::Quantity(quantity) => !quantity.value().fract().is_zero(),
        Size::Notional(_) => true,
    };
    if !fractional {
        return Ok(());
    }
    demand(wish.class == OrderClass::Simple, "fractional orders must be simple orders")?;
    demand(wish.time_in_force == TimeInForce::Day, "fractional orders must be DAY orders")
}

fn times(wish: &OrderWish) -> Verdict {
    let trailing = matches!(wish.kind, OrderType::TrailingStop { .. });
    let stops = matches!(wish.kind, OrderType::Stop { .. } | OrderType::StopLimit { .. });
    let lasting = matches!(wish.time_in_force, TimeInForce::Day | TimeInForce::Gtc);
    demand(!trailing || wish.class == OrderClass::Simple, "trailing stop orders must be simple orders")?;
    demand(!trailing || lasting, "trailing stop orders must be DAY or GTC orders")?;
    let auction = matches!(wish.time_in_force, TimeInForce::Opg | TimeInForce::Cls);
    demand(!(auction && stops), format!("{} orders must be market or limit orders", wish.time_in_force.as_str()))?;
    demand(wish.class == OrderClass::Simple || lasting, format!("{} orders must be DAY or GTC orders", wish.class.as_str()))
}

fn extended_hours(wish: &OrderWish) -> Verdict {
    if !wish.extended_hours {
        return Ok(());
    }
    let limit = matches!(wish.kind, OrderType::Limit { .. }) && matches!(wish.time_in_force, TimeInForce::Day | TimeInForce::Gtc);
    demand(limit, "extended hours order must be DAY limit orders")?;
    demand(wish.class == OrderClass::Simple, "extended hours order must be simple orders")
}

fn by_money(wish: &OrderWish) -> Verdict {
    let Size::Notional(money) = wish.size else { return Ok(()) };
    demand(wish.kind == OrderType::Market, "notional orders must be market orders")?;
    demand(money.value() >= Decimal::ONE, "notional amount must be >= 1.00")
}

/// Exits stand on the right sides of the price that the order itself stands for, a cent away at least.
fn class(wish: &OrderWish, book: Option<&Book>) -> Verdict {
    let (profit, loss) = exits(wish.class);
    if profit.is_none() && loss.is_none() {
        return Ok(());
    }
    let oco = matches!(wish.class, OrderClass::Oco { .. });
    demand(!oco || matches!(wish.kind, OrderType::Limit { .. }), "oco orders must be limit orders")?;
    let sign = |price: Decimal| if (wish.side == Side::Buy) != oco { price } else { -price };
    if let (Some(profit), Some(loss)) = (profit, loss) {
        demand(sign(profit.limit.value()) > sign(loss.stop.value()), "take_profit.limit_price must be beyond stop_loss.stop_price")?;
    }
    let current = book.map(|book| if wish.side == Side::Buy { book.ask } else { book.bid }).filter(|price| !price.is_zero());
    let own = wish.kind.limit().or(wish.kind.stop()).map(OrderPrice::value);
    let Some(base) = own.or(current) else { return Ok(()) };
    let words = |field: &str, wins: bool| {
        let above = wins == ((wish.side == Side::Buy) != oco);
        let (relation, shift) = if above { (">=", "+") } else { ("<=", "-") };
        Refusal::unprocessable(format!("{field} must be {relation} base_price {shift} 0.01")).with("base_price", plain(base))
    };
    if profit.is_some_and(|profit| sign(profit.limit.value()) < sign(base) + CENT) {
        return Err(words("take_profit.limit_price", true));
    }
    if loss.is_some_and(|loss| sign(loss.stop.value()) > sign(base) - CENT) {
        return Err(words("stop_loss.stop_price", false));
    }
    Ok(())
}

/// What the order will cost at least has to be worth the trouble.
pub(super) fn cost_of_pair(wish: &OrderWish, asset: &Asset, book: Option<&Book>) -> Verdict {
    let displayed = || book.map(|book| if wish.side == Side::Buy { book.ask } else { book.bid });
    let price = wish.kind.limit().map(OrderPrice::value).or_else(displayed);
    let cost = match (wish.size, price) {
        (Size::Notional(money), _) => money.value(),
        (Size::Quantity(quantity), Some(price)) => quantity.value().saturating_mul(price),
        _ => return Ok(()),
    };
    if !asset.pair || cost >= MIN_COST_OF_PAIR {
        return Ok(());
    }
    let refusal = Refusal::forbidden(format!("cost basis must be >= minimal amount of order {MIN_COST_OF_PAIR}"));
    Err(refusal.with("cost_basis", plain(cost)).with("minimal_amount", plain(MIN_COST_OF_PAIR)))
}

/// What an order is for where so many units are held, as the venue sees it.
pub(super) fn intent(side: Side, held: Decimal) -> PositionIntent {
    match side {
        Side::Buy if held < Decimal::ZERO => PositionIntent::BuyToClose,
        Side::Buy => PositionIntent::BuyToOpen,
        Side::Sell if held > Decimal::ZERO => PositionIntent::SellToClose,
        Side::Sell => PositionIntent::SellToOpen,
    }
}
