#!/usr/bin/env python3
"""Judges the built-in exchange with an unmodified alpaca-py SDK: 0.10.0, 0.43.5 and 0.44.0 are known to these checks.

Usage: alpaca_py_check.py http://127.0.0.1:PORT [KEY SECRET]

The exchange must be fresh (no order of anybody else) and its market must move (a rate of some hundred messages a second).
Prints one `ok ...` line for each check and exits with 0, or prints `FAILED ...` and exits with 1; gives up after DEADLINE
seconds whatever happens.
"""

import sys

import alpaca

import alpaca_py_account
import alpaca_py_errors
import alpaca_py_faults
import alpaca_py_history
import alpaca_py_orders
import alpaca_py_prices
from alpaca_py_session import Session
from checks import judge, ok


def main():
    key, secret = sys.argv[2:4] if len(sys.argv) > 3 else ("SIM", "SIM-SECRET")
    session = Session(sys.argv[1].rstrip("/"), key, secret)
    ok(f"alpaca-py {alpaca.__version__}")
    for part in (alpaca_py_account, alpaca_py_prices, alpaca_py_history, alpaca_py_orders, alpaca_py_errors, alpaca_py_faults):
        part.check(session)
    ok("all")


if __name__ == "__main__":
    judge(main, __doc__, arguments=1)
