"""Latest values, snapshots and history by REST."""

from datetime import timedelta, timezone

from alpaca.data.requests import (
    CryptoBarsRequest,
    CryptoLatestBarRequest,
    CryptoLatestQuoteRequest,
    CryptoLatestTradeRequest,
    CryptoSnapshotRequest,
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from alpaca_py_session import OLD, refused
from checks import expect, ok

# A raw page holds so many bars, so that the symbols change in the middle of one.
PAGE = 70
# One request of alpaca-py asks for so many at most; more need a second page.
SDK_PAGE = 10_000
# The oldest version writes an enumeration into the path by a name that Python has changed since.
FEED = {"feed": "us"} if OLD else {}


def check(session):
    now = session.trading.get_clock().timestamp.astimezone(timezone.utc)
    check_latest(session.stocks)
    check_pages(session.stocks, now)
    check_history(session.stocks, now)
    check_crypto(session.crypto, now)


def sound_bar(bar):
    return 0 < bar.low <= min(bar.open, bar.close) and max(bar.open, bar.close) <= bar.high and bar.volume >= 0


def check_latest(data):
    both = ["AAPL", "MSFT"]
    trades = data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=both))
    quotes = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=both))
    bars = data.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols=both))
    for symbol in both:
        expect(trades[symbol].price > 1 and 0 < quotes[symbol].bid_price < quotes[symbol].ask_price, f"odd latest prices {trades} {quotes}")
        expect(bars[symbol].symbol == symbol and sound_bar(bars[symbol]), f"odd latest bar {bars}")
    # A single symbol has a path of its own in older versions.
    expect(data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL"))["AAPL"].price > 1, "no latest trade of one symbol")
    ok("latest trades, quotes and bars")
    snapshots = data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=both))
    snapshots["SPY"] = data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="SPY"))["SPY"]
    for symbol in ("AAPL", "MSFT", "SPY"):
        shot = snapshots[symbol]
        expect(shot.latest_trade.price > 1 and shot.latest_quote.ask_price > 1, f"odd snapshot {shot}")
        expect(all(sound_bar(bar) for bar in (shot.minute_bar, shot.daily_bar, shot.previous_daily_bar)), f"odd bars in {shot}")
        expect(shot.previous_daily_bar.timestamp < shot.daily_bar.timestamp <= shot.minute_bar.timestamp, f"odd times in {shot}")
    ok("snapshots")


def check_pages(data, now):
    """The same bars come page by page, with symbols sorted and nothing lost or doubled at the seams."""

    def bars(**parameters):
        parameters = {"timeframe": "1Min", "start": text(now - timedelta(days=4)), "end": text(now), **parameters}
        page = data.get("/stocks/bars", parameters, api_version="v2")
        return [(symbol, bar["t"]) for symbol, found in page["bars"].items() for bar in found], page["next_page_token"]

    first, more = bars(symbols="AAPL", limit=100)
    expect(len(first) == 100 and isinstance(more, str), f"{len(first)} bars instead of 100, or no next page: {more}")
    span = {"symbols": "MSFT,AAPL", "end": first[-1][1]}
    wanted, more = bars(**span)
    expect(wanted[:100] == first and len(wanted) == 200 and more is None, f"{len(wanted)} bars of two symbols instead of 200")
    expect(wanted == sorted(set(wanted)), "bars are not sorted by symbol and time, or come twice")
    found, more = bars(**span, limit=PAGE)
    pages = [len(found)]
    while more is not None:
        rows, more = bars(**span, limit=PAGE, page_token=more)
        found += rows
        pages.append(len(rows))
    expect(found == wanted and pages == [70, 70, 60], f"pages of {pages} bars differ from the whole")
    ok(f"{len(found)} bars on {len(pages)} raw pages")
    newest, _ = bars(symbols="AAPL", limit=3, sort="desc")
    expect(newest == sorted(newest, reverse=True) and newest[-1] > first[-1], f"odd order {newest}")
    ok("newest bars first")
    refused(400, None, lambda: bars(symbols="AAPL", start=text(now), end=text(now - timedelta(days=1))))
    ok("a reversed span is refused")


