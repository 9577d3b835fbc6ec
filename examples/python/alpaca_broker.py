"""What a trading bot needs of `alpaca-broker`, on redis-py alone (4.5 or newer) and Python 3.9 or newer. Copy this file beside your bot.
`RedisPublisher`, `RedisSubscriber` and `CHANNELS` are for bots that were written against `main.utils.redis`."""

from __future__ import annotations

import json
import logging
import os
import random
import secrets
import threading
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Optional

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger("alpaca_broker")
# Redis is away, restarts, or was demoted to a replica: all of it passes.
LOST = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ReadOnlyError)


def connect(url: Optional[str] = None, host: Optional[str] = None, port: Optional[int] = None, db: Optional[int] = None) -> redis.Redis:
    """A client of the Redis at `url`, else at host, port and db, else where the variables of the environment say."""
    # No retries inside: who sends a command again has to know that he does.
    options: dict[str, Any] = {"decode_responses": True, "socket_timeout": 10, "socket_connect_timeout": 5, "retry": Retry(NoBackoff(), 0)}
    if url := url or (None if host or port else os.getenv("REDIS_URL")):
        return redis.Redis.from_url(url, **options)
    options.update(db=int(os.getenv("REDIS_DB") or 0) if db is None else db, username=os.getenv("REDIS_USERNAME"), password=os.getenv("REDIS_PASSWORD"))
    return redis.Redis(host or os.getenv("REDIS_HOST") or "localhost", port or int(os.getenv("REDIS_PORT") or 6379), **options)


def pause(attempt: int, cause: Exception) -> int:
    log.warning("going on soon: %s", cause, exc_info=not isinstance(cause, (*LOST, BrokerError)))
    time.sleep(min(5.0, 0.1 * 2 ** min(attempt, 6)) * random.uniform(0.5, 1))
    return attempt + 1


class CHANNELS:
    BROKER_REGISTRATION = "BROKER_REGISTRATION"
    get_ticker_channel = staticmethod("TICKER_UPDATES_{}".format)


class RedisPublisher:
    def __init__(self, host: Optional[str] = None, port: Optional[int] = None, db: Optional[int] = None) -> None:
        self.client = connect(None, host, port, db)

    def publish(self, channel: str, message: Any) -> int:
        """Sends a message, a text as it is; returns how many heard it."""
        return int(self.client.publish(channel, message if isinstance(message, str) else json.dumps(message, default=str)))


class RedisSubscriber:
    """Calls back with each message of a channel, on a thread of its own that outlives a lost Redis and a failing callback."""

    def __init__(self, host: Optional[str] = None, port: Optional[int] = None, db: Optional[int] = None) -> None:
        self._pubsub = connect(None, host, port, db).pubsub(ignore_subscribe_messages=True)
        self._thread: Any = None

    def subscribe(self, channel: str, callback: Callable[[Any], None]) -> None:
        """Calls `callback(message)` from now on; the first subscription starts to listen."""
        self._pubsub.subscribe(**{channel: lambda message: callback(json.loads(message["data"]))})
        self.start_listening()

    def start_listening(self) -> None:
        """Does nothing when it listens already. The program lives on until `stop_listening`."""
        self._thread = self._thread or self._pubsub.run_in_thread(sleep_time=0.2, exception_handler=lambda error, *_: pause(2, error))

    def stop_listening(self) -> None:
        self._thread and self._thread.stop()


class BrokerError(Exception):
    """A question that was not answered, and why."""


class Gap(BrokerError):
    """Entries of the order stream are missing between these two, its `args`: ask for `orders()` and `fills()`."""


class Answer(NamedTuple):
    """What became of a command: `accepted`, `rejected` (by the venue), `denied` (by the broker) or `unknown` (look the order up)."""
    action: str
    result: str
    client_order_id: Optional[str] = None
    reason: Optional[str] = None
    body: dict[str, Any] = {}

    @property
    def accepted(self) -> bool:
        return self.result == "accepted"


