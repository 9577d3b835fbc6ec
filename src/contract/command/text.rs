//! Commands written in one form whatever their sender's spelling, so that the same again is told by its text.
//!
//! [`parse_command`](super::parse_command) reads them back. Must not know brokers.

use serde::Serialize;

use super::decimal_text;
use crate::events::OrderKey;
use crate::model::{
    ClientOrderId, ExchangeName, Exit, Modification, OrderClass, OrderPrice, OrderRequest, OrderType, Size, StopLoss, Symbol, TakeProfit, Trail,
};

/// Whom a command is for.
#[derive(Debug, Clone, Copy)]
pub struct CommandFor<'a> {
    pub exchange: &'a ExchangeName,
    pub account: &'a str,
}

#[derive(Serialize, Default)]
struct Written<'a> {
    action: &'a str,
    exchange: &'a str,
    account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_order_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_client_order_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbol: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qty: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notional: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trail_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trail_percent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_in_force: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extended_hours: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_class: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    take_profit: Option<WrittenExit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_loss: Option<WrittenExit>,
}

#[derive(Serialize, Default)]
struct WrittenExit {
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_price: Option<String>,
}

/// An order that is to be placed.
pub fn write_place(to: CommandFor<'_>, request: &OrderRequest) -> String {
    let (qty, notional) = match request.size {
        Size::Quantity(quantity) => (Some(quantity.to_string()), None),
        Size::Notional(money) => (None, Some(money.to_string())),
    };
    let (trail_price, trail_percent) = match request.kind {
        OrderType::TrailingStop { trail: Trail::Price(price) } => (Some(price.to_string()), None),
        OrderType::TrailingStop { trail: Trail::Percent(percent) } => (None, Some(percent.to_string())),
        _ => (None, None),
    };
    let (take_profit, stop_loss) = match request.class {
        OrderClass::Simple => (None, None),
        OrderClass::Bracket { profit, loss } => (Some(profit_of(profit)), Some(loss_of(loss))),
        OrderClass::Oco { loss } | OrderClass::Oto { exit: Exit::Loss(loss) } => (None, Some(loss_of(loss))),
        OrderClass::Oto { exit: Exit::Profit(profit) } => (Some(profit_of(profit)), None),
    };
    text(&Written {
        client_order_id: Some(request.client_order_id.as_str()),
        symbol: Some(request.symbol.as_str()),
        side: Some(request.side.as_str()),
        kind: Some(request.kind.as_str()),
        qty,
        notional,
        limit_price: price(request.kind.limit()),
        stop_price: price(request.kind.stop()),
        trail_price,
        trail_percent,
        time_in_force: Some(request.time_in_force.as_str()),
        extended_hours: Some(request.extended_hours),
        order_class: Some(request.class.as_str()),
        take_profit,
        stop_loss,
        ..Written::of("place", to)
    })
}

/// A position that is to be closed.
pub fn write_close(to: CommandFor<'_>, id: &ClientOrderId, symbol: &Symbol) -> String {
    text(&Written { client_order_id: Some(id.as_str()), symbol: Some(symbol.as_str()), ..Written::of("close_position", to) })
}

/// A change of an order.
pub fn write_modify(to: CommandFor<'_>, order: &OrderKey, change: &Modification) -> String {
    let (order_id, client_order_id) = match order {
        OrderKey::Venue(id) => (Some(id.as_str()), None),
        OrderKey::Client(id) => (None, Some(id.as_str())),
    };
    text(&Written {
        order_id,
        client_order_id,
        new_client_order_id: change.client_order_id.as_ref().map(ClientOrderId::as_str),
        qty: change.quantity.map(|quantity| quantity.to_string()),
        limit_price: price(change.limit),
        stop_price: price(change.stop),
        trail: change.trail.map(decimal_text),
        time_in_force: change.time_in_force.map(|time| time.as_str()),
        ..Written::of("modify", to)
    })
}

impl<'a> Written<'a> {
    fn of(action: &'a str, to: CommandFor<'a>) -> Written<'a> {
        Written { action, exchange: to.exchange.as_str(), account: to.account, ..Written::default() }
    }
}

fn price(price: Option<OrderPrice>) -> Option<String> {
    price.map(|price| price.to_string())
}

fn profit_of(profit: TakeProfit) -> WrittenExit {
    WrittenExit { limit_price: Some(profit.limit.to_string()), ..WrittenExit::default() }
}

fn loss_of(loss: StopLoss) -> WrittenExit {
    WrittenExit { stop_price: Some(loss.stop.to_string()), limit_price: price(loss.limit) }
}

fn text(written: &Written<'_>) -> String {
    // A struct of texts always serialises.
    serde_json::to_string(written).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Wish, parse_command};
    use crate::events::Command;

    fn written(command: &str) -> (Command, String) {
        let command = parse_command(command.as_bytes()).unwrap();
        let exchange = "alpaca".parse().unwrap();
        let to = CommandFor { exchange: &exchange, account: "paper" };
        let Wish::Order(wish) = command.wish else { panic!("no order") };
        let text = match &wish {
            Command::Place(request) => write_place(to, request),
            Command::Modify { order, change } => write_modify(to, order, change),
            Command::ClosePosition { client_order_id, symbol } => write_close(to, client_order_id, symbol),
            other => panic!("{other:?}"),
        };
        (wish, text)
    }

    #[test]
    fn what_is_written_is_read_back_and_is_one_form() {
        let place = r#""action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy""#;
        for fields in [
            format!(r#"{place},"qty":"10.50","limit_price":150.10"#),
            format!(r#"{place},"notional":100,"time_in_force":"ioc","extended_hours":true"#),
            format!(r#"{place},"qty":1,"stop_price":"9","limit_price":"10""#),
            format!(r#"{place},"qty":1,"trail_percent":"2.5""#),
            format!(r#"{place},"qty":1,"trail_price":"2.5""#),
            format!(r#"{place},"qty":1,"order_class":"bracket","take_profit":{{"limit_price":"3"}},"stop_loss":{{"stop_price":"1","limit_price":"0.9"}}"#),
            format!(r#"{place},"qty":1,"limit_price":"3","order_class":"oco","stop_loss":{{"stop_price":"1"}}"#),
            format!(r#"{place},"qty":1,"order_class":"oto","take_profit":{{"limit_price":"3"}}"#),
            format!(r#"{place},"qty":1,"order_class":"oto","stop_loss":{{"stop_price":"3"}}"#),
            r#""action":"modify","client_order_id":"b-1","qty":"2","limit_price":"3","trail":"0.5","time_in_force":"gtc","new_client_order_id":"b-2""#
                .to_owned(),
            r#""action":"modify","order_id":"v1","stop_price":"3""#.to_owned(),
            r#""action":"close_position","client_order_id":"b-1","symbol":"BTC/USD""#.to_owned(),
        ] {
            let (wish, text) = written(&format!("{{{fields}}}"));
            assert_eq!(written(&text), (wish, text.clone()), "{text}");
        }
    }

    #[test]
    fn the_same_in_another_spelling_is_the_same_text() {
        let one = written(r#"{"action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy","qty":1e1,"limit_price":"150.00"}"#);
        let other = written(
            r#"{"limit_price":150,"time_in_force":"day","action":"place","type":"limit","qty":"10","side":"buy","symbol":"AAPL","client_order_id":"b-1"}"#,
        );
        assert_eq!(one, other);
    }
}
