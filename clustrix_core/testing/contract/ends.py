"""How jobs end, and how that is said."""

from __future__ import annotations

from clustrix_core.model import JobState
from clustrix_core.testing.contract.bench import Bench
from clustrix_core.testing.contract.subject import Subject


class EndContract(Subject):
    """Promises about the ends of jobs."""

    def test_a_failing_job_has_failed(self, bench: Bench) -> None:
        """A job whose command fails is FAILED, with its exit code and its last words in the log."""
        handle = bench.send("echo last words >&2; exit 3")
        status = bench.until(handle)
        assert status.state is JobState.FAILED, f"a job that ends with exit code 3 is {status}"
        assert status.task(0).exit_code == 3, f"its exit code is not {status.task(0).exit_code}: {status}"
        assert "last words" in bench.log(handle), "what a job writes to stderr belongs into its log"
        _, error = bench.outcome(handle)
        assert error is not None and getattr(error, "exit_code", None) == 3, f"its record says {error!r}"
