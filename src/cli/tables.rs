//! Answers of the desk as lines that a person reads.

use serde_json::Value;

use super::out::{Colour, Out};
use crate::observe::printable;

const MAX_TEXT: usize = 500;

/// The whole answer: what became of the command, then whatever was asked for.
pub fn of_answer(answer: &Value, out: &Out) -> Vec<String> {
    let result = text(&answer["result"]);
    let mut lines = Vec::new();
    let about = [text(&answer["action"]), text(&answer["client_order_id"])].into_iter().filter(|word| word != "-").collect::<Vec<_>>().join(" ");
    if result != "accepted" {
        lines.push(format!("{}  {about}: {}", out.paint(Colour::Bad, &result), text(&answer["reason"])));
        if let Some(key) = answer["config_key"].as_str().filter(|key| !key.is_empty()) {
            lines.push(format!("          the limit is configured as {}", printable(key, MAX_TEXT)));
        }
        return lines;
    }
    if let Some(order) = answer.get("order") {
        lines.push(format!("{}  {about}{}", out.paint(Colour::Good, "accepted"), if answer["repeated"] == true { " (placed before)" } else { "" }));
        lines.extend(table(&ORDERS, std::slice::from_ref(order)));
    } else if let Some((columns, rows, none)) = list_of(answer) {
        lines.extend(if rows.is_empty() { vec![none.to_owned()] } else { table(columns, rows) });
    } else if let Some(profit) = answer.get("profit") {
        lines.extend(profit_lines(profit));
    } else if let Some(compared) = answer.get("reconcile") {
        lines.extend(compared_lines(compared, out));
    } else if let Some(account) = answer.get("account") {
        lines.extend(account_lines(account));
    } else {
        lines.push(format!("{}  {about}", out.paint(Colour::Good, "accepted")));
    }
    if let Some(reason) = answer["reason"].as_str() {
        lines.push(out.paint(Colour::Warn, &printable(reason, MAX_TEXT)));
    }
    lines
}

/// A heading and the field under it.
type Column = (&'static str, &'static str);

const ORDERS: [Column; 11] = [
    ("SYMBOL", "symbol"),
    ("SIDE", "side"),
    ("QTY", "qty"),
    ("FILLED", "filled_qty"),
    ("AVERAGE", "filled_avg_price"),
    ("TYPE", "type"),
    ("LIMIT", "limit_price"),
    ("STOP", "stop_price"),
    ("TIF", "time_in_force"),
    ("STATUS", "status"),
    ("CLIENT ORDER ID", "client_order_id"),
];
const FILLS: [Column; 8] = [
    ("TIME", "timestamp"),
    ("SYMBOL", "symbol"),
    ("SIDE", "side"),
    ("QTY", "qty"),
    ("PRICE", "price"),
    ("FEES", "fees"),
    ("POSITION", "position_qty"),
    ("CLIENT ORDER ID", "client_order_id"),
];
const POSITIONS: [Column; 8] = [
    ("SYMBOL", "symbol"),
    ("QTY", "qty"),
    ("ENTRY", "avg_entry_price"),
    ("PRICE", "current_price"),
    ("VALUE", "market_value"),
    ("COST", "cost_basis"),
    ("UNREALISED", "unrealized_pl"),
    ("REALISED", "realized_pl"),
];
const CANCELED: [Column; 3] = [("CLIENT ORDER ID", "client_order_id"), ("ORDER ID", "order_id"), ("NOT CANCELLED BECAUSE", "reason")];

fn list_of(answer: &Value) -> Option<(&'static [Column], &[Value], &'static str)> {
    let list = |field: &str| answer[field].as_array().map(Vec::as_slice);
    let orders = list("orders").map(|rows| (&ORDERS[..], rows, "no open orders"));
    let fills = || list("fills").map(|rows| (&FILLS[..], rows, "no fills"));
    let positions = || list("positions").map(|rows| (&POSITIONS[..], rows, "no positions"));
    let canceled = || list("canceled").map(|rows| (&CANCELED[..], rows, "nothing was open"));
    orders.or_else(fills).or_else(positions).or_else(canceled)
}

