// Version 4 of the JavaScript SDK in the words of the checks: its request builders, and its models under Alpaca's own names.
"use strict";

const { Seen } = require("./alpaca_js_checks.js");

/** A model of the SDK under the names of the JSON it was read from. */
function plain(model) {
    if (Array.isArray(model)) return model.map(plain);
    if (model instanceof Date) return model.toISOString();
    if (model === null || typeof model !== "object") return model;
    return Object.fromEntries(Object.entries(model).map(([name, value]) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), plain(value)]));
}

/** Alpaca's names as the SDK's. */
function camel(request) {
    if (request === null || typeof request !== "object" || Array.isArray(request)) return request;
    return Object.fromEntries(Object.entries(request).map(([name, value]) => [name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()), camel(value)]));
}

const BUILDERS = { market: "buildMarketOrder", limit: "buildLimitOrder", stop: "buildStopOrder", stop_limit: "buildStopLimitOrder", trailing_stop: "buildTrailingStopOrder", bracket: "buildBracketOrder", oco: "buildOcoOrder", oto: "buildOtoOrder" };

const bar = (found) => ({ time: found.t, open: found.o, high: found.h, low: found.l, close: found.c, volume: found.v });
const trade = (found) => ({ price: found.p, size: found.s, time: found.t });
const quote = (found) => ({ bid: found.bp, ask: found.ap, time: found.t });

class Sdk {
    constructor(sdk, { http, https, key, secret }) {
        this.sdk = sdk;
        this.where = { http, https, key, secret };
        this.http = http;
        this.ws = http.replace("http", "ws");
        this.credentials = { keyId: key, secret };
        const { trading, marketData } = sdk;
        const [desk, data] = [new trading.Configuration({ ...this.credentials, basePath: http }), new marketData.Configuration({ ...this.credentials, basePath: http })];
        for (const [name, api] of Object.entries({ accounts: "AccountsApi", settings: "AccountConfigurationsApi", history: "AccountActivitiesApi", time: "ClockApi", days: "CalendarApi", listed: "AssetsApi", desk: "OrdersApi", held: "PositionsApi" })) {
            this[name] = new trading[api](desk);
        }
        this.stocks = new marketData.StockApi(data);
        this.crypto = new marketData.CryptoApi(data);
    }

    stranger() {
        return new Sdk(this.sdk, { ...this.where, secret: "wrong" });
    }

    // What the SDK throws; its class has to fit the status.
    refusal(error) {
        const { AuthError, PermissionError, NotFoundError, ValidationError } = this.sdk;
        const wanted = { 400: ValidationError, 401: AuthError, 403: PermissionError, 404: NotFoundError, 422: ValidationError }[error.status];
        if (wanted === undefined || !(error instanceof wanted)) throw error;
        return { status: error.status, code: error.code, message: error.message };
    }

    async account() {
        return plain(await this.accounts.getAccount());
    }
    async configurations() {
        return plain(await this.settings.getAccountConfig());
    }
    async configure(changes) {
        return plain(await this.settings.patchAccountConfig({ accountConfigurations: camel(changes) }));
    }
    async clock() {
        return plain(await this.time.legacyClock());
    }
    async calendar(start, end) {
        const days = plain(await this.days.legacyCalendar({ start: new Date(start), end: new Date(end) }));
        return days.map((day) => ({ ...day, date: day.date.slice(0, 10) }));
    }
    async assets({ status, asset_class: assetClass }) {
        return plain(await this.listed.getV2Assets({ status, assetClass })).map((asset) => ({ ...asset, class: asset._class }));
    }
    async asset(name) {
        return plain(await this.listed.getV2AssetsSymbolOrAssetId({ symbolOrAssetId: name }));
    }

    async place(order) {
        const { type, order_class: group, ...fields } = order;
        return plain(await this.desk.postOrder({ postOrderRequest: this.sdk.orders[BUILDERS[group ?? type]](camel(fields)) }));
    }
    async replace(id, changes) {
        return plain(await this.desk.patchOrderByOrderId({ orderId: id, patchOrderRequest: camel(changes) }));
    }
    cancel(id) {
        return this.desk.deleteOrderByOrderID({ orderId: id });
    }
    async cancelAll() {
        return plain(await this.desk.deleteAllOrders());
    }
    async order(id) {
        return plain(await this.desk.getOrderByOrderID({ orderId: id }));
    }
    async nested(id) {
        return plain(await this.desk.getOrderByOrderID({ orderId: id, nested: true }));
    }
    async orderByName(name) {
        return plain(await this.desk.getOrderByClientOrderId({ clientOrderId: name }));
    }
    async orders(filters = {}) {
        return plain(await this.desk.getAllOrders(camel(filters)));
    }
    async positions() {
        return plain(await this.held.getAllOpenPositions());
    }
    async position(name) {
        return plain(await this.held.getOpenPosition({ symbolOrAssetId: name }));
    }
    async close(name, part = {}) {
        return plain(await this.held.deleteOpenPosition({ symbolOrAssetId: name, ...part }));
    }
    async closeAll() {
        return plain(await this.held.deleteAllOpenPositions({ cancelOrders: true }));
    }
    async activities({ types, size, token, direction }) {
        return plain(await this.history.getAccountActivities({ activityTypes: types, pageSize: size, pageToken: token, direction }));
    }

