//! Tests of what the built-in exchange does not do: a venue without cursors, without a history, with answers that cannot
//! be read.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use super::*;
use crate::exchanges::Broker;
use crate::model::Timestamp;
use crate::net::Endpoint;
use crate::risk::{Gate, Holdings, Sight};
use crate::runtime::Secret;

const ACCOUNT: &str = r#"{"id":"acc-1","cash":"1","equity":"1"}"#;

/// A connected broker at a host that answers each request line by this; the host ends with the process.
fn broker(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> AlpacaBroker {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api: Endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut request, mut length) = (String::new(), 0_usize);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if request.is_empty() {
                    request = line.trim().to_owned();
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let (status, body) = if request.contains("/v2/account ") { (200, ACCOUNT.to_owned()) } else { answer(&request) };
            let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = reader.get_mut().write_all(format!("{head}{body}").as_bytes());
        }
    });
    let (key_id, secret_key) = (Secret::new("K"), Secret::new("S"));
    let rest = RestSettings { broker: "alpaca".to_owned(), api, data: None, key_id, secret_key, tls: ureq::tls::TlsConfig::default() };
    let settings = AlpacaSettings { name: "alpaca".parse().unwrap(), account_name: "paper".into(), account: "acc-1".parse().unwrap(), live: false, rest };
    let broker = AlpacaBroker::new(settings, EventBus::new());
    broker.connect().unwrap();
    broker
}

fn order(number: usize) -> String {
    let at = format!("2026-11-20T14:{:02}:{:02}Z", number / 60, number % 60);
    format!(
        r#"{{"id":"o-{number}","client_order_id":"bot-{number}","symbol":"AAPL","side":"buy","qty":"1","type":"market","status":"new","submitted_at":"{at}"}}"#
    )
}

fn page(numbers: std::ops::Range<usize>) -> (u16, String) {
    (200, format!("[{}]", numbers.map(order).collect::<Vec<_>>().join(",")))
}

#[test]
fn a_venue_without_cursors_is_read_by_overlapping_pages() {
    for refuses in [true, false] {
        let broker = broker(move |request| match () {
            () if request.contains("after_order_id") && refuses => (422, r#"{"code":40010001,"message":"unknown parameter"}"#.to_owned()),
            // As if nothing had been asked for: the first page again.
            () if request.contains("after_order_id") => page(0..500),
            () if request.contains("after=2026-11-20T14%3A08%3A18.999999000Z") => page(499..510),
            () => page(0..500),
        });
        let orders = broker.orders_since(Timestamp::default()).unwrap().unwrap();
        assert_eq!((orders.len(), orders[509].id.as_str()), (510, "o-509"), "refuses: {refuses}");
        assert!(orders.is_sorted_by_key(|order| order.times.submitted));
    }
}

#[test]
fn a_venue_without_a_history_is_not_asked_for_it_again() {
    use std::sync::atomic::AtomicUsize;
    for (status, body, wanted) in [(404, r#"{"message":"not found"}"#, 1), (403, r#"{"code":40310000,"message":"no"}"#, 1), (503, "", 2), (200, "<html>", 2)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let broker = broker(move |request| {
            counted.fetch_add(usize::from(request.contains("/v2/events/trades?since=")), Ordering::SeqCst);
            (status, body.to_owned())
        });
        let (since, until) = (Timestamp::from_nanos(1), Timestamp::from_nanos(2));
        assert_eq!((broker.replay(since, until), broker.replay(since, until)), (Ok(None), Ok(None)));
        assert_eq!(asked.load(Ordering::SeqCst), wanted, "{status}");
    }
}

