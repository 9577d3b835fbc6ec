#!/usr/bin/env python3
"""A trading bot on redis-py and alpaca-py, as a user would write it, between a running broker and its exchange.

Usage: redis_py_bot.py REDIS_URL EXCHANGE_URL [KEY SECRET]

Registers in both dialects as the broker's documents show, receives prices, places an order at the exchange and sees it
fill through the broker, reads the last values and the status, unregisters. Prints one `ok ...` line for each check and
exits with 0, or prints `FAILED ...` and exits with 1; gives up after DEADLINE seconds whatever happens.
"""

import json
import sys
import time
from decimal import Decimal

import redis
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest

from checks import STEP, expect, judge, ok


class Bot:
    def __init__(self, url):
        self.client = redis.Redis.from_url(url, decode_responses=True)
        self.listener = self.client.pubsub(ignore_subscribe_messages=True)
        self.last = {}
        self.contiguous = 0

    def hear(self, wanted, text):
        """The next message that fits; the sequence numbers of all that pass by are checked."""
        until = time.monotonic() + STEP
        while (left := until - time.monotonic()) > 0:
            message = self.listener.get_message(timeout=left)
            if message is None:
                continue
            channel, body = message["channel"], json.loads(message["data"], parse_float=Decimal)
            if "seq" in body:
                key = (channel, body["type"])
                if key in self.last:
                    expect(body["seq"] == self.last[key] + 1, f"{key}: {body['seq']} after {self.last[key]}")
                    self.contiguous += 1
                self.last[key] = body["seq"]
            if wanted(channel, body):
                return body
        raise AssertionError(f"no {text} within {STEP} s")

    def say(self, channel, message):
        heard = self.client.publish(channel, json.dumps(message))
        expect(heard > 0, f"nobody listens on {channel}")


def check_prices(bot, account_id):
    # As the documents of the two dialects show it, each on its own channel, without a name.
    bot.listener.subscribe("TICKER_UPDATES_AAPL", "price:MSFT", f"order:{account_id}", "broker:replies:pybot", "broker:replies")
    bot.say("BROKER_REGISTRATION", {"action": "subscribe", "ticker": "AAPL"})
    bot.say("broker:registration", {"action": "register", "symbols": ["MSFT"], "account_id": account_id})
    price = bot.hear(lambda c, b: c == "TICKER_UPDATES_AAPL" and b["type"] == "price", "price of AAPL")
    expect(price["symbol"] == "AAPL" and price["price"] > 1 and price["volume"] > 0, f"odd price {price}")
    expect("merged" not in price or price["merged"] > 0, f"odd price {price}")
    ok(f"ticker dialect: {price['price']} x {price['volume']} at {price['timestamp']}")
    price = bot.hear(lambda c, b: c == "price:MSFT", "price of MSFT")
    expect(price["type"] == "price_update" and price["symbol"] == "MSFT" and abs(price["timestamp"] - time.time()) < 60, f"odd price {price}")
    ok(f"typed dialect: {price['price']} at {price['timestamp']}")

    # With a name, a lease and an answer; one of the symbols is none.
    bot.listener.subscribe("quote:SPY")
    wish = {"action": "register", "symbols": ["SPY", "spy"], "bot": "pybot", "feeds": ["quote"], "ttl_s": 30, "reply_to": "broker:replies:pybot"}
    bot.say("broker:registration", wish)
    answers = {}
    while len(answers) < 2:
        body = bot.hear(lambda c, b: b["type"] == "registration" and answers.setdefault(c, b) is b, "answer to the bot and refusal for everybody")
    answer = answers["broker:replies:pybot"]
    expect(answer == answers["broker:replies"] == body, f"odd answers {answers}")
    expect(answer["accepted"] == ["SPY"] and [r["symbol"] for r in answer["refused"]] == ["spy"], f"odd answer {answer}")
    quote = bot.hear(lambda c, b: c == "quote:SPY", "quote of SPY")
    expect(0 < quote["bid"] < quote["ask"], f"odd quote {quote}")
    ok(f"a named bot: {quote['bid']} / {quote['ask']}, refused: {answer['refused'][0]['reason']}")
    return answer["epoch"]


