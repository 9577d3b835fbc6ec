//! The fields of an order and of a change of one, and which of them belong together.
//!
//! Numbers may come as texts or as JSON numbers and are read as decimals from their own digits. Must not know the other
//! fields of a command.

use super::{Wire, given, needed, number};
use crate::model::{
    ClientOrderId, Exit, Modification, OrderClass, OrderPrice, OrderRequest, OrderType, Quantity, Side, Size, StopLoss, TakeProfit, TimeInForce, Trail,
};

impl Wire<'_> {
    pub(super) fn request(&self) -> Result<OrderRequest, String> {
        let size = match (number::<Quantity>("qty", self.qty)?, number("notional", self.notional)?) {
            (Some(quantity), None) => Size::Quantity(quantity),
            (None, Some(money)) => Size::Notional(money),
            (None, None) => return Err("qty or notional is missing".to_owned()),
            (Some(_), Some(_)) => return Err("qty and notional are both given; one of them is enough".to_owned()),
        };
        Ok(OrderRequest {
            client_order_id: self.client_order_id()?,
            symbol: needed("symbol", self.symbol().transpose()?)?,
            side: self.side()?,
            size,
            kind: self.kind()?,
            time_in_force: self.time_in_force()?.unwrap_or(TimeInForce::Day),
            extended_hours: self.extended_hours.unwrap_or_default(),
            class: self.class()?,
        })
    }

    fn side(&self) -> Result<Side, String> {
        match given(&self.side) {
            Some("buy") => Ok(Side::Buy),
            Some("sell") => Ok(Side::Sell),
            _ => Err("side is neither buy nor sell".to_owned()),
        }
    }

    fn kind(&self) -> Result<OrderType, String> {
        let limit = number::<OrderPrice>("limit_price", self.limit_price)?;
        let stop = number::<OrderPrice>("stop_price", self.stop_price)?;
        let trail = match (number("trail_price", self.trail_price)?, number("trail_percent", self.trail_percent)?) {
            (Some(price), None) => Some(Trail::Price(price)),
            (None, Some(percent)) => Some(Trail::Percent(percent)),
            (None, None) => None,
            (Some(_), Some(_)) => return Err("trail_price and trail_percent are both given; one of them is enough".to_owned()),
        };
        let word = match given(&self.r#type) {
            Some(word) => word,
            None => match (trail.is_some(), stop.is_some(), limit.is_some()) {
                (true, ..) => "trailing_stop",
                (_, true, true) => "stop_limit",
                (_, true, false) => "stop",
                (_, _, true) => "limit",
                _ => "market",
            },
        };
        let unused = |field: &str| Err(format!("{field} does not belong to a {word} order"));
        match (word, limit, stop, trail) {
            ("market", None, None, None) => Ok(OrderType::Market),
            ("limit", Some(limit), None, None) => Ok(OrderType::Limit { limit }),
            ("stop", None, Some(stop), None) => Ok(OrderType::Stop { stop }),
            ("stop_limit", Some(limit), Some(stop), None) => Ok(OrderType::StopLimit { stop, limit }),
            ("trailing_stop", None, None, Some(trail)) => Ok(OrderType::TrailingStop { trail }),
            ("limit" | "stop_limit", None, ..) => Err("limit_price is missing".to_owned()),
            ("stop" | "stop_limit", _, None, _) => Err("stop_price is missing".to_owned()),
            ("trailing_stop", _, _, None) => Err("trail_price or trail_percent is missing".to_owned()),
            ("market" | "limit" | "stop" | "stop_limit", _, _, Some(_)) => unused("a trail"),
            ("market" | "stop" | "trailing_stop", Some(_), ..) => unused("limit_price"),
            ("market" | "limit" | "trailing_stop", _, Some(_), _) => unused("stop_price"),
            _ => Err("type is none of market, limit, stop, stop_limit, trailing_stop".to_owned()),
        }
    }

    fn time_in_force(&self) -> Result<Option<TimeInForce>, String> {
        let Some(word) = given(&self.time_in_force) else { return Ok(None) };
        let known = TimeInForce::ALL.into_iter().find(|known| known.as_str() == word);
        known.map(Some).ok_or_else(|| format!("time_in_force is none of {}", TimeInForce::ALL.map(TimeInForce::as_str).join(", ")))
    }

    fn class(&self) -> Result<OrderClass, String> {
        let profit = match &self.take_profit {
            Some(exit) => Some(TakeProfit { limit: needed("take_profit.limit_price", number("take_profit.limit_price", exit.limit_price)?)? }),
            None => None,
        };
        let loss = match &self.stop_loss {
            Some(exit) => Some(StopLoss {
                stop: needed("stop_loss.stop_price", number("stop_loss.stop_price", exit.stop_price)?)?,
                limit: number("stop_loss.limit_price", exit.limit_price)?,
            }),
            None => None,
        };
        match (given(&self.order_class).unwrap_or("simple"), profit, loss) {
            ("simple", None, None) => Ok(OrderClass::Simple),
            ("simple", ..) => Err("take_profit and stop_loss need the order_class bracket, oco or oto".to_owned()),
            ("bracket", Some(profit), Some(loss)) => Ok(OrderClass::Bracket { profit, loss }),
            ("bracket", ..) => Err("a bracket needs take_profit and stop_loss".to_owned()),
            ("oco", None, Some(loss)) => Ok(OrderClass::Oco { loss }),
            ("oco", ..) => Err("an oco order is the profit side itself, a limit order, and needs stop_loss alone".to_owned()),
            ("oto", Some(profit), None) => Ok(OrderClass::Oto { exit: Exit::Profit(profit) }),
            ("oto", None, Some(loss)) => Ok(OrderClass::Oto { exit: Exit::Loss(loss) }),
            ("oto", ..) => Err("an oto order needs take_profit or stop_loss, one of them".to_owned()),
            _ => Err("order_class is none of simple, bracket, oco, oto".to_owned()),
        }
    }

    pub(super) fn change(&self) -> Result<Modification, String> {
        let trail = number::<OrderPrice>("trail", self.trail)?.map(OrderPrice::value);
        let change = Modification {
            quantity: number("qty", self.qty)?,
            limit: number("limit_price", self.limit_price)?,
            stop: number("stop_price", self.stop_price)?,
            trail,
            time_in_force: self.time_in_force()?,
            client_order_id: given(&self.new_client_order_id).map(ClientOrderId::of_bot).transpose().map_err(|e| format!("new_client_order_id: {e}"))?,
        };
        let nothing = Modification { client_order_id: change.client_order_id.clone(), ..Modification::default() };
        if change == nothing { Err("nothing is to be changed: give qty, limit_price, stop_price, trail or time_in_force".to_owned()) } else { Ok(change) }
    }
}
