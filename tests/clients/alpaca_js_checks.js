// What the JavaScript checks share: one line for each check, a deadline for all of them, an exit code.
"use strict";

const DEADLINE = 55;
const STEP = 15;
const started = Date.now();

function ok(text) {
    console.log(`ok ${text} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
}

function expect(condition, text, found) {
    if (!condition) {
        throw new Error(found === undefined ? text : `${text}: ${JSON.stringify(found)}`);
    }
}

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/** What a stream delivered so far. Nothing is passed over: an event may come before the answer that makes one wait for it. */
class Seen {
    events = [];
    #waiting = new Set();

    add(event) {
        this.events.push(event);
        for (const look of this.#waiting) look();
    }

    /** The first event from that place on that fits. */
    wait(wanted, text, since = 0) {
        let place = since;
        return new Promise((found, failed) => {
            const end = () => {
                clearTimeout(alarm);
                this.#waiting.delete(look);
            };
            const look = () => {
                for (; place < this.events.length; place++) {
                    if (wanted(this.events[place])) {
                        end();
                        return found(this.events[place]);
                    }
                }
            };
            const alarm = setTimeout(() => {
                end();
                failed(new Error(`no ${text} within ${STEP} s`));
            }, STEP * 1000);
            this.#waiting.add(look);
            look();
        });
    }
}

/** Asks again and again until the answer is yes. */
async function untilTrue(question, text) {
    const until = Date.now() + STEP * 1000;
    while (!(await question())) {
        expect(Date.now() < until, `not within ${STEP} s: ${text}`);
        await pause(0.05);
    }
}

/** Runs the checks and ends the process with their verdict. */
async function judge(main) {
    setTimeout(() => {
        console.log(`FAILED not done within ${DEADLINE} s`);
        process.exit(1);
    }, DEADLINE * 1000).unref();
    try {
        await main();
    } catch (failure) {
        const place = /(alpaca_js_\w+\.js:\d+)/.exec((failure.stack ?? "").split("\n").filter((line) => !/at expect |at new Promise/.test(line)).slice(1).join("\n"));
        // The body of an axios error, or the address of a fetch error.
        const answer = failure.response?.data ? `${failure.config?.url} ${JSON.stringify(failure.response.data)}` : (failure.response?.url ?? "");
        console.log(`FAILED ${place ? place[1] : "somewhere"}: ${failure.name}: ${failure.message} ${answer}`);
        process.exit(1);
    }
    // Streams would keep the process; the answer is known.
    process.exit(0);
}

module.exports = { Seen, expect, judge, ok, pause, untilTrue };
