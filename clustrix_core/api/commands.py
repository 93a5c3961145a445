"""Shell commands as jobs, and scripts that are only looked at."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.api.function import Options, label
from clustrix_core.api.job import Job
from clustrix_core.config.flat import Given
from clustrix_core.model import Cluster, JobSpec, Problem, Site
from clustrix_core.resources import Resources

if TYPE_CHECKING:
    from clustrix_core.dispatch import Dispatch

NOBODY = "0" * 16  # the id in a script that is only looked at


def shell_line(words: Sequence[str]) -> str:
    """Return one line of shell: a single word as it is, several as exactly these words."""
    return words[0] if len(words) == 1 else shlex.join(words)


def submit_command(words: Sequence[str], options: Options, hold: bool = False) -> Job[int]:
    """Send a shell command off. Its Job returns 0, or raises JobFailed with the command's exit code.

    ``hold``: the job directory stays when the job has ended, until ``let_go``, so that its log can be read to the end.
    """
    from clustrix_core import payload
    from clustrix_core.engine import Request

    line = shell_line(words)
    settings = session.settings_for(options)
    if hold:
        settings = config.ClusterConfig.of(Given({"cleanup": "never"}).over(settings.given()), settings.name)
    resources = settings.resources.but(**options.resources)
    request = Request(
        label=options.resources.get("name") or command_label(line),
        kind="command",
        settings=settings,
        resources=resources,
        calls=1,
        recipe=lambda: session.recipe_for(options, settings, resources),
        pack=lambda directory, python: payload.pack_command(directory, line),
        sources={},
    )
    job: Job[int] = Job()
    running = session.engine()
    job._bind(running, running.submit(request, job._deliver))
    return job


def let_go(job: Job[int], options: Options) -> None:
    """Let the directory of a held job be removed, as its cluster's configuration wants it."""
    cleanup = session.settings_for(options).cleanup
    if cleanup == "always" or (cleanup == "success" and job.done() and job.exception() is None):
        session.engine().journal.discard(job.id)


def command_label(line: str) -> str:
    """Return what a job is called that runs this line: the command's own name."""
    first = (line.split() or ["command"])[0]
    return first.rpartition("/")[2] or "command"


def render(what: Callable[..., Any] | Sequence[str], options: Options, calls: int = 1) -> tuple[Cluster, str]:
    """Return the cluster and the script that ``calls`` calls of a function, or a command, would be submitted with.

    Nothing is contacted: the shape is that of what an earlier contact saw of the cluster, if there was one.
    """
    from clustrix_core.engine.shape import shape

    settings = session.settings_for(options)
    resources = settings.resources.but(**options.resources)
    name = label(what) if callable(what) else command_label(shell_line(what))
    job = JobSpec(NOBODY, options.resources.get("name") or name, resources, calls, max_parallel=options.max_parallel)
    with _unwatched(settings, resources) as (dispatch, cluster, seen):
        cluster = cluster.at(seen) if seen else cluster
        return cluster, dispatch.render_script(shape(job, seen or Site("", (0, 0))), cluster)


def check(settings: config.ClusterConfig) -> tuple[Sequence[Problem], Mapping[str, Exception]]:
    """Contact a cluster; return what is wrong with it, and which plugins are broken."""
    with _unwatched(settings, settings.resources) as (dispatch, cluster, _):
        return dispatch.check(cluster), dispatch.plugins.broken


@contextmanager
def _unwatched(settings: config.ClusterConfig, resources: Resources) -> Iterator[tuple[Dispatch, Cluster, Site | None]]:
    """Within this context there is a cluster, and what is remembered of its site.

    No engine is made: it would go on with what others have left undone.
    """
    from clustrix_core.dispatch import Dispatch
    from clustrix_core.engine.places import Places
    from clustrix_core.journal import Journal
    from clustrix_core.plugins import Plugins

    plugins = Plugins()
    plugins.load()
    dispatch, journal = Dispatch(plugins), Journal(config.home())
    places = Places(dispatch, journal)
    try:
        cluster = places.cluster(settings, resources)
        yield dispatch, cluster, places.remembered(cluster)
    finally:
        places.close()
        journal.close()


__all__ = ["check", "command_label", "let_go", "render", "shell_line", "submit_command"]
