#!/usr/bin/env python3
"""Judges a built-in exchange with the unmodified alpaca-py SDK.

Usage: alpaca_py_check.py http://127.0.0.1:PORT [KEY SECRET]

The exchange must be running with a moving market (a rate of some hundred messages a second). Prints one `ok ...` line for
each check and exits with 0, or prints `FAILED ...` and exits with 1; gives up after DEADLINE seconds whatever happens.
"""

import queue
import sys
import threading
import time
import uuid

from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.live import CryptoDataStream, StockDataStream
from alpaca.data.models import Quote, Trade
from alpaca.data.requests import StockLatestQuoteRequest, StockLatestTradeRequest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetStatus, OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import GetOrderByIdRequest, GetOrdersRequest, LimitOrderRequest, MarketOrderRequest
from alpaca.trading.stream import TradingStream

from checks import STEP, expect, judge, ok


def wait_for(events, wanted, text):
    """The first event that fits, others are passed over."""
    until = time.monotonic() + STEP
    while True:
        try:
            event = events.get(timeout=max(0.01, until - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"no {text} within {STEP} s") from None
        if wanted(event):
            return event


def run(stream):
    threading.Thread(target=stream.run, daemon=True).start()


def into(events):
    async def handler(event):
        events.put(event)

    return handler


def check_data(ws, key, secret):
    events = queue.Queue()
    stream = StockDataStream(key, secret, url_override=f"{ws}/v2/iex")
    stream.subscribe_trades(into(events), "AAPL", "MSFT")
    stream.subscribe_quotes(into(events), "AAPL")
    run(stream)
    trade = wait_for(events, lambda e: isinstance(e, Trade) and e.symbol == "AAPL", "trade of AAPL")
    expect(trade.price > 1 and trade.size >= 1 and trade.timestamp.tzinfo is not None, f"odd trade {trade}")
    ok(f"trade {trade.symbol} {trade.price} x {trade.size}")
    quote = wait_for(events, lambda e: isinstance(e, Quote), "quote of AAPL")
    expect(quote.symbol == "AAPL" and 0 < quote.bid_price < quote.ask_price, f"odd quote {quote}")
    ok(f"quote {quote.symbol} {quote.bid_price} / {quote.ask_price}")
    stream.subscribe_trades(into(events), "SPY")
    wait_for(events, lambda e: isinstance(e, Trade) and e.symbol == "SPY", "trade of SPY after a second subscription")
    ok("a second subscription while running")
    stream.unsubscribe_trades("MSFT")
    time.sleep(0.5)
    while not events.empty():
        events.get()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        event = events.get(timeout=STEP)
        expect(not isinstance(event, Trade) or event.symbol != "MSFT", "MSFT after its unsubscription")
    ok("an unsubscription while running")

    pairs = queue.Queue()
    crypto = CryptoDataStream(key, secret, url_override=f"{ws}/v1beta3/crypto/us")
    crypto.subscribe_quotes(into(pairs), "BTC/USD")
    crypto.subscribe_trades(into(pairs), "BTC/USD")
    run(crypto)
    wait_for(pairs, lambda e: isinstance(e, Trade), "trade of BTC/USD")
    wait_for(pairs, lambda e: isinstance(e, Quote), "quote of BTC/USD")
    ok("crypto trades and quotes")
    return [stream, crypto]


def check_reads(http, key, secret, client):
    account = client.get_account()
    expect(float(account.cash) > 0 and float(account.buying_power) >= 0, f"odd account {account}")
    ok(f"account {account.account_number} with cash {account.cash}")
    clock = client.get_clock()
    expect(clock.is_open and clock.next_close > clock.timestamp and clock.next_open > clock.next_close, f"odd clock {clock}")
    ok("clock")
    asset = client.get_asset("AAPL")
    expect(asset.status == AssetStatus.ACTIVE and asset.tradable, f"odd asset {asset}")
    ok("asset")
    data = StockHistoricalDataClient(key, secret, url_override=http)
    quote = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=["AAPL", "MSFT"]))
    trade = data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL"))
    expect(quote["MSFT"].ask_price > 0 and trade["AAPL"].price > 0, "odd latest prices")
    ok("latest quotes and trades")
    return quote["AAPL"].ask_price


