use super::*;
use crate::model::{Amount, Luld, Quote, Status};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Started in the middle of a trading day.
fn data(hours: Hours) -> MarketData {
    MarketData::new(&SimConfig { hours, ..SimConfig::default() }, at("2026-11-20T15:00:30Z"))
}

fn trade(data: &MarketData, symbol: &str, when: &str, price: &str, size: u64) {
    let body = SimBody::Trade { id: 1, price: price.parse().unwrap(), size: Amount::from_u64(size) };
    data.note(&[SimMessage { symbol: symbol.into(), at: at(when), body }]);
}

fn is_halted(data: &MarketData, symbol: &str) -> bool {
    let quote = Quote { bid: Amount::ZERO, bid_size: Amount::ZERO, ask: Amount::ZERO, ask_size: Amount::ZERO };
    let mut messages = vec![SimMessage { symbol: symbol.into(), at: Timestamp::default(), body: SimBody::Quote(quote) }];
    data.drop_halted(&mut messages);
    messages.is_empty()
}

fn minutes(data: &MarketData, symbol: &str, from: &str, to: &str) -> Vec<(i64, Sum)> {
    let mut found = Vec::new();
    let among = minute_of(at(from))..minute_of(at(to));
    data.each_minute(data.listed(symbol).unwrap(), among, |minute, sum| found.push((minute, *sum)));
    found
}

#[test]
fn the_past_is_invented_and_the_present_is_what_was_emitted() {
    let data = data(Hours::Always);
    trade(&data, "AAPL", "2026-11-20T15:02:10Z", "229", 5);
    trade(&data, "AAPL", "2026-11-20T15:02:50Z", "228", 7);
    trade(&data, "NOBODY", "2026-11-20T15:02:50Z", "228", 7);
    let found = minutes(&data, "AAPL", "2026-11-20T14:00:00Z", "2026-11-20T15:05:00Z");
    // Half an hour since the opening, then nothing, then the minute with trades.
    assert_eq!(found.len(), 31);
    let (minute, sum) = found[30];
    assert_eq!((time_of(minute), sum.count, sum.volume.to_string().as_str()), (at("2026-11-20T15:02:00Z"), 2, "12"));
    let listed = data.listed("AAPL").unwrap();
    let among = minute_of(at("2026-11-20T14:00:00Z"))..minute_of(at("2026-11-20T15:05:00Z"));
    let prints = data.prints(listed, among.clone());
    let counted: u64 = found.iter().map(|(_, sum)| sum.count).sum();
    assert_eq!(prints.len() as u64, counted);
    assert!(prints.windows(2).all(|pair| pair[0].at < pair[1].at) && !data.offers(listed, among).is_empty());
    assert_eq!(data.last(listed).unwrap().0.price.to_string(), "228");
}

#[test]
fn a_day_is_the_sum_of_its_minutes() {
    let data = data(Hours::Calendar);
    let listed = data.listed("MSFT").unwrap();
    let among = minute_of(at("2026-11-19T05:00:00Z"))..minute_of(at("2026-11-20T05:00:00Z"));
    let mut total = None;
    for (_, sum) in minutes(&data, "MSFT", "2026-11-19T05:00:00Z", "2026-11-20T05:00:00Z") {
        Sum::fold(&mut total, &sum);
    }
    assert_eq!(data.total(listed, among), total);
    let days: Vec<(i64, Sum)> = data.latest_days(listed, at("2026-11-20T15:00:30Z")).take(2).collect();
    assert_eq!((time_of(days[0].0), time_of(days[1].0)), (at("2026-11-20T05:00:00Z"), at("2026-11-19T05:00:00Z")));
    assert_eq!(Some(days[1].1), total);
    assert_eq!(time_of(data.latest_minute(listed, at("2026-11-20T15:00:30Z")).unwrap().0), at("2026-11-20T14:59:00Z"));
    // A trade before the opening is in its minute and not in the day.
    trade(&data, "MSFT", "2026-11-23T13:00:00Z", "424", 5);
    assert_eq!(minutes(&data, "MSFT", "2026-11-23T05:00:00Z", "2026-11-23T14:00:00Z").len(), 1);
    assert_eq!(data.total(listed, minute_of(at("2026-11-23T05:00:00Z"))..minute_of(at("2026-11-23T14:00:00Z"))), None);
}

