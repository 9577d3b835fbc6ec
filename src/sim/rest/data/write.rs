//! The shapes of bars, trades and quotes: those of the streams without `T` and `S`. All their letters are ours.

use std::fmt::Write as _;

use rust_decimal::Decimal;

use crate::model::Timestamp;
use crate::sim::market::{Offer, Print, Sum};

/// A number without trailing zeros; never with an exponent.
fn number(value: Decimal) -> Decimal {
    value.normalize()
}

// Writing to a String cannot fail.

pub(super) fn bar(at: Timestamp, sum: &Sum, out: &mut String) {
    let [o, h, l, c, v] = [sum.open, sum.high, sum.low, sum.close, sum.volume].map(number);
    let second = at.to_string();
    let _ = write!(out, r#"{{"t":"{}Z","o":{o},"h":{h},"l":{l},"c":{c},"v":{v},"n":{},"vw":"#, &second[..19], sum.count);
    let _ = write!(out, "{}}}", sum.vwap().unwrap_or(c));
}

pub(super) fn trade(print: &Print, pair: bool, out: &mut String) {
    let (at, id, p, s) = (print.at, print.id, number(print.price), number(print.size));
    let _ = if pair {
        write!(out, r#"{{"t":"{at}","p":{p},"s":{s},"tks":"{}","i":{id}}}"#, if id % 2 == 0 { "B" } else { "S" })
    } else {
        write!(out, r#"{{"t":"{at}","x":"V","p":{p},"s":{s},"c":["@"],"i":{id},"z":"C"}}"#)
    };
}

pub(super) fn quote(offer: &Offer, pair: bool, out: &mut String) {
    let at = offer.at;
    let [bp, bs, ap, r#as] = [offer.bid, offer.bid_size, offer.ask, offer.ask_size].map(number);
    let _ = if pair {
        write!(out, r#"{{"t":"{at}","bp":{bp},"bs":{bs},"ap":{ap},"as":{as}}}"#)
    } else {
        write!(out, r#"{{"t":"{at}","ax":"V","ap":{ap},"as":{as},"bx":"V","bp":{bp},"bs":{bs},"c":["R"],"z":"C"}}"#)
    };
}

/// The official prices of a day; there is no closing one before the close.
pub(super) fn auctions(date: &str, open: (Timestamp, Decimal), close: Option<(Timestamp, Decimal)>, out: &mut String) {
    let one = |(at, price): (Timestamp, Decimal), condition: &str| format!(r#"{{"t":"{at}","x":"Q","p":{},"c":"{condition}"}}"#, number(price));
    let _ = write!(out, r#"{{"d":"{date}","o":[{}],"c":[{}]}}"#, one(open, "Q"), close.map(|close| one(close, "M")).unwrap_or_default());
}

/// A book of a few levels around the best quote, which alone is real.
pub(super) fn book(offer: &Offer, levels: u32, out: &mut String) {
    let side = |price: Decimal, size: Decimal, step: Decimal| {
        let level = |n: u32| format!(r#"{{"p":{},"s":{}}}"#, number(price + step * Decimal::from(n)), number(size * Decimal::from(n + 1)));
        (0..levels).map(level).collect::<Vec<_>>().join(",")
    };
    let tick = Decimal::new(1, 2);
    let (bids, asks) = (side(offer.bid, offer.bid_size, -tick), side(offer.ask, offer.ask_size, tick));
    let _ = write!(out, r#"{{"t":"{}","b":[{bids}],"a":[{asks}]}}"#, offer.at);
}
