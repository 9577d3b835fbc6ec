// Orders of every kind, their updates, positions and activities.
"use strict";

const { randomUUID } = require("node:crypto");

const { expect, ok, pause, untilTrue } = require("./alpaca_js_checks.js");

const cents = (price) => Number(price.toFixed(2));
const sameNumber = (text, value) => text !== null && text !== undefined && Math.abs(Number(text) - value) < 1e-9;

/** The exchange with its trading stream: places orders and waits for what is said about them. */
class Desk {
    constructor(sdk) {
        this.sdk = sdk;
        this.updates = sdk.tradingStream();
    }

    // The SDK does not tell when it listens: orders that fill nothing are placed until one is told.
    async listen() {
        await untilTrue(async () => {
            await this.sdk.place({ symbol: "AAPL", qty: 1, side: "buy", type: "limit", time_in_force: "gtc", limit_price: 1 });
            await pause(0.2);
            return this.updates.events.length > 0;
        }, "the trading stream listens");
        await this.sdk.cancelAll();
    }

    async place(order) {
        const wanted = { symbol: "AAPL", side: "buy", type: "market", time_in_force: "day", ...order };
        const found = await this.sdk.place(wanted);
        expect(found.symbol === wanted.symbol && found.side === wanted.side && found.type === wanted.type, "another order than asked for", found);
        expect(["pending_new", "accepted", "new"].includes(found.status) && Number(found.filled_qty) === 0, "odd answer to an order", found);
        return found;
    }

    // Waits for these events of that order, in whatever order they come; the last one is returned.
    async see(order, ...events) {
        let seen;
        for (const event of events) {
            seen = await this.updates.wait((update) => update.order.id === order.id && update.event === event, `${event} of ${order.type} ${order.id}`);
        }
        return seen;
    }

    async filled(order, qty) {
        const fill = await this.see(order, "new", "fill");
        expect(fill.order.status === "filled" && fill.order.filled_at && Number(fill.price) > 0 && Number(fill.qty) > 0, "odd fill", fill);
        expect(qty === undefined || sameNumber(fill.order.filled_qty, qty), `not filled with ${qty}`, fill);
        return fill;
    }

    async canceled(order) {
        await this.sdk.cancel(order.id);
        const update = await this.see(order, "canceled");
        expect(update.order.status === "canceled" && update.order.canceled_at, "odd cancel", update);
    }
}

async function check(sdk) {
    const desk = new Desk(sdk);
    await desk.listen();
    ok("the trading stream listens");
    const quotes = await sdk.latest(["AAPL", "MSFT"]);
    await checkFills(desk, quotes);
    await checkResting(desk, quotes.AAPL.quote.bid);
    await checkLists(desk);
    await checkReplace(desk, quotes);
    await checkGroups(desk, quotes.MSFT.quote.bid);
    await checkPositions(desk);
    await checkActivities(desk);
    sdk.desk_of_checks = desk;
}

async function checkFills(desk, { MSFT: { quote } }) {
    const name = `check-${randomUUID()}`;
    const market = await desk.place({ qty: 3, client_order_id: name });
    const first = await desk.see(market, "pending_new");
    expect(!first.execution_id && first.order.status === "pending_new", "odd first update", first);
    const fill = await desk.filled(market, 3);
    ok(`market order filled at ${fill.price}`);
    const [byName, byId] = [await desk.sdk.orderByName(name), await desk.sdk.order(market.id)];
    expect(byName.id === market.id && byId.client_order_id === name && byId.status === "filled", "odd order", byId);
    ok("order by id and by client order id");
    const limit = await desk.place({ symbol: "MSFT", qty: 2, type: "limit", time_in_force: "gtc", limit_price: cents(quote.ask * 1.1) });
    await desk.filled(limit, 2);
    const money = await desk.place({ symbol: "SPY", notional: 100.5 });
    expect(sameNumber(money.notional, 100.5) && (money.qty ?? null) === null, "odd order", money);
    const spent = await desk.filled(money);
    expect(Math.abs(spent.order.filled_qty * spent.order.filled_avg_price - 100.5) < 0.01, "not 100.5 spent", spent);
    await desk.filled(await desk.place({ symbol: "SPY", qty: 0.25 }), 0.25);
    await desk.filled(await desk.place({ symbol: "BTC/USD", qty: 0.01, time_in_force: "gtc" }), 0.01);
    ok("limit, notional, fractional and crypto orders filled");
    for (const tif of ["ioc", "fok"]) {
        await desk.filled(await desk.place({ symbol: "MSFT", qty: 1, type: "limit", time_in_force: tif, limit_price: cents(quote.ask * 1.2) }), 1);
        await desk.see(await desk.place({ qty: 1, type: "limit", time_in_force: tif, limit_price: 1 }), "canceled");
    }
    ok("immediate orders are filled or canceled");
}

