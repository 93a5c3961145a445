"""``clustrix env``: what is installed on clusters for jobs."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from clustrix_core.cli import output
from clustrix_core.cli.asking import agreed
from clustrix_core.cli.command import Command
from clustrix_core.cli.duration import DURATION
from clustrix_core.cli.state import cluster_option, everywhere, state

if TYPE_CHECKING:
    from clustrix_core.api.environments import Environment, Environments

COLUMNS = ("KEY", "STATE", "PYTHON", "SIZE", "USED", "WHAT")
_MONTH = 30 * 86400.0


@click.group("env", params=everywhere(), no_args_is_help=False)
def command() -> None:
    """Look at the environments that are built for jobs, build and remove them."""


@command.command("ls", cls=Command, params=[cluster_option()])
def ls() -> None:
    """List the environments of a cluster, the one that was used last first."""
    found = _there().all()
    if state().json:
        output.document([asdict(one) for one in found])
        return
    rows = [(one.key, one.state, one.python, _size(one.bytes), _ago(one.used), one.name) for one in found]
    output.table(COLUMNS, rows, states=COLUMNS.index("STATE"))


@command.command("show", cls=Command, params=[cluster_option()])
@click.argument("key")
@click.option("--log", "with_log", is_flag=True, help="Print the log of its last build.")
def show(key: str, with_log: bool) -> None:
    """Tell what is known of an environment; KEY may be shortened."""
    there = _there()
    one = there.one(key)
    log = there.log(one.key) if with_log else ""
    if state().json:
        output.document({**asdict(one), **({"log": log} if with_log else {})})
    elif with_log:
        output.write(log)
    else:
        for name, value in _facts(one).items():
            output.line(f"{name + ':':14}{output.plain(value)}")
        for line in one.requirements:
            output.line(f"    {output.plain(line)}")


@command.command("build", cls=Command, params=[cluster_option()])
@click.argument("what", metavar="FILE.py[:FUNCTION]", required=False)
@click.option("-e", "--environment", multiple=True, metavar="TEXT", help="Instead of what is configured.")
def build(what: str | None, environment: tuple[str, ...]) -> None:
    """Build the environment of a cluster, or of a function where it is auto, and print its key.

    One that is there already is not built again.
    """
    from clustrix_core.api import environments
    from clustrix_core.api.function import ClusterFunction, Options
    from clustrix_core.cli.target import Target

    function: Any = Target.of(what).load() if what else None
    options = function._options if isinstance(function, ClusterFunction) else Options()
    if state().cluster:
        options = options.but(cluster=state().cluster, backend=None)
    if environment:
        options = options.but(environment=environment[0] if len(environment) == 1 else list(environment))
    plain = function.local if isinstance(function, ClusterFunction) else function
    key, facts = environments.build(options, plain)
    if state().json:
        output.document({"key": key, **facts})
    else:
        output.line(key)


@command.command("rm", cls=Command, params=[cluster_option()])
@click.argument("keys", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Also what a job that is not over needs.")
def rm(keys: tuple[str, ...], force: bool) -> None:
    """Remove environments. KEYS may be shortened."""
    there = _there()
    _removed(there.remove([there.one(key).key for key in keys], force))


@command.command("prune", cls=Command, params=[cluster_option()])
@click.option("--older-than", metavar="TIME", type=DURATION, default=_MONTH, help="Default: 30d.")
@click.option("--dry-run", is_flag=True, help="Only tell which would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def prune(older_than: float, dry_run: bool, yes: bool) -> None:
    """Remove the environments that no job was submitted with for so long, and builds that have failed."""
    there = _there()
    found = [one.key for one in there.old(older_than)]
    if dry_run:
        _removed(found, "would be")
        return
    if found and not yes and not state().json and sys.stdin.isatty() and not agreed(f"Remove {_number(len(found))}?"):
        found = []
    _removed(there.remove(found))


@command.command("info", cls=Command)
def info() -> None:
    """Print what is installed in this environment, as `pip list --format=freeze` does."""
    from clustrix_core.api.environments import get_environment_info, get_environment_requirements

    if state().json:
        version = ".".join(map(str, sys.version_info[:3]))
        found = {"python": version, "platform": sys.platform, "requirements": get_environment_requirements()}
        output.document(found)
    else:
        output.line(get_environment_info())


def _there() -> Environments:
    from clustrix_core import config
    from clustrix_core.api.environments import Environments

    return Environments.of(config.find(state().cluster))


def _removed(keys: list[str], were: str = "") -> None:
    if state().json:
        output.document({"removed": keys, "dry_run": bool(were)})
        return
    for key in keys:
        output.line(key)
    were = were or ("was" if len(keys) == 1 else "were")
    output.say(f"{_number(len(keys))} {were} removed.")


def _number(number: int) -> str:
    return f"{number} {'environment' if number == 1 else 'environments'}"


def _facts(one: Environment) -> dict[str, str]:
    known = {
        "key": one.key,
        "state": one.state,
        "what": one.name,
        "python": one.python,
        "size": _size(one.bytes),
        "built in": f"{one.seconds:.0f} s" if one.seconds is not None else "",
        "used": _ago(one.used),
        "path": one.path,
        "failed": one.why.strip().splitlines()[-1] if one.why.strip() else "",
    }
    return {name: value for name, value in known.items() if value}


def _size(number: int | None) -> str:
    return "" if number is None else f"{number / 1048576:.1f} MB"


def _ago(when: float | None) -> str:
    if when is None:
        return ""
    seconds = max(time.time() - when, 0.0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
