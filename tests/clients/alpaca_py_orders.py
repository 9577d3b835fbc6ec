"""Orders of every kind through the SDK's own request objects, their updates, positions and activities."""

import uuid
from datetime import timedelta, timezone
from decimal import Decimal

from alpaca.common.enums import Sort
from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, OrderType, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetOrderByIdRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)

from alpaca_py_session import refused
from checks import expect, ok, until_true

BUY, SELL = OrderSide.BUY, OrderSide.SELL
DAY, GTC = TimeInForce.DAY, TimeInForce.GTC
# Orders for the closing auction are refused so long before it.
CLS_REFUSED = timedelta(minutes=10)


def check(session):
    session.listen()
    ok("the trading stream listens")
    check_fills(session)
    check_resting(session)
    check_auctions(session)
    check_lists(session)
    check_replace(session)
    check_groups(session)
    check_triggers(session)
    check_positions(session)
    check_activities(session)


def place(session, kind, symbol="AAPL", side=BUY, tif=DAY, **fields):
    order = session.trading.submit_order(kind(symbol=symbol, side=side, time_in_force=tif, **fields))
    expect(order.symbol == symbol and order.side == side and order.time_in_force == tif, f"another order than asked for: {order}")
    # In a session an order is first on its way; one that has to wait for its time is accepted.
    expect(order.status in (OrderStatus.PENDING_NEW, OrderStatus.ACCEPTED, OrderStatus.NEW), f"odd answer to an order: {order.status}")
    expect(Decimal(order.filled_qty) == 0 and order.filled_avg_price is None and order.filled_at is None, f"filled at once: {order}")
    return order


def filled(session, order, qty=None):
    fill = session.see(order, "new", "fill")
    expect(fill.order.status == OrderStatus.FILLED and fill.order.filled_at is not None, f"odd fill {fill}")
    expect(fill.price > 0 and fill.qty > 0 and fill.execution_id is not None and fill.position_qty is not None, f"odd fill {fill}")
    expect(qty is None or Decimal(fill.order.filled_qty) == qty, f"filled {fill.order.filled_qty} instead of {qty}")
    return fill


def dollars(price):
    return round(float(price), 2)


def check_fills(session):
    name = f"check-{uuid.uuid4()}"
    market = place(session, MarketOrderRequest, qty=3, client_order_id=name)
    expect(market.client_order_id == name and market.type == market.order_type == OrderType.MARKET, f"odd order {market}")
    first = session.see(market, "pending_new")
    expect(first.execution_id is None and first.order.status == OrderStatus.PENDING_NEW, f"odd first update {first}")
    fill = filled(session, market, 3)
    expect(fill.position_qty == 3, f"a position of {fill.position_qty} instead of 3")
    ok(f"market order filled at {fill.price}")
    by_name = session.trading.get_order_by_client_id(name)
    by_id = session.trading.get_order_by_id(market.id, GetOrderByIdRequest(nested=True))
    expect(by_name.id == by_id.id == market.id and by_id.status == OrderStatus.FILLED and by_id.filled_qty == "3", f"odd {by_id}")
    ok("order by id and by client order id")

    ask = session.quote("MSFT").ask_price
    limit = place(session, LimitOrderRequest, "MSFT", tif=GTC, qty=2, limit_price=dollars(ask * 1.1))
    fill = filled(session, limit, 2)
    expect(fill.price <= float(limit.limit_price), f"filled at {fill.price}, worse than {limit.limit_price}")
    ok(f"limit order of {limit.limit_price} filled at {fill.price}")
    money = place(session, MarketOrderRequest, "SPY", notional=100.5)
    expect(Decimal(money.notional) == Decimal("100.5") and money.qty is None, f"odd order {money}")
    fill = filled(session, money)
    spent = Decimal(fill.order.filled_qty) * Decimal(fill.order.filled_avg_price)
    expect(abs(spent - Decimal("100.5")) < Decimal("0.01"), f"spent {spent} of 100.5")
    ok(f"notional order filled with {fill.order.filled_qty}")
    part = place(session, MarketOrderRequest, "SPY", qty=0.25)
    filled(session, part, Decimal("0.25"))
    ok("fractional order filled")
    pair = place(session, MarketOrderRequest, "BTC/USD", tif=GTC, qty=0.01)
    filled(session, pair, Decimal("0.01"))
    ok("crypto order filled")
    for tif in (TimeInForce.IOC, TimeInForce.FOK):
        filled(session, place(session, LimitOrderRequest, tif=tif, qty=1, limit_price=dollars(session.quote("AAPL").ask_price * 1.1)), 1)
        missed = place(session, LimitOrderRequest, tif=tif, qty=1, limit_price=1.0)
        update = session.see(missed, "canceled")
        expect(update.order.status == OrderStatus.CANCELED and update.order.canceled_at is not None, f"odd end {update}")
    ok("immediate orders are filled or canceled")


