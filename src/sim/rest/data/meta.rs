//! What the letters of exchanges and conditions stand for.

use serde_json::{Map, Value};

use super::{Ask, Bad, Response};

const EXCHANGES: [(&str, &str); 22] = [
    ("A", "NYSE American (AMEX)"),
    ("B", "NASDAQ OMX BX"),
    ("C", "National Stock Exchange"),
    ("D", "FINRA ADF"),
    ("E", "Market Independent"),
    ("H", "MIAX"),
    ("I", "International Securities Exchange"),
    ("J", "Cboe EDGA"),
    ("K", "Cboe EDGX"),
    ("L", "Long Term Stock Exchange"),
    ("M", "Chicago Stock Exchange"),
    ("N", "New York Stock Exchange"),
    ("P", "NYSE Arca"),
    ("Q", "NASDAQ OMX"),
    ("S", "NASDAQ Small Cap"),
    ("T", "NASDAQ Int"),
    ("U", "Members Exchange"),
    ("V", "IEX"),
    ("W", "CBOE"),
    ("X", "NASDAQ OMX PSX"),
    ("Y", "Cboe BYX"),
    ("Z", "Cboe BZX"),
];

const CTA_TRADES: [(&str, &str); 8] = [
    (" ", "Regular Sale"),
    ("F", "Intermarket Sweep Order"),
    ("I", "Odd Lot Trade"),
    ("O", "Market Center Opening Trade"),
    ("T", "Extended Hours Trade"),
    ("U", "Extended Hours Sold (Out Of Sequence)"),
    ("Z", "Sold (Out Of Sequence)"),
    ("6", "Market Center Closing Trade"),
];
const UTP_TRADES: [(&str, &str); 8] = [
    ("@", "Regular Sale"),
    ("F", "Intermarket Sweep"),
    ("I", "Odd Lot Trade"),
    ("O", "Opening Prints"),
    ("T", "Form T"),
    ("U", "Extended trading hours (Sold Out of Sequence)"),
    ("Z", "Sold (Out of Sequence)"),
    ("6", "Closing Prints"),
];
const QUOTES: [(&str, &str); 4] = [("R", "Regular, Two-Sided Open"), ("C", "Closing"), ("N", "Non-Firm Quote"), ("O", "Opening Quote")];

fn table(rows: impl IntoIterator<Item = (&'static str, &'static str)>) -> Response {
    let rows: Map<String, Value> = rows.into_iter().map(|(letter, words)| (letter.to_owned(), words.into())).collect();
    Response::json(200, &Value::Object(rows))
}

pub(super) fn exchanges() -> Response {
    table(EXCHANGES)
}

/// Of a tape: the same letter means different things on different ones.
pub(super) fn conditions(ask: &Ask<'_>, kind: &str) -> Result<Response, Bad> {
    let tape = ask.request.query("tape").ok_or_else(|| Bad::request("tape is required"))?;
    match (kind, tape) {
        ("trade", "A" | "B") => Ok(table(CTA_TRADES)),
        ("trade", "C") => Ok(table(UTP_TRADES)),
        ("quote", "A" | "B" | "C") => Ok(table(QUOTES)),
        ("trade" | "quote", _) => Err(Bad::request(format!("invalid tape: {tape}"))),
        _ => Err(Bad { status: 404, message: "endpoint not found.".to_owned() }),
    }
}
