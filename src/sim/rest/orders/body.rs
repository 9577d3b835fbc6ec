//! Reading what a client asks: a new order, or a change of one.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::body::{decode, given, number, refuse};
use crate::model::{
    ClientOrderId, Exit, Modification, OrderClass, OrderPrice, OrderType, PositionIntent, Side, Size, StopLoss, TakeProfit, TimeInForce, Trail,
};
use crate::sim::exchange::{OrderWish, Refusal};

const MAX_CLIENT_ID: usize = 128;

#[derive(Deserialize)]
struct PlaceBody<'a> {
    symbol: Option<String>,
    #[serde(borrow)]
    qty: Option<&'a RawValue>,
    #[serde(borrow)]
    notional: Option<&'a RawValue>,
    side: Option<String>,
    r#type: Option<String>,
    time_in_force: Option<String>,
    #[serde(borrow)]
    limit_price: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_price: Option<&'a RawValue>,
    #[serde(borrow)]
    trail_price: Option<&'a RawValue>,
    #[serde(borrow)]
    trail_percent: Option<&'a RawValue>,
    extended_hours: Option<bool>,
    client_order_id: Option<String>,
    order_class: Option<String>,
    #[serde(borrow)]
    take_profit: Option<ProfitBody<'a>>,
    #[serde(borrow)]
    stop_loss: Option<LossBody<'a>>,
    position_intent: Option<String>,
}

#[derive(Deserialize)]
struct ProfitBody<'a> {
    #[serde(borrow)]
    limit_price: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct LossBody<'a> {
    #[serde(borrow)]
    stop_price: Option<&'a RawValue>,
    #[serde(borrow)]
    limit_price: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ReplaceBody<'a> {
    #[serde(borrow)]
    qty: Option<&'a RawValue>,
    time_in_force: Option<String>,
    #[serde(borrow)]
    limit_price: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_price: Option<&'a RawValue>,
    #[serde(borrow)]
    trail: Option<&'a RawValue>,
    client_order_id: Option<String>,
}

/// The prices and distances that a body names.
struct Prices {
    limit: Option<OrderPrice>,
    stop: Option<OrderPrice>,
    trail: Option<Trail>,
}

/// The exits that a body names.
struct Exits {
    profit: Option<TakeProfit>,
    loss: Option<StopLoss>,
}

