"""Refusals reach the user as the SDK's own exception, with Alpaca's status and code."""

import json
import uuid

from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderClass, OrderSide, TimeInForce
from alpaca.trading.requests import LimitOrderRequest, MarketOrderRequest, StopLossRequest, TakeProfitRequest, TrailingStopOrderRequest

from alpaca_py_session import refused
from checks import expect, ok, until_true

BUY = {"side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
SELL = {"side": OrderSide.SELL, "time_in_force": TimeInForce.DAY}


def check(session):
    client = session.trading
    check_permission(session, client)
    check_missing(client)
    check_form(session, client)
    stranger = TradingClient(session.key, "wrong", paper=True, url_override=session.http)
    refused(401, None, stranger.get_account)
    ok("401: a wrong secret")


def check_permission(session, client):
    error = refused(403, 40310000, client.submit_order, MarketOrderRequest(symbol="AAPL", qty=1_000_000, **BUY))
    body = json.loads(str(error))
    expect("buying power" in body["message"] and float(body["cost_basis"]) > float(body["buying_power"]) >= 0, f"odd body {body}")
    ok(f"403: {body['message']}")
    order = client.submit_order(MarketOrderRequest(symbol="AAPL", qty=2, **BUY))
    session.see(order, "fill")
    body = json.loads(str(refused(403, 40310000, client.submit_order, MarketOrderRequest(symbol="AAPL", qty=5, **SELL))))
    expect("requested: 5, available: 2" in body["message"] and body["available"] == "2" and body["existing_qty"] == "2", f"odd body {body}")
    expect(body["symbol"] == "AAPL" and body["held_for_orders"] == "0", f"odd body {body}")
    ok(f"403: {body['message']}")
    resting = client.submit_order(LimitOrderRequest(symbol="AAPL", qty=1, side=OrderSide.SELL, time_in_force=TimeInForce.GTC, limit_price=100_000))
    session.see(resting, "new")
    crossing = LimitOrderRequest(symbol="AAPL", qty=1, limit_price=100_001, **BUY)
    body = json.loads(str(refused(403, 40310000, client.submit_order, crossing)))
    expect("wash trade" in body["message"] and body["existing_order_id"] == str(resting.id), f"odd body {body}")
    ok(f"403: {body['message']}")
    client.cancel_order_by_id(resting.id)
    session.see(resting, "canceled")


def check_missing(client):
    nobody = str(uuid.uuid4())
    refused(404, 40410000, client.get_order_by_id, nobody)
    refused(404, 40410000, client.get_order_by_client_id, nobody)
    refused(404, 40410000, client.cancel_order_by_id, nobody)
    refused(404, 40410000, client.get_open_position, "TSLA")
    refused(404, 40410000, client.close_position, "TSLA")
    refused(404, 40410000, client.get_asset, "NOSUCH")
    ok("404: orders, positions and assets that are not there")


def check_form(session, client):
    name = f"check-{uuid.uuid4()}"
    order = client.submit_order(MarketOrderRequest(symbol="AAPL", qty=1, client_order_id=name, **BUY))
    session.see(order, "fill")
    refused(422, 40010001, client.submit_order, MarketOrderRequest(symbol="AAPL", qty=1, client_order_id=name, **BUY))
    refused(422, None, client.cancel_order_by_id, order.id)
    ok("422: a name used twice, an order that cannot be canceled any more")
    refused(422, 42210000, client.submit_order, LimitOrderRequest(symbol="AAPL", qty=1, limit_price=1.234, **BUY))
    refused(422, 42210000, client.submit_order, MarketOrderRequest(symbol="AAPL", qty=1, extended_hours=True, **BUY))
    ok("422: a price between the cents, a market order for extended hours")
    exits = {"take_profit": TakeProfitRequest(limit_price=2), "stop_loss": StopLossRequest(stop_price=3)}
    for request in [
        MarketOrderRequest(symbol="NOSUCH", qty=1, **BUY),
        MarketOrderRequest(symbol="AAPL", qty=0.5, order_class=OrderClass.BRACKET, **exits, **BUY),
        MarketOrderRequest(symbol="AAPL", qty=1, order_class=OrderClass.BRACKET, **exits, **BUY),
        LimitOrderRequest(symbol="AAPL", qty=0.5, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=1),
        LimitOrderRequest(symbol="BTC/USD", qty=1, limit_price=1, **BUY),
        TrailingStopOrderRequest(symbol="AAPL", qty=1, trail_percent=10, side=OrderSide.SELL, time_in_force=TimeInForce.IOC),
    ]:
        error = refused(422, None, client.submit_order, request)
        expect(json.loads(str(error))["message"], f"no message: {error}")
    ok("422: six orders of a wrong form")
    client.close_all_positions(cancel_orders=True)
    until_true(lambda: client.get_all_positions() == [], "all positions are closed")
