// The data streams: stocks and crypto, subscriptions while running.
"use strict";

const { expect, ok, pause } = require("./alpaca_js_checks.js");

const of = (symbol) => (event) => event.symbol === symbol;

async function check(sdk) {
    const stocks = sdk.stockStream();
    const { trades, quotes, errors, open, subscribe, unsubscribe } = stocks;
    sdk.stocks_of_checks = stocks;
    await open;
    ok("the data stream is authenticated");
    subscribe("Trades", ["AAPL", "MSFT"]);
    subscribe("Quotes", ["AAPL"]);
    const trade = await trades.wait(of("AAPL"), "trade of AAPL");
    expect(trade.price > 1 && Number(trade.size) >= 1 && Math.abs(Date.now() - new Date(trade.time)) < 60_000, "odd trade", trade);
    ok(`trade ${trade.symbol} ${trade.price} x ${trade.size}`);
    const quote = await quotes.wait(of("AAPL"), "quote of AAPL");
    expect(quote.bid > 0 && quote.bid < quote.ask, "odd quote", quote);
    ok(`quote ${quote.symbol} ${quote.bid} / ${quote.ask}`);
    await trades.wait(of("MSFT"), "trade of MSFT");

    subscribe("Trades", ["SPY"]);
    await trades.wait(of("SPY"), "trade of SPY after a second subscription");
    ok("a second subscription while running");
    unsubscribe("Trades", ["MSFT"]);
    // What was under way when the subscription ended may still come.
    await pause(0.5);
    const since = trades.events.length;
    for (const symbol of ["AAPL", "SPY", "AAPL", "SPY"]) {
        await trades.wait(of(symbol), `trade of ${symbol}`, trades.events.length);
    }
    expect(!trades.events.slice(since).some(of("MSFT")), "MSFT after its unsubscription");
    expect(quotes.events.every(of("AAPL")), "quotes that nobody asked for");
    ok("an unsubscription while running");
    expect(errors.length === 0, "errors on the data stream", errors);

    const pair = sdk.cryptoStream();
    await pair.open;
    pair.subscribe("Trades", ["BTC/USD"]);
    pair.subscribe("Quotes", ["BTC/USD"]);
    const coin = await pair.trades.wait(of("BTC/USD"), "trade of BTC/USD");
    await pair.quotes.wait((event) => event.bid > 0 && event.bid < event.ask, "quote of BTC/USD");
    expect(coin.price > 0 && coin.size > 0 && pair.errors.length === 0, "odd crypto", [coin, pair.errors]);
    ok(`crypto trades and quotes, ${coin.price} x ${coin.size}`);
}

module.exports = { check };
