// Account, configurations, clock, calendar, assets; latest values and history by REST.
"use strict";

const { expect, ok } = require("./alpaca_js_checks.js");

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const PAIR = "BTC/USD";

const at = (time) => new Date(time).getTime();
const soundBar = (bar) => bar.low > 0 && bar.low <= Math.min(bar.open, bar.close) && Math.max(bar.open, bar.close) <= bar.high && bar.volume >= 0;
const soundQuote = (quote) => quote.bid > 0 && quote.bid < quote.ask;

async function check(sdk) {
    await checkAccount(sdk);
    await checkTime(sdk);
    await checkAssets(sdk);
    await checkLatest(sdk);
    const now = at((await sdk.clock()).timestamp);
    await checkHistory(sdk, now);
    await checkCrypto(sdk, now);
}

async function checkAccount(sdk) {
    const account = await sdk.account();
    expect(account.status === "ACTIVE" && account.currency === "USD" && account.trading_blocked === false, "odd account", account);
    expect(Number(account.cash) > 0 && Number(account.buying_power) >= Number(account.cash) && typeof account.cash === "string", "odd money", account);
    ok(`account ${account.account_number} with cash ${account.cash}`);
    expect((await sdk.configurations()).no_shorting === false, "odd configurations");
    for (const value of [true, false]) {
        expect((await sdk.configure({ no_shorting: value })).no_shorting === value, "a change is not answered");
        expect((await sdk.configurations()).no_shorting === value, "a change is not kept");
    }
    ok("account configurations are read and changed");
}

async function checkTime(sdk) {
    const clock = await sdk.clock();
    const [now, opens, closes] = [at(clock.timestamp), at(clock.next_open), at(clock.next_close)];
    expect(clock.is_open === true && now < closes && closes < opens, "odd clock", clock);
    ok(`clock at ${clock.timestamp}`);
    // The middle of the day, so that it is the same day in every zone.
    const days = await sdk.calendar("2026-11-23T12:00:00Z", "2026-11-27T12:00:00Z");
    const hours = days.map((day) => `${day.date} ${day.open}-${day.close}`);
    const wanted = ["2026-11-23 09:30-16:00", "2026-11-24 09:30-16:00", "2026-11-25 09:30-16:00", "2026-11-27 09:30-13:00"];
    expect(JSON.stringify(hours) === JSON.stringify(wanted), "odd calendar", days);
    ok("calendar of the week of Thanksgiving");
}

async function checkAssets(sdk) {
    const apple = await sdk.asset("AAPL");
    expect(apple.symbol === "AAPL" && apple.status === "active" && apple.tradable && apple.fractionable, "odd asset", apple);
    expect((await sdk.asset(apple.id)).symbol === "AAPL", "not found by its id");
    const stocks = await sdk.assets({ status: "active", asset_class: "us_equity" });
    const names = stocks.map((asset) => asset.symbol);
    expect(["AAPL", "MSFT", "SPY"].every((name) => names.includes(name)) && stocks.every((asset) => asset.class === "us_equity"), "odd stocks", names);
    const pairs = await sdk.assets({ asset_class: "crypto" });
    expect(pairs.some((asset) => asset.symbol === PAIR && !asset.shortable), "odd pairs", pairs);
    ok(`${stocks.length} stocks and ${pairs.length} pairs`);
}

async function checkLatest(sdk) {
    const found = { ...(await sdk.latest(["MSFT", "SPY"])), AAPL: await sdk.latestOfOne("AAPL") };
    for (const [symbol, { trade, quote, bar }] of Object.entries(found)) {
        expect(trade.price > 1 && trade.size > 0 && soundQuote(quote) && soundBar(bar), `odd latest values of ${symbol}`, found[symbol]);
    }
    ok("latest trades, quotes and bars");
    const shots = await sdk.snapshots(["AAPL", "MSFT"]);
    for (const symbol of ["AAPL", "MSFT", "SPY"]) {
        const { trade, quote, minute, day, before } = shots[symbol];
        expect(trade.price > 1 && soundQuote(quote) && [minute, day, before].every(soundBar), `odd snapshot of ${symbol}`, shots[symbol]);
        expect(at(before.time) < at(day.time) && at(day.time) <= at(minute.time), `odd times of ${symbol}`, shots[symbol]);
    }
    ok("snapshots");
}

async function checkHistory(sdk, now) {
    const whole = { start: new Date(now - 4 * DAY).toISOString(), end: new Date(now).toISOString() };
    const key = (bar) => `${bar.symbol} ${new Date(bar.time).toISOString()}`;
    const first = (await sdk.barsOfOne("AAPL", { ...whole, page: 10_000, limit: 100 })).map(key);
    expect(first.length === 100 && new Set(first).size === 100, `${first.length} bars instead of 100`);
    const paged = await sdk.barsOfOne("AAPL", { ...whole, page: 30, limit: 100 });
    expect(JSON.stringify(paged.map(key)) === JSON.stringify(first), "pages of 30 bars differ from the whole");
    // Two symbols meet in the middle of a page.
    const span = { start: whole.start, end: first[99].split(" ")[1] };
    const wanted = (await sdk.bars(["MSFT", "AAPL"], { ...span, page: 10_000, limit: 1_000 })).map(key);
    const found = await sdk.bars(["MSFT", "AAPL"], { ...span, page: 70, limit: 1_000 });
    expect(wanted.length === 200 && JSON.stringify(wanted.slice(0, 100)) === JSON.stringify(first), `${wanted.length} bars of two symbols instead of 200`);
    expect(JSON.stringify(found.map(key)) === JSON.stringify(wanted), "pages of 70 bars differ from the whole");
    expect(found.every(soundBar) && JSON.stringify([...wanted].sort()) === JSON.stringify(wanted), "bars are unsound or not in order");
    ok("the same bars on one page and on several");
}

async function checkCrypto(sdk, now) {
    const { trade, quote, bar, hours } = await sdk.pair(PAIR, new Date(now - 2 * DAY).toISOString(), new Date(now).toISOString());
    expect(trade.price > 0 && trade.size > 0 && soundQuote(quote) && soundBar(bar), "odd latest crypto values", { trade, quote, bar });
    // Crypto never sleeps: an hour without a bar would be a hole.
    const gaps = hours.slice(1).map((hour, place) => at(hour.time) - at(hours[place].time));
    expect(hours.length >= 47 && hours.length <= 49 && gaps.every((gap) => gap === 60 * MINUTE), "odd hours", hours.map((hour) => hour.time));
    ok(`latest crypto values and ${hours.length} hourly bars`);
}

module.exports = { check };
