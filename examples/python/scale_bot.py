#!/usr/bin/env python3
"""Buys dips and scales out in steps, unattended: a sample of a bot on `alpaca_broker`, against the built-in exchange.

    scale_bot.py --sim --symbol AAPL --qty 10 --dip 0.001 --steps 5 --seconds 60

Each time the price is `dip` (a fraction) below the highest since the last trade it buys `qty`, up to `steps` times; each time it is
`dip` above what a lot cost it sells that lot. What it holds is counted from its own executions in the order stream, and is kept in
one file with its place there: killed at any moment it goes on where it was, and an order of which it heard no end is looked up under
its name.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from decimal import Decimal
from typing import Any, Optional

from alpaca_broker import Broker, BrokerError, Cursor, Gap

DONE = {"filled", "canceled", "expired", "rejected", "denied", "replaced", "done_for_day"}


class Ledger:
    """What the bot's own executions add up to; it lives in the state of a cursor, as texts."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        state.setdefault("lots", [])
        state.setdefault("open", {})
        for name in ("cash", "fills", "bought", "sold"):
            state.setdefault(name, "0")

    def count(self, event: dict[str, Any]) -> None:
        """Takes one order update in."""
        order = event.get("order_data") or {}
        name, status = order.get("client_order_id"), order.get("status")
        if event.get("event") in ("fill", "partial_fill"):
            self.fill(order["side"], Decimal(event["qty"]), Decimal(event["price"]))
        if name and (status in DONE or event.get("event") in DONE):
            self.state["open"].pop(name, None)
        elif name:
            self.state["open"][name] = order.get("side")

    def fill(self, side: str, qty: Decimal, price: Decimal) -> None:
        sign = 1 if side == "buy" else -1
        self.add("cash", -sign * qty * price)
        self.add("fills", 1)
        self.add("bought" if sign > 0 else "sold", qty)
        if sign > 0:
            self.lots.append({"qty": str(qty), "price": str(price)})
            self.lots.sort(key=lambda lot: -Decimal(lot["price"]))
        while sign < 0 and qty > 0 and self.lots:
            cheapest = self.lots[-1]
            taken = min(qty, Decimal(cheapest["qty"]))
            qty, cheapest["qty"] = qty - taken, str(Decimal(cheapest["qty"]) - taken)
            if not Decimal(cheapest["qty"]):
                self.lots.pop()

    @property
    def open(self) -> dict[str, Any]:
        """Orders of which no end was heard yet, by name."""
        return self.state["open"]

    @property
    def lots(self) -> list[dict[str, str]]:
        """What was bought and not sold, the cheapest last."""
        return self.state["lots"]

    def add(self, name: str, value: Any) -> None:
        self.state[name] = str(Decimal(self.state[name]) + value)

    @property
    def held(self) -> Decimal:
        return sum((Decimal(lot["qty"]) for lot in self.lots), Decimal(0))


