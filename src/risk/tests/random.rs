//! Whatever happens in whatever order: what is held and what may still be filled never exceeds the limit.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::model::VenueOrderId;

const LIMIT: u32 = 100;
const BOT_LIMIT: u32 = 70;

/// A venue that knows the truth, news of it on their way, and a gate that hears them late, twice or out of step with
/// the position that it is told.
struct World {
    gate: Gate,
    orders: Vec<Order>,
    underway: VecDeque<OrderUpdate>,
    heard: Vec<OrderUpdate>,
    fills: Vec<Fill>,
    /// The orders of the bot that has limits of its own, and what they have filled.
    ours: BTreeSet<VenueOrderId>,
    ours_filled: Decimal,
    /// One a second.
    positions: Vec<Decimal>,
    now: i64,
    serial: u32,
}

impl World {
    fn new() -> World {
        let gate = gate_with_bot(size_limit(&LIMIT.to_string()), "a", size_limit(&BOT_LIMIT.to_string()));
        World {
            gate,
            orders: Vec::new(),
            underway: VecDeque::new(),
            heard: Vec::new(),
            fills: Vec::new(),
            ours: BTreeSet::new(),
            ours_filled: Decimal::ZERO,
            positions: vec![Decimal::ZERO],
            now: 0,
            serial: 0,
        }
    }

    fn tell(&mut self, update: OrderUpdate) {
        self.underway.push_back(OrderUpdate { at: at(self.now), ..update });
    }

    fn position(&self) -> Decimal {
        *self.positions.last().unwrap()
    }

    /// The position as somebody read it up to twenty seconds ago.
    fn told(&self, age: usize) -> Holdings {
        let read = self.positions.len().saturating_sub(1 + age % 20);
        Holdings { position: self.positions[read], ..holding("0") }
    }

    fn name(&mut self, bot: &str) -> String {
        self.serial += 1;
        format!("{bot}-{}", self.serial)
    }

    /// It looks as if it began with the name of a bot.
    fn name_of_venue(&mut self) -> String {
        self.serial += 1;
        format!("{:08x}-7476-46c2-aad8-a8b211c19b26", self.serial)
    }

    fn open_order(&self, pick: usize) -> Option<usize> {
        let open: Vec<usize> = (0..self.orders.len()).filter(|n| self.orders[*n].status.is_open()).collect();
        open.get(pick % open.len().max(1)).copied()
    }

    fn place(&mut self, pick: usize, units: u32, never_arrives: bool) {
        let side = if pick.is_multiple_of(2) { Side::Buy } else { Side::Sell };
        let id = self.name(if pick.is_multiple_of(3) { "a" } else { "b" });
        let request = order_of(&id, side, &units.to_string(), limit("100"));
        let told = self.told(pick / 6);
        if self.gate.check(request.clone(), &sight(), &told, at(self.now)).is_err() {
            return;
        }
        if never_arrives {
            return self.gate.withdraw(&request.client_order_id);
        }
        let order = placed(&request);
        if order.bot() == Some("a") {
            self.ours.insert(order.id.clone());
        }
        self.tell(open(&order));
        self.orders.push(order);
    }

