"""What jobs write stays readable after their directories have gone."""

from __future__ import annotations

import time

import clustrix
from clustrix import ClusterConfig, cluster
from clustrix_core.api import session


def _wait_until_removed(job: str) -> None:
    journal = session.engine().journal
    place = journal.get(job).place
    deadline = time.monotonic() + 30
    while any(handle.job == job for handle in journal.garbage(place)):
        assert time.monotonic() < deadline, "the job's directory was never removed"
        time.sleep(0.1)


def test_the_log_of_a_success_outlives_its_directory(there: ClusterConfig) -> None:
    @cluster
    def speak(word: str) -> str:
        print(f"said {word}")
        return word

    job = speak.submit("grüß")
    assert job.result(60) == "grüß"
    _wait_until_removed(job.id)
    assert "said grüß" in job.logs()
    assert "said grüß" in clustrix.get_job(job.id).logs()


def test_jobs_say_what_a_function_raised(there: ClusterConfig) -> None:
    @cluster
    def fail() -> None:
        raise LookupError("no such star")

    job = fail.submit()
    assert isinstance(job.exception(60), LookupError)
    assert [found.reason for found in clustrix.jobs() if found.id == job.id] == ["LookupError: no such star"]
    assert clustrix.get_job(job.id).exception().args == ("no such star",)  # type: ignore[union-attr]
    assert "FAILED" in repr(clustrix.get_job(job.id))
