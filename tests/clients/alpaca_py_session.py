"""The clients and streams of alpaca-py at one exchange, and the questions that several checks ask."""

import threading
import time

import alpaca
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.requests import StockLatestQuoteRequest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import LimitOrderRequest
from alpaca.trading.stream import TradingStream

from checks import STEP, Seen, expect

# The version whose models still ask for what Alpaca has taken away since, and whose calls have defects of their own.
OLD = alpaca.__version__ == "0.10.0"


class Session:
    def __init__(self, http, key, secret):
        self.http, self.key, self.secret = http, key, secret
        self.ws = http.replace("http", "ws", 1)
        self.trading = TradingClient(key, secret, paper=True, url_override=http)
        self.stocks = StockHistoricalDataClient(key, secret, url_override=http)
        self.crypto = CryptoHistoricalDataClient(key, secret, url_override=http)
        self.updates = Seen()

    def quote(self, symbol):
        return self.stocks.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=[symbol]))[symbol]

    def listen(self):
        """Opens the trading stream. The SDK does not tell when it listens: orders that fill nothing are placed until one is told."""
        stream = TradingStream(self.key, self.secret, paper=True, url_override=f"{self.ws}/stream")
        stream.subscribe_trade_updates(into(self.updates))
        run(stream)
        until = time.monotonic() + STEP
        while self.updates.count() == 0:
            expect(time.monotonic() < until, "the trading stream does not listen")
            self.trading.submit_order(LimitOrderRequest(symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=1.0))
            time.sleep(0.2)
        self.trading.cancel_orders()

    def admin(self, what, wish):
        """Asks the exchange for something that Alpaca has not."""
        answer = requests.post(f"{self.http}/admin/{what}", json=wish, timeout=5)
        expect(answer.status_code == 200, f"{wish} was not taken: {answer.text}")

    def move(self, symbol, price):
        """A trade at that price, between a bid and an ask about it."""
        quote = {"bid": f"{price - 0.01:.2f}", "ask": f"{price + 0.01:.2f}", "bid_size": 1000, "ask_size": 1000}
        self.admin("market", {"symbol": symbol, **quote, "trade": f"{price:.2f}", "size": 100})

    def see(self, order, *events):
        """Waits for these events of that order, in whatever order they come; the last one is returned."""
        for event in events:
            seen = self.updates.wait(lambda update: update.order.id == order.id and update.event == event, f"{event} of {order.type} {order.id}")
        return seen


def run(stream):
    threading.Thread(target=stream.run, daemon=True).start()


def into(seen):
    async def handler(event):
        seen.add(event)

    return handler


def refused(status, code, call, *arguments):
    """Expects the SDK's exception with that status and code; the exception is returned."""
    try:
        answer = call(*arguments)
    except APIError as error:
        expect(error.status_code == status, f"status {error.status_code} instead of {status}: {error}")
        expect(code is None or error.code == code, f"not the code {code}: {error}")
        return error
    raise AssertionError(f"an answer instead of {status} {code}: {answer}")
