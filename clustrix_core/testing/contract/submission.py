"""Submitting and finding again: there is never more than one job."""

from __future__ import annotations

import dataclasses

import pytest

from clustrix_core.errors import ClustrixError, ConfigError, SubmitRejected, TransportError
from clustrix_core.model import Cluster, JobHandle, JobSpec, JobState
from clustrix_core.testing.contract.bench import Bench
from clustrix_core.testing.contract.subject import Subject
from clustrix_core.testing.transports import Cut, Deaf

ONCE = "echo once"


class SubmissionContract(Subject):
    """Promises of ``submit`` and ``find``."""

    def test_a_lost_answer_leaves_one_job(self, bench: Bench) -> None:
        """A submission whose answer is lost raises TransportError, and ``find`` returns the handle of its job."""
        job, deaf = bench.job(ONCE), Deaf(bench.cluster.transport)
        self._breaks(bench, job, bench.over(deaf), deaf)
        found = bench.adopt(bench.dispatch.find(job, bench.cluster), "there is a job, and find says that there is none")
        self._is_of(found, job)
        self._ran_once(bench, found)

    def test_what_never_arrived_is_submitted_again(self, bench: Bench) -> None:
        """Where nothing arrived, ``find`` returns None; it may be submitted again, and what comes late runs nothing."""
        job, cut = bench.job(ONCE), Cut(bench.cluster.transport)
        self._breaks(bench, job, bench.over(cut), cut)
        assert bench.dispatch.find(job, bench.cluster) is None, "find names a job that never was"
        again = dataclasses.replace(job, submission=job.submission + 1)
        handle = bench.submit(again)
        self._is_of(handle, again)
        bench.until(handle)
        cut.late()
        late = bench.dispatch.find(job, bench.cluster)
        assert late is None or late.native in (handle.native, ""), (
            f"what came late has become a second job, {late}: once find has returned None, it must not go through"
        )
        self._ran_once(bench, handle)

    def test_a_job_that_never_was_is_not_found(self, bench: Bench) -> None:
        """``find`` returns None for a job that nobody has submitted."""
        assert bench.dispatch.find(bench.job(ONCE), bench.cluster) is None, "find names a job that never was"

    def test_a_refusal_is_no_job(self, bench: Bench) -> None:
        """What the cluster refuses raises SubmitRejected with its words, or ConfigError, and leaves no job."""
        if not self.refused:
            pytest.skip('it is not said what this cluster refuses: refused = {"partition": "no-such-one"}')
        job = bench.job(ONCE, **self.refused)
        try:
            bench.submit(job)
        except (SubmitRejected, ConfigError) as error:
            assert str(error).strip(), "say in the scheduler's own words why it refuses"
        else:
            raise AssertionError(f"{dict(self.refused)} was accepted: raise SubmitRejected where there is no job")
        assert bench.dispatch.find(job, bench.cluster) is None, "a refused job must not be found"

    def test_no_text_is_run(self, bench: Bench) -> None:
        """Labels and values of variables reach the job as they are, and no shell ever runs them."""
        assert bench.cluster.site is not None
        trap = f"{bench.cluster.site.work_dir}/contract-trap"
        text = f'it\'s "$(touch {trap})" `touch {trap}`; touch {trap}\n\u2603 \u00e9 \\ $HOME %s #'
        handle = bench.ended('printf "<%s>" "$CONTRACT_TEXT"', label=text, env={"CONTRACT_TEXT": text})
        assert f"<{text}>" in bench.log(handle), f"the job got another value: {bench.log(handle)!r}"
        there = bench.shell(f"[ ! -e {bench.quoted(trap)} ] || {{ rm -f {bench.quoted(trap)}; echo run; }}")
        assert there == "", "a label or a value was run by a shell: quote it with shlex.quote"

    def test_any_work_dir_will_do(self, bench: Bench) -> None:
        """Jobs run in a work_dir full of quotes, spaces and metacharacters, or it is refused by a ConfigError."""
        assert bench.cluster.site is not None
        odd = f'{bench.cluster.site.work_dir}/it\'s a "dir" $(touch contract-trap); `touch contract-trap` \u2603 %a #'
        plain, quoted = bench.cluster, bench.quoted(odd)
        bench.cluster = dataclasses.replace(plain, work_dir=odd, site=None)
        try:
            bench.cluster = bench.dispatch.provision(bench.cluster)
            handle = bench.ended("true")
        except ConfigError as error:
            assert str(error).strip(), "say which character of work_dir it is"
            bench.sent.clear()
        else:
            assert bench.shell(f"ls -d {quoted}/{handle.dir} 2>/dev/null || :"), f"the job is not below {odd!r}"
            bench.clear()
        found = bench.shell(
            f"ls -d contract-trap {quoted}/contract-trap {quoted}/jobs/*/*/contract-trap 2>/dev/null || :"
        )
        bench.shell(f"rm -rf -- contract-trap {quoted}")
        bench.cluster = plain
        assert found == "", "a part of work_dir was run by a shell: quote it with shlex.quote"

    def _breaks(self, bench: Bench, job: JobSpec, cluster: Cluster, transport: Cut | Deaf) -> None:
        script = bench.dispatch.render_script(job, bench.cluster)
        try:
            handle = bench.dispatch.submit(job, script, cluster)
        except TransportError:
            return
        except ClustrixError as error:
            raise AssertionError(
                f"the connection broke, and submit raised {error!r}: let TransportError through, there may be a job"
            ) from error
        assert not transport.runs, f"the connection broke, and submit returned {handle}: let TransportError through"
        raise AssertionError("submit uses no transport: this promise must be tested by the plugin's own means")

    def _is_of(self, handle: JobHandle, job: JobSpec) -> None:
        expected = (job.id, job.name, job.tasks, job.round)
        assert (handle.job, handle.name, handle.tasks, handle.round) == expected, f"{handle} is not the handle of {job}"
        assert JobHandle.from_json(handle.to_json()) == handle, f"the journal cannot keep {handle}"

    def _ran_once(self, bench: Bench, handle: JobHandle) -> None:
        assert bench.until(handle).state is JobState.SUCCEEDED, bench.log(handle)
        said = bench.log(handle)
        assert said.count("once") == 1, f"the job ran {said.count('once')} times: {said!r}"