fn table(columns: &[Column], rows: &[Value]) -> Vec<String> {
    let cells: Vec<Vec<String>> = rows.iter().map(|row| columns.iter().map(|(_, field)| text(&row[*field])).collect()).collect();
    let width = |at: usize| cells.iter().map(|row| row[at].chars().count()).chain([columns[at].0.len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let heading = line(columns.iter().map(|(name, _)| *name).collect());
    std::iter::once(heading).chain(cells.iter().map(|row| line(row.iter().map(String::as_str).collect()))).collect()
}

fn account_lines(account: &Value) -> Vec<String> {
    let currency = text(&account["currency"]);
    let field = |label: &str, name: &str| format!("{label:<16} {} {currency}", text(&account[name]));
    let mut lines = vec![format!("account          {}", text(&account["id"]))];
    for (label, name) in [
        ("equity", "equity"),
        ("cash", "cash"),
        ("buying power", "buying_power"),
        ("long positions", "long_market_value"),
        ("short positions", "short_market_value"),
        ("realised", "realized_pl"),
        ("unrealised", "unrealized_pl"),
        ("fees", "fees"),
    ] {
        lines.push(field(label, name));
    }
    for balance in account["balances"].as_array().into_iter().flatten() {
        lines.push(format!("{:<16} {} ({} available)", text(&balance["currency"]), text(&balance["total"]), text(&balance["available"])));
    }
    lines
}

fn profit_lines(profit: &Value) -> Vec<String> {
    let whose = profit["bot"].as_str().map_or_else(|| "external".to_owned(), |bot| format!("bot              {}", printable(bot, MAX_TEXT)));
    let fields = [("realised", "realized_pl"), ("unrealised", "unrealized_pl"), ("fees", "fees"), ("positions", "market_value")];
    std::iter::once(whose).chain(fields.map(|(label, name)| format!("{label:<16} {}", text(&profit[name])))).collect()
}

const REPAIRED: [Column; 3] = [("CLIENT ORDER ID", "client_order_id"), ("ORDER ID", "order_id"), ("WHAT", "what")];
const DIFFERENCES: [Column; 3] = [("SYMBOL", "symbol"), ("OURS", "ours"), ("THE VENUE'S", "venues")];

fn compared_lines(compared: &Value, out: &Out) -> Vec<String> {
    let rows = |field: &str| compared[field].as_array().cloned().unwrap_or_default();
    let (repaired, differ) = (rows("repaired"), rows("positions_differ"));
    let done = if compared["dry_run"] == true { "to be repaired, nothing was changed" } else { "repaired" };
    let mut lines =
        vec![format!("{} orders compared, {} {done}, {} executions found", text(&compared["checked"]), repaired.len(), text(&compared["fills_found"]))];
    if !repaired.is_empty() {
        lines.extend(table(&REPAIRED, &repaired));
    }
    if !differ.is_empty() {
        lines.push(out.paint(Colour::Warn, "positions that the venue holds otherwise:"));
        lines.extend(table(&DIFFERENCES, &differ));
    }
    lines
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => printable(text, MAX_TEXT),
        other => printable(&other.to_string(), MAX_TEXT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lines(answer: Value) -> Vec<String> {
        of_answer(&answer, &Out::new(std::io::sink(), false))
    }

    #[test]
    fn a_denial_names_the_rule_and_where_it_is_configured() {
        let answer = json!({"action": "place", "result": "denied", "client_order_id": "cli-1", "reason": "too large\u{1b}[2J", "config_key": "risk_limits.max_order_value"});
        assert_eq!(lines(answer), ["denied  place cli-1: too large\\u001b[2J", "          the limit is configured as risk_limits.max_order_value"]);
    }

    #[test]
    fn lists_are_tables_and_empty_ones_say_so() {
        let position = json!({"symbol": "AAPL", "qty": "10", "avg_entry_price": "150.25", "current_price": null, "market_value": "1502.5", "cost_basis": "1502.5", "unrealized_pl": "0", "realized_pl": "0"});
        assert_eq!(
            lines(json!({"action": "positions", "result": "accepted", "positions": [position]})),
            ["SYMBOL  QTY  ENTRY   PRICE  VALUE   COST    UNREALISED  REALISED", "AAPL    10   150.25  -      1502.5  1502.5  0           0"]
        );
        assert_eq!(lines(json!({"action": "orders", "result": "accepted", "orders": []})), ["no open orders"]);
        assert_eq!(lines(json!({"action": "cancel", "result": "accepted", "client_order_id": "cli-1"})), ["accepted  cancel cli-1"]);
    }

    #[test]
    fn the_profit_of_a_bot_and_a_comparison_are_told_in_lines() {
        let profit = json!({"bot": "scalper", "realized_pl": "40", "unrealized_pl": "-1.5", "fees": "0.2", "market_value": "720"});
        assert_eq!(
            lines(json!({"action": "balance", "result": "accepted", "profit": profit})),
            ["bot              scalper", "realised         40", "unrealised       -1.5", "fees             0.2", "positions        720"]
        );
        let repaired = json!([{"order_id": "v1", "client_order_id": "a-1", "what": "filled"}]);
        let differ = json!([{"symbol": "AAPL", "ours": "0", "venues": "10"}]);
        let compared = json!({"checked": 2, "repaired": repaired, "fills_found": 1, "positions_differ": differ, "dry_run": true});
        assert_eq!(
            lines(json!({"action": "reconcile", "result": "accepted", "reconcile": compared})),
            [
                "2 orders compared, 1 to be repaired, nothing was changed, 1 executions found",
                "CLIENT ORDER ID  ORDER ID  WHAT",
                "a-1              v1        filled",
                "positions that the venue holds otherwise:",
                "SYMBOL  OURS  THE VENUE'S",
                "AAPL    0     10"
            ]
        );
    }

    #[test]
    fn money_is_told_with_its_currency() {
        let account = json!({"id": "p-1", "currency": "USD", "equity": "100000", "balances": [{"currency": "USD", "total": "1", "available": "0"}]});
        let lines = lines(json!({"action": "balance", "result": "accepted", "account": account}));
        assert_eq!((lines[1].as_str(), lines.last().unwrap().as_str()), ("equity           100000 USD", "USD              1 (0 available)"));
    }
}
