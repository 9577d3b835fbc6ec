//! What counts, for how long, and for whom.

use super::*;
use crate::model::TakeProfit;

fn usage(gate: &Gate) -> (u32, u32) {
    let usage = gate.usage(at(0));
    (usage.open_orders, usage.orders_last_minute)
}

fn room(gate: &mut Gate, side: Side, position: &str) -> Decimal {
    let probe = |units: u32| {
        let id = format!("probe-{units}");
        let request = order_of(&id, side, &units.to_string(), limit("100"));
        (request.client_order_id.clone(), request)
    };
    let mut fits = 0;
    for units in 1..=300 {
        let (id, request) = probe(units);
        if ask(gate, request, position).is_ok() {
            gate.withdraw(&id);
            fits = units;
        }
    }
    fits.into()
}

#[test]
fn without_limits_everything_passes_as_it_came() {
    let mut gate = gate(Limits::default());
    let market = order_of("a-1", Side::Buy, "999999999", OrderType::Market);
    let blind = Sight::blind(MarketSession::Closed);
    let sent = gate.check(market.clone(), &blind, &Holdings::default(), at(0)).unwrap();
    assert_eq!(sent.into_inner(), market);
    assert!(gate.check(by_money("a-2", Side::Sell, "5"), &blind, &Holdings::default(), at(0)).is_ok());
    assert_eq!(usage(&gate), (2, 2));
}

#[test]
fn a_denied_order_counts_nowhere() {
    let mut gate = gate(size_limit("10"));
    assert!(ask(&mut gate, buy("a-1", "11"), "0").is_err());
    assert_eq!(gate.usage(at(0)), Usage::default());
}

#[test]
fn an_approved_order_counts_until_it_ends_or_is_withdrawn() {
    let mut gate = gate(size_limit("100"));
    ask(&mut gate, buy("a-1", "60"), "0").unwrap();
    ask(&mut gate, buy("b-1", "40"), "0").unwrap();
    assert!(ask(&mut gate, buy("c-1", "1"), "0").is_err());
    gate.withdraw(&"b-1".parse().unwrap());
    assert_eq!(room(&mut gate, Side::Buy, "0"), dec("40"));
    let order = placed(&buy("a-1", "60"));
    gate.observe(&open(&order));
    assert_eq!(room(&mut gate, Side::Buy, "0"), dec("40"));
    gate.observe(&canceled(&order));
    assert_eq!(room(&mut gate, Side::Buy, "0"), dec("100"));
    assert_eq!(usage(&gate).0, 0);
}

#[test]
fn the_same_news_again_changes_nothing() {
    let bot = || Limits { max_position_size: Some(dec("100")), ..Limits::default() };
    let mut gate = gate_with_bot(size_limit("200"), "a", bot());
    ask(&mut gate, buy("a-1", "60"), "0").unwrap();
    let order = placed(&buy("a-1", "60"));
    let news = [
        open(&order),
        execution(&order, OrderChange::PartialFill, OrderStatus::PartiallyFilled, "20", "20", "20"),
        execution(&order, OrderChange::PartialFill, OrderStatus::PartiallyFilled, "50", "30", "50"),
        execution(&order, OrderChange::Fill, OrderStatus::Filled, "60", "10", "60"),
    ];
    for (n, update) in news.iter().enumerate() {
        gate.observe(update);
        let after = (gate.usage(at(0)), usage(&gate));
        for earlier in news[..=n].iter().chain(news[..=n].iter().rev()) {
            gate.observe(earlier);
        }
        assert_eq!((gate.usage(at(0)), usage(&gate)), after, "after {n}");
    }
    assert_eq!(gate.usage(at(0)).bots["a"].positions.values().copied().collect::<Vec<_>>(), [dec("60")]);
    assert!(ask(&mut gate, buy("a-2", "41"), "60").is_err());
    assert!(ask(&mut gate, buy("a-2", "40"), "60").is_ok());
}

#[test]
fn a_fill_that_comes_after_the_cancel_is_booked_once() {
    let mut gate = gate(Limits::default());
    ask(&mut gate, buy("a-1", "60"), "0").unwrap();
    let order = placed(&buy("a-1", "60"));
    gate.observe(&canceled(&order));
    let late = execution(&order, OrderChange::PartialFill, OrderStatus::Canceled, "5", "5", "5");
    gate.observe(&late);
    gate.observe(&late);
    assert_eq!(gate.usage(at(0)).bots["a"].positions.values().copied().collect::<Vec<_>>(), [dec("5")]);
    gate.observe(&update(&order, OrderChange::TradeBust, OrderStatus::Canceled, "0"));
    assert!(gate.usage(at(0)).bots["a"].positions.is_empty());
}

