"""The only caller of hooks: typed, one backend answers, wrappers wrap, and nobody's None passes for an answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clustrix_core.batch import blobs
from clustrix_core.errors import ClustrixError, PluginError
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import (
    BackendInfo,
    Blobs,
    Cluster,
    Fetched,
    JobHandle,
    JobSpec,
    JobStatus,
    LogChunk,
    Problem,
)
from clustrix_core.plugins import Plugins

_log = logging.getLogger("clustrix.plugins")


class Dispatch:
    """Calls the hooks of one set of plugins."""

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        self._answers = _answers_of(plugins)

    def backend(self, name: str) -> BackendInfo:
        return self.plugins.backend(name)

    def check(self, cluster: Cluster) -> Sequence[Problem]:
        answer: Sequence[Problem] = self._promised("check", cluster, Sequence)
        return answer

    def provision(self, cluster: Cluster) -> Cluster:
        """Return the cluster ready for jobs. A backend without the hook is ready as it is."""
        answer = self._ask("provision", cluster)
        if answer is not None and not isinstance(answer, Cluster):
            raise self._broken("provision", cluster, answer)
        return answer or cluster

    def release(self, cluster: Cluster) -> None:
        self._ask("release", cluster)

    def render_script(self, job: JobSpec, cluster: Cluster) -> str:
        answer: str = self._promised("render_script", cluster, str, job=job)
        return answer

    def submit(self, job: JobSpec, script: str, cluster: Cluster) -> JobHandle:
        answer: JobHandle = self._promised("submit", cluster, JobHandle, job=job, script=script)
        return answer

    def blobs(self, cluster: Cluster) -> Blobs:
        """Return what sends a backend's data, and removes it."""
        return self.plugins.backend(cluster.backend).blobs or blobs

    def find(self, job: JobSpec, cluster: Cluster) -> JobHandle | None:
        answer = self._ask("find", cluster, job=job)
        if answer is not None and not isinstance(answer, JobHandle):
            raise self._broken("find", cluster, answer)
        return answer

    def status(self, handles: Sequence[JobHandle], cluster: Cluster) -> Mapping[str, JobStatus]:
        return self._of_each("status", JobStatus, handles, cluster)

    def fetch(self, handles: Sequence[JobHandle], into: Path, cluster: Cluster) -> Mapping[str, Fetched]:
        return self._of_each("fetch", Fetched, handles, cluster, into=into)

    def logs(self, handle: JobHandle, cluster: Cluster, since: int = 0) -> LogChunk:
        answer: LogChunk = self._promised("logs", cluster, LogChunk, handle=handle, since=since)
        return answer

    def cancel(self, handles: Sequence[JobHandle], cluster: Cluster) -> None:
        self._ask("cancel", cluster, handles=handles)

    def job_changed(self, handle: JobHandle, before: JobStatus, after: JobStatus, cluster: Cluster) -> None:
        self._tell("job_changed", handle=handle, before=before, after=after, cluster=cluster)

    def register_commands(self, cli: Any) -> None:
        self._tell("register_commands", cli=cli)

    def _ask(self, hook: str, cluster: Cluster, **arguments: Any) -> Any:
        self.plugins.backend(cluster.backend)
        manager = self.plugins.manager
        caller = manager.subset_hook_caller(hook, remove_plugins=self.plugins.others(cluster.backend))
        with self._answers.of_one_call() as answers:
            try:
                answer = caller(cluster=cluster, **arguments)
            except Exception as error:
                if answers:
                    _log.exception("%s: a wrapper of %s raised after the backend had answered", cluster.name, hook)
                    return answers[-1]
                if isinstance(error, ClustrixError):
                    for name, value in self._where(cluster).items():
                        if getattr(error, name) is None:
                            setattr(error, name, value)
                raise
        if answer is None and answers and answers[-1] is not None:  # taken for the truth, it would mean a second job
            _log.error("%s: a wrapper of %s returned None: it ends with `return (yield)`", cluster.name, hook)
            return answers[-1]
        return answer

    def _of_each(
        self, hook: str, kind: type, handles: Sequence[JobHandle], cluster: Cluster, **arguments: Any
    ) -> Mapping[str, Any]:
        """Return an answer that speaks of every handle: a job left out would be waited for without end."""
        answer: Mapping[str, Any] = self._promised(hook, cluster, Mapping, handles=handles, **arguments)
        left_out = [handle.job for handle in handles if not isinstance(answer.get(handle.job), kind)]
        if left_out:
            raise PluginError(
                f"the hook {hook!r} of the backend {cluster.backend!r} left out {', '.join(left_out[:3])}",
                **self._where(cluster),
            )
        return answer

    def _promised(self, hook: str, cluster: Cluster, kind: type, **arguments: Any) -> Any:
        answer = self._ask(hook, cluster, **arguments)
        if not isinstance(answer, kind):
            raise self._broken(hook, cluster, answer)
        return answer

    def _broken(self, hook: str, cluster: Cluster, answer: object) -> PluginError:
        return PluginError(
            f"the hook {hook!r} of the backend {cluster.backend!r} answered {answer!r:.80}", **self._where(cluster)
        )

    def _where(self, cluster: Cluster) -> dict[str, str]:
        return {"cluster": cluster.name, "plugin": self.plugins.owners[cluster.backend]}

    def _tell(self, hook: str, **arguments: Any) -> None:
        # One by one: in a plain call of all, one listener that raises would silence the rest.
        for heard in getattr(self.plugins.manager.hook, hook).get_hookimpls():
            try:
                heard.function(*[arguments[name] for name in heard.argnames])
            except Exception:
                _log.exception("plugin %r: %s raised", heard.plugin_name, hook)


def _answers_of(plugins: Plugins) -> _Answers:
    """Return what listens to these plugins' answers: one for all who ask them."""
    for plugin, _ in plugins.innermost:
        if isinstance(plugin, _Answers):
            return plugin
    answers = _Answers()
    # Outside of the journal: a handle that could not be written down is no answer yet.
    plugins.register_innermost(answers, "clustrix-answers", outside=True)
    return answers


class _Answers:
    """What backends have answered, before any wrapper could raise: a job is no less there for it."""

    def __init__(self) -> None:
        self._here = threading.local()

    @contextmanager
    def of_one_call(self) -> Iterator[list[Any]]:
        """Within this context, list what is answered; a wrapper may itself call hooks."""
        outer, self._here.answers = getattr(self._here, "answers", None), []
        try:
            yield self._here.answers
        finally:
            self._here.answers = outer

    @hookimpl(wrapper=True, trylast=True)
    def _keep(self) -> Generator[None, Any, Any]:
        answer = yield
        if getattr(self._here, "answers", None) is not None:
            self._here.answers.append(answer)
        return answer

    check = provision = release = render_script = submit = find = status = fetch = logs = cancel = _keep
    del _keep