def check_resting(session):
    """Orders that rest far from the market; each is new, then canceled by itself."""
    bid = session.quote("AAPL").bid_price
    low, lower, high, higher = dollars(bid * 0.5), dollars(bid * 0.4), dollars(bid * 2), dollars(bid * 2.1)
    for kind, fields, shown in [
        (LimitOrderRequest, {"limit_price": 1.0}, {"type": "limit", "limit_price": 1}),
        (LimitOrderRequest, {"limit_price": 1.0, "tif": GTC}, {"type": "limit", "limit_price": 1}),
        (LimitOrderRequest, {"limit_price": 1.0, "extended_hours": True}, {"type": "limit", "limit_price": 1, "extended_hours": True}),
        (StopOrderRequest, {"stop_price": high}, {"type": "stop", "stop_price": high}),
        (StopOrderRequest, {"stop_price": low, "side": SELL}, {"type": "stop", "stop_price": low}),
        (StopLimitOrderRequest, {"stop_price": high, "limit_price": higher}, {"type": "stop_limit", "stop_price": high, "limit_price": higher}),
        (StopLimitOrderRequest, {"stop_price": low, "limit_price": lower, "side": SELL, "tif": GTC}, {"type": "stop_limit", "stop_price": low, "limit_price": lower}),
        (TrailingStopOrderRequest, {"trail_percent": 40, "side": SELL}, {"type": "trailing_stop", "trail_percent": 40}),
        (TrailingStopOrderRequest, {"trail_price": low, "side": SELL, "tif": GTC}, {"type": "trailing_stop", "trail_price": low}),
    ]:
        order = place(session, kind, qty=1, **fields)
        update = session.see(order, "new")
        expect(update.order.status == OrderStatus.NEW and update.execution_id is not None, f"odd update {update}")
        for field, value in shown.items():
            found = getattr(update.order, field)
            same = Decimal(found) == Decimal(str(value)) if isinstance(value, float | int) and not isinstance(value, bool) else found == value
            expect(same, f"{field} is {found} instead of {value} in {update.order}")
        if order.type == OrderType.TRAILING_STOP:
            now = session.trading.get_order_by_id(order.id)
            distance = Decimal(now.hwm) * 40 / 100 if now.trail_percent else Decimal(now.trail_price)
            expect(abs(Decimal(now.hwm) - distance - Decimal(now.stop_price)) < Decimal("0.02"), f"the stop does not trail: {now}")
        session.trading.cancel_order_by_id(order.id)
        update = session.see(order, "canceled")
        expect(update.order.status == OrderStatus.CANCELED and update.order.canceled_at is not None, f"odd cancel {update}")
        ok(f"{order.side.value} {order.type.value} {order.time_in_force.value} {'extended hours ' if order.extended_hours else ''}rests and is canceled")


def check_auctions(session):
    clock = session.trading.get_clock()
    # The opening auction is over in a session; orders for the closing one are taken until some minutes before it.
    closing_taken = clock.next_close - clock.timestamp > CLS_REFUSED
    for tif, taken in ((TimeInForce.OPG, not clock.is_open), (TimeInForce.CLS, closing_taken)):
        request = LimitOrderRequest(symbol="AAPL", qty=1, side=BUY, time_in_force=tif, limit_price=1.0)
        if not taken:
            error = refused(422, None, session.trading.submit_order, request)
            ok(f"{tif.value} refused at {clock.timestamp}: {error}")
            continue
        order = session.trading.submit_order(request)
        expect(order.time_in_force == tif, f"odd order {order}")
        session.trading.cancel_order_by_id(order.id)
        session.see(order, "canceled")
        ok(f"{tif.value} waits at {clock.timestamp} and is canceled")


