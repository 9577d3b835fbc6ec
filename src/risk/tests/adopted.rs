//! What was there before the gate was, and news of it that come once more.

use super::*;

fn fill_of(order: &Order, quantity: &str, seconds: i64) -> Fill {
    let news = execution(order, OrderChange::PartialFill, OrderStatus::PartiallyFilled, quantity, quantity, "0");
    Fill { at: at(seconds), ..news.fill.unwrap() }
}

/// An execution as it was heard: `filled` in all, `quantity` of them now.
fn heard(order: &Order, filled: &str, quantity: &str, seconds: i64) -> OrderUpdate {
    let news = execution(order, OrderChange::PartialFill, order.status, filled, quantity, filled);
    OrderUpdate { at: at(seconds), fill: news.fill.map(|fill| Fill { at: at(seconds), ..fill }), ..news }
}

fn position(gate: &Gate) -> Decimal {
    gate.usage(at(0)).bots.get("a").map_or(Decimal::ZERO, |bot| bot.positions.values().sum())
}

fn partly(id: &str, filled: &str) -> Order {
    Order { filled: dec(filled), status: OrderStatus::PartiallyFilled, ..placed(&buy(id, "60")) }
}

#[test]
fn news_of_what_was_counted_already_change_nothing() {
    let (still_open, done) = (partly("a-1", "10"), Order { status: OrderStatus::Filled, ..placed(&buy("a-2", "60")) });
    // Between reading the orders and the executions five more were filled.
    let fills = [fill_of(&done, "20", 1), fill_of(&still_open, "10", 2), fill_of(&done, "40", 3), fill_of(&still_open, "5", 4)];
    let news = [heard(&done, "20", "20", 1), heard(&still_open, "10", "10", 2), heard(&done, "60", "40", 3), heard(&still_open, "15", "5", 4)];
    for with_ended in [false, true] {
        let mut gate = gate(Limits::default());
        let ended = Order { filled: dec("60"), ..done.clone() };
        let orders: &[Order] = if with_ended { &[still_open.clone(), ended] } else { std::slice::from_ref(&still_open) };
        gate.adopt_with_fills(orders, &fills);
        assert_eq!(position(&gate), dec("75"));
        for update in news.iter().chain(&news) {
            gate.observe(update);
            assert_eq!(position(&gate), dec("75"));
        }
        assert_eq!(gate.usage(at(0)).open_orders, 1);
        gate.observe(&heard(&still_open, "16", "1", 5));
        assert_eq!(position(&gate), dec("76"));
    }
}

#[test]
fn nor_of_an_order_whose_execution_was_read_and_which_was_not() {
    let mut gate = gate(Limits::default());
    let order = partly("a-1", "0");
    gate.adopt_with_fills(&[], &[fill_of(&order, "10", 1)]);
    gate.observe(&open(&order));
    assert_eq!((position(&gate), gate.usage(at(0)).open_orders), (dec("10"), 1));
    gate.observe(&heard(&order, "10", "10", 1));
    gate.observe(&heard(&order, "13", "3", 2));
    assert_eq!(position(&gate), dec("13"));
}

#[test]
fn what_a_replacement_carried_over_is_counted_once() {
    let old = Order { id: "v/old".parse().unwrap(), status: OrderStatus::Replaced, ..partly("a-1", "30") };
    for carried in ["30", "0"] {
        let filled = |own: u32| (dec(carried) + Decimal::from(own)).to_string();
        let mut new = partly("by the venue", &filled(4));
        new.replaces = Some(old.id.clone());
        let fills = [fill_of(&old, "30", 1), fill_of(&new, "4", 2), fill_of(&new, "5", 3)];
        for orders in [vec![new.clone(), old.clone()], vec![old.clone()]] {
            let mut gate = gate(Limits::default());
            gate.adopt_with_fills(&orders, &fills);
            let known = orders.len() == 2;
            assert_eq!(position(&gate), if known { dec("39") } else { dec("30") }, "{carried}");
            let replay = [
                update(&old, OrderChange::Replaced, OrderStatus::Replaced, "30"),
                OrderUpdate { at: at(1), ..update(&new, OrderChange::New, OrderStatus::New, carried) },
                heard(&new, &filled(4), "4", 2),
                heard(&new, &filled(9), "5", 3),
            ];
            replay.iter().for_each(|update| gate.observe(update));
            // What was executed before anybody said whose it was follows when that is said.
            assert_eq!(position(&gate), dec("39"), "{carried} {known}");
            gate.observe(&heard(&new, &filled(11), "2", 4));
            assert_eq!(position(&gate), dec("41"), "{carried} {known}");
        }
    }
}