    async latest(symbols) {
        const wanted = { symbols: symbols.join(","), feed: "iex" };
        const [{ trades }, { quotes }, { bars }] = [await this.stocks.stockLatestTrades(wanted), await this.stocks.stockLatestQuotes(wanted), await this.stocks.stockLatestBars(wanted)];
        return Object.fromEntries(symbols.map((symbol) => [symbol, { trade: trade(trades[symbol]), quote: quote(quotes[symbol]), bar: bar(bars[symbol]) }]));
    }
    async latestOfOne(symbol) {
        const found = [await this.stocks.stockLatestTradeSingle({ symbol }), await this.stocks.stockLatestQuoteSingle({ symbol }), await this.stocks.stockLatestBarSingle({ symbol })];
        return { trade: trade(found[0].trade), quote: quote(found[1].quote), bar: bar(found[2].bar) };
    }
    async snapshots(symbols) {
        const shots = await this.stocks.stockSnapshots({ symbols: symbols.join(",") });
        shots.SPY = await this.stocks.stockSnapshotSingle({ symbol: "SPY" });
        return Object.fromEntries(
            Object.entries(shots).map(([symbol, shot]) => [symbol, { trade: trade(shot.latestTrade), quote: quote(shot.latestQuote), minute: bar(shot.minuteBar), day: bar(shot.dailyBar), before: bar(shot.prevDailyBar) }]),
        );
    }
    // Page by page; the SDK's own helper finds the way from one to the next.
    async #rows(fetch, limit) {
        const rows = [];
        const pages = this.sdk.pagination.paginateSymbolMap(async (pageToken) => {
            const { bars, nextPageToken } = await fetch(pageToken);
            return { data: bars, nextPageToken };
        });
        for await (const { symbol, value } of pages) {
            rows.push({ symbol, ...bar(value) });
            if (rows.length === limit) break;
        }
        return rows;
    }
    bars(symbols, { start, end, page, limit }) {
        const wanted = { symbols: symbols.join(","), timeframe: "1Min", start: new Date(start), end: new Date(end), limit: page };
        return this.#rows((pageToken) => this.stocks.stockBars({ ...wanted, pageToken }), limit);
    }
    barsOfOne(symbol, { start, end, page, limit }) {
        const wanted = { symbol, timeframe: "1Min", start: new Date(start), end: new Date(end), limit: page };
        return this.#rows(async (pageToken) => {
            const { bars, nextPageToken } = await this.stocks.stockBarSingle({ ...wanted, pageToken });
            return { bars: { [symbol]: bars }, nextPageToken };
        }, limit);
    }
    async pair(symbol, start, end) {
        const wanted = { loc: "us", symbols: symbol };
        const [{ trades }, { quotes }, { bars }] = [await this.crypto.cryptoLatestTrades(wanted), await this.crypto.cryptoLatestQuotes(wanted), await this.crypto.cryptoLatestBars(wanted)];
        const history = await this.crypto.cryptoBars({ ...wanted, timeframe: "1Hour", start: new Date(start), end: new Date(end) });
        return { trade: trade(trades[symbol]), quote: quote(quotes[symbol]), bar: bar(bars[symbol]), hours: history.bars[symbol].map(bar) };
    }

    // A stream as the checks use it: what it delivers, and how to change what it is subscribed to.
    #dataStream(Stream, path, options) {
        const stream = new Stream({ ...options, credentials: this.credentials, url: `${this.ws}${path}` });
        const [trades, quotes, errors] = [new Seen(), new Seen(), []];
        stream.onError((error) => errors.push(error));
        stream.onTrade(({ symbol, price, size, timestamp: time }) => trades.add({ symbol, price, size, time }));
        stream.onQuote(({ symbol, bidPrice: bid, askPrice: ask, timestamp: time }) => quotes.add({ symbol, bid, ask, time }));
        const open = new Promise((done) => stream.onConnect(done));
        stream.connect();
        return { trades, quotes, errors, open, subscribe: (kind, symbols) => stream[`subscribeFor${kind}`](symbols), unsubscribe: (kind, symbols) => stream[`unsubscribeFrom${kind}`](symbols) };
    }
    stockStream() {
        return this.#dataStream(this.sdk.streaming.StockDataStream, "/v2/iex", { feed: "iex" });
    }
    cryptoStream() {
        return this.#dataStream(this.sdk.streaming.CryptoDataStream, "/v1beta3/crypto/us", {});
    }
    tradingStream() {
        const seen = new Seen();
        const stream = new this.sdk.streaming.TradingStream({ credentials: this.credentials, url: `${this.ws}/stream` });
        stream.onTradeUpdate((update) => seen.add({ ...update, order: plain(update.order) }));
        stream.onConnect(() => stream.subscribeTradeUpdates());
        stream.connect();
        return seen;
    }
}

module.exports = { Sdk };