def check_lists(session):
    client = session.trading
    # Without a zone it is the time of Greenwich; the oldest version spoils one that has a zone.
    began = client.get_clock().timestamp.astimezone(timezone.utc).replace(tzinfo=None) - timedelta(seconds=5)
    placed = [place(session, LimitOrderRequest, symbol, tif=GTC, qty=1, limit_price=1.0) for symbol in ("AAPL", "MSFT", "AAPL")]
    for order in placed:
        session.see(order, "new")
    ids = [order.id for order in placed]

    def listed(**filters):
        return [order.id for order in client.get_orders(GetOrdersRequest(**filters))]

    expect(listed() == ids[::-1] and listed(status=QueryOrderStatus.OPEN, direction=Sort.ASC) == ids, "odd list of open orders")
    expect(listed(symbols=["AAPL"], direction=Sort.ASC) == [ids[0], ids[2]] and listed(symbols=["SPY"]) == [], "odd list of a symbol's orders")
    expect(listed(limit=1) == [ids[2]] and listed(side=SELL) == [] and len(listed(side=BUY)) == 3, "odd list by limit or side")
    expect(listed(after=began, status=QueryOrderStatus.ALL)[:3] == ids[::-1], "odd list of what came after a time")
    expect(listed(until=placed[0].submitted_at.replace(tzinfo=None), status=QueryOrderStatus.OPEN) == [], "an order submitted until its own time")
    closed = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.CLOSED, limit=500))
    expect(not set(ids) & {order.id for order in closed} and any(order.status == OrderStatus.FILLED for order in closed), "odd list of closed orders")
    ok("orders listed by status, symbol, side, time and number")
    answers = client.cancel_orders()
    expect({answer.id for answer in answers} == set(ids) and all(answer.status == 200 for answer in answers), f"odd answer {answers}")
    for order in placed:
        session.see(order, "canceled")
    expect(listed() == [], "orders are open after all were canceled")
    ok("all orders canceled")


def check_replace(session):
    client = session.trading
    old = place(session, LimitOrderRequest, tif=GTC, qty=1, limit_price=1.0)
    session.see(old, "new")
    name = f"check-{uuid.uuid4()}"
    new = client.replace_order_by_id(old.id, ReplaceOrderRequest(qty=2, limit_price=1.25, client_order_id=name))
    expect(new.id != old.id and new.replaces == old.id and new.qty == "2" and Decimal(new.limit_price) == Decimal("1.25"), f"odd {new}")
    update = session.see(old, "replaced")
    expect(update.order.status == OrderStatus.REPLACED and update.order.replaced_by == new.id and update.order.replaced_at, f"odd {update}")
    session.see(new, "new")
    expect(client.get_order_by_id(old.id).replaced_by == new.id and client.get_order_by_client_id(name).replaces == old.id, "odd replacement")
    refused(422, None, client.replace_order_by_id, old.id, ReplaceOrderRequest(qty=3))
    ok("a limit order replaced")
    ask = session.quote("AAPL").ask_price
    last = client.replace_order_by_id(new.id, ReplaceOrderRequest(limit_price=dollars(ask * 1.1)))
    session.see(new, "replaced")
    filled(session, last, 2)
    ok("an order replaced into the market is filled")


