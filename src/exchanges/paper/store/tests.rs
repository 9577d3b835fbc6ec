use std::fs;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use tempfile::TempDir;

use super::*;
use crate::model::{
    Exit, OrderClass, OrderRequest, OrderStatus, OrderTimes, OrderType, PositionIntent, Side, Size, StopLoss, TakeProfit, TimeInForce, Trail, VenueOrderId,
};

fn opening() -> Opening {
    Opening { account: "paper-1".parse().unwrap(), currency: "USD".to_owned(), cash: 100_000.into(), at: Timestamp::from_nanos(7) }
}

fn file() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data").join("paper.db");
    (folder, path)
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn fill(n: u32, at: i64) -> Fill {
    Fill {
        execution_id: format!("e{n}").parse().unwrap(),
        order_id: "o-1".parse().unwrap(),
        client_order_id: "bot-1".parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Sell,
        price: dec("150.250000001"),
        quantity: dec("0.5"),
        fees: dec("0.01"),
        position: dec("-3"),
        at: Timestamp::from_nanos(at),
    }
}

fn decimal() -> impl Strategy<Value = Decimal> {
    (1i64..1_000_000_000_000, 0u32..10).prop_map(|(number, scale)| Decimal::new(number, scale).min(Decimal::from(999_999_999)))
}

fn positive<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>() -> impl Strategy<Value = T> {
    decimal().prop_map(|value| value.to_string().parse().unwrap())
}

fn kind() -> impl Strategy<Value = OrderType> {
    prop_oneof![
        Just(OrderType::Market),
        positive().prop_map(|limit| OrderType::Limit { limit }),
        positive().prop_map(|stop| OrderType::Stop { stop }),
        (positive(), positive()).prop_map(|(stop, limit)| OrderType::StopLimit { stop, limit }),
        positive().prop_map(|trail| OrderType::TrailingStop { trail: Trail::Price(trail) }),
        positive().prop_map(|trail| OrderType::TrailingStop { trail: Trail::Percent(trail) }),
    ]
}

fn class() -> impl Strategy<Value = OrderClass> {
    let loss = || (positive(), proptest::option::of(positive())).prop_map(|(stop, limit)| StopLoss { stop, limit });
    let profit = || positive().prop_map(|limit| TakeProfit { limit });
    prop_oneof![
        Just(OrderClass::Simple),
        (profit(), loss()).prop_map(|(profit, loss)| OrderClass::Bracket { profit, loss }),
        loss().prop_map(|loss| OrderClass::Oco { loss }),
        profit().prop_map(|profit| OrderClass::Oto { exit: Exit::Profit(profit) }),
        loss().prop_map(|loss| OrderClass::Oto { exit: Exit::Loss(loss) }),
    ]
}

fn request() -> impl Strategy<Value = OrderRequest> {
    let size = prop_oneof![positive().prop_map(Size::Quantity), positive().prop_map(Size::Notional)];
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    let time = proptest::sample::select(TimeInForce::ALL.to_vec());
    ("[a-z]{1,8}-[A-Za-z0-9_]{1,20}", "[A-Z]{1,5}(/USD)?", side, size, kind(), time, any::<bool>(), class()).prop_map(
        |(id, symbol, side, size, kind, time_in_force, extended_hours, class)| OrderRequest {
            client_order_id: id.parse().unwrap(),
            symbol: symbol.parse().unwrap(),
            side,
            size,
            kind,
            time_in_force,
            extended_hours,
            class,
        },
    )
}

fn id() -> impl Strategy<Value = VenueOrderId> {
    "[0-9a-f]{8}-[0-9a-f]{4}".prop_map(|text| text.parse().unwrap())
}

