"""A ready cluster, and jobs sent there by hand: hook by hook, as the engine calls them."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clustrix_core import keys, payload
from clustrix_core.dispatch import Dispatch
from clustrix_core.engine import specs
from clustrix_core.engine.inbox import Inbox
from clustrix_core.engine.shape import shape
from clustrix_core.model import Cluster, Fetched, JobHandle, JobSpec, JobState, JobStatus, LogChunk
from clustrix_core.transport import Transport
from clustrix_core.transport.counting import Counting

_PAUSE = 0.1


@dataclass
class Bench:
    """A cluster that is ready for jobs. ``sent`` are the handles of all jobs that were sent there."""

    dispatch: Dispatch
    cluster: Cluster
    home: Path
    patience: float = 60.0
    sent: list[JobHandle] = field(default_factory=list)

    @staticmethod
    def quoted(text: str) -> str:
        return shlex.quote(text)

    @property
    def into(self) -> Path:
        """Where fetched files go."""
        return self.home / "results"

    @property
    def transport(self) -> Counting:
        """The cluster's transport, which counts."""
        assert isinstance(self.cluster.transport, Counting)
        return self.cluster.transport

    def over(self, transport: Transport) -> Cluster:
        """Return the cluster behind another transport."""
        return replace(self.cluster, transport=transport)

    def counted(self, ask: Callable[[], object]) -> int:
        """Return how many commands a question costs."""
        before = self.transport.runs
        ask()
        return self.transport.runs - before

    # -- jobs

    def job(self, what: str | Callable[[], Any], label: str = "contract", **resources: Any) -> JobSpec:
        """Return a job of one call, a shell line or a function, with all the files that go along with it."""
        assert self.cluster.site is not None
        spec = JobSpec(keys.new_job_id(), label, self.cluster.resources.but(**resources))
        spec = shape(spec, self.cluster.site)
        outbox = self.home / "outbox" / spec.id
        outbox.mkdir(parents=True, mode=0o700)
        if isinstance(what, str):
            payload.pack_command(outbox, what)
        else:
            payload.pack_by_value(outbox / "payload", what, [((), {})], {})
        (outbox / "spec.json").write_text(json.dumps(self._worker(spec)), "utf-8")
        (outbox / "key").write_text(keys.job_key(self.home, spec.id), "utf-8")
        return replace(spec, files={name: outbox / name for name in ("spec.json", "key", "payload")})

    def _worker(self, spec: JobSpec) -> dict[str, Any]:
        asked = spec.resources
        more = {"cores": asked.cores, "memory": asked.memory, "time": asked.time, "clustrix": payload.VERSION}
        said: dict[str, Any] = {"name": spec.label, "function": spec.label, "chunk": None, "sources": {}, "cwd": None}
        return {**specs.to_json(spec), **said, **more}

    def submit(self, job: JobSpec, cluster: Cluster | None = None) -> JobHandle:
        """Render and submit a job, as the engine does."""
        script = self.dispatch.render_script(job, self.cluster)
        handle = self.dispatch.submit(job, script, cluster or self.cluster)
        self.sent.append(handle)
        return handle

    def send(self, what: str | Callable[[], Any], label: str = "contract", **resources: Any) -> JobHandle:
        """Submit a shell line or a function; return its handle."""
        return self.submit(self.job(what, label, **resources))

    def adopt(self, handle: JobHandle | None, why: str) -> JobHandle:
        """Take a handle that `find` has returned for one of ours."""
        assert handle is not None, why
        self.sent.append(handle)
        return handle

    # -- looking

    def status(self, handle: JobHandle) -> JobStatus:
        """Return the status of one job."""
        return self.dispatch.status([handle], self.cluster)[handle.job]

    def until(self, handle: JobHandle, *states: JobState) -> JobStatus:
        """Wait until a job is over, or in one of these states."""
        deadline = time.monotonic() + self.patience
        while True:
            status = self.status(handle)
            if status.state in states or (not states and status.state.over):
                return status
            awaited = " or ".join(states) if states else "over"
            said = status.reason or status.word or "nobody knows it"
            assert not status.state.over, f"{handle.name} should be {awaited} and is {status}: {self.log(handle)}"
            assert time.monotonic() < deadline, (
                f"{handle.name} is {status.state} ({said}) and not {awaited} "
                f"after {self.patience:g} s. Does `status` find it by its name? Is `patience` long enough here?"
            )
            time.sleep(_PAUSE)

    def ended(self, what: str | Callable[[], Any], label: str = "contract", **resources: Any) -> JobHandle:
        """Send a job, wait until it is over, and insist that it ended well."""
        handle = self.send(what, label, **resources)
        status = self.until(handle)
        assert status.state is JobState.SUCCEEDED, (
            f"a job whose script exits with 0 ended as {status}. Its log: {self.log(handle)!r}"
        )
        return handle

    def fetch(self, *handles: JobHandle) -> dict[str, Fetched]:
        """Fetch what is new of some jobs."""
        return dict(self.dispatch.fetch(handles, self.into, self.cluster))

    def outcome(self, handle: JobHandle) -> tuple[Any, BaseException | None]:
        """Fetch until the outcome of a job's call is there; return its value, or its error."""
        inbox = Inbox(self.into / handle.job, handle.job, keys.job_key(self.home, handle.job), 1)
        deadline = time.monotonic() + self.patience
        while True:
            self.fetch(handle)
            for _, value, error in inbox.read():
                return value, error
            assert time.monotonic() < deadline, (
                f"`fetch` has brought no result of {handle.name} within {self.patience:g} s: "
                f"{sorted(path.name for path in (self.into / handle.job).glob('*'))}. Its log: {self.log(handle)!r}"
            )
            time.sleep(_PAUSE)

    def log(self, handle: JobHandle, since: int = 0) -> str:
        """Return a job's log from an offset on."""
        return self.chunk(handle, since).text

    def chunk(self, handle: JobHandle, since: int = 0) -> LogChunk:
        return self.dispatch.logs(handle, self.cluster, since)

    def shell(self, command: str) -> str:
        """Run a command over there, apart from the plugin; return what it says."""
        done = self.cluster.transport.run(command)
        assert done.returncode == 0, done.error
        return done.text

    # -- afterwards

    def clear(self) -> None:
        """End and remove all that was sent."""
        handles: Sequence[JobHandle] = list({handle.job: handle for handle in self.sent}.values())
        if not handles:
            return
        self.dispatch.cancel(handles, self.cluster)
        self.dispatch.fetch([replace(handle, discard=True) for handle in handles], self.into, self.cluster)
