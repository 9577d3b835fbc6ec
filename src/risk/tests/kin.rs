//! Orders that the venue named, and whose they are.

use super::*;
use crate::model::TakeProfit;

/// A name as venues make them up: what stands before the first `-` would pass for a bot.
fn uuid(n: u32) -> String {
    format!("{n:08x}-7476-46c2-aad8-a8b211c19b26")
}

fn named_by_venue(n: u32, order: &Order) -> Order {
    let mut named = Order { id: format!("v/{n}").parse().unwrap(), ..order.clone() };
    named.request.client_order_id = uuid(n).parse().unwrap();
    named
}

fn of_bot(units: &str) -> Gate {
    gate_with_bot(Limits::default(), "b", size_limit(units))
}

fn bots(gate: &Gate) -> Vec<String> {
    gate.usage(at(0)).bots.into_keys().collect()
}

fn position_of(gate: &Gate, bot: &str) -> Decimal {
    gate.usage(at(0)).bots[bot].positions.values().sum()
}

fn filled(order: &Order, units: &str) -> OrderUpdate {
    update(order, OrderChange::Fill, OrderStatus::Filled, units)
}

/// `b-N` for ten, and what the venue made of it when it was asked for a change.
fn replaced_pair(n: u32) -> (Order, Order) {
    let old = placed(&buy(&format!("b-{n}"), "10"));
    let new = Order { replaces: Some(old.id.clone()), ..named_by_venue(n, &old) };
    (Order { replaced_by: Some(new.id.clone()), ..old }, new)
}

fn bracket() -> (OrderRequest, Order, [Order; 2]) {
    let class = OrderClass::Bracket { profit: TakeProfit { limit: "120".parse().unwrap() }, loss: StopLoss { stop: "90".parse().unwrap(), limit: None } };
    let request = OrderRequest { class, ..buy("b-1", "10") };
    let legs = [1, 2].map(|n| named_by_venue(n, &placed(&sell("leg", "10"))));
    let entry = Order { legs: legs.iter().map(|leg| leg.id.clone()).collect(), ..placed(&request) };
    (request, entry, legs)
}

#[test]
fn changing_orders_does_not_take_them_out_of_the_limits_of_their_bot() {
    for new_first in [false, true] {
        let mut gate = of_bot("10");
        ask(&mut gate, buy("b-1", "10"), "0").unwrap();
        let (old, new) = replaced_pair(1);
        gate.observe(&open(&old));
        ask_change(&mut gate, &old, "10", "0").unwrap();
        let mut news = [update(&old, OrderChange::Replaced, OrderStatus::Replaced, "0"), open(&new)];
        if new_first {
            news.reverse();
        }
        news.iter().for_each(|update| gate.observe(update));
        assert_eq!((gate.bot_of(&new.id), gate.bot_of_order(&new)), (Some("b"), Some("b")));
        gate.observe(&filled(&new, "10"));
        assert_eq!((bots(&gate), position_of(&gate, "b")), (vec!["b".to_owned()], dec("10")));
        assert_eq!(ask(&mut gate, buy("b-2", "1"), "10").unwrap_err().bot.as_deref(), Some("b"));
    }
}

#[test]
fn legs_are_the_bots_whichever_news_come_first() {
    for legs_first in [false, true] {
        for parent_told in [false, true] {
            let mut gate = of_bot("10");
            let (request, entry, legs) = bracket();
            ask(&mut gate, request, "0").unwrap();
            let legs = legs.map(|leg| Order { parent: parent_told.then(|| entry.id.clone()), ..leg });
            let mut news = vec![filled(&entry, "10"), open(&legs[0]), open(&legs[1])];
            if legs_first {
                news.rotate_left(1);
                news.insert(2, update(&legs[0], OrderChange::PartialFill, OrderStatus::PartiallyFilled, "4"));
            }
            news.iter().for_each(|update| gate.observe(update));
            assert!(legs.iter().all(|leg| gate.bot_of(&leg.id) == Some("b")));
            gate.observe(&filled(&legs[0], "10"));
            gate.observe(&canceled(&legs[1]));
            let usage = &gate.usage(at(0)).bots;
            assert_eq!((usage.len(), usage["b"].positions.len()), (1, 0), "flat again: {legs_first} {parent_told}");
            ask(&mut gate, buy("b-2", "10"), "0").unwrap();
        }
    }
}

#[test]
fn a_leg_that_was_replaced_is_the_bots_too() {
    let mut gate = of_bot("10");
    let (request, entry, [leg, _]) = bracket();
    ask(&mut gate, request, "0").unwrap();
    gate.observe(&filled(&entry, "10"));
    let moved = Order { replaces: Some(leg.id.clone()), ..named_by_venue(3, &leg) };
    gate.observe(&open(&leg));
    gate.observe(&update(&Order { replaced_by: Some(moved.id.clone()), ..leg }, OrderChange::Replaced, OrderStatus::Replaced, "0"));
    gate.observe(&open(&moved));
    assert_eq!(gate.bot_of(&moved.id), Some("b"));
    gate.observe(&filled(&moved, "10"));
    assert!(gate.usage(at(0)).bots["b"].positions.is_empty());
}

