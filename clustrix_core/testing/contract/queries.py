"""What is known of jobs: one question for all of them, and an answer for each."""

from __future__ import annotations

import re

from clustrix_core import keys
from clustrix_core.model import JobHandle, JobSpec, JobState
from clustrix_core.resources import Resources
from clustrix_core.testing.contract.bench import Bench
from clustrix_core.testing.contract.subject import Subject

MANY = 50


class QueryContract(Subject):
    """Promises of ``status`` and ``cancel``."""

    def test_one_question_for_all(self, bench: Bench) -> None:
        """``status`` of 50 jobs costs what it costs for one, leaves none out, and strangers are UNKNOWN."""
        live = bench.send(self.lasting)
        bench.until(live, JobState.RUNNING)
        alone = bench.counted(lambda: bench.status(live))
        assert alone <= 1, f"status of one running job ran {alone} commands: one question is enough"
        strangers = [self._stranger(live, number) for number in range(MANY - 1)]
        few = bench.counted(lambda: bench.dispatch.status([live, strangers[0]], bench.cluster))
        before = bench.transport.runs
        answer = bench.dispatch.status([strangers[0], live, *strangers[1:]], bench.cluster)
        many = bench.transport.runs - before
        assert many <= few <= 2, (
            f"status ran {many} commands for {MANY} jobs and {few} for 2: ask once for all (queue, then accounting)"
        )
        assert answer[live.job].state is JobState.RUNNING, f"among strangers the running job is {answer[live.job]}"
        known = {
            handle.name: answer[handle.job] for handle in strangers if answer[handle.job].state is not JobState.UNKNOWN
        }
        assert known == {}, "jobs that the scheduler does not know are UNKNOWN: match by name too, ids are used again"

    def _stranger(self, live: JobHandle, number: int) -> JobHandle:
        """Return the handle of a job that is long forgotten: its id is nobody's, or another's by now."""
        job = JobSpec(keys.new_job_id(), "stranger", Resources())
        native = live.native if number % 2 else re.sub(r"\d", "9", live.native)
        return JobHandle(job.id, job.name, native, submitted=live.submitted)

    def test_a_cancelled_job_ends(self, bench: Bench) -> None:
        """``cancel`` ends a running job among strangers; then it is CANCELLED, and never SUCCEEDED."""
        live = bench.send(self.lasting)
        bench.until(live, JobState.RUNNING)
        bench.dispatch.cancel([self._stranger(live, 0), live], bench.cluster)
        status = bench.until(live)
        assert status.state is JobState.CANCELLED, f"a cancelled job is {status}"
        bench.dispatch.cancel([live], bench.cluster)

    def test_to_cancel_what_is_over_is_no_error(self, bench: Bench) -> None:
        """``cancel`` of jobs that are over, or that nobody knows, does nothing."""
        over = bench.ended("true")
        for handles in ([over], [self._stranger(over, 0)], [self._stranger(over, 1), over], []):
            bench.dispatch.cancel(handles, bench.cluster)
        assert bench.status(over).state is JobState.SUCCEEDED, "a job that had ended well was cancelled afterwards"

    def test_nothing_is_asked_about_nothing(self, bench: Bench) -> None:
        """``status`` and ``fetch`` of no jobs are empty."""
        assert bench.dispatch.status([], bench.cluster) == {}
        assert bench.fetch() == {}
