"""The whole of it: functions called as users call them."""

from __future__ import annotations

import os

import pytest

from clustrix_core.api.function import cluster
from clustrix_core.engine import Engine
from clustrix_core.errors import JobError
from clustrix_core.testing.contract.subject import Subject


class CallContract(Subject):
    """Promises to who decorates a function. What is called is defined in its test, so that it travels by value."""

    @pytest.mark.usefixtures("client")
    def test_values_come_back(self) -> None:
        """A call returns what its function returned: a value of its own type, ``None``, 4 MiB, nothing else."""

        def give(number: int) -> object:
            import datetime

            return [(datetime.timedelta(seconds=number), {"\u2603": {1, 2}}), None, bytes(range(256)) * (1 << 14)][
                number
            ]

        here = cluster(give)
        jobs = [here.submit(number) for number in range(3)]
        for number, job in enumerate(jobs):
            value = job.result(self.patience)
            assert value == give(number), f"a call returned {value!r:.200}, not {give(number)!r:.200}"

    @pytest.mark.usefixtures("client")
    def test_exceptions_come_back(self) -> None:
        """An exception is raised here as it was there, with the remote traceback; a call that dies is a JobError."""

        def fail(how: str) -> None:
            import os

            if how == "raise":
                raise LookupError("nothing there", 17)
            os._exit(3)

        here = cluster(fail)
        raised, died = here.submit("raise"), here.submit("exit")
        error = raised.exception(self.patience)
        assert isinstance(error, LookupError) and error.args == ("nothing there", 17), f"the caller got {error!r}"
        told = str(getattr(error, "remote_traceback", ""))
        assert "LookupError" in told and "in fail" in told, f"its remote traceback is {told!r}"
        error = died.exception(self.patience)
        assert isinstance(error, JobError), f"a call that died is {error!r}"
        assert error.exit_code == 3, f"its exit code is {error.exit_code}: {error}"

    @pytest.mark.usefixtures("client")
    def test_maps_come_back_in_order(self) -> None:
        """A map returns the value of each call, in the order of the arguments."""

        def square(number: int, plus: int = 0) -> int:
            return number * number + plus

        found = list(cluster(square).map(range(12), plus=1))
        assert found == [number * number + 1 for number in range(12)], f"the map returned {found}"

    def test_a_job_is_journalled_and_over(self, client: Engine) -> None:
        """When its value is here a job is over in the journal, and its directory on the cluster goes."""
        job = cluster(os.getpid).submit()
        assert job.result(self.patience) != os.getpid(), "the call ran in this process"
        assert client.journal.get(job.id).state == "SUCCEEDED", (
            f"it is {client.journal.get(job.id).state} in the journal"
        )
