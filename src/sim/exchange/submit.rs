//! Taking an order in: the checks of the venue, then the book of orders.

use rust_decimal::Decimal;

use super::order::{OrderStatus, cost, units};
use super::{Account, Asset, Exchange, MAX_ORDERS, Order, OrderKind, OrderRequest, Refusal, Seq, Side, Size, TimeInForce, book, plain};
use crate::model::Timestamp;

const UNPROCESSABLE: u32 = 42_210_000;
const FORBIDDEN: u32 = 40_310_000;

impl Exchange {
    /// Accepts an order: the answer is its state on arrival, what follows comes as updates.
    pub(in crate::sim) fn submit(&mut self, account_id: &str, mut request: OrderRequest, now: Timestamp) -> Result<Order, Refusal> {
        let account = self.accounts.get(account_id).ok_or_else(|| Refusal::new(404, 40_410_000, "account not found"))?;
        let unknown = || Refusal::new(422, UNPROCESSABLE, format!("asset {:?} not found", request.symbol));
        let asset = self.asset(&request.symbol).ok_or_else(unknown)?.clone();
        request.symbol.clone_from(&asset.symbol);
        if request.client_order_id.as_ref().is_some_and(|id| account.client_ids.contains_key(id)) {
            return Err(Refusal::new(422, 40_010_001, "client_order_id must be unique"));
        }
        check_form(&request, &asset)?;
        let reserve_price = self.reserve_price(&request)?;
        self.check_means(account, &request, &asset, reserve_price)?;
        let opens_short = request.side == Side::Sell && account.position(&asset.symbol).quantity <= Decimal::ZERO;
        let covers = request.side == Side::Buy && account.position(&asset.symbol).quantity < Decimal::ZERO;
        let id = self.ids.uuid();
        let client_order_id = request.client_order_id.clone().unwrap_or_else(|| self.ids.uuid());
        let order = Order {
            id,
            account: account_id.to_owned(),
            client_order_id,
            asset_class: asset.class(),
            asset_id: asset.id,
            position_intent: match (request.side, opens_short, covers) {
                (Side::Buy, _, true) => "buy_to_close",
                (Side::Buy, ..) => "buy_to_open",
                (Side::Sell, true, _) => "sell_to_open",
                (Side::Sell, ..) => "sell_to_close",
            },
            request,
            status: OrderStatus::PendingNew,
            submitted_at: now,
            updated_at: now,
            filled_at: None,
            canceled_at: None,
            filled: Decimal::ZERO,
            filled_price: None,
            reserve_price,
        };
        self.enter(order.clone(), now);
        Ok(order)
    }

    fn enter(&mut self, order: Order, now: Timestamp) {
        let seq = self.next;
        self.next += 1;
        self.by_id.insert(book::bare(&order.id), seq);
        if let Some(account) = self.accounts.get_mut(&order.account) {
            account.orders.insert(seq);
            account.client_ids.insert(order.client_order_id.clone(), seq);
        }
        self.orders.insert(seq, order);
        self.tell(seq, "pending_new", None, None, now);
        let latency = i64::try_from(self.latency.as_nanos()).unwrap_or(i64::MAX);
        self.pending.insert((Timestamp::from_nanos(now.nanos().saturating_add(latency)), seq));
        if latency == 0 {
            self.due(now);
        }
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        if self.orders.len() <= MAX_ORDERS {
            return;
        }
        let oldest = self.orders.iter().find(|(_, order)| !order.status.is_open()).map(|(seq, _)| *seq);
        if let Some((seq, order)) = oldest.and_then(|seq: Seq| Some((seq, self.orders.remove(&seq)?))) {
            self.by_id.remove(&book::bare(&order.id));
            if let Some(account) = self.accounts.get_mut(&order.account) {
                account.orders.remove(&seq);
                account.client_ids.remove(&order.client_order_id);
            }
        }
    }

    /// What a unit may cost at worst: the limit, or the ask with the venue's margin for market orders.
    fn reserve_price(&self, request: &OrderRequest) -> Result<Decimal, Refusal> {
        if let OrderKind::Limit(price) = request.kind {
            return Ok(price);
        }
        let book = self.books.get(&request.symbol);
        let displayed = book.map(|book| if request.side == Side::Buy { book.ask } else { book.bid }).filter(|price| !price.is_zero());
        let price = displayed.ok_or_else(|| Refusal::new(403, FORBIDDEN, format!("no quote for {}", request.symbol)))?;
        let margin = if price < Decimal::from(50) { Decimal::new(104, 2) } else { Decimal::new(1025, 3) };
        Ok(if request.side == Side::Buy { price * margin } else { price })
    }

    fn check_means(&self, account: &Account, request: &OrderRequest, asset: &Asset, price: Decimal) -> Result<(), Refusal> {
        let position = account.position(&asset.symbol).quantity;
        let wanted = match request.size {
            Size::Quantity(quantity) => quantity,
            Size::Notional(notional) => units(notional, price),
        };
        let available = (position.abs() - self.held_for_sale(account, &asset.symbol)).max(Decimal::ZERO);
        if request.side == Side::Sell && (position > Decimal::ZERO || asset.pair) {
            if wanted <= available {
                return Ok(());
            }
            let message = format!("insufficient qty available for order (requested: {}, available: {})", plain(wanted), plain(available));
            let refusal = Refusal::new(403, FORBIDDEN, message).with("symbol", &asset.symbol).with("existing_qty", plain(position));
            return Err(refusal.with("available", plain(available)));
        }
        if request.side == Side::Sell && !wanted.fract().is_zero() {
            return Err(Refusal::new(422, UNPROCESSABLE, "fractional orders cannot be sold short"));
        }
        if request.side == Side::Buy && position < Decimal::ZERO && wanted <= position.abs() {
            return Ok(());
        }
        let power = if asset.pair { self.own_money(account) } else { self.buying_power(account) };
        let needed = cost(request.size, price);
        if needed <= power {
            return Ok(());
        }
        let refusal = Refusal::new(403, FORBIDDEN, "insufficient buying power");
        Err(refusal.with("buying_power", plain(power.round_dp(2))).with("cost_basis", plain(needed.round_dp(2))))
    }
}

/// What the venue refuses whatever the account holds.
fn check_form(request: &OrderRequest, asset: &Asset) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(422, UNPROCESSABLE, message));
    if asset.pair && request.time_in_force == TimeInForce::Day {
        return refuse("invalid crypto time_in_force".to_owned());
    }
    if let OrderKind::Limit(price) = request.kind {
        let decimals = if price >= Decimal::ONE { 2 } else { 4 };
        if !asset.pair && price.normalize().scale() > decimals {
            return refuse(format!("invalid limit_price {}. sub-penny increment does not fulfill minimum pricing criteria", plain(price)));
        }
    }
    let fractional = match request.size {
        Size::Quantity(quantity) => !quantity.fract().is_zero(),
        Size::Notional(_) => true,
    };
    let by_money = matches!(request.size, Size::Notional(_));
    if by_money && request.kind != OrderKind::Market {
        return refuse("notional orders must be market orders".to_owned());
    }
    if fractional && !asset.pair && request.time_in_force != TimeInForce::Day {
        return refuse("fractional orders must be DAY orders".to_owned());
    }
    if by_money && matches!(request.size, Size::Notional(money) if money < Decimal::ONE) {
        return refuse("notional amount must be >= 1.00".to_owned());
    }
    if request.extended_hours && !(matches!(request.kind, OrderKind::Limit(_)) && request.time_in_force != TimeInForce::Ioc) {
        return refuse("extended hours order must be DAY limit orders".to_owned());
    }
    Ok(())
}