#[test]
fn minutes_end_once_with_bars_of_minute_and_day() {
    let data = data(Hours::Always);
    trade(&data, "AAPL", "2026-11-20T15:00:40Z", "229", 5);
    trade(&data, "BTC/USD", "2026-11-20T15:00:41Z", "98000.5", 2);
    assert!(data.ended(at("2026-11-20T15:00:59Z")).is_empty());
    let bars = data.ended(at("2026-11-20T15:01:00Z"));
    let of = |kind| bars.iter().filter_map(move |m| if let SimBody::Fact(Fact::Bar(bar)) = &m.body { (bar.kind == kind).then_some((m, bar)) } else { None });
    let kinds = [BarKind::Minute, BarKind::Day].map(|kind| of(kind).map(|(m, _)| &*m.symbol).collect::<Vec<_>>());
    assert_eq!(kinds, [["AAPL", "BTC/USD"], ["AAPL", "BTC/USD"]]);
    let (message, day) = of(BarKind::Day).next().unwrap();
    assert_eq!((message.at, day.close.as_str()), (at("2026-11-20T05:00:00Z"), "229"));
    assert!(day.trade_count > Some(30 * 4), "{day:?}");
    assert!(data.ended(at("2026-11-20T15:01:10Z")).is_empty() && data.ended(at("2026-11-20T15:09:00Z")).is_empty());
    let late = Late { symbol: "AAPL".into(), minute: minute_of(at("2026-11-20T15:00:00Z")), id: 9 };
    data.note(&[data.late_trade(&late).unwrap()]);
    let SimBody::Fact(Fact::Bar(bar)) = data.updated_bar(&late).unwrap().body else { panic!() };
    assert_eq!((bar.kind, bar.volume.to_string().as_str(), bar.trade_count), (BarKind::UpdatedMinute, "6", Some(2)));
}

#[test]
fn a_halt_lasts_until_the_resumption() {
    let data = data(Hours::Always);
    let say = |code: &str, tape: &str| {
        let status = Status { code: code.into(), message: String::new(), reason_code: String::new(), reason: String::new(), tape: tape.into() };
        data.note(&[SimMessage { symbol: "AAPL".into(), at: Timestamp::default(), body: SimBody::Fact(Fact::Status(status)) }]);
        is_halted(&data, "AAPL")
    };
    assert_eq!([("3", "C"), ("H", "C"), ("2", "C"), ("T", "C"), ("2", "A"), ("3", "A")].map(|(c, z)| say(c, z)), [false, true, true, false, true, false]);
    let luld =
        Luld { limit_up: "2".parse::<Amount>().unwrap().digits().to_owned(), limit_down: *Amount::ZERO.digits(), indicator: "B".into(), tape: "C".into() };
    data.note(&[SimMessage { symbol: "AAPL".into(), at: Timestamp::default(), body: SimBody::Fact(Fact::Luld(luld)) }]);
    assert!(!is_halted(&data, "AAPL") && !is_halted(&data, "NOBODY"));
}

#[test]
fn what_the_tape_keeps_is_bounded() {
    let data = data(Hours::Always);
    let start = at("2026-11-20T15:01:00Z").nanos();
    for n in 0..10_000_i64 {
        let when = Timestamp::from_nanos(start + n * 30_000_000_000).to_string();
        trade(&data, "BTC/USD", &when, "98000", 1);
    }
    let listed = data.listed("BTC/USD").unwrap();
    let whole = minute_of(Timestamp::from_nanos(start))..minute_of(Timestamp::from_nanos(start)) + 5_000;
    let mut found = Vec::new();
    data.each_minute(listed, whole.clone(), |minute, sum| found.push((minute, sum.count)));
    // The eldest minutes have fallen back to the invented past, the youngest 3,000 are real.
    assert_eq!(found.len(), 5_000);
    assert!(found[2_000..].iter().all(|(_, count)| *count == 2) && found[..2_000].iter().all(|(_, count)| *count >= 4));
    assert!(found.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0));
}
