//! Orders that take the place of others.

use super::*;

/// The order `a-1` for 60, and `new_id` for `quantity` in its place.
fn pair(new_id: &str, quantity: &str) -> (Order, Order) {
    let old = placed(&buy("a-1", "60"));
    let mut new = placed(&buy(new_id, quantity));
    new.id = "v/new".parse().unwrap();
    new.replaces = Some(old.id.clone());
    (Order { replaced_by: Some(new.id.clone()), ..old }, new)
}

fn replaced(old: &Order) -> OrderUpdate {
    update(old, OrderChange::Replaced, OrderStatus::Replaced, "0")
}

fn free(gate: &mut Gate, units: u32) {
    let fits = |gate: &mut Gate, units: u32| {
        let passed = ask(gate, buy("probe-1", &units.to_string()), "0").is_ok();
        gate.withdraw(&"probe-1".parse().unwrap());
        passed
    };
    assert!(units == 0 || fits(gate, units), "{units} do not fit");
    assert!(!fits(gate, units + 1), "{} fit", units + 1);
}

fn changing(to: &str) -> Gate {
    let mut gate = gate(size_limit("100"));
    ask(&mut gate, buy("a-1", "60"), "0").unwrap();
    gate.observe(&open(&placed(&buy("a-1", "60"))));
    ask_change(&mut gate, &placed(&buy("a-1", "60")), to, "0").unwrap();
    gate
}

#[test]
fn there_is_no_moment_at_which_neither_counts() {
    for new_id in ["a-2", "made by the venue", "a-1"] {
        let mut gate = changing("80");
        let (old, new) = pair(new_id, "80");
        free(&mut gate, 20);
        gate.observe(&replaced(&old));
        free(&mut gate, 20);
        gate.observe(&open(&new));
        free(&mut gate, 20);
        gate.observe(&replaced(&old));
        free(&mut gate, 20);
        assert_eq!(gate.usage(at(0)).open_orders, 1, "{new_id}");
        assert_eq!(gate.usage(at(0)).bots["a"].open_orders, 1, "the bot keeps what was made of its order");
        gate.observe(&canceled(&new));
        free(&mut gate, 100);
    }
}

#[test]
fn nor_one_at_which_both_do() {
    for (to, left) in [("80", 20), ("10", 90)] {
        let mut gate = changing(to);
        let (old, new) = pair("a-2", to);
        gate.observe(&open(&new));
        free(&mut gate, left.min(40));
        assert_eq!(gate.usage(at(0)).open_orders, 1);
        gate.observe(&replaced(&old));
        free(&mut gate, left);
        assert_eq!(gate.usage(at(0)).open_orders, 1);
    }
}

#[test]
fn a_replacement_that_came_too_late_leaves_nothing() {
    let mut gate = changing("80");
    let (old, new) = pair("a-2", "80");
    gate.observe(&update(&new, OrderChange::PendingNew, OrderStatus::PendingNew, "0"));
    gate.observe(&execution(&old, OrderChange::Fill, OrderStatus::Filled, "60", "60", "60"));
    gate.observe(&update(&new, OrderChange::Rejected, OrderStatus::Rejected, "0"));
    free(&mut gate, 40);
    assert_eq!(gate.usage(at(0)).open_orders, 0);
}

#[test]
fn a_replacement_that_ends_at_once_ends_the_waiting_too() {
    let mut gate = changing("80");
    let (old, new) = pair("a-2", "80");
    gate.observe(&replaced(&old));
    gate.observe(&execution(&Order { replaces: None, ..new }, OrderChange::Fill, OrderStatus::Filled, "80", "80", "80"));
    free(&mut gate, 20);
    assert_eq!(gate.usage(at(0)).open_orders, 0);
}

#[test]
fn what_the_predecessor_filled_is_booked_once_whether_carried_over_or_not() {
    for (first_news, filled, quantity) in [("carried", "30", "80"), ("from zero", "0", "50")] {
        let mut gate = changing("80");
        let (old, new) = pair("a-2", quantity);
        gate.observe(&execution(&old, OrderChange::PartialFill, OrderStatus::PartiallyFilled, "30", "30", "30"));
        gate.observe(&update(&old, OrderChange::Replaced, OrderStatus::Replaced, "30"));
        gate.observe(&update(&new, OrderChange::New, OrderStatus::New, filled));
        let positions = &gate.usage(at(0)).bots["a"].positions;
        assert_eq!(positions.values().copied().collect::<Vec<_>>(), [dec("30")], "{first_news}");
        free(&mut gate, 20);
        let more = (dec(filled) + dec("10")).to_string();
        gate.observe(&execution(&new, OrderChange::PartialFill, OrderStatus::PartiallyFilled, &more, "10", "40"));
        assert_eq!(gate.usage(at(0)).bots["a"].positions.values().copied().collect::<Vec<_>>(), [dec("40")], "{first_news}");
        free(&mut gate, 20);
    }
}