def check_groups(session):
    bid = session.quote("MSFT").bid_price
    above, below, far_below = dollars(bid * 2), dollars(bid * 0.5), dollars(bid * 0.45)
    exits = {"take_profit": TakeProfitRequest(limit_price=above), "stop_loss": StopLossRequest(stop_price=below, limit_price=far_below)}

    bracket = place(session, MarketOrderRequest, "MSFT", tif=GTC, qty=2, order_class=OrderClass.BRACKET, **exits)
    expect(bracket.order_class == OrderClass.BRACKET and len(bracket.legs) == 2, f"odd bracket {bracket}")
    profit, loss = sorted(bracket.legs, key=lambda leg: leg.type != OrderType.LIMIT)
    expect(profit.status == loss.status == OrderStatus.HELD and profit.side == loss.side == SELL, f"the legs are not held: {bracket.legs}")
    expect(loss.type == OrderType.STOP_LIMIT and Decimal(loss.stop_price) == Decimal(str(below)), f"odd stop loss {loss}")
    filled(session, bracket, 2)
    session.see(profit, "new")
    nested = session.trading.get_order_by_id(bracket.id, GetOrderByIdRequest(nested=True))
    expect({leg.id for leg in nested.legs} == {profit.id, loss.id}, f"odd legs {nested.legs}")
    expect(all(leg.status in (OrderStatus.NEW, OrderStatus.HELD) for leg in nested.legs), f"odd legs {nested.legs}")
    session.trading.cancel_order_by_id(profit.id)
    session.see(profit, "canceled")
    session.see(loss, "canceled")
    ok("a bracket: entered, its exits live together and die together")

    entry = dollars(bid * 0.6)
    waiting = place(session, LimitOrderRequest, "MSFT", tif=GTC, qty=1, limit_price=entry, order_class=OrderClass.BRACKET, **exits)
    session.see(waiting, "new")
    session.trading.cancel_order_by_id(waiting.id)
    for order in (waiting, *waiting.legs):
        session.see(order, "canceled")
    ok("a bracket that is not entered takes its exits with it")

    oco = place(session, LimitOrderRequest, "MSFT", SELL, tif=GTC, qty=1, limit_price=above, order_class=OrderClass.OCO, **exits)
    expect(oco.order_class == OrderClass.OCO and len(oco.legs) == 1 and oco.legs[0].type == OrderType.STOP_LIMIT, f"odd OCO {oco}")
    session.see(oco, "new")
    session.trading.cancel_order_by_id(oco.id)
    session.see(oco, "canceled")
    session.see(oco.legs[0], "canceled")
    ok("an OCO canceled")
    now = {"take_profit": TakeProfitRequest(limit_price=dollars(bid * 0.9)), "stop_loss": StopLossRequest(stop_price=below)}
    oco = place(session, LimitOrderRequest, "MSFT", SELL, tif=GTC, qty=1, limit_price=dollars(bid * 0.9), order_class=OrderClass.OCO, **now)
    filled(session, oco, 1)
    session.see(oco.legs[0], "canceled")
    ok("an OCO: one exit filled, the other canceled")

    oto = place(session, MarketOrderRequest, "MSFT", tif=GTC, qty=1, order_class=OrderClass.OTO, stop_loss=StopLossRequest(stop_price=below))
    expect(oto.order_class == OrderClass.OTO and len(oto.legs) == 1 and oto.legs[0].status == OrderStatus.HELD, f"odd OTO {oto}")
    filled(session, oto, 1)
    session.see(oto.legs[0], "new")
    listed = session.trading.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, symbols=["MSFT"], nested=True, limit=1))
    expect(listed[0].id == oto.id and [leg.id for leg in listed[0].legs] == [oto.legs[0].id], f"odd nested list {listed}")
    session.trading.cancel_order_by_id(oto.legs[0].id)
    session.see(oto.legs[0], "canceled")
    ok("an OTO: entered, its exit live")


def check_triggers(session):
    """The market is moved by hand, for a moment."""
    bid = session.quote("MSFT").bid_price
    above, below = dollars(bid * 2), dollars(bid * 0.5)
    stop = place(session, StopOrderRequest, "MSFT", SELL, tif=GTC, qty=1, stop_price=below)
    session.see(stop, "new")
    session.move("MSFT", dollars(bid * 0.4))
    filled(session, stop, 1)
    session.move("MSFT", dollars(bid))
    ok("a stop is filled when the market falls through it")
    exits = {"take_profit": TakeProfitRequest(limit_price=above), "stop_loss": StopLossRequest(stop_price=below)}
    bracket = place(session, MarketOrderRequest, "MSFT", tif=GTC, qty=1, order_class=OrderClass.BRACKET, **exits)
    profit, loss = sorted(bracket.legs, key=lambda leg: leg.type != OrderType.LIMIT)
    session.see(profit, "new")
    session.move("MSFT", dollars(bid * 2.2))
    fill = filled(session, profit, 1)
    expect(fill.price >= above, f"filled at {fill.price}, worse than {above}")
    session.see(loss, "canceled")
    session.move("MSFT", dollars(bid))
    ok("a bracket takes its profit, and its stop is canceled")


