//! `/admin`: faults, the market by hand, counters and the record, for whoever sits at this machine.
//!
//! Without a key, and therefore refused to every other machine and to web pages.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::tape::Direction;
use super::{Shared, by_hand};
use crate::model::Timestamp;
use crate::sim::fault::{ActiveFault, Fault, FaultSpec, Left};
use crate::sim::http::Head;
use crate::sim::rest::Response;

const PREFIX: &str = "/admin";
/// Entries of the history in one answer at most.
const HISTORY_PAGE: u64 = 10_000;

/// What a path names under `/admin`; `None` when it is another path.
pub(super) fn part(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request to `/admin` + `path`.
pub(super) fn answer(shared: &Shared, head: &Head, path: &str, body: &[u8], from: SocketAddr) -> Response {
    let config = &shared.config;
    let exposed = !config.listen.ip().is_loopback() || config.listen_tls.is_some_and(|address| !address.ip().is_loopback());
    if exposed && !config.admin {
        return told(404, "/admin is off because the exchange listens beyond this machine; start it with --admin");
    }
    // A page in a browser could call it too, by its own name for this machine or from another origin.
    if !is_loopback(from.ip()) || head.header("origin").is_some() || !head.header("host").is_none_or(names_this_machine) {
        return told(403, "/admin is for programs on this machine only");
    }
    match (head.method.as_str(), path.trim_end_matches('/')) {
        ("POST", "/faults") => arm(shared, body),
        ("GET", "/faults") => faults(shared),
        ("DELETE", "/faults") => {
            shared.clear_faults();
            Response { status: 204, body: Vec::new() }
        }
        ("POST", "/market") => by_hand::market(shared, body),
        ("GET", "/counters") => counters(shared),
        ("GET", "/record") => record(shared, &head.query),
        ("GET", "/history") => history(shared, &head.query),
        ("GET", "/certificate") => match &shared.made_certificate {
            Some(pem) => shown(200, &json!({"pem": pem})),
            None => told(404, "no certificate was made here"),
        },
        ("GET", "" | "/help") => help(),
        ("POST", "/order_update") => by_hand::order_update(shared, body),
        ("GET", "/clock") => by_hand::clock(shared),
        ("POST", "/clock") => by_hand::set_clock(shared, body),
        (_, "/faults" | "/market" | "/clock" | "/counters" | "/record" | "/history" | "/order_update") => told(405, "method not allowed"),
        _ => told(404, "there are /admin/faults, /admin/market, /admin/clock, /admin/order_update, /admin/counters, /admin/record and /admin/history"),
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn names_this_machine(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
}

pub(super) fn shown(status: u16, value: &Value) -> Response {
    Response { status, body: value.to_string().into_bytes() }
}

pub(super) fn told(status: u16, message: &str) -> Response {
    shown(status, &json!({"message": message}))
}

fn arm(shared: &Shared, body: &[u8]) -> Response {
    #[derive(Deserialize)]
    struct Wish {
        fault: String,
    }
    let Ok(wish) = serde_json::from_slice::<Wish>(body) else { return told(400, "the body is {\"fault\":\"mute=30s\"}") };
    match wish.fault.parse::<FaultSpec>() {
        Ok(spec) => {
            let text = spec.to_string();
            shared.arm(spec);
            shown(200, &json!({"fault": text}))
        }
        Err(error) => told(422, &error.to_string()),
    }
}

fn faults(shared: &Shared) -> Response {
    let active = shared.hub.lock().faults.list(Instant::now());
    shown(200, &Value::Array(active.iter().map(fault_value).collect()))
}

fn fault_value(active: &ActiveFault) -> Value {
    let left = match active.left {
        Left::Times(times) => json!({"times": times}),
        Left::Time(time) => json!({"ms": u64::try_from(time.as_millis()).unwrap_or(u64::MAX)}),
        Left::UntilCleared => json!("until cleared"),
    };
    json!({"fault": active.spec.to_string(), "left": left, "sees": active.spec.fault.sees()})
}

fn help() -> Response {
    let faults: Vec<Value> = Fault::all().map(|fault| json!({"fault": fault.example(), "sees": fault.sees()})).collect();
    shown(200, &json!({"faults": faults}))
}

fn counters(shared: &Shared) -> Response {
    let c = shared.hub.lock().counters.clone();
    let statuses: serde_json::Map<String, Value> = c.statuses.iter().map(|(status, count)| (status.to_string(), (*count).into())).collect();
    let value = json!({
        "connects": c.connects, "streams": c.streams, "auths": c.auths, "auths_refused": c.auths_refused, "subscribes": c.subscribes,
        "unsubscribes": c.unsubscribes, "pings": c.pings, "frames_out": c.frames_out, "bytes_out": c.bytes_out, "rest": c.rest, "statuses": statuses,
    });
    shown(200, &value)
}

/// `since` is in nanoseconds, as `ns` in the answer; what happened at it is told again.
fn record(shared: &Shared, query: &[(String, String)]) -> Response {
    let of = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    let Ok(since) = of("since").map_or(Ok(0), |text| text.parse::<i64>()) else { return told(400, "since is a number of nanoseconds") };
    if shared.config.record_bytes == 0 {
        return told(404, "nothing is recorded");
    }
    let recorded = shared.tape.lock().read(Timestamp::from_nanos(since));
    let direction = |direction| if direction == Direction::In { "in" } else { "out" };
    let value = recorded
        .iter()
        .map(|r| json!({"ns": r.at.nanos(), "connection": r.connection, "direction": direction(r.direction), "kind": r.kind, "text": r.text}))
        .collect();
    shown(200, &Value::Array(value))
}

/// `after` is the number of the last entry that the reader has.
fn history(shared: &Shared, query: &[(String, String)]) -> Response {
    let number = |name: &str, default| query.iter().find(|(known, _)| known == name).map_or(Ok(default), |(_, value)| value.parse::<u64>());
    let (Ok(after), Ok(limit)) = (number("after", 0), number("limit", HISTORY_PAGE)) else { return told(400, "after and limit are numbers") };
    let page = shared.hub.lock().history.after(after, usize::try_from(limit.min(HISTORY_PAGE)).unwrap_or(0), Instant::now());
    Response { status: 200, body: serde_json::to_vec(&page).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for host in ["localhost", "LocalHost:8080", "127.0.0.1:1", "127.9.9.9", "[::1]:8080", "[::1]"] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:80", "192.168.1.1:8080", "localhost.evil.example", ""] {
            assert!(!names_this_machine(host), "{host}");
        }
        assert!(is_loopback("::ffff:127.0.0.1".parse().unwrap()) && !is_loopback("10.0.0.1".parse().unwrap()));
    }
}
