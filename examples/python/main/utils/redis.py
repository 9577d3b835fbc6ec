"""The names under which old bots import their Redis helpers; what they are stands in `alpaca_broker`."""

from alpaca_broker import CHANNELS, RedisPublisher, RedisSubscriber

__all__ = ["CHANNELS", "RedisPublisher", "RedisSubscriber"]