#[test]
fn a_position_that_was_read_before_the_fill_is_not_believed() {
    let mut gate = gate(size_limit("100"));
    ask(&mut gate, buy("a-1", "60"), "0").unwrap();
    let order = placed(&buy("a-1", "60"));
    gate.observe(&update(&order, OrderChange::Fill, OrderStatus::Filled, "60"));
    assert_eq!(room(&mut gate, Side::Buy, "0"), dec("40"));
    assert_eq!(room(&mut gate, Side::Buy, "60"), dec("40"));
    // Nor is a sell of what is not told yet.
    assert_eq!(room(&mut gate, Side::Sell, "0"), dec("100"));
    assert_eq!(room(&mut gate, Side::Sell, "60"), dec("160"));
    // Half a minute later the account is right, whatever the fills said.
    let later = gate.check(buy("a-2", "70"), &sight(), &holding("30"), Timestamp::from_nanos(at(30).nanos() - 1));
    assert_eq!(later.unwrap_err().rule, Rule::MaxPositionSize);
    assert!(gate.check(buy("a-2", "70"), &sight(), &holding("30"), at(30)).is_ok());
}

#[test]
fn orders_that_somebody_else_placed_count_too() {
    let mut gate = gate(Limits { max_open_orders: Some(1), ..size_limit("100") });
    let order = placed(&buy("typed by hand", "60"));
    gate.observe(&open(&order));
    assert_eq!(ask(&mut gate, buy("a-1", "1"), "0").unwrap_err().rule, Rule::MaxPositionSize.max(Rule::MaxOpenOrders));
    gate.observe(&execution(&order, OrderChange::Fill, OrderStatus::Filled, "60", "60", "60"));
    assert_eq!(room(&mut gate, Side::Buy, "0"), dec("40"));
}

#[test]
fn what_was_open_before_a_restart_is_counted() {
    let mut gate = gate_with_bot(size_limit("100"), "a", size_limit("50"));
    let partly = Order { filled: dec("10"), status: OrderStatus::PartiallyFilled, ..placed(&buy("a-1", "30")) };
    let done = Order { status: OrderStatus::Canceled, ..placed(&buy("a-2", "30")) };
    let positions = BTreeMap::from([("a".to_owned(), BTreeMap::from([("AAPL".parse().unwrap(), dec("15"))]))]);
    gate.adopt(&[partly.clone(), done], &positions);
    assert_eq!(usage(&gate), (1, 0));
    assert_eq!(ask(&mut gate, buy("a-3", "16"), "15").unwrap_err().measure.unwrap().used, dec("35"));
    assert!(ask(&mut gate, buy("a-3", "15"), "15").is_ok());
    gate.observe(&update(&partly, OrderChange::PartialFill, OrderStatus::PartiallyFilled, "20"));
    assert_eq!(gate.usage(at(0)).bots["a"].positions.values().copied().collect::<Vec<_>>(), [dec("25")]);
}

#[test]
fn both_the_limit_of_the_bot_and_that_of_the_account_hold() {
    let mut gate = gate_with_bot(size_limit("100"), "a", size_limit("30"));
    let denial = ask(&mut gate, buy("a-1", "31"), "0").unwrap_err();
    let text = "the bot a could come to 31 units of AAPL long, allowed are 30: the position is 0, open orders add 0, this order 31; \
                the setting is risk_limits.max_position_size of the bot a";
    assert_eq!((denial.bot.as_deref(), denial.to_string().as_str()), (Some("a"), text));
    ask(&mut gate, buy("a-1", "30"), "0").unwrap();
    ask(&mut gate, buy("b-1", "65"), "0").unwrap();
    assert_eq!(ask(&mut gate, buy("b-2", "6"), "0").unwrap_err().bot, None);
    assert!(ask(&mut gate, buy("b-2", "5"), "0").is_ok());
    // A bot's own position does not shrink because another one sells.
    assert_eq!(ask(&mut gate, buy("a-2", "1"), "-50").unwrap_err().bot.as_deref(), Some("a"));
}

