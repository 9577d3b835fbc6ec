//! Assets and the clock, as the venue writes them.

use jiff::civil::Time;
use jiff::{ToSpan, Zoned, tz::TimeZone};
use serde_json::json;

use super::Response;
use crate::model::Timestamp;
use crate::sim::exchange::{Exchange, Refusal};

const MARKET_ZONE: &str = "America/New_York";

pub(super) fn asset(exchange: &Exchange, symbol: &str) -> Result<Response, Refusal> {
    let asset = exchange.asset(symbol).ok_or_else(|| Refusal::not_found(format!("asset not found for {symbol}")))?;
    let mut value = json!({
        "id": asset.id, "class": asset.class(), "exchange": asset.exchange(), "symbol": asset.symbol.as_str(), "name": format!("{} (simulated)", asset.symbol),
        "status": "active", "tradable": true, "marginable": !asset.pair, "shortable": !asset.pair, "easy_to_borrow": !asset.pair,
        "borrow_status": if asset.pair { "hard_to_borrow" } else { "easy_to_borrow" }, "fractionable": true,
        "maintenance_margin_requirement": if asset.pair { 100 } else { 30 }, "margin_requirement_long": "30", "margin_requirement_short": "30",
        "attributes": [], "cusip": null,
    });
    if asset.pair {
        value["min_order_size"] = "0.0001".into();
        value["min_trade_increment"] = "0.0001".into();
        value["price_increment"] = "0.01".into();
    }
    Ok(Response::json(200, &value))
}

/// Always open; the next close and opening are those of the coming session.
pub(super) fn clock(now: Timestamp) -> Result<Response, Refusal> {
    let broken = |_| Refusal::new(500, 50_010_000, "the time zone of the market is unknown");
    let zone = TimeZone::get(MARKET_ZONE).map_err(broken)?;
    let now = jiff::Timestamp::from_nanosecond(i128::from(now.nanos())).map_err(broken)?.to_zoned(zone);
    let close = next(&now, Time::constant(16, 0, 0, 0)).map_err(broken)?;
    let open = next(&close, Time::constant(9, 30, 0, 0)).map_err(broken)?;
    let text = |at: &Zoned| at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    let exact = now.strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string();
    Ok(Response::json(200, &json!({"timestamp": exact, "is_open": true, "next_open": text(&open), "next_close": text(&close)})))
}

/// The first such time of a weekday after `from`.
fn next(from: &Zoned, time: Time) -> Result<Zoned, jiff::Error> {
    let mut at = from.with().time(time).build()?;
    while at <= *from || at.weekday().to_monday_one_offset() > 5 {
        at = at.checked_add(1.day())?;
    }
    Ok(at)
}