#[test]
fn executions_of_orders_that_the_venue_named_are_their_bots() {
    let entry = Order { status: OrderStatus::Filled, legs: vec!["v/leg".parse().unwrap()], ..partly("a-1", "60") };
    let mut leg = Order { id: "v/leg".parse().unwrap(), status: OrderStatus::Filled, ..placed(&sell("275ef9d9-7476-46c2-aad8-a8b211c19b26", "60")) };
    let fills = [fill_of(&entry, "60", 1), fill_of(&leg, "25", 2)];
    let mut gate = gate(Limits::default());
    gate.adopt_with_fills(std::slice::from_ref(&entry), &fills);
    assert_eq!(position(&gate), dec("35"));
    assert_eq!(gate.usage(at(0)).bots.len(), 1);
    leg.status = OrderStatus::PartiallyFilled;
    gate.observe(&heard(&leg, "25", "25", 2));
    gate.observe(&heard(&leg, "27", "2", 3));
    assert_eq!(position(&gate), dec("33"));
}

#[test]
fn of_a_long_history_only_the_end_is_kept() {
    let fills: Vec<Fill> = (0..10_000).map(|n| fill_of(&partly(&format!("a-{n}"), "0"), "1", n)).collect();
    let mut gate = gate(Limits::default());
    gate.adopt_with_fills(&[], &fills);
    assert_eq!(position(&gate), dec("10000"));
    gate.observe(&heard(&partly("a-9999", "1"), "1", "1", 9_999));
    assert_eq!(position(&gate), dec("10000"));
    assert!(format!("{gate:?}").len() < 1_000_000);
}

#[test]
fn a_fill_counts_though_nobody_has_told_a_position_before_it() {
    let mut gate = gate(size_limit("100"));
    let order = placed(&buy("a-1", "60"));
    gate.adopt(std::slice::from_ref(&order), &BTreeMap::new());
    gate.observe(&update(&order, OrderChange::Fill, OrderStatus::Filled, "60"));
    // Read before the fill, or after it.
    assert_eq!(ask(&mut gate, buy("a-2", "41"), "0").unwrap_err().rule, Rule::MaxPositionSize);
    assert!(ask(&mut gate, buy("a-2", "40"), "0").is_ok());
    gate.withdraw(&"a-2".parse().unwrap());
    assert_eq!(ask(&mut gate, sell("a-3", "161"), "60").unwrap_err().measure.unwrap().used, dec("-60"));
    let later = |gate: &mut Gate, units: &str| gate.check(buy("a-4", units), &sight(), &holding("60"), at(31)).is_ok();
    assert!(!later(&mut gate, "41") && later(&mut gate, "40"));
}

#[test]
fn a_change_under_way_counts_though_all_is_read_anew() {
    let mut gate = gate(size_limit("100"));
    let order = placed(&buy("a-1", "60"));
    gate.observe(&open(&order));
    ask_change(&mut gate, &order, "90", "0").unwrap();
    gate.adopt_with_fills(std::slice::from_ref(&order), &[]);
    assert!(ask(&mut gate, buy("a-2", "11"), "0").is_err());
    gate.observe(&update(&order, OrderChange::ReplaceRejected, OrderStatus::New, "0"));
    assert!(ask(&mut gate, buy("a-2", "40"), "0").is_ok());
}
