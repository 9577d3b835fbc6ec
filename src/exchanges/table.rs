//! What brokers support, side by side, as a table in Markdown.
//!
//! Must not know any venue.

use std::fmt::Write;

use super::Capabilities;
use crate::model::TimeInForce;

const ORDER_TYPES: [&str; 5] = ["market", "limit", "stop", "stop_limit", "trailing_stop"];
const CLASSES: [&str; 3] = ["bracket", "oco", "oto"];

type Says = Box<dyn Fn(&Capabilities) -> bool>;
type Flag = (&'static str, fn(&Capabilities) -> bool);

/// A column a broker, a row a thing that it can do or not.
pub fn capability_table(brokers: &[Capabilities]) -> String {
    let mut table = String::new();
    let mut row = |first: &str, cells: Vec<&str>| {
        let cells: String = cells.iter().map(|cell| format!(" {cell} |")).collect();
        // Writing to a text cannot fail.
        let _ = writeln!(table, "| {first} |{cells}");
    };
    row("", brokers.iter().map(|broker| broker.broker.as_str()).collect());
    row("---", vec![":-:"; brokers.len()]);
    for (what, says) in rows() {
        row(&what, brokers.iter().map(|broker| if says(broker) { "yes" } else { "–" }).collect());
    }
    table
}

fn rows() -> Vec<(String, Says)> {
    let mut rows: Vec<(String, Says)> = Vec::new();
    for kind in ORDER_TYPES {
        rows.push((format!("`{kind}` orders"), Box::new(move |can| can.order_types.contains(&kind))));
    }
    for time in TimeInForce::ALL {
        rows.push((format!("time in force `{}`", time.as_str()), Box::new(move |can| can.times_in_force.contains(&time))));
    }
    for class in CLASSES {
        rows.push((format!("`{class}` orders"), Box::new(move |can| can.classes.contains(&class))));
    }
    let flags: [Flag; 9] = [
        ("change an open order", |can| can.modify),
        ("cancel all at once", |can| can.cancel_all),
        ("extended hours", |can| can.extended_hours),
        ("orders by money", |can| can.notional),
        ("fractions of a unit", |can| can.fractional),
        ("short selling", |can| can.short_selling),
        ("executions read back", |can| can.fills),
        ("many orders looked up at once", |can| can.batch_orders),
        ("money may move", |can| can.live),
    ];
    rows.extend(flags.into_iter().map(|(what, says)| (what.to_owned(), Box::new(says) as Says)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_a_broker() {
        let broker = |name: &str, modify| Capabilities {
            order_types: vec!["market"],
            times_in_force: vec![TimeInForce::Ioc],
            classes: vec!["simple"],
            modify,
            cancel_all: true,
            ..Capabilities::none(name)
        };
        let table = capability_table(&[broker("one", true), broker("two", false)]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[..3], ["|  | one | two |", "| --- | :-: | :-: |", "| `market` orders | yes | yes |"]);
        assert!(lines.contains(&"| change an open order | yes | – |") && lines.contains(&"| time in force `ioc` | yes | yes |"));
        assert_eq!(lines.len(), 2 + 5 + 6 + 3 + 9);
    }
}
