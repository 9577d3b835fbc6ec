"""Account, configurations, clock, calendar and assets."""

from datetime import date, timedelta
from decimal import Decimal

from alpaca.trading.enums import AccountStatus, AssetClass, AssetStatus
from alpaca.trading.requests import GetAssetsRequest, GetCalendarRequest

from alpaca_py_session import OLD
from checks import expect, ok


def check(session):
    client = session.trading
    check_account(client)
    check_configurations(client)
    check_time(client)
    check_assets(client)


def check_account(client):
    account = client.get_account()
    expect(account.status == AccountStatus.ACTIVE and not account.trading_blocked and not account.account_blocked, f"odd account {account}")
    expect(Decimal(account.cash) > 0 and Decimal(account.buying_power) >= Decimal(account.cash), f"odd money {account}")
    expect(Decimal(account.equity) > 0 and account.currency == "USD" and account.multiplier in ("1", "2", "4"), f"odd account {account}")
    ok(f"account {account.account_number} with cash {account.cash}, buying power {account.buying_power}")


def check_configurations(client):
    # The oldest SDK's model asks for fields that the service dropped, and its own write cannot read the answer.
    before = client.get("/account/configurations") if OLD else client.get_account_configurations()
    blocked = before["no_shorting"] if OLD else before.no_shorting
    expect(blocked is False, f"odd configurations {before}")
    for value in (True, False):
        if OLD:
            answer = client.patch("/account/configurations", {"no_shorting": value})["no_shorting"]
            again = client.get("/account/configurations")["no_shorting"]
        else:
            before.no_shorting = value
            answer = client.set_account_configurations(before).no_shorting
            again = client.get_account_configurations().no_shorting
        expect(answer is value and again is value, f"no_shorting {answer}, then {again}, instead of {value}")
    ok("account configurations are read and changed")


def check_time(client):
    clock = client.get_clock()
    expect(clock.timestamp.utcoffset() in (timedelta(hours=-4), timedelta(hours=-5)), f"not the time of New York: {clock}")
    expect(clock.is_open and clock.timestamp < clock.next_close, f"odd clock {clock}")
    expect(clock.timestamp < clock.next_open and clock.next_close < clock.next_open, f"odd clock {clock}")
    ok(f"clock at {clock.timestamp}")
    week = client.get_calendar(GetCalendarRequest(start=date(2026, 11, 23), end=date(2026, 11, 27)))
    hours = [(day.date.day, day.open.strftime("%H:%M"), day.close.strftime("%H:%M")) for day in week]
    whole = ("09:30", "16:00")
    expect(hours == [(23, *whole), (24, *whole), (25, *whole), (27, "09:30", "13:00")], f"odd calendar {hours}")
    ok("calendar of the week of Thanksgiving")


def check_assets(client):
    apple = client.get_asset("AAPL")
    expect(apple.symbol == "AAPL" and apple.status == AssetStatus.ACTIVE and apple.asset_class == AssetClass.US_EQUITY, f"odd asset {apple}")
    expect(apple.tradable and apple.marginable and apple.shortable and apple.fractionable, f"odd asset {apple}")
    expect(client.get_asset(str(apple.id)).symbol == "AAPL", "not found by its id")
    stocks = client.get_all_assets(GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY))
    expect({"AAPL", "MSFT", "SPY"} <= {asset.symbol for asset in stocks}, "stocks are missing")
    expect(all(asset.asset_class == AssetClass.US_EQUITY for asset in stocks), "not only stocks")
    pairs = client.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO))
    bitcoin = next((asset for asset in pairs if asset.symbol == "BTC/USD"), None)
    expect(bitcoin is not None and bitcoin.fractionable and not bitcoin.shortable, f"odd pairs {pairs}")
    ok(f"{len(stocks)} stocks and {len(pairs)} pairs")
