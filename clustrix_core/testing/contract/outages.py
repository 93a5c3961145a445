"""A cluster that cannot be asked: nothing is known then, and nothing has ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

from clustrix_core.errors import ClustrixError, CommandError, TransportError
from clustrix_core.model import Cluster, JobHandle, JobState
from clustrix_core.testing.contract.bench import Bench
from clustrix_core.testing.contract.subject import Subject
from clustrix_core.testing.transports import Cut


class OutageContract(Subject):
    """Promises for when the connection breaks, or the scheduler does not answer."""

    def test_an_outage_is_no_end(self, bench: Bench) -> None:
        """Where the scheduler cannot be asked, ``status`` raises; a running job goes on and is seen again."""
        live = bench.send(self.lasting)
        bench.until(live, JobState.RUNNING)
        for what, transport in [
            ("the connection breaks", Cut(bench.cluster.transport)),
            *self.outages(bench.transport),
        ]:
            self._raises(f"{what}: status", partial(bench.dispatch.status, [live], bench.over(transport)))
        assert bench.status(live).state is JobState.RUNNING, "after the outages the job is not running any more"

    def test_a_broken_connection_is_told(self, bench: Bench) -> None:
        """Where the connection breaks, every hook that needs it raises TransportError."""
        over = bench.ended("true")
        there = bench.over(Cut(bench.cluster.transport))
        for hook, ask in self._questions(bench, over, there).items():
            self._raises(f"the connection breaks: {hook}", ask, TransportError)

    def _questions(self, bench: Bench, handle: JobHandle, there: Cluster) -> dict[str, Callable[[], object]]:
        ask = bench.dispatch
        return {
            "status": lambda: ask.status([handle], there),
            "fetch": lambda: ask.fetch([handle], bench.into, there),
            "logs": lambda: ask.logs(handle, there),
            "cancel": lambda: ask.cancel([handle], there),
            "find": lambda: ask.find(bench.job("true"), there),
            "provision": lambda: ask.provision(dataclasses.replace(there, site=None)),
            "check": lambda: [problem for problem in ask.check(there) if problem.severity != "error"],
        }

    def _raises(
        self, what: str, ask: Callable[[], object], kind: type[ClustrixError] | tuple[type[ClustrixError], ...] = ()
    ) -> None:
        expected = kind or (TransportError, CommandError)
        try:
            answer = ask()
        except expected as error:
            assert str(error).strip(), f"{what} raised an error without a word"
        except Exception as error:
            raise AssertionError(f"{what} raised {error!r}: raise TransportError or CommandError") from error
        else:
            raise AssertionError(
                f"{what} returned {answer!r}: an outage is not an answer. Raise TransportError or CommandError"
            )
