"""Two processes of one user that watch the same job ask the cluster hardly more than one of them does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clustrix import cluster
from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig

WATCH = """
import sys, time
import clustrix
from clustrix_core.engine import places
from clustrix_core.transport.connect import connect
from clustrix_core.transport.counting import Counting

class Telling(Counting):
    def run(self, *words, **more):
        with open(sys.argv[2], "a") as file:
            file.write(f"{time.time()}\\n")
        return super().run(*words, **more)

places.connect = lambda *way: Telling(connect(*way))
print(clustrix.get_job(sys.argv[1]).result(), time.time())
"""


@cluster
def wait(seconds: float) -> str:
    time.sleep(seconds)
    return "done"


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_the_second_client_looks_through_the_eyes_of_the_first(
    there: ClusterConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    file = tmp_path / "clustrix.yml"
    file.write_text(config.dump(config.current()), "utf-8")
    clients: dict[str, list[Any]] = {"alone": [], "together": []}
    for name, number in (("alone", 1), ("together", 2)):
        monkeypatch.setenv("CLUSTRIX_HOME", str(home / name))
        job = wait.submit(50)
        while job._flight is None or job._flight.handle is None:
            time.sleep(0.05)
        session.close()
        for _ in range(number):
            argv = [sys.executable, "-c", WATCH, job.id, str(tmp_path / name)]
            environment = {**os.environ, "CLUSTRIX_CONFIG": str(file)}
            clients[name].append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment))
    begun = time.time()
    told = {name: [client.communicate(timeout=100)[0].split() for client in some] for name, some in clients.items()}
    assert [word for some in told.values() for word, _ in some] == ["done"] * 3
    counts = {}
    for name in clients:
        moments = map(float, (tmp_path / name).read_text().split())
        counts[name] = sum(begun + 15 < moment < begun + 45 for moment in moments)
    assert counts["alone"] >= 10
    assert counts["together"] <= 1.2 * counts["alone"] + 1, counts
    ends = [float(moment) for _, moment in told["together"]]
    assert max(ends) - min(ends) < 5, "both hear of the end in time"