class ScaleBot:
    def __init__(self, broker: Broker, wish: argparse.Namespace) -> None:
        self.broker, self.wish = broker, wish
        self.cursor = Cursor(wish.cursor)
        self.ledger = Ledger(self.cursor.state)
        self.updates = broker.updates(self.cursor, block_ms=1, on_gap=self.repair, idle=True)
        self.top: Optional[Decimal] = None
        self.last = Decimal(0)
        self.ends = time.monotonic() + wish.seconds
        self.placed = self.refused = self.unknown = 0

    def hear_orders(self) -> None:
        """Counts what became of our orders since the last look."""
        for event in self.updates:
            if event is None:
                return
            self.ledger.count(event)

    def repair(self, gap: Gap) -> None:
        """Executions may be missing: those of the account that are ours and not counted yet are asked for."""
        logging.warning("entries of the order stream are missing between %s and %s", *gap.args)
        for fill in self.broker.fills():
            key = f"fill:{fill['execution_id']}"
            if fill["client_order_id"].startswith(f"{self.broker.bot}-") and key not in self.cursor.seen:
                self.cursor.seen.append(key)
                self.ledger.fill(fill["side"], Decimal(fill["qty"]), Decimal(fill["price"]))
        for name in set(self.ledger.open) - {order["client_order_id"] for order in self.broker.orders()}:
            del self.ledger.open[name]

    def run(self) -> int:
        self.hear_orders()
        self.settle_old()
        ticks = self.broker.prices([self.wish.symbol], idle=True)
        for tick in ticks:
            if time.monotonic() > self.ends:
                break
            self.hear_orders()
            if not tick or tick["type"] != "price" or tick.get("snapshot"):
                continue
            if self.wish.sim and not tick.get("sim"):
                print("these are no simulated prices, and --sim was given: nothing is traded", file=sys.stderr)
                return 1
            self.decide(tick["price"])
        ticks.close()
        return self.leave()

    def settle_old(self) -> None:
        """An order that an earlier run sent, and of which it heard no end, is looked up; the broker carries out no old command."""
        while (name := next(iter(self.ledger.open), None)) and time.monotonic() < self.ends:
            answer = self.broker.ask("order", client_order_id=name)
            if answer.accepted and answer.body["order"]["status"] not in DONE:
                return
            if answer.result == "rejected" or answer.accepted:
                # Executed or never placed: whatever was executed is in the stream.
                self.hear_orders()
                self.ledger.open.pop(name, None)

    def decide(self, price: Decimal) -> None:
        """At most one order is open at a time, and what became of it is heard from the stream alone."""
        self.last, self.top = price, max(price, self.top or price)
        if self.ledger.open:
            return
        lots, qty, dip = self.ledger.lots, Decimal(self.wish.qty), Decimal(self.wish.dip)
        if lots and price >= Decimal(lots[-1]["price"]) * (1 + dip):
            self.trade("sell", Decimal(lots[-1]["qty"]))
        elif self.ledger.held + qty <= qty * self.wish.steps and price <= self.top * (1 - dip):
            self.trade("buy", qty)
            self.top = price

    def trade(self, side: str, qty: Decimal) -> None:
        """The name is kept before anything is sent. An answer that does not come is asked for again under it: it places one order."""
        name = self.broker.new_id()
        self.ledger.open[name] = side
        self.cursor.save()
        self.placed += 1
        while True:
            answer = self.broker.place(self.wish.symbol, side, qty, client_order_id=name, type="market", timeout=5)
            if answer.result != "unknown" or time.monotonic() > self.ends:
                break
            self.unknown += 1
            logging.warning("%s: %s", name, answer.reason)
        if answer.result in ("denied", "rejected"):
            self.refused += 1
            logging.warning("%s is %s: %s", name, answer.result, answer.reason)
            self.ledger.open.pop(name, None)

    def leave(self) -> int:
        """Says how it went, and beside it what the account holds."""
        patience = time.monotonic() + 5
        while self.ledger.open and time.monotonic() < patience:
            time.sleep(0.05)
            self.hear_orders()
        self.cursor.save()
        state, held = self.cursor.state, self.ledger.held
        summary = {"symbol": self.wish.symbol, "placed": self.placed, "refused": self.refused, "unknown": self.unknown, "fills": int(state["fills"]),
                   "bought": state["bought"], "sold": state["sold"], "held": str(held), "open": len(self.ledger.open),
                   "profit": str(round(Decimal(state["cash"]) + held * self.last, 2)), "position": self.cursor.position}  # fmt: skip
        try:
            summary["account_holds"] = next((p["qty"] for p in self.broker.positions() if p["symbol"] == self.wish.symbol), "0")
        except BrokerError as error:
            logging.warning("%s", error)
        print("scale_bot:", json.dumps(summary), flush=True)
        return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--redis", help="its URL; else REDIS_URL, or REDIS_HOST, REDIS_PORT and REDIS_DB")
    parser.add_argument("--bot", default="scale_t")
    parser.add_argument("--account", default="paper")
    parser.add_argument("--exchange")
    parser.add_argument("--symbol", default="AAPL")
    parser.add_argument("--qty", type=Decimal, default=Decimal(10))
    parser.add_argument("--dip", type=Decimal, default=Decimal("0.001"), help="a fraction of the price")
    parser.add_argument("--steps", type=int, default=5, help="so many lots are held at most")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--cursor", help="the file of its place in the order stream and of what it holds")
    parser.add_argument("--sim", action="store_true", help="trade on simulated prices only")
    wish = parser.parse_args()
    wish.cursor = wish.cursor or f"{wish.bot}-{wish.account}-{wish.symbol.replace('/', '_')}.cursor"
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    return ScaleBot(Broker(wish.redis, bot=wish.bot, account=wish.account, exchange=wish.exchange), wish).run()


if __name__ == "__main__":
    sys.exit(main())
