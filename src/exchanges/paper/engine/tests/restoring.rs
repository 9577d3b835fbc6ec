//! Accounts that are taken up after a restart.

use super::orders::bounded;
use super::*;

/// Another engine, a second later, with the account as it was.
fn restarted(stage: &Stage, settings: EngineSettings) -> Stage {
    let state = stage.engine.state(&me()).unwrap();
    let mut other = Stage { engine: Engine::new(settings, stage.now()), second: stage.second, named: stage.named };
    for symbol in ["AAPL", "MSFT", "BTC/USD"] {
        other.engine.list(Instrument::of(&symbol.parse().unwrap()));
    }
    let now = other.tick();
    other.engine.restore(state, now);
    assert!(other.told().is_empty(), "a restored account tells something");
    other
}

#[test]
fn money_positions_and_names_are_as_they_were() {
    let mut stage = Stage::plain();
    stage.place(buy("10"));
    stage.place(sell("4"));
    stage.apple("101.99", "102.01");
    let mut other = restarted(&stage, plain());
    other.apple("101.99", "102.01");
    assert_eq!(other.account(), stage.account());
    assert_eq!(other.engine.positions(&me()), stage.engine.positions(&me()));
    let again = OrderRequest { client_order_id: "bot-1".parse().unwrap(), ..buy("1") };
    assert_eq!(other.try_place(again), Err(Refusal::DuplicateClientId));
    assert_eq!(other.engine.fills(&me()).count(), 2);
}

#[test]
fn resting_orders_rest_again_behind_the_queue() {
    let mut stage = Stage::new(bounded());
    stage.place(bid_for("10", "99.99"));
    stage.trade("AAPL", "99.99", "90");
    let mut other = restarted(&stage, bounded());
    assert_eq!(stage.engine.account(&me()).unwrap().buying_power, other.available());
    other.session(MarketSession::Regular);
    other.apple("99.99", "100.01");
    other.trade("AAPL", "99.99", "50");
    assert!(other.told().is_empty());
    other.trade("AAPL", "99.99", "55");
    assert_eq!(other.told(), ["partial_fill 99.99 5"]);
}

#[test]
fn what_was_under_way_goes_on() {
    let slow = || EngineSettings { latency: seconds(3), ..plain() };
    let mut stage = Stage::new(slow());
    stage.place(bid_for("10", "90"));
    stage.place(bid_for("10", "91"));
    stage.place(bid_for("10", "92"));
    stage.wait(3);
    stage.cancel("bot-1").unwrap();
    let to = Modification { limit: Some("93".parse().unwrap()), client_order_id: Some("bot-2b".parse().unwrap()), ..Modification::default() };
    stage.modify("bot-2", to).unwrap();
    stage.place(bid_for("10", "94"));
    let mut other = restarted(&stage, slow());
    other.session(MarketSession::Regular);
    other.wait(10);
    assert_eq!(other.told(), ["canceled", "replaced", "new", "new"]);
    let statuses = ["bot-1", "bot-2", "bot-3", "bot-2b", "bot-4"].map(|name| other.status(name));
    use OrderStatus as S;
    assert_eq!(statuses, [S::Canceled, S::Replaced, S::New, S::New, S::New]);
}

#[test]
fn brackets_hang_together_again() {
    let mut stage = Stage::plain();
    stage.place(bracket(bid_for("10", "95"), "110", "90"));
    stage.place(bracket(buy("5"), "110", "90"));
    stage.place(lasting(TimeInForce::Gtc, bid_for("1", "80")));
    let mut other = restarted(&stage, plain());
    assert_eq!(other.held("AAPL"), dec("5"));
    other.session(MarketSession::Regular);
    other.apple("94", "94.50");
    assert_eq!(other.told(), ["fill 95 10", "new", "new"]);
    other.apple("111", "111.10");
    assert_eq!(other.told(), ["fill 110 10", "canceled", "fill 110 5", "canceled"]);
    assert_eq!(other.units("AAPL"), dec("0"));
}

#[test]
fn an_order_that_waited_for_the_opening_still_does() {
    let mut stage = Stage::plain();
    stage.session(MarketSession::Closed);
    stage.place(buy("1"));
    let mut other = restarted(&stage, plain());
    other.session(MarketSession::Closed);
    assert!(other.told().is_empty());
    other.session(MarketSession::Regular);
    other.apple("99", "100");
    assert_eq!(other.told(), ["pending_new", "new", "fill 100 1"]);
}

#[test]
fn names_of_the_second_run_are_others() {
    let mut stage = Stage::plain();
    let first = stage.place(buy("1")).id.clone();
    let mut other = restarted(&stage, plain());
    other.session(MarketSession::Regular);
    other.apple("99", "100");
    let second = other.place(buy("1")).id.clone();
    assert_ne!(first, second);
    let executions: Vec<_> = other.engine.fills(&me()).map(|fill| fill.execution_id.clone()).collect();
    assert_ne!(executions[0], executions[1]);
}

#[test]
fn stops_that_were_triggered_and_not_filled_sleep_no_more() {
    let mut stage = Stage::new(bounded());
    stage.place(buy("30"));
    stage.place(order(Side::Sell, "10", stop_limit("99", "98.80")));
    stage.place(order(Side::Sell, "10", stop("99")));
    stage.place(order(Side::Sell, "10", stop("90")));
    stage.quote("AAPL", "98", "0", "98.10", "100");
    let quiet: Vec<_> = stage.engine.take_quiet().into_iter().map(|(order, triggered)| (order.request.client_order_id.to_string(), triggered)).collect();
    assert_eq!(quiet, [("bot-2".to_owned(), true), ("bot-3".to_owned(), true)]);
    assert!(stage.engine.take_quiet().is_empty());
    let mut other = restarted(&stage, bounded());
    other.session(MarketSession::Regular);
    other.quote("AAPL", "99.50", "100", "99.52", "100");
    assert_eq!(other.told(), ["fill 99.5 10", "fill 98.8 10"]);
    assert_eq!(other.status("bot-4"), OrderStatus::New);
}

#[test]
fn a_change_takes_over_that_a_stop_was_triggered() {
    let mut stage = Stage::plain();
    stage.place(buy("10"));
    stage.place(order(Side::Sell, "10", stop_limit("99", "98.80")));
    stage.apple("98", "98.10");
    stage.engine.take_quiet();
    let to = Modification { limit: Some("98.70".parse().unwrap()), client_order_id: Some("bot-2b".parse().unwrap()), ..Modification::default() };
    stage.modify("bot-2", to).unwrap();
    let quiet = stage.engine.take_quiet();
    assert!(quiet.iter().any(|(order, triggered)| order.request.client_order_id.as_str() == "bot-2b" && *triggered));
}
