// Refusals reach the user as the SDK's own errors, with Alpaca's status and code.
"use strict";

const { randomUUID } = require("node:crypto");

const { expect, ok, untilTrue } = require("./alpaca_js_checks.js");

async function check(sdk) {
    const refused = async (status, code, question) => {
        let answer;
        try {
            answer = await question();
        } catch (error) {
            const found = sdk.refusal(error);
            expect(found.status === status && (code === null || found.code === code) && found.message, `not ${status} ${code}`, found);
            return found.message;
        }
        throw new Error(`an answer instead of ${status} ${code}: ${JSON.stringify(answer)}`);
    };
    const order = (fields) => ({ symbol: "AAPL", qty: 1, side: "buy", type: "market", time_in_force: "day", ...fields });
    const nobody = randomUUID();

    expect((await refused(403, 40310000, () => sdk.place(order({ qty: 1_000_000 })))).includes("insufficient buying power"), "another refusal");
    ok("403: insufficient buying power");
    await refused(404, 40410000, () => sdk.order(nobody));
    await refused(404, 40410000, () => sdk.orderByName(nobody));
    await refused(404, 40410000, () => sdk.cancel(nobody));
    await refused(404, 40410000, () => sdk.position("TSLA"));
    await refused(404, 40410000, () => sdk.asset("NOSUCH"));
    ok("404: orders, positions and assets that are not there");
    const bought = await sdk.place(order({ client_order_id: nobody }));
    await untilTrue(async () => (await sdk.order(bought.id)).status === "filled", "the order is filled");
    await refused(422, 40010001, () => sdk.place(order({ client_order_id: nobody })));
    await refused(422, null, () => sdk.cancel(bought.id));
    await refused(422, 42210000, () => sdk.place(order({ type: "limit", limit_price: 1.234 })));
    await refused(422, 42210000, () => sdk.place(order({ extended_hours: true })));
    await refused(422, null, () => sdk.place(order({ symbol: "NOSUCH" })));
    ok("422: a name used twice, a filled order canceled, a price between the cents, a market order for extended hours, an unknown symbol");
    await refused(401, null, () => sdk.stranger().account());
    ok("401: a wrong secret");
}

module.exports = { check };
