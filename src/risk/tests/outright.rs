//! What is refused before anybody looks for a price, and what is taken back.

use super::*;
use crate::model::TakeProfit;

fn bracket(id: &str) -> OrderRequest {
    let class = OrderClass::Bracket { profit: TakeProfit { limit: "120".parse().unwrap() }, loss: StopLoss { stop: "90".parse().unwrap(), limit: None } };
    OrderRequest { class, ..buy(id, "1") }
}

#[test]
fn what_needs_no_price_is_said_at_once_and_counts_nothing() {
    let full = Limits { max_open_orders: Some(1), max_orders_per_minute: Some(2), max_order_quantity: Some(dec("50")), ..Limits::default() };
    let few = Limits { allowed_symbols: Some(["TSLA".parse().unwrap()].into()), ..Limits::default() };
    let mut gate = gate_with_bot(full, "c", few);
    let refused = |gate: &Gate, request: &OrderRequest| gate.refuses_outright(request, at(0)).map(|denial| denial.rule);
    assert_eq!(refused(&gate, &buy("a-1", "51")), Some(Rule::MaxOrderQuantity));
    // At its limit this money buys 51; at the market nobody knows.
    let money = OrderRequest { kind: limit("100"), ..by_money("a-1", Side::Buy, "5100") };
    assert_eq!(refused(&gate, &money), Some(Rule::MaxOrderQuantity));
    assert_eq!(refused(&gate, &by_money("a-1", Side::Buy, "999999")), None);
    assert_eq!(refused(&gate, &buy("c-1", "1")), Some(Rule::AllowedSymbols));
    assert_eq!(refused(&gate, &buy("a-1", "50")), None);
    assert_eq!(gate.usage(at(0)).orders_last_minute, 0);

    ask(&mut gate, buy("a-1", "1"), "0").unwrap();
    assert_eq!(refused(&gate, &buy("a-1", "1")), Some(Rule::DuplicateId));
    assert_eq!(refused(&gate, &buy("a-2", "1")), Some(Rule::MaxOpenOrders));
    gate.withdraw(&"a-1".parse().unwrap());
    assert_eq!(refused(&gate, &buy("a-2", "1")), None);
    let ticket = gate.check(buy("a-2", "1"), &sight(), &holding("0"), at(0)).unwrap().ticket();
    gate.take_back(&ticket);
    assert_eq!(refused(&gate, &buy("a-3", "1")), Some(Rule::MaxOrdersPerMinute));
    assert_eq!(gate.refuses_outright(&buy("a-3", "1"), at(60)), None);

    gate.set_halt(HaltScope::Bot("a".to_owned()), HaltMode::ReduceOnly, "slowly".to_owned(), at(0));
    let denial = gate.refuses_outright(&bracket("a-3"), at(60)).unwrap();
    assert_eq!(Err(denial), gate.check(bracket("a-3"), &sight(), &holding("0"), at(60)).map(drop));
    assert_eq!(gate.refuses_outright(&sell("a-3", "1"), at(60)), None);
    gate.set_halt(HaltScope::All, HaltMode::Halted, "enough".to_owned(), at(0));
    assert_eq!(refused(&gate, &sell("a-3", "1")), Some(Rule::Halted));
}

#[test]
fn a_change_is_taken_back_by_whoever_asked_for_it() {
    for (first, second, left) in [("80", "90", 10), ("90", "80", 10)] {
        let mut gate = gate(size_limit("100"));
        ask(&mut gate, buy("a-1", "60"), "0").unwrap();
        let order = placed(&buy("a-1", "60"));
        gate.observe(&open(&order));
        let mut change = |to: &str| {
            let change = Modification { quantity: Some(to.parse().unwrap()), ..Modification::default() };
            gate.check_change(&order, change, &sight(), &holding("0"), at(0)).unwrap().ticket()
        };
        let (first, second) = ((change(first), first), (change(second), second));
        let (smaller, larger) = if first.1 == "80" { (first.0, second.0) } else { (second.0, first.0) };
        gate.take_back(&smaller);
        assert!(ask(&mut gate, buy("b-1", &(left + 1).to_string()), "0").is_err());
        gate.take_back(&smaller);
        assert!(ask(&mut gate, buy("b-1", &(left + 1).to_string()), "0").is_err());
        gate.take_back(&larger);
        assert!(ask(&mut gate, buy("b-1", "40"), "0").is_ok());
        assert_eq!(gate.usage(at(0)).open_orders, 2);
    }
}

#[test]
fn a_change_that_was_answered_takes_no_other_with_it() {
    let mut gate = gate(size_limit("100"));
    ask(&mut gate, buy("a-1", "60"), "0").unwrap();
    let order = placed(&buy("a-1", "60"));
    gate.observe(&open(&order));
    let change = |gate: &mut Gate| {
        let change = Modification { quantity: Some("90".parse().unwrap()), ..Modification::default() };
        gate.check_change(&order, change, &sight(), &holding("0"), at(0)).unwrap().ticket()
    };
    let first = change(&mut gate);
    change(&mut gate);
    gate.observe(&OrderUpdate { at: at(1), ..update(&order, OrderChange::ReplaceRejected, OrderStatus::New, "0") });
    gate.take_back(&first);
    assert!(ask(&mut gate, buy("b-1", "11"), "0").is_err());
}

#[test]
fn an_order_that_the_venue_has_is_not_withdrawn() {
    let order = placed(&buy("a-1", "60"));
    let still_open = |gate: &Gate| gate.usage(at(0)).open_orders == 1;
    let id = &order.request.client_order_id;
    // The name was used before, and its order is heard of while the second is on its way.
    let mut heard = gate(Limits::default());
    let second = heard.check(buy("a-1", "60"), &sight(), &holding("0"), at(0)).unwrap().ticket();
    heard.observe(&open(&order));
    heard.withdraw(id);
    heard.take_back(&second);
    assert!(still_open(&heard));
    // It was read from the venue, at the start or to be changed.
    let mut adopted = gate(Limits::default());
    adopted.adopt(std::slice::from_ref(&order), &BTreeMap::new());
    adopted.withdraw(id);
    assert!(still_open(&adopted));
    let mut changed = gate(Limits::default());
    ask_change(&mut changed, &order, "70", "0").unwrap();
    changed.withdraw(id);
    assert!(still_open(&changed));
    // The venue's word that nothing came of it is not the venue's word that it is there.
    let mut unknown = gate(Limits::default());
    ask(&mut unknown, buy("a-1", "60"), "0").unwrap();
    let made_up = Order { id: "a-1".parse().unwrap(), ..order.clone() };
    unknown.observe(&update(&made_up, OrderChange::OutcomeUnknown, OrderStatus::Unknown, "0"));
    unknown.withdraw(id);
    assert!(!still_open(&unknown));
}

#[test]
fn a_ticket_is_for_one_approval_of_a_name() {
    let mut gate = gate(Limits::default());
    let first = gate.check(buy("a-1", "60"), &sight(), &holding("0"), at(0)).unwrap().ticket();
    gate.observe(&update(&placed(&buy("a-1", "60")), OrderChange::Rejected, OrderStatus::Rejected, "0"));
    let second = gate.check(buy("a-1", "60"), &sight(), &holding("0"), at(0)).unwrap().ticket();
    gate.take_back(&first);
    assert_eq!(gate.usage(at(0)).open_orders, 1);
    gate.take_back(&second);
    assert_eq!(gate.usage(at(0)).open_orders, 0);
}