def text(time):
    return time.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def check_history(data, now):
    request = StockBarsRequest(
        symbol_or_symbols=["AAPL", "MSFT"],
        timeframe=TimeFrame(1, TimeFrameUnit.Minute),
        start=now - timedelta(days=40),
        end=now - timedelta(minutes=1),
        limit=SDK_PAGE + 200,
    )
    bars = data.get_stock_bars(request)
    rows = [(symbol, bar.timestamp) for symbol in sorted(bars.data) for bar in bars.data[symbol]]
    expect(len(rows) == SDK_PAGE + 200, f"{len(rows)} bars instead of {SDK_PAGE + 200}")
    expect(len(set(rows)) == len(rows) and rows == sorted(rows), "bars of the SDK's two pages come twice or out of order")
    expect(all(time.second == 0 and time.microsecond == 0 for _, time in rows), "bars do not begin with the minute")
    expect(all(sound_bar(bar) for bar in bars["AAPL"]), "unsound bars")
    ok(f"{len(rows)} minute bars on two of the SDK's pages")
    days = data.get_stock_bars(StockBarsRequest(symbol_or_symbols="SPY", timeframe=TimeFrame.Day, start=now - timedelta(days=20), end=now))
    times = [bar.timestamp for bar in days["SPY"]]
    expect(10 <= len(times) <= 20 and times == sorted(set(times)) and all(sound_bar(bar) for bar in days["SPY"]), f"odd daily bars {times}")
    ok(f"{len(times)} daily bars")
    span = {"start": now - timedelta(days=4), "end": now - timedelta(minutes=1), "limit": 50}
    trades = data.get_stock_trades(StockTradesRequest(symbol_or_symbols=["AAPL"], **span))["AAPL"]
    quotes = data.get_stock_quotes(StockQuotesRequest(symbol_or_symbols=["AAPL"], **span))["AAPL"]
    for rows in (trades, quotes):
        times = [row.timestamp for row in rows]
        expect(len(times) == 50 and times == sorted(times), f"{len(times)} rows instead of 50, or not in order")
    expect(all(trade.price > 0 and trade.size > 0 for trade in trades), "odd trades")
    expect(all(0 < quote.bid_price < quote.ask_price for quote in quotes), "odd quotes")
    ok("historical trades and quotes")


def check_crypto(data, now):
    pair = "BTC/USD"
    trade = data.get_crypto_latest_trade(CryptoLatestTradeRequest(symbol_or_symbols=pair), **FEED)[pair]
    quote = data.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols=pair), **FEED)[pair]
    bar = data.get_crypto_latest_bar(CryptoLatestBarRequest(symbol_or_symbols=[pair, "ETH/USD"]), **FEED)[pair]
    expect(trade.price > 0 and trade.size > 0 and 0 < quote.bid_price < quote.ask_price and sound_bar(bar), f"odd {trade} {quote} {bar}")
    ok("latest crypto trade, quote and bar")
    shot = data.get_crypto_snapshot(CryptoSnapshotRequest(symbol_or_symbols=pair), **FEED)[pair]
    expect(shot.latest_trade.price > 0 and sound_bar(shot.daily_bar), f"odd snapshot {shot}")
    request = CryptoBarsRequest(symbol_or_symbols=[pair], timeframe=TimeFrame.Hour, start=now - timedelta(days=2), end=now)
    times = [bar.timestamp for bar in data.get_crypto_bars(request, **FEED)[pair]]
    # Crypto never sleeps: an hour without a bar would be a hole.
    expect(47 <= len(times) <= 49 and all(after - before == timedelta(hours=1) for before, after in zip(times, times[1:])), f"odd hours {times}")
    ok(f"crypto snapshot and {len(times)} hourly bars")