#[test]
fn every_limit_of_a_bot_is_its_own() {
    let limits = Limits {
        max_open_orders: Some(1),
        max_orders_per_minute: Some(2),
        max_daily_loss: Some(dec("10")),
        allowed_symbols: Some(["AAPL".parse().unwrap()].into()),
        ..Limits::default()
    };
    let mut gate = gate_with_bot(Limits::default(), "a", limits);
    ask(&mut gate, buy("b-1", "1"), "0").unwrap();
    ask(&mut gate, buy("b-2", "1"), "0").unwrap();
    ask(&mut gate, buy("a-1", "1"), "0").unwrap();
    assert_eq!(
        ask(&mut gate, buy("a-2", "1"), "0").unwrap_err().to_string(),
        "the bot a has 1 open orders, allowed are 1; the setting is risk_limits.max_open_orders of the bot a"
    );
    gate.withdraw(&"a-1".parse().unwrap());
    ask(&mut gate, buy("a-2", "1"), "0").unwrap();
    gate.withdraw(&"a-2".parse().unwrap());
    assert_eq!(ask(&mut gate, buy("a-3", "1"), "0").unwrap_err().rule, Rule::MaxOrdersPerMinute);
    let other = OrderRequest { symbol: "TSLA".parse().unwrap(), ..buy("a-4", "1") };
    assert_eq!(ask(&mut gate, other, "0").unwrap_err().rule, Rule::AllowedSymbols);
    let lost = Holdings { equity: dec("9990"), ..holding("5") };
    // The account holds five, the bot does not.
    assert_eq!(gate.check(sell("a-5", "1"), &sight(), &lost, at(0)).unwrap_err().rule, Rule::MaxDailyLoss);
    assert!(gate.check(buy("b-3", "1"), &sight(), &lost, at(0)).is_ok());
    assert_eq!(gate.usage(at(59)).bots["a"], BotUsage { open_orders: 0, orders_last_minute: 2, positions: BTreeMap::new() });
    assert_eq!(gate.usage(at(60)).bots["a"], BotUsage::default());
}

fn leg(id: &str, side: Side, kind: OrderType, parent: &Order) -> Order {
    Order { parent: Some(parent.id.clone()), status: OrderStatus::Held, ..placed(&order_of(id, side, "10", kind)) }
}

fn reduce_only(gate: &mut Gate) {
    gate.set_halt(HaltScope::All, HaltMode::ReduceOnly, "test".to_owned(), at(0));
}

#[test]
fn exits_of_a_bracket_are_open_orders_but_no_position() {
    let mut gate = gate(size_limit("100"));
    let class = OrderClass::Bracket { profit: TakeProfit { limit: "120".parse().unwrap() }, loss: StopLoss { stop: "90".parse().unwrap(), limit: None } };
    let request = OrderRequest { class, ..buy("a-1", "10") };
    ask(&mut gate, request.clone(), "0").unwrap();
    assert_eq!(usage(&gate).0, 1);
    let mut entry = placed(&request);
    let stop = OrderType::Stop { stop: "90".parse().unwrap() };
    // The venue names them itself, and does not repeat in a leg's news what it hangs on.
    let legs = [leg("venue 1", Side::Sell, limit("120"), &entry), leg("venue 2", Side::Sell, stop, &entry)].map(|leg| Order { parent: None, ..leg });
    entry.legs = legs.iter().map(|leg| leg.id.clone()).collect();
    gate.observe(&open(&entry));
    for leg in &legs {
        gate.observe(&update(leg, OrderChange::Held, OrderStatus::Held, "0"));
    }
    assert_eq!(usage(&gate).0, 3);
    assert_eq!((room(&mut gate, Side::Buy, "0"), room(&mut gate, Side::Sell, "0")), (dec("90"), dec("100")));
    gate.observe(&execution(&entry, OrderChange::Fill, OrderStatus::Filled, "10", "10", "12"));
    legs.iter().for_each(|leg| gate.observe(&open(leg)));
    assert_eq!((usage(&gate).0, room(&mut gate, Side::Sell, "12")), (2, dec("112")));
    // Ten of twelve are spoken for, once: only one of the exits will be filled.
    reduce_only(&mut gate);
    assert_eq!(room(&mut gate, Side::Sell, "12"), dec("2"));
    assert!(ask_change(&mut gate, &legs[0], "12", "12").is_ok());
    gate.withdraw_change(&"venue 1".parse().unwrap());
    gate.observe(&execution(&legs[0], OrderChange::Fill, OrderStatus::Filled, "10", "10", "2"));
    gate.observe(&canceled(&legs[1]));
    assert_eq!(usage(&gate).0, 0);
    // What the legs did is the bot's doing.
    assert!(gate.usage(at(0)).bots["a"].positions.is_empty());
}

#[test]
fn two_exits_that_exclude_each_other_count_once() {
    let mut gate = gate(size_limit("10"));
    let class = OrderClass::Oco { loss: StopLoss { stop: "90".parse().unwrap(), limit: None } };
    let request = OrderRequest { class, ..sell("a-1", "10") };
    ask(&mut gate, request.clone(), "10").unwrap();
    let mut profit = placed(&request);
    let loss = leg("venue 1", Side::Sell, OrderType::Stop { stop: "90".parse().unwrap() }, &profit);
    profit.legs = vec![loss.id.clone()];
    gate.observe(&open(&profit));
    gate.observe(&open(&loss));
    assert_eq!((usage(&gate).0, room(&mut gate, Side::Sell, "10")), (1, dec("10")));
    reduce_only(&mut gate);
    assert_eq!(room(&mut gate, Side::Sell, "12"), dec("2"));
}

