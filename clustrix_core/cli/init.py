"""``clustrix init``: a cluster is asked for, checked and written down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clustrix_core.cli import output
from clustrix_core.cli.asking import agreed, answer
from clustrix_core.cli.command import Command
from clustrix_core.cli.ending import FAILED, OK
from clustrix_core.cli.flags import flags_of, given_of, resource_flags
from clustrix_core.cli.state import state

if TYPE_CHECKING:
    from clustrix_core.config import ClusterConfig
    from clustrix_core.model import Problem
    from clustrix_core.plugins import Plugins

CLUSTER = "cluster"
HEAD = "# Where Clustrix runs jobs. All keys: `clustrix config schema`, docs/configuration.md\n"


class Init(Command):
    """The command with the flags of a cluster and of its resources."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        from clustrix_core.config import ClusterConfig

        super().__init__(*args, **settings)
        self.params += flags_of(ClusterConfig, CLUSTER)
        self.params += [option for option in resource_flags() if option.flag.field != "name"]


@click.command("init", cls=Init)
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), default="clustrix.yml", help="Where to write it."
)
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: what no flag says is left at its default.")
@click.option("--force", is_flag=True, help="Replace a file that is there; it is kept beside the new one, as FILE.old.")
@click.option("--no-check", is_flag=True, help="Do not contact the cluster.")
@click.pass_context
def command(context: click.Context, file: Path, yes: bool, force: bool, no_check: bool) -> int:
    """Ask for a cluster, check it by contacting it, and write clustrix.yml.

    What a flag says is not asked. A file that is there is never replaced without a yes to that question, or --force.
    Passwords are not written: rather use a key, an agent, or `--transport openssh`.
    """
    if file.exists() and not force and yes:
        raise click.UsageError(f"{file} is there already; --force replaces it.", context)
    given = {**given_of(context, ""), **given_of(context, CLUSTER)}
    cluster = _cluster(given if yes else {**given, **_answers(given)})
    problems = [] if no_check else _checked(cluster)
    wrong = any(problem.severity == "error" for problem in problems)
    written = _agreed(file, yes, force, wrong)
    if written:
        write(file, _text(cluster))
    if state().json:
        found = [{"severity": one.severity, "message": one.message, "hint": one.hint} for one in problems]
        output.document({"file": str(file) if written else None, "cluster": cluster.name, "problems": found})
    else:
        output.say(f"Wrote {file}." if written else "Nothing was written.")
        if not written:
            output.write(_text(cluster))
    return OK if written else FAILED


def _cluster(values: Mapping[str, Any]) -> ClusterConfig:
    """Return the cluster, its backend's options checked. Raises ConfigError."""
    from clustrix_core import options
    from clustrix_core.config import ClusterConfig

    values = {name: value for name, value in values.items() if value != ""}
    if "options" in values:
        values |= options.convert(ClusterConfig, {"options": values["options"]}, options.Origin("--options"))
    backend = values.get("backend") or _likely(values.get("host"))
    name = values.get("name") or str(values.get("host") or "").partition(".")[0] or backend
    cluster = ClusterConfig(**{**values, "backend": backend, "name": name})
    cluster.typed_options(_plugins().backend(cluster.backend))
    return cluster


def _likely(host: str | None) -> str:
    if host:
        return "ssh"
    login_node_of = [
        info.name for info in _plugins().backends.values() if info.programs and all(map(shutil.which, info.programs))
    ]
    return login_node_of[0] if login_node_of else "local"


def _answers(given: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for what no flag has said."""
    found: dict[str, Any] = {}

    def ask(name: str, question: str, default: str = "") -> str:
        if name not in given:
            flag = f"--{name.replace('_', '-')}, or --yes to leave at its default what no flag says"
            found[name] = answer(question, default, flag) or None
        return str(given.get(name) or found.get(name) or "")

    host = ask("host", "Host to log in to (empty: this machine)")
    backend = ask("backend", f"Who runs the jobs there ({', '.join(_backends())})", _likely(host))
    ask("name", "What you call this cluster", host.partition(".")[0] or backend)
    if host:
        ask("user", "Login name (empty: what ssh_config says, else yours)")
        ask("work_dir", "Directory for jobs there, seen by all its nodes", "~/.clustrix")
        ask("python", "Python of the jobs there", "python3")
    if "partition" not in _plugins().backend(backend).lacks:
        ask("partition", "Partition or queue (empty: the default one)")
    ask("cores", "Cores of one call", "1")
    ask("memory", "Memory of one call, like 8GB (empty: the default there)")
    ask("time", "Walltime of one call, like 01:00:00 (empty: the default there)")
    return {name: value for name, value in found.items() if value is not None}


def _backends() -> list[str]:
    return sorted(_plugins().backends)


def _plugins() -> Plugins:
    from clustrix_core.plugins import Plugins

    plugins = Plugins()
    plugins.load()
    return plugins


def _checked(cluster: ClusterConfig) -> list[Problem]:
    from clustrix_core.cli.doctor import examine
    from clustrix_core.errors import TransportError
    from clustrix_core.model import Problem

    output.note(f"Contacting {cluster.name} ({cluster.backend}, {cluster.host or 'this machine'}) …")
    try:
        problems = list(examine(cluster))
    except TransportError as error:  # it may be written down nevertheless
        problems = [Problem("error", str(error.args[0]), error.hint or "")]
    for problem in problems:
        output.note(f"{problem.severity}: {problem.message}" + (f"\n    {problem.hint}" if problem.hint else ""))
    if not problems:
        output.note("It answers, and nothing is wrong.")
    return problems


def _agreed(file: Path, yes: bool, force: bool, wrong: bool) -> bool:
    """Return whether to write: what is wrong and what is there already need a yes."""
    return all(not yes and agreed(reason, flag) for reason, flag in _doubts(file, force, wrong))


def _doubts(file: Path, force: bool, wrong: bool) -> Iterator[tuple[str, str]]:
    if wrong:
        yield "Write it nevertheless?", "--no-check"
    if file.exists() and not force:
        yield f"{file} is there already. Replace it (the old one is kept as {file}.old)?", "--force"


def _text(cluster: ClusterConfig) -> str:
    from clustrix_core import config

    return HEAD + config.dump(config.Config(default=cluster.name, clusters={cluster.name: cluster}))


def write(file: Path, text: str) -> None:
    """Write a file whole or not at all; one that is there is kept as FILE.old."""
    new = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        with new.open("x", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if file.exists():
            shutil.copy2(file, file.with_name(f"{file.name}.old"))
        os.replace(new, file)
    except OSError as error:
        from clustrix_core.errors import ConfigError

        raise ConfigError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        new.unlink(missing_ok=True)