class Cursor:
    """A place in the order stream, the executions seen, and in `state` what the bot made of them: kept in one, so that each counts once."""

    def __init__(self, path: Optional[str] = None, remember: int = 1000) -> None:
        self.path, self.remember = Path(path) if path else None, remember
        saved = json.loads(self.path.read_text()) if self.path and self.path.exists() else {}
        self.position: str = saved.get("position", "0-0")
        self.state: dict[str, Any] = saved.get("state", {})
        self.seen: list[str] = saved.get("seen", [])

    def follows(self, stream_id: str) -> bool:
        """Whether nothing is missing before this entry. A new epoch begins with 1."""
        epoch, last = self.position.split("-")
        return self.position == "0-0" or stream_id == f"{epoch}-{int(last) + 1}" or (stream_id.endswith("-1") and not stream_id.startswith(f"{epoch}-"))

    def save(self) -> None:
        """Writes a whole new file, then puts it in the place of the old one."""
        if self.path:
            new = self.path.with_name(self.path.name + ".new")
            with open(new, "w") as file:
                file.write(json.dumps({"position": self.position, "state": self.state, "seen": self.seen}, default=str))
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self.path)


class Broker:
    """A bot's side of the broker: orders, what becomes of them, and prices. For several threads."""

    def __init__(self, redis_url: Optional[str] = None, host: Optional[str] = None, port: Optional[int] = None, db: Optional[int] = None, *,
                 bot: str, account: str = "paper", exchange: Optional[str] = None, timeout: float = 10.0) -> None:  # fmt: skip
        self.client = connect(redis_url, host, port, db)
        self.bot, self.account, self.exchange, self.timeout = bot, account, exchange, timeout
        self._replies = self.client.pubsub()
        self._lock, self._last_id, self._order_stream = threading.Lock(), 0, ""

    def new_id(self) -> str:
        """A new client order id: the bot, then 19 characters that sort by time."""
        self._last_id = max(time.time_ns() // 1_000_000 << 45 | secrets.randbits(45), self._last_id + 1)
        return f"{self.bot}-" + "".join("0123456789abcdefghjkmnpqrstvwxyz"[self._last_id >> shift & 31] for shift in range(90, -1, -5))

    def place(self, symbol: str, side: str, qty: Any = None, *, client_order_id: Optional[str] = None, timeout: Optional[float] = None, **more: Any) -> Answer:
        """Places an order. `more`: `limit_price`, `time_in_force`, ... The same `client_order_id` again never places a second one."""
        return self.ask("place", timeout, symbol=symbol, side=side, qty=qty, client_order_id=client_order_id or self.new_id(), **more)

    def modify(self, client_order_id: str, **change: Any) -> Answer:
        """Changes `qty`, `limit_price`, `stop_price`, `trail` or `time_in_force` of an open order, which gets a `new_client_order_id`."""
        return self.ask("modify", client_order_id=client_order_id, **{"new_client_order_id": self.new_id(), **change})

    def cancel(self, client_order_id: Optional[str] = None, order_id: Optional[str] = None) -> Answer:
        return self.ask("cancel", client_order_id=client_order_id, order_id=order_id)

    def cancel_all(self, symbol: Optional[str] = None) -> Answer:
        """Cancels all open orders of the account, those of other bots too."""
        return self.ask("cancel_all", symbol=symbol)

    def close_position(self, symbol: str, client_order_id: Optional[str] = None) -> Answer:
        """Sells what the account holds of a symbol, or buys back what it owes, whichever bot traded it."""
        return self.ask("close_position", symbol=symbol, client_order_id=client_order_id or self.new_id())

    def positions(self) -> list[dict[str, Any]]:
        return self._told("positions")

    def orders(self) -> list[dict[str, Any]]:
        """The open orders of the account."""
        return self._told("orders")

    def fills(self, since: Optional[str] = None, limit: Optional[int] = None) -> list[dict[str, Any]]:
        return self._told("fills", since=since, limit=limit)

    def _told(self, question: str, **fields: Any) -> list[dict[str, Any]]:
        if (answer := self.ask(question, **fields)).accepted:
            return answer.body[question]
        raise BrokerError(f"{question}: {answer.result}: {answer.reason}")

    def ask(self, action: str, timeout: Optional[float] = None, **fields: Any) -> Answer:
        """Sends a command and waits for its answer; sends the very same again when Redis was lost before the answer came."""
        fields = {"account": self.account, "exchange": self.exchange, "reply_to": f"broker:replies:{self.bot}", **fields}
        command = {"action": action, **{name: value for name, value in fields.items() if value is not None}}
        with self._lock:
            deadline, attempt, sent, tail = time.monotonic() + (timeout or self.timeout), 0, 0, []
            while time.monotonic() < deadline:
                try:
                    self._replies.subscribe(command["reply_to"])
                    while (self._replies.get_message(timeout=1) or {"type": "subscribe"})["type"] != "subscribe":
                        pass  # An answer to an earlier question.
                    with suppress(BrokerError):  # No broker says yet what its order stream is called; it may still reply.
                        tail = tail or [self.order_stream(), self._last(self.order_stream())]
                    sent += 1
                    self.client.xadd("broker:orders", {"command": json.dumps(command, default=str)})
                    while time.monotonic() < deadline:
                        for body in self._heard(tail):
                            if answer := understood(body, command, sent):
                                return answer
                except LOST as lost:
                    attempt = pause(attempt, lost)
        why = "no answer came in time: it may have been carried out, look it up" if sent else "redis is not reachable, nothing was sent"
        return Answer(action, "unknown" if sent else "denied", command.get("client_order_id"), why)

    def _heard(self, tail: list[str]) -> Iterator[dict[str, Any]]:
        if (message := self._replies.get_message(timeout=0.05)) and message["type"] == "message":
            yield json.loads(message["data"], parse_float=Decimal)
        for _, entries in self.client.xread({tail[0]: tail[1]}) if tail else []:
            for tail[1], fields in entries:
                yield json.loads(fields["event"], parse_float=Decimal)

    def _last(self, stream: str) -> str:
        return next((stream_id for stream_id, _ in self.client.xrevrange(stream, count=1)), "0-0")

    def order_stream(self) -> str:
        """The stream of the account's order updates; its name holds the venue's id of the account, which the broker knows."""
        if not self._order_stream:
            status = json.loads(self.client.get("broker:status") or "{}")
            known = {b["account_id"] for b in status.get("brokers", []) if b["account"] == self.account and self.exchange in (None, b["name"])}
            if len(known) != 1:
                raise BrokerError(f"{len(known) or 'no'} running brokers have an account {self.account}: start one, or name the exchange")
            self._order_stream = f"broker:order_updates:{known.pop()}"
        return self._order_stream

    def updates(self, cursor: Optional[Cursor] = None, block_ms: int = 1000, on_gap: Optional[Callable[[Gap], None]] = None,
                everybody: bool = False, idle: bool = False) -> Iterator[Any]:  # fmt: skip
        """The bot's order updates from the cursor on (without one from the oldest that is kept), in order, each once, for ever.

        The cursor is saved when the next one is asked for. A gap is raised, or told to `on_gap` and passed. `idle`: None after `block_ms` without news."""
        cursor, attempt = cursor or Cursor(), 0
        while True:
            entries: list[Any] = []
            try:
                found = self.client.xread({self.order_stream(): cursor.position}, count=100, block=max(1, min(block_ms, 5000)))
                entries = found[0][1] if found else []
                if not entries and 0 < int(self._last(self.order_stream()).split("-")[0]) < int(cursor.position.split("-")[0]):
                    cursor.position = "0-0"  # Another stream than the one we know: all of it is read, what was seen is dropped.
                attempt = 0
            except (*LOST, BrokerError) as lost:
                attempt = pause(attempt, lost)
            for stream_id, fields in entries:
                if not cursor.follows(stream_id):
                    if on_gap is None:
                        raise Gap(cursor.position, stream_id)
                    on_gap(Gap(cursor.position, stream_id))
                event = json.loads(fields["event"], parse_float=Decimal)
                # An execution is one however often it is told; a bust of it is another thing.
                key = event.get("execution_id") and f"{event['event'].replace('partial_', '')}:{event['execution_id']}"
                mine = everybody or (event.get("bot") or name_of(event).split("-")[0]) == self.bot
                if mine and key not in cursor.seen:
                    yield event
                    cursor.seen = [*cursor.seen, key][-cursor.remember :] if key else cursor.seen
                cursor.position = stream_id
                if mine or stream_id == entries[-1][0]:
                    cursor.save()
            if idle and not entries:
                yield None

    def prices(self, symbols: Iterable[str], feeds: Iterable[str] = ("price",), ttl_s: int = 60, idle: bool = False) -> Iterator[Any]:
        """Market messages, for ever; first, and after a loss (`missed` says how many), the last known ones, marked `snapshot`. `idle`: None after 0.5 s."""
        wish = {"action": "subscribe", "tickers": list(symbols), "bot": self.bot, "feeds": list(feeds), "ttl_s": ttl_s}
        pubsub, attempt, seqs = self.client.pubsub(ignore_subscribe_messages=True), 0, {}
        epoch, renew_at, look_at, blind = None, 0.0, 0.0, set(wish["tickers"])
        try:
            while True:
                try:
                    if (now := time.monotonic()) >= look_at:
                        look_at, seen = now + 1, json.loads(self.client.get("broker:status") or "{}").get("epoch")
                        if now >= renew_at or seen != epoch:
                            pubsub.subscribe(*map(CHANNELS.get_ticker_channel, wish["tickers"]))
                            heard = self.client.publish(CHANNELS.BROKER_REGISTRATION, json.dumps(wish))
                            epoch, renew_at = seen, now + (ttl_s / 3 if heard else 0)
                    while blind:
                        known = [json.loads(text, parse_float=Decimal) for text in self.client.hgetall(f"broker:last:{blind.pop()}").values()]
                        yield from (last for last in known if last["seq"] > seqs.get((last["symbol"], last["type"]), 0))
                    message, attempt = pubsub.get_message(timeout=0.5), 0
                except LOST as lost:
                    blind, renew_at, look_at, message = set(wish["tickers"]), 0.0, 0.0, None
                    attempt = pause(attempt, lost)
                tick = json.loads(message["data"], parse_float=Decimal) if message else {}
                if seq := tick.get("seq"):
                    key = (tick["symbol"], tick["type"])
                    missed, seqs[key] = max(0, seq - seqs.get(key, seq - 1) - 1), seq
                    blind |= {tick["symbol"]} if missed else set()
                    yield {**tick, "missed": missed} if missed else tick
                elif idle and not message:
                    yield None
        finally:
            with suppress(*LOST):
                self.client.publish(CHANNELS.BROKER_REGISTRATION, json.dumps({**wish, "action": "unsubscribe"}))
            pubsub.close()


def name_of(event: dict[str, Any]) -> str:
    return event.get("client_order_id") or (event.get("order_data") or {}).get("client_order_id") or ""


def understood(body: dict[str, Any], command: dict[str, Any], sent: int) -> Optional[Answer]:
    """The answer to the command, if this is it: a reply (some refusals name no order), or the order stream's entry for it."""
    action, names = command["action"], (command.get("client_order_id"), command.get("new_client_order_id"))
    entry = body.get("type") == "order" and body.get("answer") and action in ("place", "close_position")
    if not (entry or (body.get("type") == "order_reply" and body.get("action") == action)) or (any(names) and name_of(body) not in (*names, "")):
        return None
    result, reason = body["event"] if entry else body["result"], body.get("reason")
    if sent > 1 and result == "rejected" and action in ("cancel", "modify"):
        result, reason = "unknown", f"it was sent {sent} times and once refused ({reason}): look the order up"
    return Answer(action, result, name_of(body) or names[0], reason, body)
