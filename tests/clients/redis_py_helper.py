#!/usr/bin/env python3
"""The helper for bots, its shim for old bots and the sample bot, on a Redis where a script plays the broker.

Usage: redis_py_helper.py REDIS_URL

The script answers commands and writes the order stream as the broker does, and as it does on its worst days: entries are missing,
executions are told twice, the journal is lost, connections are cut. Prints one `ok ...` line for each check and exits with 0.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from decimal import Decimal
from pathlib import Path

import redis

from checks import expect, judge, ok, until_true

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/python"
sys.path.insert(0, str(EXAMPLES))

from alpaca_broker import Broker, Cursor, Gap  # noqa: E402

ACCOUNT = "acc-1"
STREAM = f"broker:order_updates:{ACCOUNT}"


class Peer(threading.Thread):
    """The broker as far as a bot sees it: everything is filled at once at the last price."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.redis = redis.Redis.from_url(url, decode_responses=True, client_name="peer")
        self.epoch, self.number = 1000, 0
        self.commands, self.placed, self.registrations = [], {}, []
        self.silent, self.deaf_on_replies, self.price, self.seq = 0, False, Decimal(100), 1000
        self.status(1)

    def status(self, epoch):
        brokers = [{"name": "paper", "account": "paper", "account_id": ACCOUNT}]
        self.redis.set("broker:status", json.dumps({"epoch": epoch, "brokers": brokers}))

    def run(self):
        ears = self.redis.pubsub(ignore_subscribe_messages=True)
        ears.subscribe("BROKER_REGISTRATION")
        last = "0-0"
        while True:
            while message := ears.get_message():
                self.registrations.append(json.loads(message["data"]))
            for _, entries in self.redis.xread({"broker:orders": last}, block=20):
                for last, fields in entries:
                    self.serve(json.loads(fields["command"]))

    def serve(self, command):
        self.commands.append(command)
        if self.silent:
            self.silent -= 1
            return
        name, action = command.get("client_order_id"), command["action"]
        reply = {"type": "order_reply", "action": action, "result": "accepted", "account_id": ACCOUNT, "client_order_id": name}
        if action == "place" and name in self.placed:
            reply["repeated"] = True
        elif action == "place":
            self.placed[name] = command
            order = {"id": f"o-{name}", "client_order_id": name, "symbol": command["symbol"], "side": command["side"], "status": "accepted"}
            self.write({"type": "order", "event": "accepted", "order_data": order, "answer": True, "source": "desk"})
            fill = {"execution_id": f"e-{name}", "price": str(self.price), "qty": str(command["qty"])}
            self.write({"type": "order", "event": "fill", "order_data": {**order, "status": "filled"}, "source": "stream", **fill})
        elif action == "order":
            unknown = {**reply, "result": "rejected", "reason": "no such order", "client_order_id": None}
            reply = {**reply, "order": {"status": "filled"}} if name in self.placed else unknown
        elif action in ("positions", "fills", "orders"):
            held = sum(Decimal(str(c["qty"])) * (1 if c["side"] == "buy" else -1) for c in self.placed.values())
            reply[action] = [{"symbol": "AAPL", "qty": str(held)}] if action == "positions" else []
        if not self.deaf_on_replies:
            self.redis.publish(command["reply_to"], json.dumps(reply))

    def write(self, event, bot="scalper"):
        self.number += 1
        body = {"bot": (event.get("order_data") or {}).get("client_order_id", bot + "-").split("-")[0], "account_id": ACCOUNT, **event}
        return self.redis.xadd(STREAM, {"event": json.dumps(body)}, id=f"{self.epoch}-{self.number}")

    def cut(self):
        """Every connection but our own."""
        for client in self.redis.client_list():
            if client["name"] != "peer":
                self.redis.client_kill_filter(_id=client["id"])

    def tick(self, price=None, skip=0, **more):
        self.price, self.seq = Decimal(price or self.price), self.seq + 1 + skip
        text = f'{{"type":"price","symbol":"AAPL","price":{self.price},"volume":100,"seq":{self.seq},"sim":true}}'
        self.redis.publish("TICKER_UPDATES_AAPL", text)


