"""The reference of the command line, docs/cli.md, made from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator

import click

from clustrix_core import options
from clustrix_core.cli.ending import CODES
from clustrix_core.cli.flags import FieldOption, backend_flags, resource_flags
from clustrix_core.cli.job_command import JobCommand
from clustrix_core.cli.root import COMMANDS, clustrix
from clustrix_core.plugins import Plugins

PAGE = """\
# The command line

```console
$ clustrix init                             # asks for a cluster, checks it, writes clustrix.yml
$ clustrix run simulate.py 3 steps=1000     # a function of a file, as a job; prints what it returns
$ clustrix run --cores 4 -- ./train.sh      # a shell command, as a job; its exit code is clustrix's
$ clustrix run -d simulate.py 3             # prints the id of the job, and does not wait
$ clustrix jobs
$ clustrix logs -f 3fa2
$ clustrix result 3fa2
```

## What holds for all commands
- The id of a job may be shortened as long as it is unambiguous.
- stdout is data, stderr is talk. Colours and moving things appear on a terminal only (`NO_COLOR` switches colours off);
  without a terminal, tables are never wrapped.
- With `--json` there is exactly one JSON document on stdout. That is so for errors too:
  `{{"error": {{"type": …, "message": …, "hint": …}}}}`, with what else is known (`job`, `state`, `exit_code`, `log`,
  `traceback`, `file`, `line`); the exit code tells an error from an answer.
- An error of Clustrix is told with what to do about it, without a traceback (`--debug` shows one). An exception of your
  function is told with its own traceback, from where it ran.
- Ctrl-C leaves a job going on, and says how to come back to it.
- Options of every command: {everywhere}. `clustrix --json jobs` and `clustrix jobs --json` are the same.
- Commands of plugins stand in `clustrix --help` beside these.

## Exit codes
{codes}
`clustrix run -- COMMAND` ends with the exit code of the command.

{commands}
## Resources as flags
`run`, `render` and `retry` take them for the job, `init` (all but `--name`) as the defaults of the cluster. See
[configuration](configuration.md#resources) for how amounts are written. A flag wins over
`@cluster(...)`, and that over the configuration.

{resources}
## Options of a backend as flags
`run` and `render` take those of the cluster's backend.

{backends}"""


def command_line() -> str:
    """Return the reference of the command line."""
    return PAGE.format(
        everywhere=", ".join(f"`{', '.join(option.opts)}`" for option in clustrix.params if _is_everywhere(option)),
        codes=_table(("code", ""), [(f"`{code}`", text) for code, text in CODES.items()]),
        commands="\n".join(_commands()),
        resources=_options(resource_flags()),
        backends="\n".join(_backends()),
    )


def _commands() -> Iterator[str]:
    context = click.Context(clustrix)
    section = ""
    for title, name, _, _ in COMMANDS:
        command = clustrix.get_command(context, name)
        assert command is not None
        if title != section:
            section = title
            yield f"## {title}\n"
        yield from _described(f"clustrix {name}", command)


def _described(name: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        yield f"### {name}\n{_prose(command)}\n"
        for inner in command.commands.values():
            yield from _described(f"{name} {inner.name}", inner)
        return
    yield f"### {name}\n```\n{_usage(name, command)}\n```\n{_prose(command)}\n"
    own = [option for option in command.params if not _is_everywhere(option) and not _is_resource(option)]
    table = _options(option for option in own if isinstance(option, click.Option))
    if table:
        yield table


def _usage(name: str, command: click.Command) -> str:
    if isinstance(command, JobCommand):
        return f"{name} [OPTIONS] FILE.py[:FUNCTION] [ARGUMENT | NAME=VALUE]...\n{name} [OPTIONS] -- COMMAND..."
    arguments = [_argument(one) for one in command.params if isinstance(one, click.Argument)]
    return " ".join([name, "[OPTIONS]", *arguments])


def _argument(argument: click.Argument) -> str:
    choices = getattr(argument.type, "choices", None)
    name = argument.metavar or ("|".join(map(str, choices)) if choices else str(argument.name).upper())
    return name if argument.required else f"[{name}]"


def _prose(command: click.Command) -> str:
    text = inspect.cleandoc(command.help or "")
    # What stands in quotes or braces is code.
    return re.sub(r"(?<!`)(\{\"repr\": \.\.\.\}|\b[A-Z_]{10,}=\S+)(?!`)", r"`\1`", text)


def _options(found: Iterable[click.Option]) -> str:
    rows = [(_names(option), option.help or "") for option in found if not option.hidden]
    return _table(("option", ""), rows) if rows else ""


def _names(option: click.Option) -> str:
    shown = [f"`{name}`" for name in (*option.opts, *option.secondary_opts)]
    if not option.is_flag:
        choices = getattr(option.type, "choices", None)
        value = option.metavar or ("|".join(map(str, choices)) if choices else str(option.type.name).upper())
        shown[-1] = f"`{option.opts[-1]} {value}`"
    return ", ".join(shown) + (" (may be repeated)" if option.multiple else "")


def _backends() -> Iterator[str]:
    plugins = Plugins()
    plugins.load()
    flags = list(backend_flags())
    for name, info in sorted(plugins.backends.items()):
        mine = [flag for flag in flags if flag.backend == name]
        assert len(mine) == len(options.flags(info.options, name))
        if mine:
            yield f"### {name}\n{_options(mine)}"


def _is_everywhere(option: click.Parameter) -> bool:
    return bool({"--json", "--debug"} & set(option.opts))


def _is_resource(option: click.Parameter) -> bool:
    return isinstance(option, FieldOption) and not option.backend


def _table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [
        f"| {left} | {right} |" for left, right in ((a.replace("|", "\\|"), b.replace("|", "\\|")) for a, b in rows)
    ]
    return "\n".join([f"| {head[0]} | {head[1]} |", "|---|---|", *lines, ""])
