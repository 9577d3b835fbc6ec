"""The same design in Python, for `make bench-compare`: alpaca-py reads the stream on a thread of its own, each trade goes
through `handle_price_update` and is published with redis-py, one PUBLISH a message.
"""
import argparse
import json
import threading

import redis
from alpaca.data.live import StockDataStream


def symbol_name(n):
    """The names that the feed gives its symbols."""
    letters = (n // 676, n // 26, n)
    return "T" + "".join(chr(ord("A") + letter % 26) for letter in letters)


class Broker:
    def __init__(self, url, redis_port, symbols):
        self.symbols = [symbol_name(n) for n in range(symbols)]
        self.redis = redis.Redis(host="127.0.0.1", port=redis_port)
        self.redis.ping()
        self.stream = StockDataStream("key", "secret", url_override=url)

    async def on_trade(self, trade):
        self.handle_price_update({
            "symbol": trade.symbol,
            "price": trade.price,
            "volume": trade.size,
            "timestamp": trade.timestamp.isoformat(),
        })

    def handle_price_update(self, data):
        self.redis.publish(f"TICKER_UPDATES_{data['symbol']}", json.dumps({"type": "price", **data}))

    def price_producer(self):
        self.stream.subscribe_trades(self.on_trade, *self.symbols)
        self.stream.run()

    def run(self):
        producer = threading.Thread(target=self.price_producer, name="price-producer")
        producer.start()
        producer.join()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--redis-port", type=int, required=True)
    parser.add_argument("--symbols", type=int, default=100)
    args = parser.parse_args()
    Broker(args.url, args.redis_port, args.symbols).run()