def news(name, execution=None, event="fill"):
    body = {"type": "order", "event": event, "order_data": {"client_order_id": name, "status": "x"}}
    return {**body, "execution_id": execution} if execution else body


def take(updates):
    """What is there, without waiting for more: how each was told, its order's number and its execution."""
    found = []
    for event in updates:
        if event is None:
            return found
        found.append((event["event"], event["order_data"]["client_order_id"], event.get("execution_id")))
    return found


def check_commands(url, peer):
    broker = Broker(url, bot="scalper", timeout=5)
    names = [broker.new_id() for _ in range(1000)]
    expect(len(set(names)) == 1000 and names == sorted(names) and all(len(n) <= 36 and n.startswith("scalper-") for n in names), "odd ids")
    expect(len(Broker(url, bot="a234567890123456").new_id()) == 36, "the longest bot makes too long an id")
    answer = broker.place("AAPL", "buy", qty=Decimal("1.50"), limit_price="150.00")
    command = peer.commands[-1]
    expect(answer.accepted and answer.client_order_id == command["client_order_id"], f"odd answer {answer}")
    expect((command["qty"], command["limit_price"], command["account"], "exchange" in command) == ("1.50", "150.00", "paper", False), f"odd command {command}")
    expect(broker.ask("order", client_order_id="scalper-none").result == "rejected", "a refusal that names no order is not heard")
    ok(f"place is answered: {answer.client_order_id}")

    peer.deaf_on_replies = True
    answer = broker.place("AAPL", "buy", qty=1)
    expect(answer.accepted and answer.body["type"] == "order", f"odd answer {answer}")
    peer.deaf_on_replies = False
    ok("an answer that only the order stream has is heard too")

    peer.silent = 1
    answer = broker.place("AAPL", "buy", qty=1, timeout=0.5)
    expect(answer.result == "unknown" and "look it up" in answer.reason, f"odd answer {answer}")
    expect(broker.cancel("scalper-x").accepted and broker.positions()[0]["symbol"] == "AAPL" and broker.orders() == [], "odd answers")
    ok("no answer is unknown, never a guess")

    # The connection is cut after the command was written and before its answer: the very same is sent again.
    peer.silent, before, got = 1, len(peer.commands), []
    thread = threading.Thread(target=lambda: got.append(broker.place("AAPL", "buy", qty=2)))
    thread.start()
    until_true(lambda: len(peer.commands) > before, "the command came")
    peer.cut()
    thread.join()
    sent = peer.commands[before:]
    expect(got[0].accepted and len(sent) == 2 and sent[0] == sent[1], f"{got} after {sent}")
    ok("what may have been lost is sent again under the same name")