    fn fill(&mut self, pick: usize, units: u32) {
        let Some(n) = self.open_order(pick) else { return };
        let order = &mut self.orders[n];
        let units = Decimal::from(units).min(order.remaining().unwrap());
        order.filled += units;
        let done = order.remaining() == Some(Decimal::ZERO);
        order.status = if done { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        let change = if done { OrderChange::Fill } else { OrderChange::PartialFill };
        let order = order.clone();
        let after = self.position() + order.request.side.signed(units);
        *self.positions.last_mut().unwrap() = after;
        let filled = order.filled.to_string();
        let mut update = update(&order, change, order.status, &filled);
        let executed = execution(&order, change, order.status, &filled, &units.to_string(), &after.to_string());
        self.fills.extend(executed.fill.clone().map(|fill| Fill { at: at(self.now), ..fill }));
        if self.ours.contains(&order.id) {
            self.ours_filled += order.request.side.signed(units);
        }
        // Some venues tell the position with the execution, others do not.
        if pick.is_multiple_of(2) {
            update = OrderUpdate { fill: self.fills.last().cloned(), ..executed };
        }
        self.tell(update);
    }

    fn cancel(&mut self, pick: usize) {
        let Some(n) = self.open_order(pick) else { return };
        self.orders[n].status = OrderStatus::Canceled;
        let order = self.orders[n].clone();
        self.tell(update(&order, OrderChange::Canceled, OrderStatus::Canceled, &order.filled.to_string()));
    }

    fn change(&mut self, pick: usize, units: u32, refused: bool) {
        let Some(n) = self.open_order(pick) else { return };
        let old = self.orders[n].clone();
        let units = Decimal::from(units) + old.filled;
        let change = Modification { quantity: Some(units.to_string().parse().unwrap()), ..Modification::default() };
        let told = self.told(pick / 6);
        if self.gate.check_change(&old, change, &sight(), &told, at(self.now)).is_err() {
            return;
        }
        if refused {
            return self.tell(update(&old, OrderChange::ReplaceRejected, old.status, &old.filled.to_string()));
        }
        let id = if pick.is_multiple_of(2) { self.name("b") } else { self.name_of_venue() };
        let carried = if pick.is_multiple_of(3) { old.filled } else { Decimal::ZERO };
        let quantity = units - old.filled + carried;
        let new = Order { replaces: Some(old.id.clone()), filled: carried, ..placed(&order_of(&id, old.request.side, &quantity.to_string(), limit("100"))) };
        let old = Order { replaced_by: Some(new.id.clone()), status: OrderStatus::Replaced, ..old };
        self.orders[n] = old.clone();
        self.orders.push(new.clone());
        if self.ours.contains(&old.id) {
            self.ours.insert(new.id.clone());
        }
        let mut news = [
            update(&old, OrderChange::Replaced, OrderStatus::Replaced, &old.filled.to_string()),
            update(&new, OrderChange::New, OrderStatus::New, &carried.to_string()),
        ];
        if pick.is_multiple_of(5) {
            news.reverse();
        }
        news.into_iter().for_each(|update| self.tell(update));
    }

    fn hear(&mut self) {
        if let Some(update) = self.underway.pop_front() {
            self.gate.observe(&update);
            self.heard.push(update);
        }
    }

    fn hear_again(&mut self, pick: usize) {
        if let Some(update) = self.heard.get(pick % self.heard.len().max(1)) {
            self.gate.observe(update);
        }
    }

    /// All is read anew; news that are on their way will be old ones.
    fn begin_again(&mut self, pick: usize) {
        if pick.is_multiple_of(2) {
            let bot_limits = BTreeMap::from([("a".to_owned(), size_limit(&BOT_LIMIT.to_string()))]);
            // Nobody who begins hears answers to what another one has asked.
            self.underway.retain(|update| update.change != OrderChange::ReplaceRejected);
            self.heard.retain(|update| update.change != OrderChange::ReplaceRejected);
            self.gate = Gate::new(size_limit(&LIMIT.to_string()), bot_limits).for_account(of());
        }
        self.gate.adopt_with_fills(&self.orders, &self.fills);
        // The position is read together with the orders.
        self.positions = vec![self.position()];
        let told = self.told(0);
        let probe = order_of("b-probe", Side::Buy, "0.001", limit("100"));
        self.gate.check(probe, &sight(), &told, at(self.now)).map(|probe| self.gate.take_back(&probe.ticket())).ok();
    }

    fn step(&mut self, (what, pick, units): (u8, usize, u32)) {
        match what {
            0..=5 => self.place(pick, units, what == 0),
            6..=9 => self.fill(pick, units),
            10 => self.cancel(pick),
            11 | 12 => self.change(pick, units, what == 11),
            13..=18 => self.hear(),
            19 if pick.is_multiple_of(3) => self.begin_again(pick / 3),
            _ => self.hear_again(pick),
        }
        // News are never later than the half minute for which the gate doubts what it is told.
        while self.underway.front().is_some_and(|update| update.at <= at(self.now - 9)) {
            self.hear();
        }
        self.now += 1;
        self.positions.push(self.position());
    }

    /// The furthest that the account can get on one side.
    fn furthest(&self, side: Side) -> Decimal {
        side.signed(self.position()) + self.remaining(side, |_| true)
    }

    fn furthest_of_ours(&self, side: Side) -> Decimal {
        side.signed(self.ours_filled) + self.remaining(side, |order| self.ours.contains(&order.id))
    }

    fn remaining(&self, side: Side, counted: impl Fn(&Order) -> bool) -> Decimal {
        let open = self.orders.iter().filter(|order| order.status.is_open() && order.request.side == side);
        open.filter(|order| counted(order)).filter_map(Order::remaining).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn what_is_held_and_open_never_exceeds_the_limit(steps in prop::collection::vec((0u8..21, 0usize..1_000, 1u32..60), 1..150)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            for side in [Side::Buy, Side::Sell] {
                prop_assert!(world.furthest(side) <= LIMIT.into(), "{side:?} could come to {} after {step:?}", world.furthest(side));
                prop_assert!(world.furthest_of_ours(side) <= BOT_LIMIT.into(), "{side:?} of the bot could come to {} after {step:?}", world.furthest_of_ours(side));
            }
        }
        // Once all is told and ended nothing is left behind: exactly what the position leaves free may be ordered.
        for _ in 0..world.orders.len() {
            world.cancel(0);
        }
        while !world.underway.is_empty() {
            world.hear();
        }
        prop_assert_eq!(world.gate.usage(at(world.now)).open_orders, 0);
        let by_bots: Decimal = world.gate.usage(at(world.now)).bots.values().flat_map(|bot| bot.positions.values()).sum();
        prop_assert_eq!(by_bots, world.position());
        let bots = world.gate.usage(at(world.now)).bots;
        prop_assert_eq!(bots["a"].positions.values().sum::<Decimal>(), world.ours_filled);
        prop_assert!(bots.keys().all(|bot| bot == "a" || bot == "b"), "{bots:?}");
        let (free, later) = (Decimal::from(LIMIT) - world.position(), at(world.now + 60));
        let told = world.told(0);
        let last = |units: Decimal| order_of("b-last", Side::Buy, &units.to_string(), limit("100"));
        prop_assert!(world.gate.check(last(free + Decimal::ONE), &sight(), &told, later).is_err());
        if free > Decimal::ZERO {
            prop_assert!(world.gate.check(last(free), &sight(), &told, later).is_ok());
        }
    }
}
