#!/usr/bin/env node
// Judges the built-in exchange with an unmodified @alpacahq/alpaca-trade-api: 3.1.3 and 4.0.2 are known to these checks.
//
// Usage: alpaca_js_check.js FOLDER http://127.0.0.1:PORT https://127.0.0.1:TLS_PORT [KEY SECRET]
//
// FOLDER is where the SDK is installed. Both addresses are the same exchange: version 3 opens stock streams over TLS only, so it
// must trust the certificate (NODE_EXTRA_CA_CERTS). The exchange must be fresh and its market must move (a rate of some
// hundred messages a second). Prints one `ok ...` line for each check and exits with 0, or prints `FAILED ...` and exits
// with 1; gives up after some time whatever happens.
"use strict";

const { createRequire } = require("node:module");
const path = require("node:path");

const { judge, ok } = require("./alpaca_js_checks.js");

async function main() {
    const [folder, http, https, key = "SIM", secret = "SIM-SECRET"] = process.argv.slice(2);
    if (https === undefined) {
        throw new Error("usage: alpaca_js_check.js FOLDER HTTP_URL HTTPS_URL [KEY SECRET]");
    }
    const load = createRequire(path.resolve(folder, "package.json"));
    const { version } = require(path.resolve(folder, "node_modules/@alpacahq/alpaca-trade-api/package.json"));
    const { Sdk } = version.startsWith("3.") ? require("./alpaca_js_3.js") : require("./alpaca_js_4.js");
    ok(`@alpacahq/alpaca-trade-api ${version}`);
    const sdk = new Sdk(load("@alpacahq/alpaca-trade-api"), { http, https, key, secret });
    for (const part of ["account", "prices", "orders", "errors", "faults"]) {
        await require(`./alpaca_js_${part}.js`).check(sdk);
    }
    ok("all");
}

judge(main);
