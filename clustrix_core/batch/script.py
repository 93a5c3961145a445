"""The script that a scheduler gets. Everything in it is relative to the job directory or quoted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

from clustrix_core import bundle
from clustrix_core.batch.dialect import Dialect
from clustrix_core.errors import ConfigError
from clustrix_core.model import Cluster, JobSpec
from clustrix_core.resources import Resources

# Variables that shells keep for themselves (a value would be lost, or end the script), and ours.
_NOT_TO_BE_SET = re.compile(
    "BASHOPTS|BASHPID|BASH_(ALIASES|ARGC|ARGV|CMDS|COMMAND|LINENO|SOURCE|SUBSHELL|VERSINFO)|DIRSTACK|EPOCHREALTIME|"
    "EPOCHSECONDS|E?UID|FUNCNAME|GROUPS|HISTCMD|LINENO|OLDPWD|OPTIND|PPID|PWD|RANDOM|SECONDS|SHELLOPTS|SRANDOM|_|"
    "CLUSTRIX_(JOB|TASK|SCHEDULER_ID|STARTED)|clustrix_.*"
)


def render(dialect: Dialect, job: JobSpec, cluster: Cluster) -> str:
    """Return the script of a job: head, preparation, the worker, and a marker at the end whatever happens."""
    body = "\n".join(_body(dialect, job, cluster)).split("\n")
    if dialect.anywhere:
        _refuse_directives(dialect, body)
    return "\n".join([f"#!{dialect.shell}", *_head(dialect, job, cluster), *body, ""])


def _refuse_directives(dialect: Dialect, lines: Iterable[str]) -> None:
    for line in lines:
        if line.startswith(dialect.anywhere):
            raise ConfigError(
                f"{line!r} in setup, teardown or env would be a directive to {dialect.name}, wherever it stands",
                hint=f"Write `# {dialect.anywhere[1:]}` there, or put what it asks for into directives:.",
            )


def _head(dialect: Dialect, job: JobSpec, cluster: Cluster) -> Iterator[str]:
    for line in dialect.directives(job, cluster):
        if not line.isprintable():  # a line end of any kind would begin another line, which the job's shell would run
            raise ConfigError(f"{line!r}: a directive is one line of printable text")
        yield line


def _body(dialect: Dialect, job: JobSpec, cluster: Cluster) -> Iterator[str]:
    status = f'"$clustrix_here/status-{job.round}.$clustrix_task"'
    yield f'cd "{dialect.directory}" || exit 72'
    yield "clustrix_here=$(pwd)"
    # Of a job without an array the index may be that of the array that it was submitted in.
    yield f'clustrix_task="{dialect.task if job.tasks > 1 else 0}"'
    if dialect.own_log:
        yield f'exec >>"log-{job.round}.$clustrix_task" 2>&1'
    yield f"[ ! -e {status} ] || rm -f {status}"
    # Most schedulers tell the shell alone that the job must end, and a shell heeds no trap while it waits for a command
    # in the foreground. It must live on to write the marker.
    yield "clustrix_told= clustrix_worker="
    yield 'trap \'clustrix_told=1; [ -z "$clustrix_worker" ] || kill "$clustrix_worker" 2>/dev/null\' TERM'
    # -p: whatever has become of PATH meanwhile.
    yield (
        f'trap \'clustrix_code=$?; printf "EXIT %s\\n" "$clustrix_code" >{status}.new'
        f" && command -p mv {status}.new {status}' EXIT"
    )
    yield (
        f'export CLUSTRIX_JOB={job.id} CLUSTRIX_TASK="$clustrix_task" CLUSTRIX_SCHEDULER_ID="{dialect.native}"'
        " CLUSTRIX_STARTED=$(date +%s)"
    )
    yield from preparation(job.resources)
    yield 'cd "$clustrix_here" || exit 72'
    worker = f'"${{clustrix_here%/*/*/*}}/worker/{bundle.digest()}"'
    interpreter = python(cluster)
    if job.environment:
        yield f'clustrix_env="${{clustrix_here%/*/*/*}}/{job.environment_dir}"'
        yield 'export PATH="$clustrix_env/bin:$PATH"'
        interpreter = '"$clustrix_env/bin/python"'
    yield '[ -z "$clustrix_told" ] || exit 143'
    yield f'{interpreter} {worker} run {job.round} "$clustrix_task" &'
    yield "clustrix_worker=$!"
    yield 'wait "$clustrix_worker"; clustrix_code=$?'
    # A signal ends the wait, not the worker.
    yield (
        'while [ "$clustrix_code" -gt 128 ] && kill -0 "$clustrix_worker" 2>/dev/null;'
        ' do wait "$clustrix_worker"; clustrix_code=$?; done'
    )
    yield from job.resources.teardown
    yield 'exit "$clustrix_code"'


def python(cluster: Cluster) -> str:
    """Return the interpreter's command line, quoted."""
    try:
        return words(shlex.split(cluster.python))
    except ValueError as error:
        raise ConfigError(f"python={cluster.python!r}: {error}") from None


def words(argv: Iterable[str]) -> str:
    """Return words quoted for sh, but for a leading ``~/``: that is the user's home over there."""
    return " ".join(f'"$HOME"/{shlex.quote(word[2:])}' if word.startswith("~/") else shlex.quote(word) for word in argv)


def preparation(resources: Resources) -> Iterator[str]:
    """Yield the lines that run before the worker; the first that fails ends the job."""
    for name, value in resources.env.items():
        if _NOT_TO_BE_SET.fullmatch(name):
            raise ConfigError(f"env: {name} cannot be set, the job's shell or Clustrix keeps it for itself")
        yield f"export {name}={shlex.quote(value)}"
    if resources.modules:
        yield from (_PROFILE, _MODULE)
    if resources.modules or resources.setup:
        yield "set -e"
        if resources.modules:
            yield _load(resources)
        yield from resources.setup
        yield "set +e"


# Environment modules, also in a shell that is not a login shell.
_PROFILE = "command -v module >/dev/null 2>&1 || . /etc/profile"
_MODULE = "command -v module >/dev/null 2>&1 || { echo clustrix: there is no module command >&2; exit 127; }"


def _load(resources: Resources) -> str:
    return f"module load {shlex.join(resources.modules)}"


def modules(resources: Resources) -> Iterator[str]:
    """Yield the lines that load environment modules; where they cannot be loaded, the last says ``clustrix: WHY``."""
    if resources.modules:
        load = _load(resources)
        yield from (_PROFILE, _MODULE, f"{load} || {{ echo clustrix: {shlex.quote(load)} fails >&2; exit 1; }}")