#[test]
fn a_replacement_that_the_venue_named_is_held_to_the_limits_of_its_bot() {
    let mut gate = gate_with_bot(Limits::default(), "a", size_limit("100"));
    ask(&mut gate, buy("a-1", "60"), "0").unwrap();
    gate.observe(&open(&placed(&buy("a-1", "60"))));
    let (old, new) = pair("made by the venue", "60");
    gate.observe(&replaced(&old));
    gate.observe(&open(&new));
    assert_eq!(ask_change(&mut gate, &new, "101", "0").unwrap_err().bot.as_deref(), Some("a"));
    assert!(ask_change(&mut gate, &new, "100", "0").is_ok());
    gate.set_halt(HaltScope::Bot("a".to_owned()), HaltMode::Halted, "enough".to_owned(), at(0));
    assert_eq!(ask_change(&mut gate, &new, "1", "0").unwrap_err().rule, Rule::Halted);
}

#[test]
fn every_answer_ends_one_change() {
    let mut gate = changing("80");
    let order = placed(&buy("a-1", "60"));
    ask_change(&mut gate, &order, "90", "0").unwrap();
    let refused = OrderUpdate { at: at(1), ..update(&order, OrderChange::ReplaceRejected, OrderStatus::New, "0") };
    gate.observe(&refused);
    gate.observe(&refused);
    free(&mut gate, 10);
    // Whatever the venue restates by itself is no answer.
    gate.observe(&OrderUpdate { at: at(2), ..update(&order, OrderChange::Restated, OrderStatus::New, "0") });
    free(&mut gate, 10);
    gate.observe(&OrderUpdate { at: at(3), ..refused });
    free(&mut gate, 40);
}

#[test]
fn a_name_that_is_open_is_no_name_for_a_replacement() {
    let mut gate = changing("70");
    ask(&mut gate, buy("a-2", "1"), "0").unwrap();
    let change = Modification { client_order_id: Some("a-2".parse().unwrap()), ..Modification::default() };
    let denial = gate.check_change(&placed(&buy("a-1", "60")), change, &sight(), &holding("0"), at(0)).unwrap_err();
    assert_eq!(denial.rule, Rule::DuplicateId);
}

#[test]
fn a_change_that_never_left_counts_no_more() {
    let mut gate = changing("80");
    gate.withdraw_change(&"a-1".parse().unwrap());
    free(&mut gate, 40);
}

#[test]
fn prices_are_changed_under_the_same_rules() {
    use crate::model::{Percent, Trail};
    let limits = Limits { price_collar: Some(dec("0.05")), max_order_value: Some(dec("1000")), ..Limits::default() };
    let mut gate = gate(limits);
    let price = |text: &str| Some(text.parse().unwrap());
    let mut change =
        |kind, change| gate.check_change(&placed(&order_of("a-1", Side::Buy, "9", kind)), change, &sight(), &holding("0"), at(0)).map_err(|no| no.rule);
    let none = Modification::default;
    assert!(change(limit("90"), Modification { limit: price("105"), ..none() }).is_ok());
    assert_eq!(change(limit("90"), Modification { limit: price("105.01"), ..none() }).unwrap_err(), Rule::PriceCollar);
    assert_eq!(change(limit("90"), Modification { limit: price("111.12"), ..none() }).unwrap_err(), Rule::MaxOrderValue);
    let stop = OrderType::Stop { stop: "110".parse().unwrap() };
    assert_eq!(change(stop, Modification { stop: price("94"), ..none() }).unwrap_err(), Rule::PriceCollar);
    let stop_limit = OrderType::StopLimit { stop: "100".parse().unwrap(), limit: "101".parse().unwrap() };
    assert_eq!(change(stop_limit, Modification { limit: price("106"), ..none() }).unwrap_err(), Rule::PriceCollar);
    for (trail, by) in [(Trail::Price("1".parse().unwrap()), "12"), (Trail::Percent("1".parse::<Percent>().unwrap()), "12")] {
        let kind = OrderType::TrailingStop { trail };
        assert!(change(kind, Modification { trail: Some(dec("11")), ..none() }).is_ok());
        assert_eq!(change(kind, Modification { trail: Some(dec(by)), ..none() }).unwrap_err(), Rule::MaxOrderValue);
    }
}
