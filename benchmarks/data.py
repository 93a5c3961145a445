"""What large data costs, on a host over SSH, beside ``cat`` of the same bytes through the same ssh in the same run.

    python benchmarks/data.py --rounds 9 --megabytes 200

Each round has bytes of its own. A call with a few bytes is measured beside it and taken off, so that what is left is
the data's: sent for the first time, there already, brought back. Prints medians and ratios to the floor.
"""

from __future__ import annotations

import argparse
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.testbeds import slurm  # noqa: E402

BOUND = 3.0  # ours in floors: it writes here and there, and hashes three times, what cat only passes on


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--megabytes", type=int, default=200)
    options = parser.parse_args()
    bed = slurm.up()
    try:
        with tempfile.TemporaryDirectory() as home:
            os.environ["CLUSTRIX_HOME"] = home
            return measure(bed, options.rounds, options.megabytes << 20)
    finally:
        slurm.leave()


def measure(bed: slurm.SlurmBed, rounds: int, size: int) -> int:
    """Print the figures; return 1 where one is above its bound."""
    from clustrix import ClusterConfig, cluster
    from clustrix_core.api import session

    work = f"~/bench-data-{os.getpid()}"
    there = ClusterConfig(backend="ssh", host=bed.alias, ssh_config=str(bed.ssh_config), work_dir=work)
    ssh = ["ssh", "-F", str(bed.ssh_config), bed.alias]

    @cluster(there, memory="2GB")
    def length(data: Any) -> int:
        return len(data)

    @cluster(there, memory="2GB")
    def made(size: int) -> Any:
        import os
        import pickle

        return pickle.PickleBuffer(os.urandom(1 << 20) * (size >> 20))

    def once(data: bytearray) -> dict[str, float]:
        small = timed(lambda: length(b""))
        up = timed(lambda: subprocess.run([*ssh, "cat >bench-floor"], input=data, check=True))
        first = timed(lambda: length(pickle.PickleBuffer(data)))
        again = timed(lambda: length(pickle.PickleBuffer(data)))
        down = timed(lambda: subprocess.run([*ssh, "cat bench-floor"], stdout=subprocess.PIPE, check=True))
        back = timed(lambda: made(size))
        return {
            "sent for the first time": (first - small) / up,
            "there already": (again - small) / up,
            "brought back": (back - small) / down,
            "floor, s": up,
        }

    length(b"")  # the first contact
    said = [once(bytearray(os.urandom(size))) for _ in range(rounds)]
    session.close()
    subprocess.run([*ssh, f"rm -rf bench-floor {work}"], check=True)
    found = {what: [one[what] for one in said] for what in said[0]}
    for what, figures in found.items():
        print(f"{what}: {statistics.median(figures):.2f} ({min(figures):.2f}–{max(figures):.2f})")
    return int(max(statistics.median(figures) for what, figures in found.items() if what != "floor, s") > BOUND)


def timed(what: Callable[[], object]) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