/** Orders that rest far from the market; each is new, then canceled by itself. */
async function checkResting(desk, bid) {
    const [low, lower, high, higher] = [0.5, 0.4, 2, 2.1].map((share) => cents(bid * share));
    for (const order of [
        { type: "limit", limit_price: 1 },
        { type: "limit", limit_price: 1, time_in_force: "gtc" },
        { type: "limit", limit_price: 1, extended_hours: true },
        { type: "stop", stop_price: high },
        { type: "stop", stop_price: low, side: "sell", time_in_force: "gtc" },
        { type: "stop_limit", stop_price: high, limit_price: higher },
        { type: "stop_limit", stop_price: low, limit_price: lower, side: "sell" },
        { type: "trailing_stop", trail_percent: 40, side: "sell" },
        { type: "trailing_stop", trail_price: low, side: "sell", time_in_force: "gtc" },
    ]) {
        const placed = await desk.place({ qty: 1, ...order });
        const update = await desk.see(placed, "new");
        expect(update.order.status === "new", "odd update", update);
        for (const [field, value] of Object.entries(order)) {
            expect(typeof value === "number" ? sameNumber(update.order[field], value) : update.order[field] === value, `${field} is not ${value}`, update.order);
        }
        if (order.type === "trailing_stop") {
            expect(Number(update.order.hwm) > 0 && Number(update.order.stop_price) > 0, "nothing trails", update.order);
        }
        await desk.canceled(placed);
        ok(`${placed.side} ${placed.type} ${placed.time_in_force} ${placed.extended_hours ? "extended hours " : ""}rests and is canceled`);
    }
}

async function checkLists(desk) {
    const { sdk } = desk;
    const placed = [];
    for (const symbol of ["AAPL", "MSFT", "AAPL"]) {
        placed.push(await desk.place({ symbol, qty: 1, type: "limit", time_in_force: "gtc", limit_price: 1 }));
        await desk.see(placed.at(-1), "new");
    }
    const ids = placed.map((order) => order.id);
    const listed = async (filters) => (await sdk.orders(filters)).map((order) => order.id).join();
    expect((await listed({ status: "open" })) === [...ids].reverse().join(), "odd list of open orders");
    expect((await listed({ status: "open", direction: "asc" })) === ids.join(), "odd order of open orders");
    expect((await listed({ status: "open", direction: "asc", symbols: "AAPL" })) === `${ids[0]},${ids[2]}`, "odd list of a symbol's orders");
    expect((await listed({ status: "all", limit: 1 })) === ids[2], "odd list by number");
    const after = new Date(new Date(placed[0].submitted_at).getTime() - 1).toISOString();
    expect((await listed({ status: "all", after, direction: "asc" })) === ids.join(), "odd list of what came after a time");
    const closed = await sdk.orders({ status: "closed", limit: 500 });
    expect(closed.length > 10 && !closed.some((order) => ids.includes(order.id)), "odd list of closed orders");
    ok("orders listed by status, symbol, time and number");
    const answers = await sdk.cancelAll();
    expect(answers.length === 3 && answers.every((answer) => ids.includes(answer.id) && answer.status === 200), "odd answers", answers);
    for (const order of placed) await desk.see(order, "canceled");
    expect((await listed({ status: "open" })) === "", "orders are open after all were canceled");
    ok("all orders canceled");
}

async function checkReplace(desk, { AAPL: { quote } }) {
    const old = await desk.place({ qty: 1, type: "limit", time_in_force: "gtc", limit_price: 1 });
    await desk.see(old, "new");
    const fresh = await desk.sdk.replace(old.id, { qty: "2", limit_price: "1.25" });
    expect(fresh.id !== old.id && fresh.replaces === old.id && sameNumber(fresh.qty, 2) && sameNumber(fresh.limit_price, 1.25), "odd replacement", fresh);
    const update = await desk.see(old, "replaced");
    expect(update.order.status === "replaced" && update.order.replaced_by === fresh.id, "odd update", update);
    await desk.see(fresh, "new");
    ok("a limit order replaced");
    const last = await desk.sdk.replace(fresh.id, { limit_price: String(cents(quote.ask * 1.2)) });
    await desk.see(fresh, "replaced");
    await desk.filled(last, 2);
    ok("an order replaced into the market is filled");
}

