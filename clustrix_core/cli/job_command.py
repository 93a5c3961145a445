"""``run`` and ``render`` take the same words: a function of a file with its arguments, or a command behind ``--``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from clustrix_core.cli.command import Command
from clustrix_core.cli.flags import FieldOption, backend_flags, environment_option, resource_flags
from clustrix_core.cli.state import cluster_option
from clustrix_core.cli.target import is_option

_BEHIND = "clustrix.behind"


class JobCommand(Command):
    """A command that is told what to run. Its callback gets ``words`` and ``behind``: those before and after ``--``.

    ``behind`` is None where there is no ``--``.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.context_settings = {**self.context_settings, "ignore_unknown_options": True}
        self.params = [cluster_option(), *self.params, environment_option(), *resource_flags()]
        self._backends: list[FieldOption] | None = None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if self._backends is None:
            self._backends = list(backend_flags())
        *own, last = super().get_params(ctx)  # the last one is --help
        return [*own, *self._backends, last]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        behind = args[at + 1 :] if "--" in args else None
        # Words that look like options are told from negative numbers afterwards, so click is to leave both alone.
        rest = super().parse_args(ctx, args[:at])
        for word in ctx.params["words"]:
            if is_option(word) and not ctx.resilient_parsing:
                self._unknown(ctx, word)
        ctx.params["words"], ctx.params["behind"] = list(ctx.params["words"]), behind
        if not ctx.resilient_parsing:
            _either(ctx)
        return rest

    def _unknown(self, ctx: click.Context, word: str) -> None:
        from difflib import get_close_matches

        known = [name for parameter in self.get_params(ctx) for name in parameter.opts if name.startswith("--")]
        name = word.partition("=")[0]
        close = get_close_matches(name, known, 1)
        said = f" Did you mean {close[0]}?" if close else ""
        raise click.UsageError(f"there is no option {name}.{said} Arguments that begin with - go behind --.", ctx)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "FILE.py[:FUNCTION] [ARGUMENT | NAME=VALUE]...", "|", "[OPTIONS] -- COMMAND..."]


def _either(ctx: click.Context) -> None:
    words, behind = ctx.params["words"], ctx.params["behind"]
    if not words and not behind:
        raise click.UsageError("say what to run: FILE.py[:FUNCTION], or -- COMMAND.", ctx)


def job_command(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator that makes a JobCommand of a function of ``context, words, behind`` and its own options."""

    def make(function: Callable[..., Any]) -> click.Command:
        function = click.argument("words", nargs=-1, type=click.UNPROCESSED)(function)
        found: click.Command = click.command(name, cls=JobCommand, **settings)(click.pass_context(function))
        return found

    return make
