"""The data streams: stocks and crypto, subscriptions while running."""

import time

from alpaca.data.live import CryptoDataStream, StockDataStream
from alpaca.data.models import Quote, Trade

from alpaca_py_session import into, run
from checks import Seen, expect, ok


def check(session):
    check_stocks(session)
    check_crypto(session)


def trade_of(symbol):
    return lambda event: isinstance(event, Trade) and event.symbol == symbol


def check_stocks(session):
    seen = Seen()
    stream = StockDataStream(session.key, session.secret, url_override=f"{session.ws}/v2/iex")
    stream.subscribe_trades(into(seen), "AAPL", "MSFT")
    stream.subscribe_quotes(into(seen), "AAPL")
    run(stream)
    trade = seen.wait(trade_of("AAPL"), "trade of AAPL")
    expect(trade.price > 1 and trade.size >= 1 and trade.timestamp.tzinfo is not None, f"odd trade {trade}")
    expect(trade.id is not None and trade.exchange and isinstance(trade.conditions, list) and trade.tape in ("A", "B", "C"), f"odd trade {trade}")
    ok(f"trade {trade.symbol} {trade.price} x {trade.size}")
    quote = seen.wait(lambda event: isinstance(event, Quote), "quote of AAPL")
    expect(quote.symbol == "AAPL" and 0 < quote.bid_price < quote.ask_price and quote.bid_size > 0 and quote.ask_size > 0, f"odd quote {quote}")
    ok(f"quote {quote.symbol} {quote.bid_price} / {quote.ask_price}")
    seen.wait(trade_of("MSFT"), "trade of MSFT")

    stream.subscribe_trades(into(seen), "SPY")
    seen.wait(trade_of("SPY"), "trade of SPY after a second subscription")
    ok("a second subscription while running")
    stream.unsubscribe_trades("MSFT")
    # What was under way when the subscription ended may still come.
    time.sleep(0.5)
    since = seen.count()
    for symbol in ("AAPL", "SPY") * 3:
        seen.wait(trade_of(symbol), f"trade of {symbol}", since=seen.count())
    expect(not any(trade_of("MSFT")(event) for event in seen.events[since:]), "MSFT after its unsubscription")
    ok("an unsubscription while running")

    stream.unsubscribe_trades("AAPL", "SPY")
    stream.unsubscribe_quotes("AAPL")
    time.sleep(0.5)
    since = seen.count()
    stream.subscribe_trades(into(seen), "*")
    for symbol in ("AAPL", "MSFT", "SPY"):
        seen.wait(trade_of(symbol), f"trade of {symbol} by the wildcard", since=since)
    expect(all(isinstance(event, Trade) for event in seen.events[since:]), "quotes after their unsubscription")
    ok("the wildcard")


def check_crypto(session):
    seen = Seen()
    stream = CryptoDataStream(session.key, session.secret, url_override=f"{session.ws}/v1beta3/crypto/us")
    stream.subscribe_quotes(into(seen), "BTC/USD")
    stream.subscribe_trades(into(seen), "BTC/USD")
    run(stream)
    trade = seen.wait(lambda event: isinstance(event, Trade), "trade of BTC/USD")
    quote = seen.wait(lambda event: isinstance(event, Quote), "quote of BTC/USD")
    expect(trade.symbol == quote.symbol == "BTC/USD" and trade.size > 0 and quote.bid_price < quote.ask_price, f"odd prices {trade} {quote}")
    ok(f"crypto trades and quotes, {trade.price} x {trade.size}")
