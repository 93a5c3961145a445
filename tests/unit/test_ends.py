"""What the errors of typed ends say."""

from __future__ import annotations

import pytest

from clustrix_core.engine import ends
from clustrix_core.model import JobSpec, JobState, TaskStatus
from clustrix_core.resources import Resources
from tests.unit import toys

S = JobState


@pytest.mark.parametrize(
    ("said", "happened", "reason"),
    [
        (TaskStatus(S.TIMEOUT, "TIMEOUT", "ran 61 s, asked for 60 s"), "ran over its walltime of 00:01:00", None),
        (TaskStatus(S.OUT_OF_MEMORY, "OUT_OF_MEMORY", "used 9 MB"), "ran out of its memory of 1 MB", None),
        (TaskStatus(S.CANCELLED, "CANCELLED", "by 1000"), "was cancelled", None),
        (TaskStatus(S.FAILED, "EXIT", "exit code 3", 3), "failed with exit code 3", None),
        # Codes are all shown: people search for them.
        (TaskStatus(S.TIMEOUT, "TIMEOUT"), "ran over its walltime of 00:01:00", "TIMEOUT"),
        (TaskStatus(S.TIMEOUT, "TIMEOUT", "TimeLimit"), "ran over its walltime of 00:01:00", "TIMEOUT, TimeLimit"),
        (TaskStatus(S.NODE_FAIL, "NODE_FAIL", "NODE_FAIL"), "lost its node", "NODE_FAIL"),
        (TaskStatus(S.FAILED, "BOOT_FAIL", "it did not boot"), "failed", "BOOT_FAIL, it did not boot"),
    ],
)
def test_each_fact_is_told_once(said: TaskStatus, happened: str, reason: str | None) -> None:
    spec = JobSpec("00ff", "f", Resources(memory=2**20), walltime=60)
    error = ends.explain(said, spec, toys.HANDLE, toys.cluster(), "")
    words = reason or said.reason
    assert error.reason == words
    told = "" if words in happened else f": {words}"
    assert str(error.args[0]) == f"f (job 00ff, toy {toys.HANDLE.native}) {happened}{told}"