pub(super) fn place(body: &[u8]) -> Result<OrderWish, Refusal> {
    let body: PlaceBody<'_> = decode(body)?;
    let class = given(body.order_class).unwrap_or_else(|| "simple".to_owned());
    if class == "mleg" {
        return Err(refuse("order_class mleg is not supported: no options are traded here"));
    }
    let size = match (number("qty", body.qty)?, number("notional", body.notional)?) {
        (Some(quantity), None) => Size::Quantity(quantity),
        (None, Some(notional)) => Size::Notional(notional),
        (None, None) => return Err(Refusal::new(422, 40_010_001, "qty or notional is required")),
        (Some(_), Some(_)) => return Err(Refusal::new(422, 40_010_001, "only one of qty or notional is accepted")),
    };
    let side = match body.side.as_deref() {
        Some("buy") => Side::Buy,
        Some("sell") => Side::Sell,
        _ => return Err(refuse("side must be buy or sell")),
    };
    let trail = match (number("trail_price", body.trail_price)?, number("trail_percent", body.trail_percent)?) {
        (Some(price), None) => Some(Trail::Price(price)),
        (None, Some(percent)) => Some(Trail::Percent(percent)),
        (None, None) => None,
        (Some(_), Some(_)) => return Err(refuse("only one of trail_price or trail_percent is accepted")),
    };
    let exits = exits(body.take_profit, body.stop_loss)?;
    let mut prices = Prices { limit: number("limit_price", body.limit_price)?, stop: number("stop_price", body.stop_price)?, trail };
    let class = class_of(&class, &exits, &mut prices)?;
    Ok(OrderWish {
        symbol: given(body.symbol).ok_or_else(|| refuse("symbol is required"))?,
        side,
        size,
        kind: kind_of(body.r#type.as_deref(), &prices)?,
        time_in_force: time_in_force(body.time_in_force)?.ok_or_else(|| refuse("time_in_force is required"))?,
        extended_hours: body.extended_hours.unwrap_or_default(),
        class,
        client_order_id: client_order_id(body.client_order_id)?,
        intent: given(body.position_intent).map(intent).transpose()?,
    })
}

pub(super) fn replace(body: &[u8]) -> Result<Modification, Refusal> {
    let body: ReplaceBody<'_> = decode(body)?;
    let trail = number::<OrderPrice>("trail", body.trail)?;
    Ok(Modification {
        quantity: number("qty", body.qty)?,
        limit: number("limit_price", body.limit_price)?,
        stop: number("stop_price", body.stop_price)?,
        trail: trail.map(OrderPrice::value),
        time_in_force: time_in_force(body.time_in_force)?,
        client_order_id: client_order_id(body.client_order_id)?,
    })
}

fn exits(profit: Option<ProfitBody<'_>>, loss: Option<LossBody<'_>>) -> Result<Exits, Refusal> {
    let profit = profit.map(|profit| number("take_profit.limit_price", profit.limit_price)).transpose()?.flatten();
    let loss = match loss {
        Some(body) => {
            let (stop, limit) = (number("stop_loss.stop_price", body.stop_price)?, number("stop_loss.limit_price", body.limit_price)?);
            match stop {
                Some(stop) => Some(StopLoss { stop, limit }),
                None if limit.is_some() => return Err(refuse("stop_loss.stop_price is required")),
                None => None,
            }
        }
        None => None,
    };
    Ok(Exits { profit: profit.map(|limit| TakeProfit { limit }), loss })
}

fn class_of(name: &str, exits: &Exits, prices: &mut Prices) -> Result<OrderClass, Refusal> {
    match (name, exits.profit, exits.loss) {
        ("simple", None, None) => Ok(OrderClass::Simple),
        ("simple", ..) => Err(refuse("take_profit and stop_loss need order_class bracket, oco or oto")),
        ("bracket", Some(profit), Some(loss)) => Ok(OrderClass::Bracket { profit, loss }),
        ("bracket", ..) => Err(refuse("bracket orders require take_profit.limit_price and stop_loss.stop_price")),
        ("oco", profit, Some(loss)) => {
            // The order itself is the winning exit, and its price may stand in either place.
            prices.limit = match (profit.map(|profit| profit.limit), prices.limit) {
                (Some(exit), Some(own)) if exit != own => return Err(refuse("limit_price and take_profit.limit_price of an oco order must be the same")),
                (exit, own) => Some(exit.or(own).ok_or_else(|| refuse("oco orders require take_profit.limit_price and stop_loss.stop_price"))?),
            };
            Ok(OrderClass::Oco { loss })
        }
        ("oco", ..) => Err(refuse("oco orders require take_profit.limit_price and stop_loss.stop_price")),
        ("oto", Some(profit), None) => Ok(OrderClass::Oto { exit: Exit::Profit(profit) }),
        ("oto", None, Some(loss)) => Ok(OrderClass::Oto { exit: Exit::Loss(loss) }),
        ("oto", ..) => Err(refuse("oto orders require either take_profit or stop_loss")),
        _ => Err(refuse("order_class must be simple, bracket, oco or oto")),
    }
}

fn kind_of(name: Option<&str>, prices: &Prices) -> Result<OrderType, Refusal> {
    let name = name.unwrap_or_default();
    if prices.trail.is_some() && name != "trailing_stop" {
        return Err(refuse("trail_price and trail_percent are for trailing_stop orders only"));
    }
    match (name, prices.limit, prices.stop) {
        ("market", None, None) => Ok(OrderType::Market),
        ("market", ..) => Err(refuse("market orders require no limit or stop price")),
        ("limit", Some(limit), None) => Ok(OrderType::Limit { limit }),
        ("limit", Some(_), Some(_)) => Err(refuse("limit orders require no stop price")),
        ("limit", ..) => Err(refuse("limit orders require limit price")),
        ("stop", None, Some(stop)) => Ok(OrderType::Stop { stop }),
        ("stop", Some(_), Some(_)) => Err(refuse("stop orders require no limit price")),
        ("stop", ..) => Err(refuse("stop orders require stop price")),
        ("stop_limit", Some(limit), Some(stop)) => Ok(OrderType::StopLimit { stop, limit }),
        ("stop_limit", ..) => Err(refuse("stop limit orders require both stop and limit price")),
        ("trailing_stop", None, None) => {
            let trail = prices.trail.ok_or_else(|| refuse("trailing stop orders require either trail_price or trail_percent"))?;
            Ok(OrderType::TrailingStop { trail })
        }
        ("trailing_stop", ..) => Err(refuse("trailing stop orders require no limit or stop price")),
        _ => Err(refuse("type must be market, limit, stop, stop_limit or trailing_stop")),
    }
}

fn time_in_force(text: Option<String>) -> Result<Option<TimeInForce>, Refusal> {
    let Some(name) = given(text) else { return Ok(None) };
    let known = TimeInForce::ALL.into_iter().find(|known| known.as_str() == name);
    known.map(Some).ok_or_else(|| refuse("time_in_force must be day, gtc, opg, cls, ioc or fok"))
}

fn intent(name: String) -> Result<PositionIntent, Refusal> {
    let all = [PositionIntent::BuyToOpen, PositionIntent::BuyToClose, PositionIntent::SellToOpen, PositionIntent::SellToClose];
    all.into_iter()
        .find(|known| known.as_str() == name)
        .ok_or_else(|| refuse("position_intent must be buy_to_open, buy_to_close, sell_to_open or sell_to_close"))
}

fn client_order_id(text: Option<String>) -> Result<Option<ClientOrderId>, Refusal> {
    let Some(text) = given(text) else { return Ok(None) };
    if text.chars().count() > MAX_CLIENT_ID {
        return Err(refuse(format!("client_order_id must be no more than {MAX_CLIENT_ID} characters")));
    }
    text.parse().map(Some).map_err(|_| refuse("client_order_id must be visible ASCII characters"))
}
