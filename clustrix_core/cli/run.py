"""``clustrix run``: a function of a file, or a shell command, as a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from clustrix_core.cli import following, output, waiting
from clustrix_core.cli.flags import given_options
from clustrix_core.cli.job_command import job_command
from clustrix_core.cli.state import state
from clustrix_core.cli.target import Target, arguments
from clustrix_core.errors import ClustrixError

if TYPE_CHECKING:
    from clustrix_core.api.function import ClusterFunction, Options
    from clustrix_core.api.job import Job


@job_command("run")
@click.option("-d", "--detach", is_flag=True, help="Print the id of the job, once it is accepted, and do not wait.")
def command(context: click.Context, words: list[str], behind: list[str] | None, detach: bool) -> int:
    """Run a function of a file, or a shell command, as a job.

    FILE.py:FUNCTION names a function; without it the only one under @cluster is meant, else main(). Arguments are
    Python literals where they parse and text where not; NAME=VALUE is a keyword. What begins with - goes behind --. The
    value's repr is printed.

    A COMMAND of several words is run as exactly these words, one of a single word is a line of shell. What it writes is
    shown as it comes, and its exit code is that of clustrix. It begins in your directory there; without a host, here.
    """
    if not words:
        return _command(given_options(context), behind or [], detach)
    args, keywords = arguments([*words[1:], *(behind or [])])
    function = decorated(Target.of(words[0]).load(), context)
    try:
        job = function.submit(*args, **keywords)
    except TypeError as error:
        if isinstance(error, ClustrixError):
            raise
        raise click.UsageError(str(error), context) from None
    return _detached(job) if detach else waiting.finish(job)


def decorated(function: Callable[..., Any], context: click.Context) -> ClusterFunction[..., Any]:
    """Return the function with the options that it has, and over them those that are given here."""
    from clustrix_core.api.function import ClusterFunction, Options

    if isinstance(function, ClusterFunction):
        return ClusterFunction(function.local, given_options(context, function._options))
    return ClusterFunction(function, given_options(context, Options()))


def _command(options: Options, words: list[str], detach: bool) -> int:
    from clustrix_core.api.commands import let_go, submit_command
    from clustrix_core.api.logs import Log

    job = submit_command(words, options, hold=not detach)
    if detach:
        return _detached(job)
    with waiting.going_on(job):
        waiting.accepted(job)
        following.follow(Log(job.id).read, lambda pause: waiting.ended(job, pause), _talk())
    code = waiting.finish_command(job)
    let_go(job, options)
    return code


def _talk() -> Callable[[str], object]:
    # What a command writes is data; unless the data is to be one JSON document.
    return output.tell if state().json else output.write


def _detached(job: Job[Any]) -> int:
    with waiting.going_on(job):
        waiting.accepted(job)
    if state().json:
        output.document({"id": job.id, "name": job.name, "cluster": job._known[1].cluster.name})
    else:
        output.line(job.id)
    return 0