#[test]
fn an_asset_is_asked_for_once() {
    use std::sync::atomic::AtomicUsize;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let broker = broker(move |request| match (request.contains("/v2/assets/AAPL"), counted.fetch_add(1, Ordering::SeqCst)) {
        (_, 0) => (503, String::new()),
        (true, _) => {
            (200, r#"{"id":"a-1","class":"us_equity","exchange":"NASDAQ","symbol":"AAPL","status":"active","tradable":true,"fractionable":true}"#.to_owned())
        }
        (false, _) => (404, r#"{"code":40410000,"message":"asset not found for NOSUCH"}"#.to_owned()),
    });
    let [apple, gone]: [Symbol; 2] = ["AAPL", "NOSUCH"].map(|name| name.parse().unwrap());
    assert!(broker.asset(&apple).is_err(), "a failure is not remembered");
    let asset = broker.asset(&apple).unwrap().unwrap();
    assert!(asset.tradable && asset.fractionable && !asset.shortable);
    assert_eq!((broker.asset(&apple), broker.asset(&gone), broker.asset(&gone)), (Ok(Some(asset)), Ok(None), Ok(None)));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[test]
fn an_order_whose_answer_cannot_be_read_may_have_been_taken() {
    let broker = broker(|_| (200, r#"{"id":"o-1"}"#.to_owned()));
    let Ok(known) = read_order(&order(1)) else { panic!("the order is well formed") };
    let sight = Sight::blind(crate::model::MarketSession::Regular);
    let approved = Gate::default().check(known.request, &sight, &Holdings::default(), Timestamp::default()).unwrap();
    assert!(matches!(broker.place(approved), Err(BrokerError::OutcomeUnknown { .. })));
    assert!(matches!(broker.order(&OrderKey::Venue(known.id)), Err(BrokerError::Unavailable { .. })));
}

fn past(number: usize, at: u32, filler: usize) -> String {
    let order = order(number).replace('}', &format!(r#","notes":"{}"}}"#, "x".repeat(filler)));
    format!("data: {{\"event_id\":\"{number}\",\"at\":\"2026-11-20T14:30:{at:02}Z\",\"event\":\"new\",\"order\":{order}}}\n\n")
}

/// The whole of a history, asked for piece by piece; how many events each piece held.
fn replay(broker: &AlpacaBroker, until: Timestamp) -> (Vec<String>, Vec<usize>) {
    let (mut from, mut told, mut pieces) = (Timestamp::default(), Vec::new(), Vec::new());
    while from < until {
        let Some(piece) = broker.replay(from, until).unwrap() else { break };
        assert!(piece.to > from);
        from = piece.to;
        pieces.push(piece.updates.len());
        told.extend(piece.updates.iter().map(|update| update.order.id.to_string()));
    }
    (told, pieces)
}

/// A host with these events, each at its second, that answers with what `spoil` makes of them; it is told which request it is.
fn historian(events: Vec<(u32, String)>, spoil: impl Fn(usize, String) -> String + Send + 'static) -> AlpacaBroker {
    let asked = std::cell::Cell::new(0);
    broker(move |request| {
        let since = request.split("since=").nth(1).and_then(|rest| rest.split('&').next()).unwrap().replace("%3A", ":");
        let since: Timestamp = since.parse().unwrap();
        let second = |at: u32| format!("2026-11-20T14:30:{at:02}Z").parse::<Timestamp>().unwrap();
        let from = events.iter().filter(|(at, _)| second(*at) >= since).map(|(_, text)| text.as_str());
        asked.set(asked.get() + 1);
        (200, spoil(asked.get(), from.collect()))
    })
}

fn until() -> Timestamp {
    "2026-11-20T14:31:00Z".parse().unwrap()
}

#[test]
fn a_history_of_any_size_is_told_in_pieces_that_cut_no_moment_apart() {
    // Nine events of a mebibyte together, five of them of one moment.
    let moments = [1, 2, 3, 4, 4, 4, 4, 4, 5];
    let events = (0..36).map(|n| (moments[n / 4], past(n, moments[n / 4], 250_000))).collect();
    let (told, pieces) = replay(&historian(events, |_, text| text), until());
    assert_eq!(told, (0..36).map(|n| format!("o-{n}")).collect::<Vec<_>>());
    assert_eq!(pieces, [32, 4]);
}

#[test]
fn what_a_history_tells_a_little_out_of_order_is_lost_at_no_cut() {
    // Within a millisecond they come in any order; the second piece begins with the one but last.
    let moments = (0..18).map(|_| "14:30:01Z").chain(["14:30:02.0019Z", "14:30:02.0016Z"]);
    let events: Vec<(Timestamp, String)> =
        moments.enumerate().map(|(n, at)| (format!("2026-11-20T{at}").parse().unwrap(), past(n, 1, 250_000).replace("14:30:01Z", at))).collect();
    let host = broker(move |request| {
        let since = request.split("since=").nth(1).and_then(|rest| rest.split('&').next()).unwrap().replace("%3A", ":");
        let since: Timestamp = since.parse().unwrap();
        (200, events.iter().filter(|(at, _)| *at >= since).map(|(_, text)| text.as_str()).collect())
    });
    let (told, pieces) = replay(&host, until());
    assert_eq!((pieces.len(), told), (2, (0..20).map(|n| format!("o-{n}")).collect::<Vec<_>>()));
}

#[test]
fn a_history_that_breaks_off_goes_on_from_where_it_was_whole() {
    let events: Vec<(u32, String)> = [1, 2, 2, 3, 4].into_iter().enumerate().map(|(n, at)| (at, past(n, at, 10))).collect();
    let wanted: Vec<String> = (0..5).map(|n| format!("o-{n}")).collect();
    let cut = |text: &str, events: usize| text.match_indices("data:").nth(events).map(|(at, _)| at);
    let ends: [fn(&str) -> String; 3] = [
        |rest| rest[..40].to_owned(),
        |_| ": you are reading too slowly, dropped 10000 messages\n\n".to_owned(),
        |_| format!("data: {}", "x".repeat(1_000_000)),
    ];
    for end in ends {
        // The first answer ends after three events, of which the last two are of one moment that may not be over.
        let spoil = move |asked: usize, text: String| match cut(&text, 3) {
            Some(at) if asked == 1 => format!("{}{}", &text[..at], end(&text[at..])),
            _ => text,
        };
        let (told, pieces) = replay(&historian(events.clone(), spoil), until());
        assert_eq!((told, pieces), (wanted.clone(), vec![1, 4]));
    }
    // Nothing more is to be had: the lists tell the rest.
    let (told, _) = replay(&historian(events, move |_, text| cut(&text, 3).map_or(String::new(), |at| text[..at + 20].to_owned())), until());
    assert_eq!(told, ["o-0", "o-1", "o-2"]);
}

#[test]
fn a_moment_that_is_too_large_ends_the_history_and_one_event_that_is_too_large_is_left_out() {
    let too_much = (0..90).map(|n| (1, past(n, 1, 200_000))).collect();
    assert_eq!(replay(&historian(too_much, |_, text| text), until()), (vec![], vec![0]));
    let one = [(1, past(0, 1, 10)), (2, past(1, 2, 300_000)), (3, past(2, 3, 10))];
    assert_eq!(replay(&historian(one.to_vec(), |_, text| text), until()).0, ["o-0", "o-2"]);
}
