use super::*;

fn scopes() -> [HaltScope; 4] {
    [HaltScope::All, HaltScope::Broker("paper".parse().unwrap()), HaltScope::Account(of()), HaltScope::Bot("a".to_owned())]
}

#[test]
fn a_halt_lets_nothing_through_until_it_is_resumed() {
    for scope in scopes() {
        let mut gate = gate(Limits::default());
        let record = gate.set_halt(scope.clone(), HaltMode::Halted, "too many surprises".to_owned(), at(0));
        assert_eq!(gate.halts().records().collect::<Vec<_>>(), [&record]);
        let denial = ask(&mut gate, sell("a-1", "1"), "10").unwrap_err();
        let text = format!("{scope} is halted since 2023-11-14T22:13:20.000000000Z: too many surprises; only cancels pass until it is resumed");
        assert_eq!((denial.rule, denial.to_string()), (Rule::Halted, text));
        assert_eq!(ask_change(&mut gate, &placed(&buy("a-2", "2")), "1", "10").unwrap_err().rule, Rule::Halted);
        assert_eq!(gate.resume(&scope), Some(record));
        assert!(ask(&mut gate, sell("a-1", "1"), "10").is_ok());
    }
}

#[test]
fn a_halt_of_somebody_else_is_nothing_to_us() {
    let mut gate = gate(Limits::default());
    let other = AccountRef { broker: "paper".parse().unwrap(), account: "two".parse().unwrap() };
    for scope in [HaltScope::Broker("binance".parse().unwrap()), HaltScope::Account(other), HaltScope::Bot("b".to_owned())] {
        gate.set_halt(scope, HaltMode::Halted, "not ours".to_owned(), at(0));
    }
    assert!(ask(&mut gate, buy("a-1", "1"), "0").is_ok());
    assert_eq!(ask(&mut gate, buy("b-1", "1"), "0").unwrap_err().bot.as_deref(), Some("b"));
    assert!(ask(&mut gate, buy("by hand", "1"), "0").is_ok());
    let mut nobody = Gate::new(Limits::default(), BTreeMap::new());
    nobody.set_halt(HaltScope::Broker("binance".parse().unwrap()), HaltMode::Halted, "whose?".to_owned(), at(0));
    assert_eq!(ask(&mut nobody, buy("a-1", "1"), "0").unwrap_err().rule, Rule::Halted);
}

#[test]
fn reduce_only_lets_positions_shrink_and_no_further_than_to_nothing() {
    let mut gate = gate(Limits::default());
    gate.set_halt(HaltScope::All, HaltMode::ReduceOnly, "a bad day".to_owned(), at(0));
    let text = "all is reduce_only since 2023-11-14T22:13:20.000000000Z: a bad day; until it is resumed positions may only be reduced: \
                to sell are at most 10 AAPL, not 10.000000001: 10 are held, open orders have spoken for 0";
    assert_eq!(ask(&mut gate, sell("a-1", "10.000000001"), "10").unwrap_err().to_string(), text);
    assert!(ask(&mut gate, sell("a-1", "4"), "10").is_ok());
    assert_eq!(ask(&mut gate, sell("a-2", "7"), "10").unwrap_err().rule, Rule::ReduceOnly);
    assert!(ask(&mut gate, sell("a-2", "6"), "10").is_ok());
    assert_eq!(ask(&mut gate, sell("a-3", "0.000000001"), "10").unwrap_err().rule, Rule::ReduceOnly);
    assert_eq!(ask(&mut gate, buy("a-3", "1"), "10").unwrap_err().rule, Rule::ReduceOnly);
    assert_eq!(ask(&mut gate, buy("a-3", "1"), "0").unwrap_err().rule, Rule::ReduceOnly);
    // An order that takes its reduction back later reduces nothing.
    let exit = crate::model::Exit::Loss(StopLoss { stop: "110".parse().unwrap(), limit: None });
    gate.withdraw(&"a-2".parse().unwrap());
    let denial = ask(&mut gate, OrderRequest { class: OrderClass::Oto { exit }, ..sell("a-2", "1") }, "10").unwrap_err();
    assert!(denial.to_string().ends_with("the exits of this order would take back what it reduces"), "{denial}");
    // What is open may be changed as long as it reduces.
    let open_order = placed(&sell("a-1", "4"));
    assert!(ask_change(&mut gate, &open_order, "10", "10").is_ok());
    assert_eq!(ask_change(&mut gate, &open_order, "11", "10").unwrap_err().rule, Rule::ReduceOnly);
}