def check_positions(session):
    client = session.trading
    positions = {position.symbol: position for position in client.get_all_positions()}
    expect({"AAPL", "MSFT", "SPY"} <= set(positions), f"odd positions {list(positions)}")
    apple = client.get_open_position("AAPL")
    expect(apple.side == "long" and apple.qty == positions["AAPL"].qty and Decimal(apple.qty) == Decimal(apple.qty_available), f"odd {apple}")
    expect(Decimal(apple.cost_basis) > 0 and Decimal(apple.market_value) > 0 and Decimal(apple.current_price) > 1, f"odd {apple}")
    expect(client.get_open_position(str(apple.asset_id)).symbol == "AAPL", "not found by its asset")
    ok(f"{len(positions)} positions, {apple.qty} AAPL at {apple.avg_entry_price}")
    closing = client.close_position("AAPL", ClosePositionRequest(qty="1"))
    filled(session, closing, 1)
    expect(closing.side == SELL and Decimal(client.get_open_position("AAPL").qty) == Decimal(apple.qty) - 1, "odd position after one was sold")
    msft = Decimal(client.get_open_position("MSFT").qty)
    filled(session, client.close_position("MSFT", ClosePositionRequest(percentage="50")), msft / 2)
    filled(session, client.close_position("SPY"))
    refused(404, 40410000, client.get_open_position, "SPY")
    ok("positions closed by quantity, by percentage and whole")

    short = place(session, MarketOrderRequest, "SPY", SELL, qty=2)
    fill = filled(session, short, 2)
    position = client.get_open_position("SPY")
    expect(fill.position_qty == -2 and position.side == "short" and Decimal(position.qty) == -2, f"odd short {fill} {position}")
    ok("sold short")
    resting = place(session, LimitOrderRequest, "AAPL", tif=GTC, qty=1, limit_price=1.0)
    session.see(resting, "new")
    answers = client.close_all_positions(cancel_orders=True)
    expect({answer.symbol.replace("/", "") for answer in answers} == {"AAPL", "MSFT", "SPY", "BTCUSD"}, f"odd answers {answers}")
    expect(all(answer.status == 200 for answer in answers), f"odd answers {answers}")
    for answer in answers:
        filled(session, answer.body)
    session.see(resting, "canceled")
    until_true(lambda: client.get_all_positions() == [], "all positions are closed")
    ok("all positions closed, orders canceled")


def check_activities(session):
    client = session.trading
    fills = client.get("/account/activities", {"activity_types": "FILL", "page_size": 100})
    expect(fills == client.get("/account/activities/FILL", {"page_size": 100}), "the two forms differ")
    ids = [fill["id"] for fill in fills]
    times = [name.split("::")[0] for name in ids]
    expect(len(set(ids)) == len(ids) >= 20 and times == sorted(times, reverse=True), f"odd order of activities {ids}")
    by_order = {}
    for fill in fills:
        expect(fill["activity_type"] == "FILL" and fill["type"] in ("fill", "partial_fill"), f"odd activity {fill}")
        by_order[fill["order_id"]] = by_order.get(fill["order_id"], 0) + Decimal(fill["qty"])
    for order_id in list(by_order)[:5]:
        order = client.get_order_by_id(order_id)
        expect(Decimal(order.filled_qty) == by_order[order_id], f"{by_order[order_id]} in activities, {order.filled_qty} in {order}")
    pages, token = [], None
    while len(pages) < 12:
        page = client.get("/account/activities", {"activity_types": "FILL", "page_size": 4, "page_token": token})
        expect(len(page) == 4, f"a page of {len(page)} instead of 4")
        pages += [fill["id"] for fill in page]
        token = pages[-1]
    expect(pages == ids[:12], "the pages differ from the whole")
    oldest = client.get("/account/activities", {"direction": "asc", "page_size": 1})
    expect(oldest[0]["id"] == ids[-1] or len(ids) == 100, "not the oldest first")
    ok(f"{len(ids)} activities, page by page")
