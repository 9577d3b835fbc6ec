//! A million random steps: whatever is done in whatever order, the books agree to the last digit.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use fastrand::Rng;

use super::*;
use crate::exchanges::paper::models::{Combined, CommissionRate, MarketImpact, PerShare, RegulatoryFees};
use crate::model::{ExecutionId, Fill, OrderPrice, VenueOrderId};

const STEPS: usize = 250_000;
const SYMBOLS: [&str; 3] = ["AAPL", "MSFT", "BTC/USD"];
const ACCOUNTS: [&str; 2] = ["one", "two"];
const START: i64 = 1_000_000;
const SHORT_START: i64 = 9_000;
/// An account with more open orders than this places no more.
const MOST_OPEN: usize = 12;

/// What the market showed of one symbol, kept apart from the engine.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    bid: Decimal,
    ask: Decimal,
    /// What is left for our orders of what was displayed.
    bid_left: Decimal,
    ask_left: Decimal,
    halted: bool,
    seen: bool,
}

struct Play {
    engine: Engine,
    /// What an account begins with; little where nobody gets credit, so that money is short.
    start: Decimal,
    credit: bool,
    random: Rng,
    now: i64,
    named: u64,
    shown: BTreeMap<&'static str, Shown>,
    /// The last trade while it is being shown: its price, and what our orders may still have of it.
    trading: Option<(Decimal, Decimal)>,
    statuses: HashMap<VenueOrderId, (OrderStatus, Decimal)>,
    executions: HashSet<ExecutionId>,
    open: BTreeMap<AccountId, Vec<OrderKey>>,
    hash: DefaultHasher,
    fills: u64,
}

fn settings(seed: u64) -> EngineSettings {
    let fees = Combined(vec![
        Box::new(CommissionRate(dec("0.00013"))),
        Box::new(PerShare { rate: dec("0.0035"), minimum: dec("0.35") }),
        Box::new(RegulatoryFees::default()),
    ]);
    EngineSettings {
        latency: Latency { fixed: Duration::from_millis(seed % 3 * 20), jitter: Duration::from_millis(seed % 2 * 50) },
        slippage: Box::new(MarketImpact { base: dec("0.00001"), slope: dec("0.0003"), ceiling: dec("0.01") }),
        fees: Box::new(fees),
        fills: FillRules { partials: dec("0.05"), stale_after: Some(Duration::from_secs(20)), ..FillRules::HONEST },
        refuse_wash_trades: !seed.is_multiple_of(4),
        ..EngineSettings::honest("paper".parse().unwrap(), seed)
    }
}

/// Nobody gets credit, in whatever it may be.
fn cash_settings(seed: u64) -> EngineSettings {
    EngineSettings { margin: Decimal::ONE, shorting: false, ..settings(seed) }
}

impl Play {
    fn new(settings: EngineSettings, seed: u64) -> Play {
        let credit = settings.margin > Decimal::ONE;
        let start = if credit { START } else { SHORT_START }.into();
        let mut engine = Engine::new(settings, at(0));
        SYMBOLS.iter().for_each(|symbol| engine.list(Instrument::of(&symbol.parse().unwrap())));
        ACCOUNTS.iter().for_each(|account| engine.open_account(account.parse().unwrap(), "USD", start, at(0)));
        engine.set_session(MarketSession::Regular, at(0));
        Play {
            engine,
            start,
            credit,
            random: Rng::with_seed(seed ^ 0x5eed),
            now: at(0).nanos(),
            named: 0,
            shown: SYMBOLS.iter().map(|symbol| (*symbol, Shown::default())).collect(),
            trading: None,
            statuses: HashMap::new(),
            executions: HashSet::new(),
            open: ACCOUNTS.iter().map(|account| (account.parse().unwrap(), Vec::new())).collect(),
            hash: DefaultHasher::new(),
            fills: 0,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now)
    }

