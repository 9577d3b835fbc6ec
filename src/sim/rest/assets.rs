//! What is traded, as the venue writes it.

use serde_json::{Value, json};

use super::{Request, Response};
use crate::sim::exchange::{Asset, Exchange, Refusal};
use crate::sim::market::MarketData;

const STOCK_ATTRIBUTES: [&str; 2] = ["fractional_eh_enabled", "overnight_tradable"];
const CLASSES: [&str; 3] = ["us_equity", "crypto", "us_option"];

/// The assets that the filters let through, in the order of their symbols.
pub(super) fn list(exchange: &Exchange, market: &MarketData, request: &Request<'_>) -> Result<Response, Refusal> {
    let class = request.query("asset_class");
    if let Some(unknown) = class.filter(|class| !CLASSES.contains(class)) {
        return Err(Refusal::new(422, 42_210_000, format!("invalid asset_class: {unknown}")));
    }
    let wanted: Option<Vec<&str>> = request.query("attributes").map(|names| names.split(',').collect());
    let fits = |asset: &&Asset| {
        let named = |name: &str, value: &str| request.query(name).is_none_or(|wanted| wanted.eq_ignore_ascii_case(value));
        let attributes = attributes(asset);
        named("status", "active")
            && named("exchange", asset.exchange())
            && class.is_none_or(|class| class == asset.class())
            && wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|name| attributes.contains(name)))
    };
    let mut symbols: Vec<&str> = market.symbols().collect();
    symbols.sort_unstable();
    let found = symbols.into_iter().filter_map(|symbol| exchange.asset(symbol)).filter(fits).map(view);
    Ok(Response::json(200, &found.collect()))
}

/// One, by its symbol or id.
pub(super) fn one(exchange: &Exchange, name: &str) -> Result<Response, Refusal> {
    let asset = exchange.asset(name).ok_or_else(|| Refusal::new(404, 40_410_000, format!("asset not found for {name}")))?;
    Ok(Response::json(200, &view(asset)))
}

fn attributes(asset: &Asset) -> &'static [&'static str] {
    if asset.pair { &[] } else { &STOCK_ATTRIBUTES }
}

fn view(asset: &Asset) -> Value {
    let margin = if asset.pair { "100" } else { "30" };
    let mut value = json!({
        "id": asset.id, "class": asset.class(), "exchange": asset.exchange(), "symbol": asset.symbol.as_str(),
        "name": format!("{} (simulated)", asset.symbol), "status": "active", "tradable": true, "marginable": !asset.pair, "shortable": !asset.pair,
        "easy_to_borrow": !asset.pair, "borrow_status": if asset.pair { "hard_to_borrow" } else { "easy_to_borrow" }, "fractionable": true,
        "maintenance_margin_requirement": if asset.pair { 100 } else { 30 }, "margin_requirement_long": margin, "margin_requirement_short": margin,
        "attributes": attributes(asset), "cusip": null,
    });
    if asset.pair {
        value["min_order_size"] = "0.0001".into();
        value["min_trade_increment"] = "0.0001".into();
        value["price_increment"] = "0.01".into();
    }
    value
}
