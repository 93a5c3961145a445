"""``result.json``: what became of a task, for people."""

import json
import os
import time

from clustrix_core.worker.attempt import Attempt
from clustrix_core.worker.machine import host, python

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict


def write(attempt: Attempt, code: int, facts: "Dict[str, Any]") -> None:
    """Write the summary beside the results; a failure to do so is no failure of the job."""
    spec = attempt.spec
    now = time.time()
    summary = {
        "job": spec["id"],
        "name": spec.get("name"),
        "function": spec.get("function"),
        "status": {0: "succeeded", 143: "terminated"}.get(code, "failed"),
        "exit_code": code,
        "host": host(),
        "scheduler_id": os.environ.get("CLUSTRIX_SCHEDULER_ID"),
        "python": python(),
        "started": _iso(attempt.started),
        "ended": _iso(now),
        "seconds": round(now - attempt.started, 3),
    }
    if spec["tasks"] > 1 or spec["calls"] > 1:
        summary.update(round=attempt.round, task=attempt.task, attempt=attempt.number)
    summary.update(facts)
    alone = spec["tasks"] == 1 and attempt.round == 0
    path = attempt.path("result.json" if alone else "result-%d.%d.json" % (attempt.round, attempt.task))
    try:
        # Half a surrogate pair, which UTF-8 has no bytes for, is written as JSON escapes it.
        with open(path + ".new", "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(summary, file, indent=2, ensure_ascii=False)
            file.write("\n")
        os.rename(path + ".new", path)
    except (OSError, RecursionError) as error:
        print("clustrix: no summary: %s" % error)


def _iso(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(moment)) + time.strftime("%z", time.localtime(moment))
