#!/usr/bin/env python3
"""Registers symbols with a running broker and prints their prices: quickstart.py [SYMBOL ...]. Needs: pip install redis"""

import json
import os
import sys

import redis

symbols = sys.argv[1:] or ["AAPL"]
client = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"), decode_responses=True)
listener = client.pubsub(ignore_subscribe_messages=True)
listener.subscribe(*[f"TICKER_UPDATES_{symbol}" for symbol in symbols])

request = {"action": "subscribe", "tickers": symbols, "bot": "quickstart", "ttl_s": 3600}
if client.publish("BROKER_REGISTRATION", json.dumps(request)) == 0:
    sys.exit("no broker is running there: start one with `make run`")
last = {}
try:
    for message in listener.listen():
        tick = json.loads(message["data"])
        if tick["type"] == "price":
            missed = tick["seq"] - last.get(tick["symbol"], tick["seq"] - 1) - 1
            last[tick["symbol"]] = tick["seq"]
            print(tick["timestamp"], tick["symbol"], tick["price"], "x", tick["volume"], f"({missed} missed)" if missed else "", flush=True)
except KeyboardInterrupt:
    client.publish("BROKER_REGISTRATION", json.dumps({**request, "action": "unsubscribe"}))