#[test]
fn what_a_replacement_filled_before_it_was_known_for_one_goes_to_its_bot() {
    let mut gate = of_bot("10");
    ask(&mut gate, buy("b-1", "10"), "0").unwrap();
    let (old, new) = replaced_pair(1);
    gate.observe(&open(&old));
    gate.observe(&filled(&Order { replaces: None, ..new }, "10"));
    assert_eq!(position_of(&gate, "b"), dec("0"));
    gate.observe(&update(&old, OrderChange::Replaced, OrderStatus::Replaced, "0"));
    assert_eq!((position_of(&gate, "b"), bots(&gate).len()), (dec("10"), 1));
}

#[test]
fn a_change_may_overtake_the_first_news_of_its_order() {
    let mut gate = of_bot("10");
    ask(&mut gate, buy("b-1", "10"), "0").unwrap();
    let (old, new) = replaced_pair(1);
    ask_change(&mut gate, &old, "10", "0").unwrap();
    assert_eq!(gate.bot_of_order(&new), Some("b"));
    assert_eq!(ask_change(&mut gate, &new, "11", "0").unwrap_err().bot.as_deref(), Some("b"));
}

#[test]
fn a_changed_order_stays_with_its_bot() {
    let mut gate = gate(Limits::default());
    let change = |to: &str| Modification { client_order_id: Some(to.parse().unwrap()), ..Modification::default() };
    let mut ask = |order: &Order, to: &str| gate.check_change(order, change(to), &sight(), &holding("0"), at(0)).map(drop);
    let (ours, hands) = (placed(&buy("b-1", "10")), placed(&buy("Typed by hand", "10")));
    let denial = ask(&ours, "c-1").unwrap_err();
    let text = "the order b-1 belongs to the bot b, and c-1 would be a name of the bot c; a changed order stays with its bot";
    assert_eq!((denial.rule, denial.config_key, denial.to_string().as_str()), (Rule::ForeignName, "", text));
    assert_eq!(ask(&hands, "c-1").unwrap_err().rule, Rule::ForeignName);
    for to in ["b-2", "b-1", "no name of a bot", &uuid(7)] {
        assert_eq!(ask(&ours, to), Ok(()), "{to}");
    }
    assert_eq!(gate.usage(at(0)).orders_last_minute, 4);
}

#[test]
fn a_name_that_a_venue_made_up_names_no_bot_unless_there_is_one() {
    let mut gate = gate_with_bot(Limits::default(), "deadbeef", size_limit("10"));
    gate.observe(&open(&placed(&buy(&uuid(1), "5"))));
    ask(&mut gate, buy(&uuid(2), "5"), "0").unwrap();
    assert_eq!(bots(&gate), ["deadbeef"]);
    let id = uuid(0xdead_beef);
    assert_eq!(ask(&mut gate, buy(&id, "11"), "0").unwrap_err().bot.as_deref(), Some("deadbeef"));
    gate.set_halt(HaltScope::Bot("00000003".to_owned()), HaltMode::Halted, "enough".to_owned(), at(0));
    assert_eq!(ask(&mut gate, buy(&uuid(3), "1"), "0").unwrap_err().rule, Rule::Halted);
}

#[test]
fn whose_an_order_is_survives_a_restart() {
    let (old, new) = replaced_pair(1);
    let old = Order { status: OrderStatus::Replaced, ..old };
    let third = Order { replaces: Some(new.id.clone()), ..named_by_venue(5, &new) };
    let new = Order { status: OrderStatus::Replaced, replaced_by: Some(third.id.clone()), ..new };
    let (_, entry, legs) = bracket();
    let entry = Order { status: OrderStatus::Filled, filled: dec("10"), id: "v/entry".parse().unwrap(), ..entry };
    let legs = legs.map(|leg| Order { id: format!("l/{}", leg.id).parse().unwrap(), parent: Some(entry.id.clone()), ..leg });
    let orders = [third.clone(), legs[0].clone(), legs[1].clone(), new, old, entry];
    let mut gate = of_bot("100");
    for positions in [BTreeMap::new(), BTreeMap::from([("b".to_owned(), BTreeMap::from([("AAPL".parse().unwrap(), dec("10"))]))])] {
        gate.adopt(&orders, &positions);
        assert!([&third, &legs[0], &legs[1]].into_iter().all(|order| gate.bot_of(&order.id) == Some("b")));
        assert_eq!((bots(&gate), gate.usage(at(0)).bots["b"].open_orders), (vec!["b".to_owned()], 3));
    }
    // Of what it knew before, the gate need not be told again.
    gate.adopt(&orders[..3], &BTreeMap::new());
    assert!([&third, &legs[0], &legs[1]].into_iter().all(|order| gate.bot_of(&order.id) == Some("b")));
    gate.observe(&update(&third, OrderChange::PartialFill, OrderStatus::PartiallyFilled, "3"));
    assert_eq!(position_of(&gate, "b"), dec("3"));
}