fn order() -> impl Strategy<Value = Order> {
    use proptest::option::of;
    let status = proptest::sample::select(OrderStatus::ALL.to_vec());
    let intents = [PositionIntent::BuyToOpen, PositionIntent::BuyToClose, PositionIntent::SellToOpen, PositionIntent::SellToClose];
    let numbers = (decimal(), decimal(), decimal(), of(decimal()), of(decimal()));
    let names = (of(id()), proptest::collection::vec(id(), 0..4), of(id()), of(id()));
    let at = || (0i64..i64::MAX).prop_map(Timestamp::from_nanos);
    let times = (at(), at(), at(), of(at()), of(at()), of(at()), of(at()), of(at()));
    (id(), request(), status, of(proptest::sample::select(intents.to_vec())), numbers, names, times).prop_map(
        |(id, request, status, intent, (filled, filled_value, fees, trailing_stop, high_water), (parent, legs, replaces, replaced_by), times)| {
            let (created, submitted, updated, filled_at, canceled, expired, failed, replaced) = times;
            Order {
                id,
                request,
                status,
                filled,
                filled_value,
                fees,
                intent,
                trailing_stop,
                high_water,
                parent,
                legs,
                replaces,
                replaced_by,
                times: OrderTimes { created, submitted, updated, filled: filled_at, canceled, expired, failed, replaced },
                text: None,
            }
        },
    )
}

fn placed(client: &str, id: &str) -> Order {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut order = order().new_tree(&mut runner).unwrap().current();
    order.request.client_order_id = client.parse().unwrap();
    order.id = id.parse().unwrap();
    order
}

fn placed_as(client: &str, id: &str, status: OrderStatus) -> Order {
    Order { status, ..placed(client, id) }
}

