//! Orders for the opening and the closing auction.

use super::*;

#[test]
fn the_opening_fills_at_its_first_price_and_cancels_the_rest() {
    let mut stage = Stage::closed(plain());
    stage.apple("99.99", "100.01");
    stage.place(lasting(TimeInForce::Opg, buy("10")));
    stage.place(lasting(TimeInForce::Opg, bid_for("10", "104")));
    stage.session(MarketSession::Pre);
    stage.apple("99", "99.10");
    assert_eq!(stage.told(), ["accepted", "accepted"]);
    stage.session(MarketSession::Regular);
    assert_eq!(stage.told(), ["pending_new", "new", "pending_new", "new"]);
    stage.trade("AAPL", "105", "1000");
    assert_eq!(stage.told(), ["fill 105 10", "canceled"]);
}

#[test]
fn the_opening_may_show_a_quote_first() {
    let mut stage = Stage::closed(plain());
    stage.apple("99.99", "100.01");
    stage.place(lasting(TimeInForce::Opg, buy("10")));
    stage.session(MarketSession::Regular);
    stage.apple("101", "101.50");
    assert_eq!(stage.told(), ["accepted", "pending_new", "new", "fill 101.5 10"]);
}

#[test]
fn the_close_fills_at_what_is_displayed() {
    let mut stage = Stage::plain();
    stage.place(lasting(TimeInForce::Cls, buy("10")));
    stage.place(lasting(TimeInForce::Cls, bid_for("10", "100")));
    stage.apple("100.90", "101");
    stage.trade("AAPL", "100.95", "5");
    assert_eq!(stage.told(), ["pending_new", "new", "pending_new", "new"]);
    stage.session(MarketSession::Post);
    assert_eq!(stage.told(), ["fill 101 10", "canceled"]);
}

#[test]
fn a_halted_market_holds_no_auction() {
    let mut stage = Stage::plain();
    stage.place(lasting(TimeInForce::Cls, buy("10")));
    stage.see("AAPL", MarketSight::Halted);
    stage.session(MarketSession::Post);
    assert_eq!(stage.told(), ["pending_new", "new", "canceled"]);
    stage.session(MarketSession::Closed);
    stage.place(lasting(TimeInForce::Opg, buy("10")));
    stage.session(MarketSession::Regular);
    stage.trade("AAPL", "100", "10");
    assert_eq!(stage.told(), ["accepted", "pending_new", "new"]);
    stage.session(MarketSession::Post);
    assert_eq!(stage.told(), ["canceled"]);
}

#[test]
fn late_orders_for_an_auction_are_refused() {
    let mut stage = Stage::plain();
    let opening = lasting(TimeInForce::Opg, buy("1"));
    let closing = lasting(TimeInForce::Cls, buy("1"));
    assert_eq!(stage.refuses(opening.clone()), Refusal::AuctionClosed(TimeInForce::Opg));
    let close = at(stage.second + 602);
    stage.engine.expect_auctions(None, Some(close));
    stage.place(closing.clone());
    assert_eq!(stage.refuses(closing.clone()), Refusal::AuctionClosed(TimeInForce::Cls));
    stage.session(MarketSession::Post);
    assert_eq!(stage.refuses(closing), Refusal::AuctionClosed(TimeInForce::Cls));
    stage.session(MarketSession::Closed);
    let open = at(stage.second + 122);
    stage.engine.expect_auctions(Some(open), None);
    stage.place(opening.clone());
    assert_eq!(stage.refuses(opening), Refusal::AuctionClosed(TimeInForce::Opg));
}

#[test]
fn the_auctions_of_the_next_day_take_orders_once_they_are_named() {
    let mut stage = Stage::plain();
    stage.session(MarketSession::Post);
    let (opening, closing) = (lasting(TimeInForce::Opg, buy("1")), lasting(TimeInForce::Cls, buy("1")));
    assert_eq!(stage.refuses(opening.clone()), Refusal::AuctionClosed(TimeInForce::Opg));
    assert_eq!(stage.refuses(closing.clone()), Refusal::AuctionClosed(TimeInForce::Cls));
    stage.engine.expect_auctions(Some(at(50_000)), Some(at(80_000)));
    stage.place(opening);
    stage.place(closing);
    assert_eq!(stage.told(), ["accepted"; 2]);
}

#[test]
fn nobody_slips_into_an_auction_by_a_change() {
    let mut stage = Stage::plain();
    stage.place(lasting(TimeInForce::Gtc, bid_for("1", "90")));
    let close = at(stage.second + 300);
    stage.engine.expect_auctions(None, Some(close));
    for time in [TimeInForce::Opg, TimeInForce::Cls] {
        let change = Modification { time_in_force: Some(time), ..Modification::default() };
        assert_eq!(stage.modify("bot-1", change), Err(Refusal::AuctionClosed(time)));
    }
    stage.modify("bot-1", Modification { time_in_force: Some(TimeInForce::Day), ..Modification::default() }).unwrap();
}