#[test]
fn short_positions_are_reduced_by_buying() {
    let mut gate = gate(Limits::default());
    gate.set_halt(HaltScope::All, HaltMode::ReduceOnly, "a bad day".to_owned(), at(0));
    assert_eq!(ask(&mut gate, sell("a-1", "1"), "-10").unwrap_err().rule, Rule::ReduceOnly);
    let denial = ask(&mut gate, buy("a-1", "11"), "-10").unwrap_err();
    assert!(denial.to_string().ends_with("to buy are at most 10 AAPL, not 11: 10 are sold short, open orders have spoken for 0"), "{denial}");
    assert!(ask(&mut gate, buy("a-1", "10"), "-10").is_ok());
}

#[test]
fn a_bot_reduces_what_it_holds_itself() {
    let mut gate = gate(Limits::default());
    let held = BTreeMap::from([("a".to_owned(), BTreeMap::from([("AAPL".parse().unwrap(), dec("5"))]))]);
    gate.adopt(&[], &held);
    gate.set_halt(HaltScope::Bot("a".to_owned()), HaltMode::ReduceOnly, "it misbehaves".to_owned(), at(0));
    let denial = ask(&mut gate, sell("a-1", "6"), "100").unwrap_err();
    assert_eq!((denial.rule, denial.bot.as_deref()), (Rule::ReduceOnly, Some("a")));
    assert!(ask(&mut gate, sell("a-1", "5"), "100").is_ok());
    assert!(ask(&mut gate, buy("b-1", "5"), "100").is_ok());
}

#[test]
fn halts_survive_a_restart() {
    let mut before = gate(Limits::default());
    for (n, scope) in scopes().into_iter().enumerate() {
        let mode = if n % 2 == 0 { HaltMode::ReduceOnly } else { HaltMode::Halted };
        before.set_halt(scope, mode, "said \"stop\"\nand meant it".to_owned(), at(n as i64));
    }
    let kept = before.halts().to_json();
    let mut after = gate(Limits::default());
    after.adopt_halts(HaltBook::from_json(&kept).unwrap());
    assert_eq!(after.halts(), before.halts());
    assert_eq!(ask(&mut after, sell("a-1", "1"), "10").unwrap_err().rule, Rule::Halted);
}

#[test]
fn the_document_of_halts_is_readable_and_checked() {
    let mut book = HaltBook::default();
    assert!(HaltBook::from_json(&book.to_json()).unwrap().is_empty());
    book.set(HaltScope::Account(of()), HaltMode::ReduceOnly, "a bad day".to_owned(), at(0));
    let text = r#"{"version":1,"halts":[{"scope":"account:paper/one","mode":"reduce_only","reason":"a bad day","since":"2023-11-14T22:13:20.000000000Z"}]}"#;
    assert_eq!(book.to_json(), text);
    for broken in
        ["", "{}", "[]", &text.replace("\"version\":1", "\"version\":2"), &text.replace("account:", "shop:"), &text.replace("reduce_only", "off"), &text[1..]]
    {
        let error = HaltBook::from_json(broken).unwrap_err().to_string();
        assert!(error.contains("take everything as halted"), "{error}");
    }
}

#[test]
fn setting_a_halt_again_keeps_its_time_unless_it_changes() {
    let mut book = HaltBook::default();
    book.set(HaltScope::All, HaltMode::Halted, "first".to_owned(), at(0));
    let again = book.set(HaltScope::All, HaltMode::Halted, "second".to_owned(), at(9));
    assert_eq!((again.since, again.reason.as_str()), (at(0), "second"));
    assert_eq!(book.set(HaltScope::All, HaltMode::ReduceOnly, "third".to_owned(), at(9)).since, at(9));
    assert_eq!(book.records().count(), 1);
}

#[test]
fn scopes_are_written_as_they_are_read() {
    for scope in scopes() {
        assert_eq!(scope.to_string().parse(), Ok(scope));
    }
    for text in ["", "All", "bot:", "account:paper", "broker:", "broker:No", "paper"] {
        assert_eq!(text.parse::<HaltScope>(), Err(ScopeError), "{text:?}");
    }
}