def check_updates(url, peer, folder):
    broker, other = Broker(url, bot="walker"), Broker(url, bot="other")
    path = os.path.join(folder, "walker.cursor")

    def following(on_gap=None, bot=broker):
        return bot.updates(Cursor(path), block_ms=20, on_gap=on_gap, idle=True)

    peer.redis.delete(STREAM)
    peer.epoch, peer.number = 2000, 0
    for index in range(1, 4):
        peer.write(news(f"walker-{index}", f"e{index}"))
    peer.write(news("other-1", "e9"))
    updates = following()
    expect([next(updates)["execution_id"], next(updates)["execution_id"]] == ["e1", "e2"], "odd events")
    updates.close()
    expect(json.loads(Path(path).read_text())["position"] == "2000-1", "an event that was not handled is counted as handled")
    expect(take(following()) == [("fill", "walker-2", "e2"), ("fill", "walker-3", "e3")], "the cursor is not where it was")
    expect(json.loads(Path(path).read_text())["position"] == "2000-4", "the events of others do not move the cursor")
    expect(take(other.updates(block_ms=20, idle=True)) == [("fill", "other-1", "e9")], "odd events of the other bot")
    ok("a bot goes on behind what it handled, and hears of its own orders alone")

    peer.write(news("walker-3", "e3"))
    peer.write(news("walker-3", "e3", "partial_fill"))
    peer.write(news("walker-3", "e3", "trade_bust"))
    peer.write(news("walker-3", None, "canceled"))
    expect(take(following()) == [("trade_bust", "walker-3", "e3"), ("canceled", "walker-3", None)], "an execution came twice")
    ok("an execution that is told again is dropped, its bust is not")

    peer.number += 2
    missing = f"2000-{peer.number - 2}"
    found = peer.write(news("walker-4", "e4"))
    try:
        take(following())
        expect(False, "no gap was seen")
    except Gap as gap:
        expect(gap.args == (missing, found), f"odd gap {gap}")
    gaps = []
    expect(take(following(gaps.append)) == [("fill", "walker-4", "e4")] and len(gaps) == 1, "the gap was not passed")
    ok("a gap is raised or told")

    peer.epoch, peer.number = 3000, 0
    peer.write(news("walker-4", "e4"))
    peer.write(news("walker-5", "e5"))
    expect(take(following()) == [("fill", "walker-5", "e5")], "odd events of the new epoch")
    peer.epoch, peer.number = 4000, 1
    peer.write(news("walker-6", "e6"))
    gaps.clear()
    expect(take(following(gaps.append)) == [("fill", "walker-6", "e6")] and len(gaps) == 1, "an epoch that does not begin with 1 is a gap")
    ok("a new epoch is read from its beginning")

    # The stream and the clock by which epochs are made are both gone: the new stream is older than the cursor.
    updates = following()
    expect(next(updates) is None, "odd events")
    peer.redis.delete(STREAM)
    peer.epoch, peer.number = 3500, 0
    peer.write(news("walker-6", "e6"))
    peer.write(news("walker-7", "e7"))
    expect(next(updates) is None and next(updates)["execution_id"] == "e7", "the rebuilt stream was not read again")
    updates.close()
    ok("a rebuilt stream is read again, what was seen is dropped")

    updates = following()
    next(updates), next(updates)
    peer.cut()
    peer.write(news("walker-8", "e8"))
    expect(until_true(lambda: take(updates), "news after the cut") == [("fill", "walker-8", "e8")], "odd events after the cut")
    ok("a cut connection is dialled again")


def check_prices(url, peer):
    broker = Broker(url, bot="looker")
    snapshot = '{"type":"price","symbol":"AAPL","price":99.50,"volume":1,"seq":1000,"snapshot":true,"stale":false}'
    peer.redis.hset("broker:last:AAPL", "price", snapshot)
    ticks = broker.prices(["AAPL"], ttl_s=3, idle=True)
    first = next(filter(None, ticks))
    expect(first["snapshot"] and first["price"] == Decimal("99.50"), f"odd last value {first}")
    peer.tick("100.10")
    expect(str(next(filter(None, ticks))["price"]) == "100.10", "odd price")
    peer.tick("100.20", skip=2)
    peer.redis.hset("broker:last:AAPL", "bar", '{"type":"bar","symbol":"AAPL","close":1,"seq":5,"snapshot":true,"stale":false}')
    tick = next(filter(None, ticks))
    expect(tick["missed"] == 2 and next(ticks)["type"] == "bar", f"odd gap {tick}")
    ok("prices: last values first, a gap is counted and they are read again")

    def wishes():
        return [r for r in peer.registrations if r["bot"] == "looker" and r["action"] == "subscribe"]

    until_true(lambda: next(ticks) is None and len(wishes()) >= 3, "the lease is renewed")
    held = len(wishes())
    peer.status(2)
    started = time.monotonic()
    ticks = broker.prices(["AAPL"], ttl_s=3600, idle=True)
    until_true(lambda: next(ticks) is None and len(wishes()) > held, "registered with a long lease")
    held = len(wishes())
    peer.status(3)
    until_true(lambda: next(ticks) is None and len(wishes()) == held + 1, "registered again with a new epoch")
    ticks.close()
    until_true(lambda: any(r["action"] == "unsubscribe" for r in peer.registrations), "unregistered")
    ok(f"registered again when the broker is new ({time.monotonic() - started:.1f} s)")


