"""Measures what large numbers cost the client: calls of one map, jobs in the journal, jobs in flight.

python benchmarks/scale.py [PART ...]   # prints the table of docs/benchmarks.md; nothing but this machine is needed
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from clustrix_core import batch, keys  # noqa: E402
from clustrix_core.engine.inbox import Inbox  # noqa: E402
from clustrix_core.entry import OVER, Entry  # noqa: E402
from clustrix_core.journal import Journal  # noqa: E402
from clustrix_core.model import Cluster, JobHandle, Site  # noqa: E402
from clustrix_core.transport.counting import Counting  # noqa: E402
from clustrix_core.transport.local import Local  # noqa: E402
from clustrix_core.worker import pickling, records  # noqa: E402

CALLS, JOBS, FLIGHTS = 100_000, 10_000, 1_000
Row = tuple[str, str]

MAP = """
import json, re, sys, time
import clustrix
from clustrix import ClusterConfig, cluster

@cluster(ClusterConfig(backend="local", work_dir=sys.argv[2]))
def same(x):
    return x

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024

list(same.map(range(2)))
before, begun = peak(), time.perf_counter()
results = same.map(range(int(sys.argv[1])))
sent = time.perf_counter()
cpu = time.process_time()
assert list(results) == list(range(int(sys.argv[1])))
print(json.dumps([sent - begun, time.perf_counter() - begun, time.process_time() - cpu, peak() - before]))
"""


def seconds(do: Callable[[], object]) -> str:
    """Return the best of five runs, as people read it."""
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        do()
        took.append(time.perf_counter() - begun)
    return f"{1000 * min(took):,.1f} ms"


def one_map(place: Path) -> Iterator[Row]:
    """All calls of one map, from a client of its own to this machine and back."""
    argv = [sys.executable, "-c", MAP, str(CALLS), str(place / "work")]
    environment = {**os.environ, "CLUSTRIX_HOME": str(place / "map"), "PYTHONPATH": str(ROOT)}
    sent, took, cpu, memory = json.loads(subprocess.run(argv, env=environment, capture_output=True, check=True).stdout)
    yield f"map of {CALLS:,} calls: until `map` returns", f"{sent:.1f} s"
    yield f"map of {CALLS:,} calls: until the last result", f"{took:.1f} s"
    yield "… of which the client's CPU", f"{cpu:.1f} s"
    yield "… memory of the client above two calls", f"{memory} MB"


def entry(number: int, **changes: Any) -> Entry:
    """A job as journalled."""
    settings = {"name": "hpc", "backend": "local", "resources": {"cores": 1}}
    spec = {"id": f"{number:016x}", "calls": 100, "tasks": 10, "resources": {"cores": 1}, "sources": {}}
    return Entry(f"{number:016x}", "simulate", "hpc", settings, "map", spec, "me", created=float(number), **changes)


def journal(place: Path) -> Iterator[Row]:
    """A journal of many jobs."""
    home = place / "journal"
    book = Journal(home)
    begun = time.perf_counter()
    for number in range(JOBS):
        book.add(entry(number))
        book.end(entry(number, phase=OVER), discard=False)
    yield f"one of {2 * JOBS:,} writes to the journal", f"{1000 * (time.perf_counter() - begun) / (2 * JOBS):.2f} ms"
    yield f"20 of {JOBS:,} jobs read", seconds(lambda: book.entries(limit=20))
    yield f"open ones of {JOBS:,} jobs read", seconds(lambda: book.entries(only_open=True))
    yield f"all of {JOBS:,} jobs read", seconds(lambda: book.entries())
    book.close()
    command = [sys.executable, "-c", "from clustrix_core.cli import main; main()"]
    environment = {**os.environ, "CLUSTRIX_HOME": str(home), "PYTHONPATH": str(ROOT)}

    def run(*words: str) -> str:
        code = f"import sys; sys.argv[1:] = {list(words)!r}; {command[2]}"
        return seconds(
            lambda: subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
        )

    yield "`clustrix --help`", run("--help")
    yield f"`clustrix jobs`, {JOBS:,} jobs", run("jobs")
    yield f"`clustrix jobs --all`, {JOBS:,} jobs", run("jobs", "--all")


def poll(place: Path) -> Iterator[Row]:
    """Looks without news: of many jobs, and of one whose map has many calls."""
    work, mirror = place / "poll", place / "mirror"
    handles = [JobHandle(f"{number:016x}", f"s-{number:016x}", str(number)) for number in range(FLIGHTS)]
    for handle in handles:
        (work / handle.dir).mkdir(parents=True)
        (mirror / handle.job).mkdir(parents=True)
        for where in (work / handle.dir, mirror / handle.job):
            (where / "log-0.0").write_bytes(b"x" * 100)
            (where / "results-0.0.0.1").write_bytes(b"x" * 100)
    transport = Counting(Local())
    there = Cluster("hpc", "local", None, transport, str(work)).at(Site(str(work), sys.version_info[:2], "me"))
    for number in (1, 100, FLIGHTS):
        some = handles[:number]
        yield f"a look at {number:,} jobs without news", seconds(partial(batch.fetch, some, mirror, there))
        transport.reset()
        batch.fetch(some, mirror, there)
        yield "… bytes sent and received", f"{transport.sent:,} and {transport.received:,}"


def inbox(place: Path) -> Iterator[Row]:
    """The records of a large map, read by the client."""
    mirror, job, key = place / "inbox", "0123456789abcdef", keys.new_job_id() * 4
    mirror.mkdir()
    signer = records.Signer(bytes.fromhex(key), job)
    with (mirror / "results-0.0.0.1").open("wb") as file:
        for call in range(CALLS):
            for chunk in records.pack(signer, {"run": "0.0.0.1", "kind": "value", "call": call}, pickling.dump(call)):
                file.write(chunk)
    reader = Inbox(mirror, job, key, CALLS)
    begun = time.perf_counter()
    assert sum(1 for _ in reader.read()) == CALLS
    yield f"{CALLS:,} records checked and loaded", f"{time.perf_counter() - begun:.1f} s"
    yield "… looked at again without news", seconds(reader.changed)


def main() -> None:
    asked = [part for part in (journal, poll, inbox, one_map) if part.__name__ in sys.argv[1:] or not sys.argv[1:]]
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n\n| what | cost |\n|---|---|")
    with tempfile.TemporaryDirectory(prefix="scale-") as place:
        for part in asked:
            for what, cost in part(Path(place)):
                print(f"| {what} | {cost} |", flush=True)


if __name__ == "__main__":
    main()
