#!/usr/bin/env python3
"""One order on a paper account through a running broker: sandbox.py REDIS_URL. `make sandbox` starts both and calls it.

Connects, streams, places a buy limit order of one share at 1.00, which nobody fills, sees it accepted, cancels it and sees it
canceled. Prints one line of JSON; exits with 0 when all of it was seen, with 1 when not.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../examples/python"))

from alpaca_broker import Broker, Cursor  # noqa: E402

SYMBOL = "F"
PATIENCE = 60.0
STARTED = time.monotonic()


class Failed(Exception):
    pass


def elapsed():
    return round((time.monotonic() - STARTED) * 1000)


def wait_streaming(broker, told):
    """The streams of the account's orders and of the prices, and whether the account takes orders."""
    status = {}
    while elapsed() < PATIENCE * 1000:
        status = json.loads(broker.client.get("broker:status") or "{}")
        states = {stream["name"]: stream["state"] for stream in status.get("streams", [])}
        seats = [seat for seat in status.get("brokers", []) if seat["name"] == "alpaca"]
        if any(seat["live"] for seat in seats):
            raise Failed("the account is live")
        if status.get("sim") and not os.environ.get("SANDBOX_SIM"):
            raise Failed("the exchange is the built-in one")
        if seats and states.get("ord-paper") == "streaming":
            told.update(streaming_ms=elapsed(), account_id=seats[0]["account_id"], streams=states)
            return
        time.sleep(0.1)
    raise Failed(f"not streaming after {PATIENCE:.0f} s: {json.dumps({'streams': status.get('streams'), 'brokers': status.get('brokers')})}")


def wait_status(updates, name, wanted):
    """Reads the order stream until the venue says that the order is in one of these states."""
    until = time.monotonic() + PATIENCE
    for event in updates:
        order = (event or {}).get("order_data") or {}
        if order.get("client_order_id") == name and not event.get("answer"):
            if order.get("status") in wanted:
                return order["status"]
            if order.get("status") in ("rejected", "filled", "expired", "canceled"):
                raise Failed(f"the order is {order['status']}: {event.get('reason')}")
        if time.monotonic() > until:
            raise Failed(f"the order stream did not say {' or '.join(wanted)} within {PATIENCE:.0f} s")


def check(broker, told):
    wait_streaming(broker, told)
    updates = broker.updates(Cursor(), block_ms=200, idle=True)
    name = told["client_order_id"] = broker.new_id()
    try:
        answer = broker.place(SYMBOL, "buy", qty=1, type="limit", limit_price="1.00", time_in_force="day", client_order_id=name)
        if not answer.accepted:
            raise Failed(f"place: {answer.result}: {answer.reason}")
        told["placed_ms"] = elapsed()
        told["status"] = wait_status(updates, name, ("new", "accepted", "pending_new"))
        told["accepted_ms"] = elapsed()
    finally:
        # Whatever went wrong, no order stays behind.
        answer = broker.cancel(name)
    if not answer.accepted:
        raise Failed(f"cancel: {answer.result}: {answer.reason}")
    told["status"] = wait_status(updates, name, ("canceled",))
    told["canceled_ms"] = elapsed()


def main():
    told = {"check": "sandbox", "ok": False, "symbol": SYMBOL}
    try:
        check(Broker(sys.argv[1], bot="sandbox", account="paper", exchange="alpaca", timeout=30), told)
        told["ok"] = True
    except Exception as error:
        told["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(told), flush=True)
    return 0 if told["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