def check_orders(ws, key, secret, client, ask):
    updates = queue.Queue()
    stream = TradingStream(key, secret, paper=True, url_override=f"{ws}/stream")
    stream.subscribe_trade_updates(into(updates))
    run(stream)
    # The SDK does not tell when it listens; an order that fills nothing is repeated until an update of it comes.
    until = time.monotonic() + STEP
    while updates.empty():
        expect(time.monotonic() < until, "the trading stream does not listen")
        probe = client.submit_order(LimitOrderRequest(symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=1.0))
        client.cancel_order_by_id(probe.id)
        time.sleep(0.2)
    ok("trading stream listens")

    def place(request):
        order = client.submit_order(request)
        expect(order.status == OrderStatus.PENDING_NEW, f"odd answer to an order: {order.status}")
        return order

    def see(order, events, text):
        for event in events:
            seen = wait_for(updates, lambda u: u.order.id == order.id and u.event == event, f"{event} of {text}")
        return seen

    name = f"check-{uuid.uuid4()}"
    market = place(MarketOrderRequest(symbol="AAPL", qty=2, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, client_order_id=name))
    fill = see(market, ["pending_new", "new", "fill"], "the market order")
    expect(fill.order.status == OrderStatus.FILLED and fill.qty == 2 and fill.price > 0, f"odd fill {fill}")
    ok(f"market order filled at {fill.price}, position {fill.position_qty}")
    expect(client.get_order_by_client_id(name).id == market.id, "not found by its client order id")
    expect(client.get_order_by_id(market.id, GetOrderByIdRequest(nested=True)).status == OrderStatus.FILLED, "not filled by REST")
    ok("order by id and by client order id")
    limit = place(LimitOrderRequest(symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=round(ask * 1.05, 2)))
    see(limit, ["new", "fill"], "the limit order")
    ok("limit order filled")
    money = place(MarketOrderRequest(symbol="MSFT", notional=100.5, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
    fill = see(money, ["fill"], "the notional order")
    expect(0 < fill.qty < 100, f"odd quantity {fill.qty}")
    ok("notional order filled")
    resting = place(LimitOrderRequest(symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=1.0))
    see(resting, ["new"], "the resting order")
    listed = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, symbols=["AAPL"], limit=10))
    expect([order.id for order in listed] == [resting.id], f"odd list of open orders {listed}")
    ok("open orders listed")
    client.cancel_order_by_id(resting.id)
    see(resting, ["canceled"], "the resting order")
    ok("order canceled")
    place(LimitOrderRequest(symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=1.0))
    canceled = client.cancel_orders()
    expect(len(canceled) == 1 and canceled[0].status == 200, f"odd answer to cancelling all {canceled}")
    ok("all orders canceled")
    for request, code in [
        (MarketOrderRequest(symbol="AAPL", qty=10_000_000, side=OrderSide.BUY, time_in_force=TimeInForce.DAY), 40310000),
        (MarketOrderRequest(symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, client_order_id=name), 40010001),
    ]:
        try:
            client.submit_order(request)
        except APIError as error:
            expect(error.code == code, f"code {error.code} instead of {code}")
        else:
            raise AssertionError(f"no error {code}")
    ok("refusals carry their codes")
    position = client.get_open_position("AAPL")
    expect(float(position.qty) >= 3 and "AAPL" in [p.symbol for p in client.get_all_positions()], f"odd position {position}")
    ok(f"position of {position.qty} AAPL at {position.avg_entry_price}")
    return [stream]


def main():
    http = sys.argv[1].rstrip("/")
    key, secret = sys.argv[2:4] if len(sys.argv) > 3 else ("SIM", "SIM-SECRET")
    ws = http.replace("http", "ws", 1)
    client = TradingClient(key, secret, paper=True, url_override=http)
    ask = check_reads(http, key, secret, client)
    check_data(ws, key, secret)
    check_orders(ws, key, secret, client, ask)
    ok("all")


if __name__ == "__main__":
    judge(main, __doc__, arguments=1)