def check_order(bot, trading, account_id):
    order = trading.submit_order(
        MarketOrderRequest(symbol="AAPL", qty=2, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, client_order_id="pybot-1")
    )
    short, full = None, None
    while short is None or full is None:
        body = bot.hear(
            lambda c, b: (c == f"order:{account_id}" and b["event"] == "fill") or (c == "TICKER_UPDATES_AAPL" and b["type"] == "order" and b["event"] == "fill"),
            "fill",
        )
        if body["type"] == "order_update":
            short = body
        else:
            full = body
    expect(short["order_id"] == str(order.id) and short["status"] == "filled" and short["filled_qty"] == 2, f"odd fill {short}")
    expect(short["filled_avg_price"] > 0 and short["side"] == "buy" and short["client_order_id"] == "pybot-1", f"odd fill {short}")
    expect(full["account_id"] == account_id and full["order_data"]["id"] == str(order.id) and Decimal(full["qty"]) == 2, f"odd fill {full}")
    expect(Decimal(full["order_data"]["filled_avg_price"]) == short["filled_avg_price"], f"{full} against {short}")
    ok(f"an order placed by alpaca-py fills on both channels at {short['filled_avg_price']}")


def check_keys(bot, epoch):
    until = time.monotonic() + STEP
    while not (text := bot.client.hget("broker:last:AAPL", "price")):
        expect(time.monotonic() < until, "no last value of AAPL")
        time.sleep(0.05)
    last = json.loads(text)
    expect(last["type"] == "price" and last["snapshot"] is True and last["stale"] is False, f"odd last value {last}")
    ok(f"last value {last['price']}")
    # It is written every second.
    while (status := json.loads(bot.client.get("broker:status")))["symbols"] != 3:
        expect(time.monotonic() < until, f"odd status {status}")
        time.sleep(0.05)
    expect(status["state"] == "running" and status["epoch"] == epoch and status["bots"] == 2, f"odd status {status}")
    expect(0 < bot.client.pttl("broker:status") <= 5000, "the status has no lease")
    held = bot.client.hgetall("broker:registrations")
    wanted = {"legacy|alpaca|AAPL|price|ticker", "legacy|alpaca|MSFT|price|typed", "pybot|alpaca|SPY|quote|typed"}
    expect(set(held) == wanted, f"odd registrations {held}")
    ok(f"status {status['state']}, health {status['health']['score']}, {len(held)} registrations")
    before = bot.contiguous
    for _ in range(200):
        bot.hear(lambda c, b: "seq" in b, "price")
    expect(bot.contiguous >= before + 150, "too few numbers were compared")
    ok(f"{bot.contiguous} sequence numbers without a gap")


def check_leave(bot):
    bot.listener.unsubscribe("TICKER_UPDATES_AAPL", "price:MSFT", "quote:SPY")
    bot.say("BROKER_REGISTRATION", {"action": "unsubscribe", "ticker": "AAPL"})
    bot.say("broker:registration", {"action": "unregister", "symbols": ["MSFT"]})
    bot.say("broker:registration", {"action": "unregister", "symbols": ["SPY"], "bot": "pybot", "reply_to": "broker:replies:pybot"})
    answer = bot.hear(lambda c, b: c == "broker:replies:pybot" and b["action"] == "unregister", "answer")
    expect(answer["accepted"] == ["SPY"], f"odd answer {answer}")
    until = time.monotonic() + STEP
    while held := bot.client.hgetall("broker:registrations"):
        expect(time.monotonic() < until, f"still registered: {held}")
        time.sleep(0.05)
    ok("unregistered")


def main():
    redis_url, http = sys.argv[1], sys.argv[2].rstrip("/")
    key, secret = sys.argv[3:5] if len(sys.argv) > 4 else ("SIM", "SIM-SECRET")
    trading = TradingClient(key, secret, paper=True, url_override=http)
    account_id = str(trading.get_account().id)
    bot = Bot(redis_url)
    epoch = check_prices(bot, account_id)
    check_order(bot, trading, account_id)
    check_keys(bot, epoch)
    check_leave(bot)
    ok("all")


if __name__ == "__main__":
    judge(main, __doc__, arguments=2)
