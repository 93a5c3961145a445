"""The Pythons of this machine: on PATH and in ~/.pyenv/versions, one for each minor version. Standard library only.

python3 tools/interpreters.py    lists them
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

Minor = tuple[int, int]
OLDEST_WORKER = (3, 6)
OLDEST_CLIENT = (3, 10)
# Final releases alone: a beta's failures are not ours.
PROBE = """
import sys
try:
    import ensurepip, venv
    venv = 1
except ImportError:
    venv = 0
if sys.version_info[3] == "final":
    print(sys.version_info[0], sys.version_info[1], venv, sys.executable)
"""


def candidates() -> Iterator[Path]:
    names = ["python3", *(f"python3.{minor}" for minor in range(6, 21))]
    for folder in os.get_exec_path():
        for name in names:
            yield Path(folder) / name
    yield from sorted(Path.home().glob(".pyenv/versions/*/bin/python3"))


def probe(python: Path) -> tuple[Minor, bool, Path] | None:
    try:
        done = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.split(maxsplit=3)
    if done.returncode or len(words) != 4:
        return None
    major, minor, venv, path = words
    return (int(major), int(minor)), venv == "1", Path(os.path.realpath(path.strip()))


@functools.cache
def find(oldest: Minor = OLDEST_WORKER) -> dict[Minor, Path]:
    """One interpreter for each minor version, the first found that can make a venv, in the order of the versions."""
    found: dict[Minor, tuple[bool, Path]] = {}
    seen = set()
    for candidate in candidates():
        real = os.path.realpath(candidate)
        if real in seen or not os.access(real, os.X_OK):
            continue
        seen.add(real)
        answer = probe(candidate)
        if answer is None:
            continue
        minor, can_venv, path = answer
        if minor >= oldest and (minor not in found or (can_venv and not found[minor][0])):
            found[minor] = (can_venv, path)
    return {minor: found[minor][1] for minor in sorted(found)}


if __name__ == "__main__":
    for (major, minor), path in find().items():
        print(f"{major}.{minor}\t{path}")
