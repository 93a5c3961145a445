"""What `environment: auto` costs a call whose environment is there already, on Slurm over SSH.

    python benchmarks/environment.py --rounds 15

Prints the medians of `submit` (what the caller waits for) and of whole calls, and their differences in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.testbeds import slurm  # noqa: E402

BOUND = 0.05  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    bed = slurm.up()
    try:
        with tempfile.TemporaryDirectory() as home:
            os.environ["CLUSTRIX_HOME"] = home
            return measure(bed, rounds)
    finally:
        slurm.leave()


def measure(bed: slurm.SlurmBed, rounds: int) -> int:
    """Print the figures; return 1 where `submit` costs more than its bound."""
    import iniconfig

    from clustrix import ClusterConfig, cluster

    there = ClusterConfig(backend="slurm", host=bed.alias, ssh_config=str(bed.ssh_config))

    @cluster(there)
    def without() -> int:
        return 1

    @cluster(there, environment="auto")
    def within() -> int:
        return len(iniconfig.__name__)

    functions: dict[str, Callable[[], object]] = {}
    for name, function in (("without", without), ("auto", within)):
        function()  # the first contact, the build
        functions[name] = function
    submits: dict[str, list[float]] = {name: [] for name in functions}
    calls: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            begun = time.perf_counter()
            job = function.submit()  # type: ignore[attr-defined]
            submits[name].append(time.perf_counter() - begun)
            job.result()
            calls[name].append(time.perf_counter() - begun)
    for what, figures in (("submit", submits), ("call", calls)):
        plain, auto = (statistics.median(figures[name]) for name in ("without", "auto"))
        print(f"{what}: {plain * 1000:.1f} ms without, {auto * 1000:.1f} ms with auto, {(auto - plain) * 1000:+.1f} ms")
    return int(statistics.median(submits["auto"]) - statistics.median(submits["without"]) > BOUND)


if __name__ == "__main__":
    sys.exit(main())