    fn symbol(&mut self) -> &'static str {
        SYMBOLS[self.random.usize(..SYMBOLS.len())]
    }

    fn account(&mut self) -> AccountId {
        ACCOUNTS[self.random.usize(..ACCOUNTS.len())].parse().unwrap()
    }

    fn cents(&mut self, low: i64, high: i64) -> Decimal {
        Decimal::new(self.random.i64(low..=high), 2)
    }

    fn price(&mut self) -> OrderPrice {
        OrderPrice::new(self.cents(9_000, 11_000)).unwrap()
    }

    fn size(&mut self, symbol: &str) -> Size {
        let quantity = match self.random.u8(..8) {
            0 => return Size::Notional(self.cents(100, 500_000).to_string().parse().unwrap()),
            1 => Decimal::new(self.random.i64(1..5_000_000_000), 9),
            _ if symbol.contains('/') => Decimal::new(self.random.i64(1..20_000), 3),
            _ => self.random.i64(1..60).into(),
        };
        Size::Quantity(quantity.to_string().parse().unwrap())
    }

    fn kind(&mut self) -> OrderType {
        let (stop, limit) = (self.price(), self.price());
        match self.random.u8(..12) {
            0..3 => OrderType::Market,
            3..8 => OrderType::Limit { limit },
            8 => OrderType::Stop { stop },
            9 => OrderType::StopLimit { stop, limit },
            10 => OrderType::TrailingStop { trail: Trail::Price(OrderPrice::new(self.cents(10, 300)).unwrap()) },
            _ => OrderType::TrailingStop { trail: percent("1.5") },
        }
    }

    fn class(&mut self, side: Side) -> OrderClass {
        let (low, high) = (OrderPrice::new(self.cents(8_500, 9_900)).unwrap(), OrderPrice::new(self.cents(10_100, 11_500)).unwrap());
        let (profit, stop) = if side == Side::Buy { (high, low) } else { (low, high) };
        let (profit, loss) = (TakeProfit { limit: profit }, StopLoss { stop, limit: self.random.bool().then_some(stop) });
        match self.random.u8(..16) {
            0 | 1 => OrderClass::Bracket { profit, loss },
            2 => OrderClass::Oto { exit: Exit::Loss(loss) },
            3 => OrderClass::Oto { exit: Exit::Profit(profit) },
            4 => OrderClass::Oco { loss: StopLoss { stop: loss.stop, limit: None } },
            _ => OrderClass::Simple,
        }
    }

    fn request(&mut self) -> OrderRequest {
        let symbol = self.symbol();
        let side = if self.random.bool() { Side::Buy } else { Side::Sell };
        self.named += 1;
        let size = self.size(symbol);
        let kind = if matches!(size, Size::Notional(_)) { OrderType::Market } else { self.kind() };
        let fractional = matches!(size, Size::Notional(_)) || matches!(size, Size::Quantity(q) if !q.value().fract().is_zero());
        let time_in_force = match self.random.u8(..10) {
            _ if fractional && !symbol.contains('/') => TimeInForce::Day,
            0 => TimeInForce::Ioc,
            1 => TimeInForce::Fok,
            2 => TimeInForce::Cls,
            3 => TimeInForce::Opg,
            4 | 5 => TimeInForce::Day,
            _ => TimeInForce::Gtc,
        };
        let class = if fractional { OrderClass::Simple } else { self.class(side) };
        OrderRequest {
            client_order_id: format!("bot-{}", self.named).parse().unwrap(),
            symbol: symbol.parse().unwrap(),
            side,
            size,
            kind,
            time_in_force,
            extended_hours: self.random.u8(..8) == 0,
            class,
        }
    }

    fn any_open(&mut self) -> Option<(AccountId, OrderKey)> {
        let account = self.account();
        let open = &self.open[&account];
        (!open.is_empty()).then(|| (account.clone(), open[self.random.usize(..open.len())].clone()))
    }

    fn quote(&mut self) {
        let symbol = self.symbol();
        let known = self.shown[symbol];
        let last = if known.seen { (known.bid + known.ask) / Decimal::TWO } else { dec("100") };
        let gap = !self.credit && self.random.u8(..20) == 0;
        let middle = if gap { self.cents(7_000, 14_000) } else { (last + self.cents(-40, 40)).clamp(dec("92"), dec("108")).round_dp(2) };
        let (spread, half) = (self.cents(1, 20), self.cents(0, 10));
        let empty = self.random.u8(..40) == 0;
        let (bid_size, ask_size) = (self.random.i64(0..80).into(), self.random.i64(0..80).into());
        let (bid, ask) = (middle - half, if empty { Decimal::ZERO } else { middle - half + spread });
        let (best, ask_left) = if empty { (middle, Decimal::ZERO) } else { (ask, ask_size) };
        *self.shown.get_mut(symbol).unwrap() = Shown { bid, ask: best, bid_left: bid_size, ask_left, seen: true, ..known };
        let sight = MarketSight::Quote { bid, bid_size, ask, ask_size };
        self.engine.see(&symbol.parse().unwrap(), &sight, self.now());
    }

    fn step(&mut self) {
        self.now += self.random.i64(0..60_000_000);
        let now = self.now();
        // What was due is judged by what was shown then.
        self.engine.advance(now);
        self.settle();
        match self.random.u16(..1000) {
            0..450 => self.quote(),
            450..650 => {
                let symbol = self.symbol();
                let Shown { bid, ask, seen, .. } = self.shown[symbol];
                if seen {
                    let price = if self.random.bool() { bid } else { ask } + self.cents(-3, 3);
                    let size = self.random.i64(1..100).into();
                    self.trading = Some((price, size));
                    self.engine.see(&symbol.parse().unwrap(), &MarketSight::Trade { price, size }, now);
                }
            }
            650..830 => {
                let (account, request) = (self.account(), self.request());
                if self.open[&account].len() < MOST_OPEN {
                    drop(self.engine.place(&account, request, now));
                }
            }
            830..910 => {
                if let Some((account, key)) = self.any_open() {
                    drop(self.engine.cancel(&account, &key, now));
                }
            }
            910..980 => {
                if let Some((account, key)) = self.any_open() {
                    let limit = self.random.bool().then(|| self.price());
                    let quantity = self.random.bool().then(|| self.random.i64(1..60).to_string().parse().unwrap());
                    let change = Modification { limit, quantity, ..Modification::default() };
                    drop(self.engine.modify(&account, &key, change, now));
                }
            }
            980..995 => {
                let symbol = self.symbol();
                let halted = !self.shown[symbol].halted && self.random.u8(..3) == 0;
                self.shown.get_mut(symbol).unwrap().halted = halted;
                self.engine.see(&symbol.parse().unwrap(), if halted { &MarketSight::Halted } else { &MarketSight::Resumed }, now);
            }
            995 => {
                let account = self.account();
                drop(self.engine.cancel_all(&account, None, now));
            }
            _ => {
                const DAY: [MarketSession; 4] = [MarketSession::Closed, MarketSession::Pre, MarketSession::Regular, MarketSession::Post];
                let at = DAY.iter().position(|session| *session == self.engine.session()).unwrap();
                self.engine.set_session(DAY[(at + 1) % 4], now);
            }
        }
        self.settle();
        self.trading = None;
    }

    /// Looks at everything that was told.
    fn settle(&mut self) {
        let events = self.engine.take_events();
        if events.is_empty() {
            return;
        }
        let mut money = false;
        for event in &events {
            match event {
                Event::OrderUpdated(update) => {
                    update.change.hash(&mut self.hash);
                    update.order.id.hash(&mut self.hash);
                    update.order.filled.hash(&mut self.hash);
                    self.check_order(&update.of.account, update.change, &update.order);
                }
                Event::Filled(filled) => {
                    money = true;
                    self.fills += 1;
                    (filled.fill.price, filled.fill.fees, filled.fill.position, filled.fill.at).hash(&mut self.hash);
                    assert!(self.executions.insert(filled.fill.execution_id.clone()), "an execution has the name of another");
                    self.check_fill(&filled.of.account, &filled.fill);
                }
                _ => {}
            }
        }
        if money {
            ACCOUNTS.iter().for_each(|account| self.check_books(&account.parse().unwrap()));
        }
    }

    fn check_order(&mut self, account: &AccountId, change: OrderChange, order: &Order) {
        let key = OrderKey::Venue(order.id.clone());
        let before = self.statuses.insert(order.id.clone(), (order.status, order.filled));
        if let Some((status, filled)) = before {
            assert!(status.is_open() || status == order.status, "{status} became {} by {change}", order.status);
            assert!(filled <= order.filled, "what was filled is filled no more: {order:?}");
        }
        if let Some(quantity) = order.quantity() {
            assert!(order.filled <= quantity, "more is filled than was asked for: {order:?}");
        }
        if let Size::Notional(money) = order.request.size {
            assert!(order.filled_value <= money.value(), "more is spent than was asked for: {order:?}");
        }
        let open = self.open.get_mut(account).unwrap();
        match (open.iter().position(|known| *known == key), order.status.is_open()) {
            (None, true) => open.push(key),
            (Some(at), false) => drop(open.remove(at)),
            _ => {}
        }
    }

    fn check_fill(&mut self, account: &AccountId, fill: &Fill) {
        let order = Arc::clone(self.engine.order(account, &OrderKey::Venue(fill.order_id.clone())).unwrap());
        if let (OrderType::Limit { limit } | OrderType::StopLimit { limit, .. }, Side::Buy) = (order.request.kind, fill.side) {
            assert!(fill.price <= limit.value(), "{order:?} bought at {}", fill.price);
        }
        if let (OrderType::Limit { limit } | OrderType::StopLimit { limit, .. }, Side::Sell) = (order.request.kind, fill.side) {
            assert!(fill.price >= limit.value(), "{order:?} sold at {}", fill.price);
        }
        if matches!(order.request.time_in_force, TimeInForce::Opg | TimeInForce::Cls) {
            return;
        }
        let symbol = *SYMBOLS.iter().find(|symbol| **symbol == fill.symbol.as_str()).unwrap();
        let shown = self.shown.get_mut(symbol).unwrap();
        assert!(!shown.halted, "filled while halted: {order:?}");
        let (touch, left) = if fill.side == Side::Buy { (shown.ask, &mut shown.ask_left) } else { (shown.bid, &mut shown.bid_left) };
        let worse = if fill.side == Side::Buy { fill.price >= touch } else { fill.price <= touch };
        let resting = self.trading.as_mut().filter(|(price, _)| if fill.side == Side::Buy { fill.price >= *price } else { fill.price <= *price });
        // While a trade is shown resting orders are filled by it, and stops that it triggers by the quote.
        match resting {
            Some((_, volume)) if !worse || *left < fill.quantity => {
                *volume -= fill.quantity;
                assert!(*volume >= Decimal::ZERO, "more than was traded: {order:?}");
            }
            Some((_, volume)) if fill.quantity <= *volume && matches!(order.request.kind, OrderType::Limit { .. }) => *volume -= fill.quantity,
            _ => {
                assert!(worse, "{:?} at {} when {touch} was displayed: {order:?}", fill.side, fill.price);
                *left -= fill.quantity;
                assert!(*left >= Decimal::ZERO, "more than was displayed: {order:?}");
            }
        }
    }

    fn check_books(&self, id: &AccountId) {
        let ledger = &self.engine.accounts[id];
        let cost: Decimal = ledger.positions.values().map(|position| position.cost).sum();
        assert_eq!(ledger.cash + cost, self.start + ledger.realised - ledger.fees, "the books of {id} disagree");
        let account = self.engine.account(id).unwrap();
        let value: Decimal = self.engine.positions(id).iter().map(Position::market_value).sum();
        assert_eq!(account.equity, account.cash + value);
        assert_eq!(account.equity, self.start + account.realised + account.unrealised - account.fees);
        assert!(self.credit || ledger.cash >= Decimal::ZERO, "{id} got no credit and owes {}", ledger.cash);
        for position in ledger.positions.values() {
            assert!(self.credit || position.quantity >= Decimal::ZERO, "a cash account sold short: {position:?}");
            assert!(position.quantity >= Decimal::ZERO || !position.symbol.is_pair(), "a pair was sold short: {position:?}");
        }
    }

    /// Ends everything: nothing is held any more.
    fn finish(mut self) -> (u64, u64) {
        for account in ACCOUNTS {
            let account: AccountId = account.parse().unwrap();
            self.now += 60_000_000_000;
            self.engine.advance(self.now());
            drop(self.engine.cancel_all(&account, None, self.now()));
            self.now += 60_000_000_000;
            self.engine.advance(self.now());
            self.settle();
            let ledger = &self.engine.accounts[&account];
            assert!(ledger.open.is_empty(), "something stays open");
            let used: Decimal = self.engine.positions(&account).iter().map(|position| position.market_value().abs()).sum();
            let info = self.engine.account(&account).unwrap();
            let margin = if self.credit { Decimal::TWO } else { Decimal::ONE };
            assert_eq!(info.buying_power, (info.equity * margin - used).max(Decimal::ZERO), "something is held");
            SYMBOLS.iter().for_each(|symbol| assert_eq!(self.engine.held(&account, symbol), Decimal::ZERO));
        }
        assert_eq!(self.engine.next_due(), None);
        (self.hash.finish(), self.fills)
    }
}

