//! Which orders are well formed, whatever the market shows and the account holds.
//!
//! Must not know prices, positions or money.

use rust_decimal::Decimal;

use super::instrument::Instrument;
use super::refusal::Refusal;
use super::settings::EngineSettings;
use crate::model::{Exit, OrderClass, OrderPrice, OrderRequest, OrderType, Size, StopLoss, TimeInForce, Trail};

/// Exits lie at least so far from the price that they protect.
const EXIT_DISTANCE: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

pub(super) fn check(request: &OrderRequest, instrument: &Instrument, settings: &EngineSettings) -> Result<(), Refusal> {
    let time = request.time_in_force;
    if !instrument.takes(time) {
        return Err(Refusal::form(format!("orders for {} are gtc or ioc, not {}", instrument.symbol, time.as_str())));
    }
    check_prices(request, instrument)?;
    check_size(request, instrument)?;
    if request.extended_hours {
        check_extended(request, settings)?;
    }
    check_kind(request)?;
    check_class(request, instrument)
}

fn check_prices(request: &OrderRequest, instrument: &Instrument) -> Result<(), Refusal> {
    let (profit, loss) = exits(&request.class);
    let prices = [
        ("limit_price", request.kind.limit()),
        ("stop_price", request.kind.stop()),
        ("take_profit.limit_price", profit),
        ("stop_loss.stop_price", loss.map(|loss| loss.stop)),
        ("stop_loss.limit_price", loss.and_then(|loss| loss.limit)),
    ];
    for (field, price) in prices.into_iter().filter_map(|(field, price)| Some((field, price?.value()))) {
        if price.scale() > instrument.order_decimals(price) {
            return Err(Refusal::PriceIncrement { field, price });
        }
    }
    Ok(())
}

fn check_size(request: &OrderRequest, instrument: &Instrument) -> Result<(), Refusal> {
    let refuse = |text: &str| Err(Refusal::FractionalRule(text.to_owned()));
    let fractional = match request.size {
        Size::Quantity(quantity) => !quantity.value().fract().is_zero(),
        Size::Notional(money) => {
            if request.kind != OrderType::Market {
                return refuse("orders by money are market orders");
            }
            if money.value() < Decimal::ONE {
                return refuse("an order by money is worth at least 1");
            }
            true
        }
    };
    if !fractional {
        return Ok(());
    }
    if !instrument.fractionable {
        return refuse("this is not traded in fractions");
    }
    if request.class != OrderClass::Simple {
        return refuse("fractional orders are simple orders");
    }
    if instrument.is_equity() && request.time_in_force != TimeInForce::Day {
        return refuse("fractional orders are day orders");
    }
    if instrument.is_equity() && matches!(request.kind, OrderType::TrailingStop { .. }) {
        return refuse("trailing stops are for whole units");
    }
    Ok(())
}

fn check_extended(request: &OrderRequest, settings: &EngineSettings) -> Result<(), Refusal> {
    if !settings.extended_hours {
        return Err(Refusal::form("nothing is traded in extended hours here"));
    }
    let lasting = matches!(request.time_in_force, TimeInForce::Day | TimeInForce::Gtc);
    let simple_limit = matches!(request.kind, OrderType::Limit { .. }) && request.class == OrderClass::Simple;
    if lasting && simple_limit { Ok(()) } else { Err(Refusal::form("orders for extended hours are simple limit orders, day or gtc")) }
}

fn check_kind(request: &OrderRequest) -> Result<(), Refusal> {
    let lasting = matches!(request.time_in_force, TimeInForce::Day | TimeInForce::Gtc);
    let plain = matches!(request.kind, OrderType::Market | OrderType::Limit { .. });
    if !lasting && !plain {
        return Err(Refusal::form(format!("a {} order cannot be {}", request.kind.as_str(), request.time_in_force.as_str())));
    }
    if !lasting && request.class != OrderClass::Simple {
        return Err(Refusal::form(format!("a {} order is day or gtc", request.class.as_str())));
    }
    if let OrderType::TrailingStop { trail } = request.kind {
        if request.class != OrderClass::Simple {
            return Err(Refusal::form("a trailing stop is a simple order"));
        }
        if matches!(trail, Trail::Percent(percent) if percent.value() >= Decimal::ONE_HUNDRED) {
            return Err(Refusal::form("a trailing stop keeps less than 100 percent away"));
        }
    }
    Ok(())
}

fn check_class(request: &OrderRequest, instrument: &Instrument) -> Result<(), Refusal> {
    if request.class == OrderClass::Simple {
        return Ok(());
    }
    if !instrument.is_equity() {
        return Err(Refusal::form("orders for pairs are simple orders"));
    }
    if matches!(request.class, OrderClass::Oco { .. }) && !matches!(request.kind, OrderType::Limit { .. }) {
        return Err(Refusal::form("an oco order is a limit order"));
    }
    Ok(())
}

/// The limit of the winning exit and the losing exit that an order brings; of an OCO order the winning one is itself.
pub(super) fn exits(class: &OrderClass) -> (Option<OrderPrice>, Option<StopLoss>) {
    match *class {
        OrderClass::Simple => (None, None),
        OrderClass::Bracket { profit, loss } => (Some(profit.limit), Some(loss)),
        OrderClass::Oco { loss } => (None, Some(loss)),
        OrderClass::Oto { exit: Exit::Profit(profit) } => (Some(profit.limit), None),
        OrderClass::Oto { exit: Exit::Loss(loss) } => (None, Some(loss)),
    }
}

/// Whether the exits lie on their sides of the price at which the position is entered, or of `market` where the order
/// names none.
pub(super) fn check_exits(request: &OrderRequest, market: Option<Decimal>) -> Result<(), Refusal> {
    let (profit, loss) = exits(&request.class);
    let limit = request.kind.limit().map(OrderPrice::value);
    let oco = matches!(request.class, OrderClass::Oco { .. });
    let exit_side = if oco { request.side } else { request.side.opposite() };
    let profit = if oco { limit } else { profit.map(OrderPrice::value) };
    let stop = loss.map(|loss| loss.stop.value());
    let base = if oco { market } else { limit.or_else(|| request.kind.stop().map(OrderPrice::value)).or(market) };
    // Selling exits win above and lose below, buying ones the other way round.
    let apart = |better: Option<Decimal>, worse: Option<Decimal>, text: &str| match (better, worse) {
        (Some(better), Some(worse)) if exit_side.opposite().signed(better - worse) < EXIT_DISTANCE => Err(Refusal::form(text)),
        _ => Ok(()),
    };
    apart(profit, stop, "take_profit.limit_price must lie beyond stop_loss.stop_price, on the winning side")?;
    apart(base, stop, "stop_loss.stop_price must lie at least 0.01 on the losing side of the price")?;
    if !oco {
        apart(profit, base, "take_profit.limit_price must lie at least 0.01 on the winning side of the price")?;
    }
    Ok(())
}