OLD_BOT = '''
from main.utils.redis import RedisPublisher, RedisSubscriber, CHANNELS

def handle_price_update(message):
    print("price", message["symbol"], message["price"], flush=True)

def handle_order_update(message):
    print("order", message["order_id"], message["filled_qty"], flush=True)
    if message["status"] == "filled":
        subscriber.stop_listening()
        orders.stop_listening()

account_id = "acc-1"
# Register for symbol updates
publisher = RedisPublisher()
publisher.publish(CHANNELS.BROKER_REGISTRATION, {
    "action": "register",
    "symbols": ["AAPL"],
    "account_id": account_id
})

# Listen for price updates
subscriber = RedisSubscriber()
subscriber.subscribe(f"price:AAPL", handle_price_update)
subscriber.start_listening()

# Listen for order updates
orders = RedisSubscriber()
orders.subscribe(f"order:{account_id}", handle_order_update)
'''


def check_old_bot(url, peer):
    host, port = url.split("//")[1].split(":")
    env = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(EXAMPLES), "REDIS_HOST": host, "REDIS_PORT": port, "REDIS_DB": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    bot = subprocess.Popen([sys.executable, "-c", OLD_BOT], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until_true(lambda: len(peer.redis.pubsub_channels("*:A*") + peer.redis.pubsub_channels("order:acc-1")) == 2, "the old bot listens")
        wanted = {"action": "register", "symbols": ["AAPL"], "account_id": "acc-1"}
        until_true(lambda: wanted in peer.registrations, "the old bot registers")
        peer.redis.publish("price:AAPL", '{"type":"price_update","symbol":"AAPL","price":150.25,"timestamp":1628107200}')
        expect(bot.stdout.readline() == "price AAPL 150.25\n", "odd price")
        # A message that its handler cannot take ends nothing, nor does a cut connection.
        peer.redis.publish("price:AAPL", '{"type":"price_update"}')
        peer.cut()
        until_true(lambda: peer.redis.publish("order:acc-1", '{"type":"order_update","order_id":"o1","status":"filled","filled_qty":10}'), "the old bot is back")
        expect(bot.stdout.readline() == "order o1 10\n", "odd order")
        expect(bot.wait(10) == 0, "the old bot did not end")
    finally:
        bot.kill()
    ok("an old bot runs unchanged")


def check_scale_bot(url, peer, folder):
    peer.redis.delete(STREAM)
    peer.epoch, peer.number, peer.placed = 9000, 0, {}
    cursor = os.path.join(folder, "scale.cursor")
    command = [sys.executable, str(EXAMPLES / "scale_bot.py"), "--redis", url, "--sim", "--qty", "10", "--dip", "0.01", "--steps", "2", "--cursor", cursor]
    env = {"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(seconds):
        return subprocess.Popen([*command, "--seconds", str(seconds)], env=env, stdout=subprocess.PIPE, text=True)

    def until_placed(number, price):
        until_true(lambda: (peer.tick(price), time.sleep(0.05), len(peer.placed) == number)[-1], f"order {number} at {price}")

    def listens():
        return peer.redis.pubsub_numsub("TICKER_UPDATES_AAPL")[0][1]

    bot = run(60)
    try:
        until_true(listens, "the bot listens")
        peer.tick("100")
        until_placed(1, "98.5")
        # Killed before it heard of its fill: the next one finds it in the stream.
        bot.kill()
        bot.wait()
        until_true(lambda: not listens(), "the first bot is gone")
        bot = run(6)
        until_true(listens, "the second bot listens")
        peer.tick("98.5")
        until_placed(2, "97")
        until_placed(3, "98.2")
        peer.tick("98.2")
        out = bot.communicate(timeout=20)[0]
    finally:
        bot.kill()
    summary = json.loads(out.split("scale_bot: ")[1])
    trades = [(c["side"], Decimal(c["qty"])) for c in peer.placed.values()]
    expect(trades == [("buy", 10), ("buy", 10), ("sell", 10)], f"odd trades {trades}")
    expect((summary["fills"], summary["held"], summary["account_holds"], summary["open"]) == (3, "10", "10", 0), f"odd summary {summary}")
    ok(f"the sample bot, killed once, holds what it traded: {summary['profit']}")


def main():
    url = sys.argv[1]
    peer = Peer(url)
    peer.start()
    with tempfile.TemporaryDirectory() as folder:
        check_commands(url, peer)
        check_updates(url, peer, folder)
        check_prices(url, peer)
        check_old_bot(url, peer)
        check_scale_bot(url, peer, folder)
    ok("all")


if __name__ == "__main__":
    judge(main, __doc__, arguments=1)