#[test]
fn changes_are_checked_and_count_the_larger_of_both_until_answered() {
    let mut gate = gate(Limits { max_orders_per_minute: Some(4), max_order_quantity: Some(dec("90")), ..size_limit("100") });
    ask(&mut gate, buy("a-1", "60"), "0").unwrap();
    let order = placed(&buy("a-1", "60"));
    gate.observe(&open(&order));
    assert_eq!(ask_change(&mut gate, &order, "91", "0").unwrap_err().rule, Rule::MaxOrderQuantity);
    assert_eq!(ask_change(&mut gate, &order, "90", "11").unwrap_err().rule, Rule::MaxPositionSize);
    ask_change(&mut gate, &order, "90", "0").unwrap();
    assert_eq!(ask(&mut gate, buy("b-1", "11"), "0").unwrap_err().rule, Rule::MaxPositionSize);
    gate.observe(&update(&order, OrderChange::ReplaceRejected, OrderStatus::New, "0"));
    ask(&mut gate, buy("b-1", "40"), "0").unwrap();
    // A smaller order is only believed when the venue says so.
    ask_change(&mut gate, &order, "10", "0").unwrap();
    assert_eq!(ask(&mut gate, buy("b-2", "1"), "0").unwrap_err().rule, Rule::MaxPositionSize);
    assert_eq!(ask_change(&mut gate, &order, "10", "0").unwrap_err().rule, Rule::MaxOrdersPerMinute);
    gate.observe(&update(&placed(&buy("a-1", "10")), OrderChange::Restated, OrderStatus::New, "0"));
    assert_eq!(gate.check(buy("b-2", "50"), &sight(), &holding("0"), at(60)).map(|_| ()), Ok(()));
}

#[test]
fn an_order_that_we_denied_or_that_used_a_name_again_ends_nothing() {
    let mut gate = gate(Limits::default());
    ask(&mut gate, buy("a-1", "60"), "0").unwrap();
    let order = placed(&buy("a-1", "60"));
    let again = Order { id: "made up".parse().unwrap(), ..order.clone() };
    gate.observe(&update(&again, OrderChange::Denied, OrderStatus::Denied, "0"));
    gate.observe(&open(&order));
    gate.observe(&update(&again, OrderChange::Denied, OrderStatus::Denied, "0"));
    gate.observe(&update(&again, OrderChange::Rejected, OrderStatus::Rejected, "0"));
    assert_eq!(usage(&gate).0, 1);
    gate.observe(&update(&order, OrderChange::Rejected, OrderStatus::Rejected, "0"));
    assert_eq!(usage(&gate).0, 0);
}

#[test]
fn an_order_of_unknown_outcome_counts_under_whatever_name_it_turns_out_to_have() {
    let mut gate = gate(size_limit("100"));
    ask(&mut gate, buy("a-1", "60"), "0").unwrap();
    let made_up = Order { id: "a-1".parse().unwrap(), ..placed(&buy("a-1", "60")) };
    gate.observe(&update(&made_up, OrderChange::OutcomeUnknown, OrderStatus::Unknown, "0"));
    assert_eq!(room(&mut gate, Side::Buy, "0"), dec("40"));
    let order = placed(&buy("a-1", "60"));
    gate.observe(&execution(&order, OrderChange::Fill, OrderStatus::Filled, "60", "60", "60"));
    assert_eq!((usage(&gate).0, room(&mut gate, Side::Buy, "60")), (0, dec("40")));
}

#[test]
fn a_long_day_is_forgotten() {
    let mut gate = gate(Limits::default());
    for n in 0..20_000_i64 {
        let symbol = format!("S{}", n % 3_000).parse().unwrap();
        let request = OrderRequest { symbol, ..buy(&format!("b{}-{n}", n % 1_000), "1") };
        gate.check(request.clone(), &sight(), &holding("0"), at(n)).unwrap();
        let order = Order { legs: vec![format!("leg {n}").parse().unwrap()], ..placed(&request) };
        gate.observe(&OrderUpdate { at: at(n), ..open(&order) });
        gate.observe(&OrderUpdate { at: at(n), ..canceled(&order) });
    }
    let text = format!("{gate:?}");
    assert!(text.len() < 4_000_000, "{} letters", text.len());
    assert_eq!(text.matches("leg 0").count(), 0);
    assert_eq!(usage(&gate).0, 0);
}
