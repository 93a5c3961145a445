"""A queue of its own for each test, of the real program: what a test starts, it also ends."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def program() -> str:
    """task-spooler's program; installed where that is possible and it is missing."""
    if found := shutil.which("tsp"):
        return found
    if os.getuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for order in (["update"], ["install", "-y", "--no-install-recommends", "task-spooler"]):
            argv = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600", *order]
            subprocess.run(argv, check=True, env=environment, capture_output=True)
    found = shutil.which("tsp")
    assert found, "these tests need task-spooler: apt-get install task-spooler"
    return found


class Queue:
    """A queue of three slots, asked as its owner would who has never heard of Clustrix."""

    def __init__(self, program: str, socket: Path) -> None:
        self.program, self.socket = program, socket

    def __call__(self, *words: str) -> str:
        environment = {**os.environ, "TS_SOCKET": str(self.socket), "TS_SLOTS": "3"}
        done = subprocess.run([self.program, *words], env=environment, capture_output=True, text=True, timeout=20)
        return done.stdout + done.stderr

    def jobs(self) -> list[list[str]]:
        """The lines of the list, cut into words; the id comes first."""
        return [line.split() for line in self("-l").splitlines()[1:]]

    def line(self, name: str) -> list[str]:
        """The line of a job."""
        (found,) = [words for words in self.jobs() if name in words]
        return found


@pytest.fixture
def queue(program: str, tmp_path: Path) -> Iterator[Queue]:
    queue = Queue(program, tmp_path / "socket")
    yield queue
    for words in queue.jobs():
        if words[1] == "running":
            queue("-k", words[0])
    queue("-K")
