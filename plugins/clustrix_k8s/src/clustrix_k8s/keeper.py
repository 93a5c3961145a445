"""The container that keeps a pod's results until they are fetched: Python 3.6 and later, standard library only."""

import fcntl
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict

if TYPE_CHECKING or __package__:
    from clustrix_k8s import giving
else:  # in a pod these files lie side by side
    import giving

LINGER = 10.0  # seconds for which what was fetched can be fetched again, by another client or where it was damaged
BEGIN = 60.0  # seconds in which the calls' container must have begun


def keep(work: str, seconds: str) -> int:
    def here(name: str) -> bool:
        return os.path.exists(os.path.join(work, name))

    def done() -> bool:
        return here("said") or here("released")

    # A pod that ends by force has failed, unless somebody has its results.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(not done()))
    late = time.time() + BEGIN
    while not here("begun"):
        if time.time() > late:
            return 1
        time.sleep(0.05)
    wait(os.path.join(work, "alive"))
    late = time.time() + float(seconds)
    while not done():
        if time.time() > late:
            wait(os.path.join(work, "giving"))
            if not done():
                giving.say("it has waited for %s s (pick_up_seconds)" % seconds)
                return 1
        time.sleep(0.1)
    if not here("said"):
        time.sleep(LINGER)
        wait(os.path.join(work, "giving"))
    return 0


def wait(path: str) -> None:
    """Wait until nobody holds a file."""
    with open(path, "a") as file:
        while True:  # asked again and again: a wait in the kernel would not end with a signal
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(0.1)


def release(work: str) -> int:
    open(os.path.join(work, "released"), "w").close()
    return 0


def give(work: str) -> int:
    """Answer a request of the client: its length, then what it has already."""
    length = int(sys.stdin.buffer.readline())
    lines = sys.stdin.buffer.read(length).decode("utf-8").splitlines()
    directory = ""
    here: "Dict[str, str]" = {}
    for line in lines:
        first, _, rest = line.partition(" ")
        if first == "J":
            directory = rest
        else:
            here[first] = rest
    with open(os.path.join(work, "giving"), "a") as busy:
        fcntl.flock(busy, fcntl.LOCK_SH)
        plan = giving.Plan(os.path.join(work, directory), directory, here)
        for piece in plan.pieces():
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    sys.stderr.write("clustrix: left %d\n" % plan.left)
    return 0
