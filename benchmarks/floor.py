"""The floors: what a careful person would write by hand, with sbatch and a marker file polled every 10 ms."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

POLL = 0.01


def _sbatch(script: str, markers: int, *options: str) -> float:
    """Submit a script and return the seconds until it has left all its markers (``$MARKERS/<anything>``)."""
    place = Path(tempfile.mkdtemp(prefix="floor-", dir=Path.home()))
    try:
        text = f"#!/bin/sh\nMARKERS={shlex.quote(str(place))}\nexport MARKERS\n{script}\n"
        begun = time.perf_counter()
        subprocess.run(["sbatch", "-o", "/dev/null", *options], input=text, text=True, check=True, capture_output=True)
        while sum(1 for _ in place.iterdir()) < markers:
            time.sleep(POLL)
        return time.perf_counter() - begun
    finally:
        shutil.rmtree(place)


def one_call() -> float:
    """One trivial call: python3 runs and a marker appears."""
    return _sbatch('python3 -c "2 * 21" && : >"$MARKERS/done"', 1)


def one_call_over_ssh(ssh: list[str]) -> float:
    """The same through OpenSSH, without a master: submit, then look every 10 ms inside one more session."""
    name = f"floor-{time.time_ns()}"
    script = f'#!/bin/sh\npython3 -c "2 * 21" && : >"$HOME/{name}"\n'
    begun = time.perf_counter()
    subprocess.run([*ssh, "sbatch -o /dev/null"], input=script, text=True, check=True, capture_output=True)
    wait = f'until [ -e "$HOME/{name}" ]; do sleep 0.01; done; rm "$HOME/{name}"'
    subprocess.run([*ssh, wait], check=True)
    return time.perf_counter() - begun


def packed(calls: int, seconds: float = 0.0, tasks: int = 24) -> float:
    """Many calls packed by hand into one-core tasks: each does its share and leaves one marker."""
    share = f"{calls // tasks} + (int($SLURM_ARRAY_TASK_ID) < {calls % tasks})"
    body = f"import time; [time.sleep({seconds}) for _ in range({share})]"
    return _sbatch(f'python3 -c "{body}" && : >"$MARKERS/$SLURM_ARRAY_TASK_ID"', tasks, f"--array=0-{tasks - 1}")


def array_argument(python: str, megabytes: int) -> float:
    """A numpy array saved to the shared file system, loaded by the job."""
    import numpy

    data = numpy.ones(megabytes * 2**20 // 8)
    with tempfile.TemporaryDirectory(prefix="floor-", dir=Path.home()) as place:
        begun = time.perf_counter()
        numpy.save(f"{place}/data.npy", data)
        load = f"import numpy; print(numpy.load({f'{place}/data.npy'!r}).sum())"
        _sbatch(f'{shlex.quote(python)} -c {shlex.quote(load)} && : >"$MARKERS/done"', 1, "--mem=1G")
        return time.perf_counter() - begun
