"""Measures Clustrix against floors written by hand, interleaved in one run, on the project's own Slurm test bed.

    make bench                                    # brings the bed up; prints the table of docs/benchmarks.md
    python benchmarks/run.py --rounds 21 one-call map-200

A figure is the median over the rounds; a ratio is the median of ours over the median of the floor.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import floor  # noqa: E402

from tests.testbeds import slurm  # noqa: E402


@dataclass(frozen=True)
class Benchmark:
    """What is measured: the floor, ours, and the bound on the ratio."""

    title: str
    floor: Callable[[Any], float]
    words: tuple[str, ...]
    bound: float
    over_ssh: bool = False
    python: bool = False


def _python(*words: str) -> float:
    """Return the seconds that Python takes to run this, its own start included."""
    argv = [sys.executable, *(words if words[0].startswith("-") else ("-c", *words))]
    begun = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True)
    return time.perf_counter() - begun


def _scp(bed: Any, megabytes: int) -> float:
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(megabytes * 2**20)
        begun = time.perf_counter()
        subprocess.run(["scp", "-q", "-F", str(bed.ssh_config), file.name, f"{bed.alias}:floor.bin"], check=True)
        return time.perf_counter() - begun


BENCHMARKS = {
    "one-call": Benchmark("one trivial call, login node", lambda bed: floor.one_call(), ("call",), 1.5),
    "one-call-ssh": Benchmark(
        "one trivial call, over SSH", lambda bed: floor.one_call(), ("call",), 2.0, over_ssh=True
    ),
    "map-200": Benchmark("map of 200 trivial calls", lambda bed: floor.packed(200), ("map", "200", "0"), 1.5),
    "map-1000": Benchmark("map of 1,000 trivial calls", lambda bed: floor.packed(1000), ("map", "1000", "0"), 1.5),
    "map-64": Benchmark("64 calls of 0.5 s", lambda bed: floor.packed(64, 0.5), ("map", "64", "0.5"), 1.3),
    "array-100": Benchmark(
        "100 MB array as an argument",
        lambda bed: floor.array_argument(sys.executable, 100),
        ("array", "100"),
        1.5,
        python=True,
    ),
    # At least 0.7 of scp's throughput is at most 1 / 0.7 of its time.
    "upload-100": Benchmark(
        "100 MB to the host over SSH, floor: scp", lambda bed: _scp(bed, 100), ("upload", "100"), 1.43, over_ssh=True
    ),
    "import": Benchmark(
        "import clustrix, floor: concurrent.futures, json, logging, sqlite3",
        lambda bed: _python("import concurrent.futures, json, logging, sqlite3"),
        ("-c", "import clustrix"),
        2.0,
    ),
    "help": Benchmark(
        "clustrix --help, floor: import click",
        lambda bed: _python("import click"),
        ("-c", "import sys; sys.argv[1:] = ['--help']; from clustrix_core.cli import main; main()"),
        3.0,
    ),
}


def ours(benchmark: Benchmark, bed: Any) -> dict[str, float]:
    """Run one round in a cold client: a new process with an empty home."""
    if benchmark.words[0].startswith("-"):
        return {"seconds": _python(*benchmark.words), "extra": 0}
    settings: dict[str, Any] = {"backend": "slurm"}
    if benchmark.over_ssh:
        settings |= {"host": bed.alias, "ssh_config": str(bed.ssh_config)}
    if benchmark.python:
        settings["python"] = sys.executable
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        argv = [sys.executable, str(Path(__file__).with_name("ours.py")), json.dumps(settings), *benchmark.words]
        done = subprocess.run(
            argv,
            env={**os.environ, "CLUSTRIX_HOME": home},
            cwd=Path.home(),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _let_the_scheduler_turn() -> None:
    # slurmctld starts jobs in a rhythm that the last submission sets off: without a pause of random length one of both
    # would always hit the same moment of it.
    time.sleep(random.uniform(0, 1))


def measure(benchmark: Benchmark, rounds: int, bed: Any) -> dict[str, Any]:
    """Return medians and the ratio; floor and ours take turns, so that a busy moment hits both."""
    floors, mine, extra = [], [], []
    for _ in range(rounds):
        _let_the_scheduler_turn()
        floors.append(benchmark.floor(bed))
        _let_the_scheduler_turn()
        round_ = ours(benchmark, bed)
        mine.append(round_["seconds"])
        extra.append(round_["extra"])
    ratio = statistics.median(mine) / statistics.median(floors)
    return {
        "title": benchmark.title,
        "floor": statistics.median(floors),
        "ours": statistics.median(mine),
        "spread": (min(mine), max(mine)),
        "ratio": ratio,
        "bound": benchmark.bound,
        "extra": statistics.median(extra),
    }


# What a user's login shell finds: version managers put wrappers before python3 that cost more than Python itself.
os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # jobs inherit it


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which; all by default")
    parser.add_argument("--rounds", type=int, default=21)
    asked = parser.parse_args()
    bed = slurm.up()
    try:
        print(
            "| what | floor | ours (spread) | ratio | bound | client memory above the data |\n|---|---|---|---|---|---|"
        )
        for name in asked.names or BENCHMARKS:
            found = measure(BENCHMARKS[name], asked.rounds, bed)
            low, high = found["spread"]
            print(
                f"| {found['title']} | {found['floor']:.2f} s | {found['ours']:.2f} s ({low:.2f}–{high:.2f}) "
                f"| **{found['ratio']:.2f}** | {found['bound']} | {found['extra'] / 2**20:.0f} MB |",
                flush=True,
            )
    finally:
        slurm.leave()
    return 0


if __name__ == "__main__":
    sys.exit(main())