fn play(seed: u64, steps: usize) -> (u64, u64) {
    run(Play::new(settings(seed), seed), steps)
}

fn run(mut play: Play, steps: usize) -> (u64, u64) {
    (0..steps).for_each(|_| play.step());
    play.finish()
}

fn play_long(seed: u64) {
    let (_, fills) = play(seed, STEPS);
    assert!(fills > STEPS as u64 / 100, "only {fills} fills");
}

#[test]
fn a_quarter_of_a_million_steps_without_latency() {
    play_long(0);
}

#[test]
fn a_quarter_of_a_million_steps_with_jitter() {
    play_long(1);
}

#[test]
fn a_quarter_of_a_million_steps_with_latency() {
    play_long(2);
}

#[test]
fn a_quarter_of_a_million_steps_with_both() {
    play_long(5);
}

#[test]
fn who_gets_no_credit_never_owes() {
    for seed in [3, 4, 8] {
        let (_, fills) = run(Play::new(cash_settings(seed), seed), STEPS / 5);
        assert!(fills > STEPS as u64 / 500, "only {fills} fills");
    }
}

#[test]
fn the_same_seed_gives_the_same_events() {
    assert_eq!(play(11, 20_000), play(11, 20_000));
    assert_ne!(play(11, 20_000).0, play(12, 20_000).0);
}