fn with_orders(orders: Vec<Order>) -> Change {
    Change { orders: orders.into_iter().map(Arc::new).collect(), ..Change::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_field_of_an_order_comes_back(mut before in order(), after in order()) {
        let (_folder, path) = file();
        let mut store = Store::open(&path, &opening()).unwrap();
        before.request.client_order_id = after.request.client_order_id.clone();
        before.id = after.id.clone();
        store.save(&with_orders(vec![before])).unwrap();
        store.save(&with_orders(vec![after.clone()])).unwrap();
        let found = store.order(&OrderKey::Venue(after.id.clone())).unwrap();
        prop_assert_eq!(found.as_ref(), Some(&after));
        prop_assert_eq!(store.load(100).unwrap().orders, vec![Arc::new(after)]);
    }
}

#[test]
fn an_account_goes_on_where_it_was() {
    let (_folder, path) = file();
    let held = Position { symbol: "AAPL".parse().unwrap(), quantity: dec("-2.5"), cost: dec("-375.000000000001"), mark: None, realised: dec("3") };
    let marked = Position { symbol: "TSLA".parse().unwrap(), mark: Some(dec("150.01")), ..held.clone() };
    let turned = Position { symbol: "MSFT".parse().unwrap(), ..held.clone() };
    let purse = Purse { cash: dec("99.10"), realised: dec("-0.5"), fees: dec("0.000000000001"), equity_at_open: dec("100000"), day: 20_000 };
    let mut store = Store::open(&path, &opening()).unwrap();
    assert_eq!((store.generation(), store.load(100).unwrap().purse.cash), (1, dec("100000")));
    let flat = Position { realised: dec("7"), ..Position::flat(turned.symbol.clone()) };
    let positions = vec![held.clone(), marked.clone(), turned];
    let (open, ended) = (placed_as("bot-1", "aa-1", OrderStatus::New), placed_as("bot-2", "aa-2", OrderStatus::Canceled));
    let cancels = vec![open.id.clone(), ended.id.clone()];
    let change = Change { purse: Some(purse.clone()), positions, fills: vec![fill(1, 5)], ..with_orders(vec![open.clone(), ended.clone()]) };
    store.save(&Change { cancels: cancels.clone(), triggered: cancels.clone(), ..change }).unwrap();
    store.save(&Change { positions: vec![flat.clone()], ..Change::default() }).unwrap();
    drop(store);
    let store = Store::open(&path, &Opening { cash: 5.into(), ..opening() }).unwrap();
    let saved = store.load(100).unwrap();
    let wanted = Saved {
        currency: "USD".to_owned(),
        start: dec("100000"),
        purse,
        positions: vec![held, flat, marked],
        orders: vec![Arc::new(open), Arc::new(ended)],
        cancels: cancels[..1].to_vec(),
        triggered: cancels[..1].to_vec(),
        fills: vec![fill(1, 5)],
        complete: true,
    };
    assert_eq!((store.generation(), saved), (2, wanted));
}

#[test]
fn a_change_is_kept_whole_or_not_at_all() {
    let (_folder, path) = file();
    let mut store = Store::open(&path, &opening()).unwrap();
    store.save(&with_orders(vec![placed("bot-1", "aa-1")])).unwrap();
    let before = store.load(100).unwrap();
    let purse = Some(Purse { cash: 1.into(), ..before.purse.clone() });
    let taken = placed("bot-1", "aa-2");
    let change = Change { purse, orders: vec![Arc::new(placed("bot-2", "aa-3")), Arc::new(taken)], fills: vec![fill(1, 1)], ..Change::default() };
    assert!(matches!(store.save(&change), Err(StoreError::Failed { .. })), "a name was used twice");
    assert_eq!(store.load(100).unwrap(), before);
}

#[test]
fn an_order_is_found_however_its_name_is_written() {
    let (_folder, path) = file();
    let mut store = Store::open(&path, &opening()).unwrap();
    store.save(&with_orders(vec![placed("bot-1", "0aF3-77")])).unwrap();
    let by = |text: &str| store.order(&OrderKey::Venue(text.parse().unwrap())).unwrap().is_some();
    assert!(by("0af377") && by("0AF3-77") && !by("0af378"));
    assert!(store.order(&OrderKey::Client("bot-1".parse().unwrap())).unwrap().is_some());
    assert!(store.order(&OrderKey::Client("bot-2".parse().unwrap())).unwrap().is_none());
}

#[test]
fn pages_of_executions_miss_none() {
    let (_folder, path) = file();
    let mut store = Store::open(&path, &opening()).unwrap();
    let all: Vec<Fill> = [1, 2, 2, 2, 2, 3, 9].into_iter().zip(0..).map(|(at, n)| fill(n, at)).collect();
    store.save(&Change { fills: all.clone(), ..Change::default() }).unwrap();
    let (mut read, mut since) = (Vec::new(), Timestamp::default());
    loop {
        let page = store.fills(since, 2).unwrap();
        let Some(last) = page.last() else { break };
        since = last.at;
        read.extend(page);
    }
    assert_eq!(read, all);
    assert_eq!(store.fills(Timestamp::default(), 0).unwrap(), []);
}

#[test]
fn a_second_broker_is_kept_out() {
    let (_folder, path) = file();
    let first = Store::open(&path, &opening()).unwrap();
    assert!(matches!(Store::open(&path, &opening()), Err(StoreError::InUse { by, .. }) if by.starts_with("process ")));
    drop(first);
    assert!(Store::open(&path, &opening()).is_ok());
}

#[test]
fn only_a_file_of_this_account_is_opened() {
    let (_folder, path) = file();
    drop(Store::open(&path, &opening()).unwrap());
    let other = Opening { account: "paper-2".parse().unwrap(), ..opening() };
    let error = Store::open(&path, &other).unwrap_err().to_string();
    assert!(error.contains("belongs to the account paper-1, the configuration says paper-2"), "{error}");
    let euros = Opening { currency: "EUR".to_owned(), ..opening() };
    assert!(matches!(Store::open(&path, &euros), Err(StoreError::OtherAccount { what: "currency", .. })));
}

#[test]
fn a_file_that_is_not_ours_is_left_alone() {
    let (_folder, path) = file();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "a text that somebody needs, long enough for a head of a hundred bytes".repeat(40)).unwrap();
    assert!(matches!(Store::open(&path, &opening()), Err(StoreError::Foreign(_))));
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    assert!(matches!(Store::open(&path, &opening()), Err(StoreError::Foreign(_))));
    fs::remove_file(&path).unwrap();
    drop(Store::open(&path, &opening()).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Store::open(&path, &opening()), Err(StoreError::Newer { found: 99, known: 1, .. })));
}

