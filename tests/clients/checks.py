"""What the client checks share: one line for each check, a deadline for all of them, an exit code."""

import os
import sys
import threading
import time

DEADLINE = 55.0
STEP = 15.0
STARTED = time.monotonic()


def ok(text):
    print(f"ok {text} ({time.monotonic() - STARTED:.1f} s)", flush=True)


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


class Seen:
    """What a stream delivered so far. Nothing is passed over: an event may come before the answer that makes one wait for it."""

    def __init__(self):
        self.events = []
        self.news = threading.Condition()

    def add(self, event):
        with self.news:
            self.events.append(event)
            self.news.notify_all()

    def count(self):
        with self.news:
            return len(self.events)

    def wait(self, wanted, text, since=0):
        """The first event from that place on that fits."""
        until = time.monotonic() + STEP
        with self.news:
            place = since
            while True:
                while place < len(self.events):
                    if wanted(self.events[place]):
                        return self.events[place]
                    place += 1
                left = until - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no {text} within {STEP} s")
                self.news.wait(left)


def until_true(question, text):
    """Asks again and again until the answer is yes."""
    until = time.monotonic() + STEP
    while not (answer := question()):
        expect(time.monotonic() < until, f"not within {STEP} s: {text}")
        time.sleep(0.05)
    return answer


def give_up():
    print(f"FAILED not done within {DEADLINE} s", flush=True)
    os._exit(1)


def judge(main, usage, arguments):
    """Runs the checks with so many arguments at least, and ends the process with their verdict."""
    if len(sys.argv) <= arguments:
        sys.exit(usage)
    alarm = threading.Timer(DEADLINE, give_up)
    alarm.daemon = True
    alarm.start()
    try:
        main()
    except Exception as failure:
        trace = failure.__traceback__
        while trace.tb_next is not None and "site-packages" not in trace.tb_next.tb_frame.f_code.co_filename and trace.tb_next.tb_frame.f_code.co_name != "expect":
            trace = trace.tb_next
        place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        print(f"FAILED {place}: {type(failure).__name__}: {failure}", flush=True)
        os._exit(1)
    # An SDK's threads may take seconds to stop; the answer is known.
    os._exit(0)