async function checkGroups(desk, bid) {
    const [above, below, farBelow] = [2, 0.5, 0.45].map((share) => cents(bid * share));
    const exits = { take_profit: { limit_price: above }, stop_loss: { stop_price: below, limit_price: farBelow } };
    const group = { symbol: "MSFT", time_in_force: "gtc" };
    const bracket = await desk.place({ ...group, qty: 2, order_class: "bracket", ...exits });
    expect(bracket.order_class === "bracket" && bracket.legs.length === 2 && bracket.legs.every((leg) => leg.status === "held"), "odd bracket", bracket);
    const [profit, loss] = [...bracket.legs].sort((one) => (one.type === "limit" ? -1 : 1));
    expect(loss.type === "stop_limit" && sameNumber(loss.stop_price, below) && profit.side === "sell", "odd exits", bracket);
    await desk.filled(bracket, 2);
    await desk.see(profit, "new");
    const nested = await desk.sdk.nested(bracket.id);
    expect(nested.legs.length === 2 && nested.legs.every((leg) => ["new", "held"].includes(leg.status)), "odd nested order", nested);
    await desk.canceled(profit);
    await desk.see(loss, "canceled");
    ok("a bracket: entered, its exits live together and die together");

    const oco = await desk.place({ ...group, side: "sell", qty: 1, type: "limit", order_class: "oco", ...exits });
    expect(oco.order_class === "oco" && oco.legs.length === 1 && oco.legs[0].type === "stop_limit" && sameNumber(oco.limit_price, above), "odd OCO", oco);
    await desk.see(oco, "new");
    await desk.canceled(oco);
    await desk.see(oco.legs[0], "canceled");
    const now = { take_profit: { limit_price: cents(bid * 0.9) }, stop_loss: { stop_price: below } };
    const sold = await desk.place({ ...group, side: "sell", qty: 1, type: "limit", order_class: "oco", ...now });
    await desk.filled(sold, 1);
    await desk.see(sold.legs[0], "canceled");
    ok("an OCO: one exit filled, the other canceled");

    const oto = await desk.place({ ...group, qty: 1, order_class: "oto", stop_loss: { stop_price: below } });
    expect(oto.order_class === "oto" && oto.legs.length === 1 && oto.legs[0].status === "held", "odd OTO", oto);
    await desk.filled(oto, 1);
    await desk.see(oto.legs[0], "new");
    await desk.canceled(oto.legs[0]);
    ok("an OTO: entered, its exit live");
}

async function checkPositions(desk) {
    const { sdk } = desk;
    const names = (await sdk.positions()).map((position) => position.symbol);
    expect(["AAPL", "MSFT", "SPY"].every((name) => names.includes(name)), "odd positions", names);
    const apple = await sdk.position("AAPL");
    expect(apple.side === "long" && typeof apple.qty === "string" && Number(apple.market_value) > 0 && Number(apple.current_price) > 1, "odd position", apple);
    ok(`${names.length} positions, ${apple.qty} AAPL at ${apple.avg_entry_price}`);
    await desk.filled(await sdk.close("AAPL", { qty: 1 }), 1);
    expect(sameNumber((await sdk.position("AAPL")).qty, apple.qty - 1), "odd position after one was sold");
    const half = (await sdk.position("MSFT")).qty / 2;
    await desk.filled(await sdk.close("MSFT", { percentage: 50 }), half);
    await desk.filled(await sdk.close("SPY"));
    ok("positions closed by quantity, by percentage and whole");
    const short = await desk.filled(await desk.place({ symbol: "SPY", side: "sell", qty: 2 }), 2);
    const position = await sdk.position("SPY");
    expect(sameNumber(short.position_qty, -2) && position.side === "short" && sameNumber(position.qty, -2), "odd short", [short, position]);
    ok("sold short");
    const resting = await desk.place({ qty: 1, type: "limit", time_in_force: "gtc", limit_price: 1 });
    await desk.see(resting, "new");
    const answers = await sdk.closeAll();
    expect(answers.length === 4 && answers.every((answer) => answer.status === 200), "odd answers", answers);
    for (const { body } of answers) await desk.filled(body);
    await desk.see(resting, "canceled");
    await untilTrue(async () => (await sdk.positions()).length === 0, "all positions are closed");
    ok("all positions closed, orders canceled");
}

async function checkActivities({ sdk }) {
    const fills = await sdk.activities({ types: ["FILL"], size: 100 });
    const ids = fills.map((fill) => fill.id);
    const times = ids.map((id) => id.split("::")[0]);
    expect(ids.length >= 15 && [...times].sort().reverse().join() === times.join() && new Set(ids).size === ids.length, "odd order of activities", ids);
    expect(fills.every((fill) => fill.activity_type === "FILL" && Number(fill.qty) > 0 && Number(fill.price) > 0), "odd activities", fills);
    const pages = [];
    while (pages.length < 9) {
        const page = await sdk.activities({ types: ["FILL"], size: 3, token: pages.at(-1) });
        expect(page.length === 3, "not three on a page", page);
        pages.push(...page.map((fill) => fill.id));
    }
    expect(pages.join() === ids.slice(0, 9).join(), "the pages differ from the whole");
    const sum = fills.filter((fill) => fill.order_id === fills[0].order_id).reduce((total, fill) => total + Number(fill.qty), 0);
    expect(sameNumber((await sdk.order(fills[0].order_id)).filled_qty, sum), "activities and order differ");
    ok(`${ids.length} activities, page by page`);
}

module.exports = { check };
