"""The exchange fails on purpose, and the SDK has to bear it as it bears Alpaca."""

import uuid

from alpaca.data.live import StockDataStream
from alpaca.trading.enums import OrderSide, OrderStatus, TimeInForce
from alpaca.trading.requests import LimitOrderRequest, MarketOrderRequest

from alpaca_py_session import into, refused, run
from checks import Seen, expect, ok

RESTING = {"symbol": "AAPL", "qty": 1, "side": OrderSide.BUY, "time_in_force": TimeInForce.GTC, "limit_price": 1.0}


def check(session):
    check_stream(session)
    check_updates(session)
    check_order(session)


def check_stream(session):
    seen = Seen()
    # Another feed: the one of before may still be open.
    stream = StockDataStream(session.key, session.secret, url_override=f"{session.ws}/v2/sip")
    stream.subscribe_trades(into(seen), "AAPL", "MSFT", "SPY")
    run(stream)
    seen.wait(lambda _: True, "trade")
    for fault in ("fragment-frames=10@/v2/sip", "drop@/v2/sip"):
        session.admin("faults", {"fault": fault})
        since = seen.count()
        seen.wait(lambda _: seen.count() > since + 20, f"trades after {fault}", since=since + 20)
        ok(f"data goes on through {fault}")


def check_updates(session):
    for fault in ("swap-frames@trading", "unknown-field", "duplicate-trade-update"):
        session.admin("faults", {"fault": fault})
        order = session.trading.submit_order(LimitOrderRequest(**RESTING))
        session.see(order, "pending_new", "new")
        session.trading.cancel_order_by_id(order.id)
        session.see(order, "canceled")
        ok(f"updates go on through {fault}")
    updates = [update for update in session.updates.events if update.order.id == order.id]
    expect(len(updates) == 5, f"{len(updates)} updates instead of three and one of them twice more")


def check_order(session):
    name = f"check-{uuid.uuid4()}"
    session.admin("faults", {"fault": "order-504"})
    # The SDK sends an order again by itself when it was answered 504; only the name keeps it from being doubled.
    refused(422, 40010001, session.trading.submit_order, MarketOrderRequest(symbol="MSFT", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, client_order_id=name))
    order = session.trading.get_order_by_client_id(name)
    fill = session.see(order, "fill")
    expect(fill.order.status == OrderStatus.FILLED and session.trading.get_open_position("MSFT").qty == "1", f"odd position after {fill}")
    ok("an order whose answer was lost is there once")
    session.trading.close_all_positions(cancel_orders=True)
