// The exchange fails on purpose, and the SDK has to bear it as it bears Alpaca.
"use strict";

const { randomUUID } = require("node:crypto");

const { expect, ok, untilTrue } = require("./alpaca_js_checks.js");

async function check(sdk) {
    const arm = async (fault) => {
        const answer = await fetch(`${sdk.http}/admin/faults`, { method: "POST", body: JSON.stringify({ fault }) });
        expect(answer.status === 200, `the fault ${fault} was not taken`, await answer.text());
    };
    const { trades } = sdk.stocks_of_checks;
    await arm("fragment-frames=10@/v2/iex");
    const since = trades.events.length;
    await trades.wait(() => trades.events.length > since + 20, "trades in fragments", since + 20);
    ok("data goes on through fragment-frames");

    const { updates } = sdk.desk_of_checks;
    for (const fault of ["swap-frames@trading", "unknown-field", "duplicate-trade-update"]) {
        await arm(fault);
        const order = await sdk.place({ symbol: "AAPL", qty: 1, side: "buy", type: "limit", time_in_force: "gtc", limit_price: 1 });
        const of = (event) => updates.wait((update) => update.order.id === order.id && update.event === event, `${event} through ${fault}`);
        await of("new");
        await sdk.cancel(order.id);
        await of("canceled");
        ok(`updates go on through ${fault}`);
    }

    // Neither version sends an order again by itself: whoever placed it has to ask.
    const name = `check-${randomUUID()}`;
    await arm("order-504");
    const failure = await sdk.place({ symbol: "MSFT", qty: 1, side: "buy", type: "market", time_in_force: "day", client_order_id: name }).catch((error) => error);
    expect((failure.response?.status ?? failure.status) === 504, `not 504 but ${failure}`);
    await untilTrue(async () => (await sdk.orderByName(name)).status === "filled", "the order is filled");
    ok("an order whose answer was lost is there once");
}

module.exports = { check };
