// Version 3 of the JavaScript SDK in the words of the checks: its answers are Alpaca's own JSON.
"use strict";

const { Seen } = require("./alpaca_js_checks.js");

async function collected(rows) {
    const all = [];
    for await (const row of rows) all.push(row);
    return all;
}

const bar = (found) => ({ time: found.Timestamp, open: found.OpenPrice, high: found.HighPrice, low: found.LowPrice, close: found.ClosePrice, volume: found.Volume });
const coin = (found) => ({ time: found.Timestamp, open: found.Open, high: found.High, low: found.Low, close: found.Close, volume: found.Volume });
const trade = (found) => ({ symbol: found.Symbol, price: found.Price, size: found.Size, time: found.Timestamp });
const quote = (found) => ({ symbol: found.Symbol, bid: found.BidPrice, ask: found.AskPrice, time: found.Timestamp });

class Sdk {
    constructor(Alpaca, { http, https, key, secret }) {
        this.Alpaca = Alpaca;
        this.options = { keyId: key, secretKey: secret, baseUrl: http, dataBaseUrl: http, dataStreamUrl: https, feed: "iex" };
        this.http = http;
        this.api = new Alpaca(this.options);
    }

    stranger() {
        return new Sdk(this.Alpaca, { http: this.options.baseUrl, https: this.options.dataStreamUrl, key: this.options.keyId, secret: "wrong" });
    }

    // What the SDK throws, as the status and the body it carries.
    refusal(error) {
        return { status: error.response.status, code: error.response.data.code, message: error.response.data.message };
    }

    account() {
        return this.api.getAccount();
    }
    configurations() {
        return this.api.getAccountConfigurations();
    }
    configure(changes) {
        return this.api.updateAccountConfigurations(changes);
    }
    clock() {
        return this.api.getClock();
    }
    calendar(start, end) {
        return this.api.getCalendar({ start: new Date(start), end: new Date(end) });
    }
    assets(filters) {
        return this.api.getAssets(filters);
    }
    asset(name) {
        return this.api.getAsset(name);
    }

    place(order) {
        return this.api.createOrder(order);
    }
    replace(id, changes) {
        return this.api.replaceOrder(id, changes);
    }
    cancel(id) {
        return this.api.cancelOrder(id);
    }
    cancelAll() {
        return this.api.cancelAllOrders();
    }
    order(id) {
        return this.api.getOrder(id);
    }
    nested(id) {
        return this.api.sendRequest(`/orders/${id}`, { nested: true });
    }
    orderByName(name) {
        return this.api.getOrderByClientId(name);
    }
    orders(filters = {}) {
        return this.api.getOrders(filters);
    }
    positions() {
        return this.api.getPositions();
    }
    position(name) {
        return this.api.getPosition(name);
    }
    close(name, part) {
        return part === undefined ? this.api.closePosition(name) : this.api.sendRequest(`/positions/${name}`, part, null, "DELETE");
    }
    closeAll() {
        return this.api.sendRequest("/positions", { cancel_orders: true }, null, "DELETE");
    }
    activities({ types, size, token, direction }) {
        return this.api.getAccountActivities({ activityTypes: types, pageSize: size, pageToken: token, direction });
    }

    async latest(symbols) {
        const [trades, quotes, bars] = [await this.api.getLatestTrades(symbols), await this.api.getLatestQuotes(symbols), await this.api.getLatestBars(symbols)];
        return Object.fromEntries(symbols.map((symbol) => [symbol, { trade: trade(trades.get(symbol)), quote: quote(quotes.get(symbol)), bar: bar(bars.get(symbol)) }]));
    }
    async latestOfOne(symbol) {
        return { trade: trade(await this.api.getLatestTrade(symbol)), quote: quote(await this.api.getLatestQuote(symbol)), bar: bar(await this.api.getLatestBar(symbol)) };
    }
    async snapshots(symbols) {
        const found = await this.api.getSnapshots(symbols);
        const shots = [...found.map((shot) => [shot.symbol, shot]), ["SPY", await this.api.getSnapshot("SPY")]];
        return Object.fromEntries(
            shots.map(([symbol, shot]) => [symbol, { trade: trade(shot.LatestTrade), quote: quote(shot.LatestQuote), minute: bar(shot.MinuteBar), day: bar(shot.DailyBar), before: bar(shot.PrevDailyBar) }]),
        );
    }
    // Page by page; the SDK hides the seams.
    async bars(symbols, { start, end, page, limit }) {
        const options = { timeframe: "1Min", start, end, limit, pageLimit: page };
        const rows = await collected(this.api.getMultiBarsAsyncV2(symbols, options));
        return rows.map((row) => ({ symbol: row.Symbol, ...bar(row) }));
    }
    async barsOfOne(symbol, { start, end, page, limit }) {
        const rows = await collected(this.api.getBarsV2(symbol, { timeframe: "1Min", start, end, limit, pageLimit: page }));
        return rows.map((row) => ({ symbol, ...bar(row) }));
    }
    async pair(symbol, start, end) {
        const [trades, quotes, bars] = [await this.api.getLatestCryptoTrades([symbol]), await this.api.getLatestCryptoQuotes([symbol]), await this.api.getLatestCryptoBars([symbol])];
        const history = await this.api.getCryptoBars([symbol], { timeframe: "1Hour", start, end });
        return { trade: trade(trades.get(symbol)), quote: quote(quotes.get(symbol)), bar: coin(bars.get(symbol)), hours: history.get(symbol).map(coin) };
    }

    // A stream as the checks use it: what it delivers, and how to change what it is subscribed to.
    #dataStream(stream) {
        const [trades, quotes, errors] = [new Seen(), new Seen(), []];
        stream.onError((error) => errors.push(error));
        const open = new Promise((done) => stream.onConnect(done));
        stream.connect();
        return { trades, quotes, errors, open, subscribe: (kind, symbols) => stream[`subscribeFor${kind}`](symbols), unsubscribe: (kind, symbols) => stream[`unsubscribeFrom${kind}`](symbols), stream };
    }
    stockStream() {
        const found = this.#dataStream(this.api.data_stream_v2);
        found.stream.onStockTrade((event) => found.trades.add(trade(event)));
        found.stream.onStockQuote((event) => found.quotes.add(quote(event)));
        return found;
    }
    cryptoStream() {
        const found = this.#dataStream(this.api.crypto_stream_v1beta3);
        found.stream.onCryptoTrade((event) => found.trades.add(trade(event)));
        found.stream.onCryptoQuote((event) => found.quotes.add(quote(event)));
        return found;
    }
    tradingStream() {
        const seen = new Seen();
        const stream = this.api.trade_ws;
        stream.onOrderUpdate((update) => seen.add(update));
        stream.onConnect(() => stream.subscribe(["trade_updates"]));
        stream.connect();
        return seen;
    }
}

module.exports = { Sdk };
