"""The script that a scheduler gets. Everything in it is relative to the job directory or quoted."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from clustrix_core import bundle
from clustrix_core.batch.dialect import Dialect
from clustrix_core.model import Cluster, JobSpec
from clustrix_core.resources import Resources


def render(dialect: Dialect, job: JobSpec, cluster: Cluster) -> str:
    """Return the script of a job: head, preparation, the worker, and a marker at the end whatever happens."""
    return "\n".join([f"#!{dialect.shell}", *dialect.directives(job, cluster), *_body(dialect, job, cluster), ""])


def _body(dialect: Dialect, job: JobSpec, cluster: Cluster) -> Iterator[str]:
    status = f'"$here/status-{job.round}.$task"'
    yield f'cd "{dialect.directory}" || exit 72'
    yield "here=$(pwd)"
    yield f'task="{dialect.task}"'
    yield "umask 077"
    yield f"rm -f {status}"
    # The worker gets the signal as well and ends; the shell must live on to write the marker.
    yield "trap : TERM"
    yield (f'trap \'code=$?; printf "EXIT %s\\n" "$code" >{status}.new && mv {status}.new {status}\' EXIT')
    yield f'export CLUSTRIX_JOB={job.id} CLUSTRIX_TASK="$task" CLUSTRIX_SCHEDULER_ID="{dialect.native}"'
    yield from preparation(job.resources)
    yield 'cd "$here" || exit 72'
    yield f'{python(cluster)} "${{here%/*/*/*}}/worker/{bundle.digest()}" run {job.round} "$task"'
    yield "code=$?"
    yield from job.resources.teardown
    yield 'exit "$code"'


def python(cluster: Cluster) -> str:
    """Return the interpreter's command line, quoted."""
    return shlex.join(shlex.split(cluster.python))


def preparation(resources: Resources) -> Iterator[str]:
    """Yield the lines that run before the worker; the first that fails ends the job."""
    for name, value in resources.env.items():
        yield f"export {name}={shlex.quote(value)}"
    if not resources.modules and not resources.setup:
        return
    yield "set -e"
    yield from modules(resources)
    yield from resources.setup
    yield "set +e"


def modules(resources: Resources) -> Iterator[str]:
    """Yield the lines that load environment modules, also in a shell that is not a login shell."""
    if resources.modules:
        yield "command -v module >/dev/null 2>&1 || . /etc/profile"
        yield f"module load {shlex.join(resources.modules)}"