#[test]
fn a_place_that_cannot_be_written_to_is_said() {
    let (folder, _path) = file();
    fs::write(folder.path().join("data"), "no folder").unwrap();
    let error = Store::open(&folder.path().join("data").join("paper.db"), &opening()).unwrap_err();
    assert!(matches!(error, StoreError::Path { .. }), "{error}");
}

#[test]
fn rows_that_make_no_sense_are_damage() {
    let (_folder, path) = file();
    let mut store = Store::open(&path, &opening()).unwrap();
    store.save(&with_orders(vec![placed("bot-1", "aa-1")])).unwrap();
    store.db.execute("UPDATE orders SET status = 'lost'", []).unwrap();
    assert!(matches!(store.load(100), Err(StoreError::Damaged { .. })));
    store.db.execute("UPDATE orders SET status = 'new', filled = 'many'", []).unwrap();
    assert!(matches!(store.load(100), Err(StoreError::Damaged { .. })));
}

#[test]
fn torn_pages_are_damage() {
    let (_folder, path) = file();
    let mut store = Store::open(&path, &opening()).unwrap();
    for n in 0..200 {
        store.save(&with_orders(vec![placed(&format!("bot-{n}"), &format!("aa-{n}"))])).unwrap();
    }
    assert_eq!(store.checkpointer().unwrap().run().unwrap(), 0);
    drop(store);
    // What is in the log as well would mend it.
    fs::remove_file(path.with_extension("db-wal")).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].iter_mut().for_each(|byte| *byte = 0xa5);
    fs::write(&path, bytes).unwrap();
    let error = Store::open(&path, &opening()).and_then(|store| store.load(100)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_full_disk_is_said_and_leaves_what_was_there() {
    let (_folder, path) = file();
    let mut store = Store::open(&path, &opening()).unwrap();
    store.limit_pages(store.pages());
    let many = (0..100).map(|n| placed(&format!("bot-{n}"), &format!("aa-{n}"))).collect();
    assert!(matches!(store.save(&with_orders(many)), Err(StoreError::Full(_))));
    assert_eq!(store.load(100).unwrap().orders, []);
    store.limit_pages(1_000_000);
    store.save(&with_orders(vec![placed("bot-1", "aa-1")])).unwrap();
    assert_eq!(store.load(100).unwrap().orders.len(), 1);
}

#[test]
fn the_log_is_moved_into_the_file_beside_the_writer() {
    let (_folder, path) = file();
    let mut store = Store::open(&path, &opening()).unwrap();
    let checkpointer = store.checkpointer().unwrap();
    store.save(&with_orders(vec![placed("bot-1", "aa-1")])).unwrap();
    assert_eq!(checkpointer.run().unwrap(), 0);
    store.save(&with_orders(vec![placed("bot-2", "aa-2")])).unwrap();
    assert_eq!(store.load(100).unwrap().orders.len(), 2);
}

#[test]
fn orders_of_long_ago_stay_in_the_file() {
    let (_folder, path) = file();
    let mut store = Store::open(&path, &opening()).unwrap();
    let status = |n| if n == 2 { OrderStatus::New } else { OrderStatus::Filled };
    let orders: Vec<Order> = (0..6).map(|n| placed_as(&format!("bot-{n}"), &format!("aa-{n}"), status(n))).collect();
    store.save(&with_orders(orders.clone())).unwrap();
    let names = |saved: &Saved| saved.orders.iter().map(|order| order.request.client_order_id.to_string()).collect::<Vec<_>>();
    let saved = store.load(2).unwrap();
    assert_eq!((names(&saved), saved.complete), (vec!["bot-2".to_owned(), "bot-4".to_owned(), "bot-5".to_owned()], false));
    assert!(store.load(6).unwrap().complete);
    let leg = Order { parent: Some("AA-0".parse().unwrap()), ..placed_as("bot-6", "aa-6", OrderStatus::New) };
    store.save(&with_orders(vec![leg])).unwrap();
    assert_eq!(names(&store.load(1).unwrap()), ["bot-0", "bot-2", "bot-6"], "an entry is there as long as its exits are open");
    assert_eq!(store.order(&OrderKey::Venue("aa-0".parse().unwrap())).unwrap().as_ref(), Some(&orders[0]));
}
