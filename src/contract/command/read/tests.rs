use super::*;
use crate::model::{Exit, Money, OrderClass, OrderRequest, OrderType, Side, Size, StopLoss, TakeProfit, Trail};

fn parse(text: &str) -> Result<DeskCommand, BadCommand> {
    parse_command(text.as_bytes())
}

fn placed(fields: &str) -> Result<OrderRequest, String> {
    let text = format!(r#"{{"action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy",{fields}}}"#);
    match parse(&text).map_err(|bad| bad.reason)?.wish {
        Wish::Order(Command::Place(request)) => Ok(request),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn the_example_of_the_contract_is_an_order() {
    let text = r#"{"action":"place","client_order_id":"scalper-17","exchange":"alpaca","account":"paper","symbol":"AAPL","side":"buy",
        "type":"limit","qty":"10","limit_price":"150.00","time_in_force":"day","expires_at":"2026-11-20T15:00:00Z","reply_to":"scalper:answers"}"#;
    let command = parse(text).unwrap();
    assert_eq!((command.exchange.unwrap().as_str(), command.account.as_deref(), command.action), ("alpaca", Some("paper"), "place"));
    assert_eq!((command.expires_at.unwrap().seconds(), command.reply_to.as_deref()), (1_795_186_800, Some("scalper:answers")));
    let Wish::Order(Command::Place(request)) = command.wish else { panic!("no order") };
    assert_eq!(request.client_order_id.bot(), Some("scalper"));
    assert_eq!((request.kind, request.size), (OrderType::Limit { limit: "150".parse().unwrap() }, Size::Quantity("10".parse().unwrap())));
}

#[test]
fn numbers_come_as_texts_or_as_numbers_and_keep_their_digits() {
    assert_eq!(placed(r#""qty":0.1,"limit_price":150.10"#).unwrap().kind, OrderType::Limit { limit: "150.1".parse().unwrap() });
    assert_eq!(placed(r#""notional":"100.5""#).unwrap().size, Size::Notional("100.5".parse::<Money>().unwrap()));
    assert_eq!(placed(r#""qty":1e2"#).unwrap().size, Size::Quantity("100".parse().unwrap()));
    assert_eq!(placed(r#""qty":0.12345678901"#).unwrap_err(), "qty has more than 9 decimals");
    assert_eq!(placed(r#""qty":"-1""#).unwrap_err(), "qty must be above zero");
}

#[test]
fn an_order_without_a_type_is_what_its_prices_say() {
    let kind = |fields: &str| placed(&format!(r#""qty":1{fields}"#)).unwrap().kind.as_str();
    assert_eq!(kind(""), "market");
    assert_eq!(kind(r#","limit_price":1"#), "limit");
    assert_eq!(kind(r#","stop_price":1"#), "stop");
    assert_eq!(kind(r#","stop_price":1,"limit_price":2"#), "stop_limit");
    assert_eq!(kind(r#","trail_percent":1"#), "trailing_stop");
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    for (fields, reason) in [
        (r#""type":"limit""#, "qty or notional is missing"),
        (r#""qty":1,"notional":1"#, "qty and notional are both given; one of them is enough"),
        (r#""qty":1,"type":"limit""#, "limit_price is missing"),
        (r#""qty":1,"type":"market","limit_price":1"#, "limit_price does not belong to a market order"),
        (r#""qty":1,"type":"limit","limit_price":1,"stop_price":1"#, "stop_price does not belong to a limit order"),
        (r#""qty":1,"type":"iceberg""#, "type is none of market, limit, stop, stop_limit, trailing_stop"),
        (r#""qty":1,"time_in_force":"gtd""#, "time_in_force is none of day, gtc, ioc, fok, opg, cls"),
        (r#""qty":1,"order_class":"bracket""#, "a bracket needs take_profit and stop_loss"),
        (r#""qty":1,"take_profit":{"limit_price":2}"#, "take_profit and stop_loss need the order_class bracket, oco or oto"),
        (r#""qty":1,"order_class":"bracket","take_profit":{},"stop_loss":{"stop_price":1}"#, "take_profit.limit_price is missing"),
        (
            r#""qty":1,"order_class":"oco","take_profit":{"limit_price":2},"stop_loss":{"stop_price":1}"#,
            "an oco order is the profit side itself, a limit order, and needs stop_loss alone",
        ),
        (r#""qty":1,"order_class":"oto""#, "an oto order needs take_profit or stop_loss, one of them"),
        (r#""qty":1,"order_class":"ladder""#, "order_class is none of simple, bracket, oco, oto"),
        (r#""qty":1,"type":"limit","limit_price":1,"trail_percent":1"#, "a trail does not belong to a limit order"),
        (r#""qty":1,"trail_price":1,"trail_percent":1"#, "trail_price and trail_percent are both given; one of them is enough"),
    ] {
        assert_eq!(placed(fields).unwrap_err(), reason);
    }
    assert_eq!(parse(r#"{"action":"sell everything"}"#).unwrap_err().reason, format!("the action is none of {}", ACTIONS.join(", ")));
    assert_eq!(parse(r#"{"action":"cancel"}"#).unwrap_err().reason, "client_order_id or order_id is missing");
    assert_eq!(parse(r#"{"action":"place","client_order_id":"a b"}"#).unwrap_err().reason, "qty or notional is missing");
    assert!(parse(&"x".repeat(20_000)).unwrap_err().reason.contains("at most 16384 bytes"));
    assert!(parse("[").unwrap_err().reason.starts_with("not a command"));
}

#[test]
fn a_refused_command_still_says_whom_to_answer() {
    let bad = parse(r#"{"action":"place","client_order_id":"b-7","reply_to":"b:answers","qty":"x"}"#).unwrap_err();
    assert_eq!((bad.client_order_id.as_deref(), bad.reply_to.as_deref(), bad.action.as_deref()), (Some("b-7"), Some("b:answers"), Some("place")));
    let typo = parse(r#"{"action":"place","client_order_id":"b-8","reply_to":"b:answers","limitprice":1}"#).unwrap_err();
    assert_eq!((typo.reason.as_str(), typo.reply_to.as_deref()), ("there is no field limitprice in a command", Some("b:answers")));
    let bad = parse(r#"{"action":"cancel","reply_to":"TICKER_UPDATES_AAPL"}"#).unwrap_err();
    assert_eq!(bad.reply_to, None);
}

#[test]
fn brackets_changes_halts_and_questions() {
    let bracket = placed(r#""qty":1,"order_class":"bracket","take_profit":{"limit_price":"110"},"stop_loss":{"stop_price":90,"limit_price":"89.5"}"#);
    assert_eq!(bracket.unwrap().class.as_str(), "bracket");
    let wish = |text: &str| parse(text).map(|command| command.wish);
    assert!(matches!(wish(r#"{"action":"modify","order_id":"o1","qty":"5"}"#), Ok(Wish::Order(Command::Modify { change, .. })) if change.quantity.is_some()));
    assert!(wish(r#"{"action":"modify","order_id":"o1","new_client_order_id":"b-2"}"#).unwrap_err().reason.starts_with("nothing is to be changed"));
    assert_eq!(wish(r#"{"action":"cancel_all","symbol":""}"#), Ok(Wish::Order(Command::CancelAll(None))));
    assert_eq!(
        wish(r#"{"action":"halt","bot":"scalper","reduce_only":true,"reason":"too\nfast"}"#),
        Ok(Wish::Halt { scope: Scope::Bot("scalper".to_owned()), mode: HaltWord::ReduceOnly, reason: "toofast".to_owned() })
    );
    assert_eq!(wish(r#"{"action":"resume","scope":"all"}"#), Ok(Wish::Resume { scope: Scope::All }));
    assert_eq!(wish(r#"{"action":"fills","limit":9999}"#), Ok(Wish::Ask(Question::Fills { whose: Whose::Account, since: Timestamp::default(), limit: 500 })));
}

#[test]
fn a_question_may_be_about_one_bot_or_about_nobodys_orders() {
    let wish = |text: &str| parse(text).map(|command| command.wish).map_err(|bad| bad.reason);
    let scalper = || Whose::Bot("scalper".parse().unwrap());
    assert_eq!(wish(r#"{"action":"orders"}"#), Ok(Wish::Ask(Question::OpenOrders(Whose::Account))));
    assert_eq!(wish(r#"{"action":"orders","bot":"scalper"}"#), Ok(Wish::Ask(Question::OpenOrders(scalper()))));
    assert_eq!(wish(r#"{"action":"positions","bot":"scalper","external":false}"#), Ok(Wish::Ask(Question::Positions(scalper()))));
    assert_eq!(wish(r#"{"action":"balance","external":true}"#), Ok(Wish::Ask(Question::Balance(Whose::External))));
    let fills = Question::Fills { whose: scalper(), since: Timestamp::default(), limit: 7 };
    assert_eq!(wish(r#"{"action":"fills","bot":"scalper","limit":7}"#), Ok(Wish::Ask(fills)));
    assert!(wish(r#"{"action":"fills","bot":"Scalper"}"#).unwrap_err().starts_with("bot: "));
    assert_eq!(wish(r#"{"action":"orders","bot":"a","external":true}"#).unwrap_err(), "bot and external are both given; what is external belongs to no bot");
}

#[test]
fn a_comparison_repairs_unless_it_is_told_not_to() {
    let wish = |text: &str| parse(text).map(|command| command.wish);
    assert_eq!(wish(r#"{"action":"reconcile"}"#), Ok(Wish::Reconcile { dry_run: false }));
    assert_eq!(wish(r#"{"action":"reconcile","dry_run":true}"#), Ok(Wish::Reconcile { dry_run: true }));
    assert!(wish(r#"{"action":"reconcile","dry-run":true}"#).is_err());
}

#[test]
fn sales_trails_and_pairs_of_exits() {
    let sale = parse(r#"{"action":"place","client_order_id":"b-1","symbol":"AAPL","side":"sell","qty":1,"trail_price":"0.50"}"#).unwrap().wish;
    let Wish::Order(Command::Place(sale)) = sale else { panic!("{sale:?}") };
    assert_eq!((sale.side, sale.kind), (Side::Sell, OrderType::TrailingStop { trail: Trail::Price("0.5".parse().unwrap()) }));
    let bad = parse(r#"{"action":"place","client_order_id":"b-1","symbol":"AAPL","side":"short","qty":1}"#).unwrap_err();
    assert_eq!(bad.reason, "side is neither buy nor sell");
    let (profit, loss) = (TakeProfit { limit: "110".parse().unwrap() }, StopLoss { stop: "90".parse().unwrap(), limit: None });
    let class = |fields: &str| placed(&format!(r#""qty":1,"limit_price":"100",{fields}"#)).unwrap().class;
    assert_eq!(class(r#""order_class":"oco","stop_loss":{"stop_price":"90"}"#), OrderClass::Oco { loss });
    assert_eq!(class(r#""order_class":"oto","stop_loss":{"stop_price":"90"}"#), OrderClass::Oto { exit: Exit::Loss(loss) });
    assert_eq!(class(r#""order_class":"oto","take_profit":{"limit_price":"110"}"#), OrderClass::Oto { exit: Exit::Profit(profit) });
}

#[test]
fn a_halt_says_whom_it_stops() {
    let scope = |fields: &str| match parse(&format!(r#"{{"action":"resume"{fields}}}"#)).map(|command| command.wish) {
        Ok(Wish::Resume { scope }) => Ok(scope),
        Ok(other) => Err(format!("{other:?}")),
        Err(bad) => Err(bad.reason),
    };
    assert_eq!(scope(""), Ok(Scope::Account));
    assert_eq!(scope(r#","scope":"account""#), Ok(Scope::Account));
    assert_eq!(scope(r#","scope":"broker""#), Ok(Scope::Broker));
    assert_eq!(scope(r#","scope":"bot","bot":"scalper""#), Ok(Scope::Bot("scalper".to_owned())));
    assert_eq!(scope(r#","scope":"bot""#).unwrap_err(), "bot is missing");
    assert_eq!(scope(r#","scope":"world""#).unwrap_err(), "scope is none of all, broker, account, bot");
    assert_eq!(scope(r#","scope":"broker","bot":"scalper""#).unwrap_err(), "scope is none of all, broker, account, bot");
}
