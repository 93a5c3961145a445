"""``clustrix``: the group of all commands. A command's module is imported when the command is used."""

from __future__ import annotations

import importlib
from typing import Any

import click

from clustrix_core.cli.state import State, cluster_option, everywhere

# Section, command, module in clustrix_core.cli, and what the list of commands says.
COMMANDS = (
    ("Run", "run", "run:command", "Run a function of a file, or a shell command, as a job."),
    ("Run", "render", "render:command", "Print the script of a job; nothing is submitted."),
    ("Run", "explain", "explain:command", "Say what a function reaches, and what of it travels."),
    ("Jobs", "jobs", "jobs:command", "List your jobs."),
    ("Jobs", "status", "status:command", "Tell what is known of a job."),
    ("Jobs", "logs", "logs:command", "Print what a job has written."),
    ("Jobs", "result", "result:command", "Wait for a job and print its value."),
    ("Jobs", "cancel", "cancel:command", "End jobs, running or not."),
    ("Jobs", "retry", "retry:command", "Submit a job that failed once more."),
    ("Jobs", "clean", "clean:command", "Remove finished jobs, here and on the clusters."),
    ("Set up", "init", "init:command", "Ask for a cluster, check it and write clustrix.yml."),
    ("Set up", "doctor", "doctor:command", "Look for what keeps jobs from running on a cluster."),
    ("Set up", "config", "settings:command", "Show, check or describe the configuration."),
    ("Set up", "env", "env:command", "Look at what is installed on a cluster for jobs; build it, remove it."),
    ("Set up", "plugins", "plugins:command", "List the plugins, also those that are broken."),
    ("Set up", "plugin", "plugin_new:command", "Begin a plugin of your own."),
    ("Set up", "completion", "completion:command", "Print the line that switches shell completion on."),
)
_PLACES = {name: place for _, name, place, _ in COMMANDS}


class Root(click.Group):
    """The commands of ours by name, and those of plugins, which are asked only where the answer needs it."""

    _asked = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._ask_plugins()
        return [*_PLACES, *sorted(set(self.commands) - set(_PLACES))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _PLACES:  # a plugin cannot take the place of ours
            module, _, attribute = _PLACES[cmd_name].partition(":")
            found: click.Command = getattr(importlib.import_module(f"clustrix_core.cli.{module}"), attribute)
            return found
        self._ask_plugins()
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            from difflib import get_close_matches

            close = get_close_matches(name, self.list_commands(ctx), 1)
            ctx.fail(f"there is no command {name!r}." + (f" Did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for section, name, _, said in COMMANDS:
            sections.setdefault(section, []).append((name, said))
        for name in self.list_commands(ctx):
            if name not in _PLACES and not self.commands[name].hidden:
                sections.setdefault("Plugins", []).append((name, self.commands[name].get_short_help_str(limit=80)))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from clustrix_core.cli.ending import CODES

        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), said) for code, said in CODES.items()])
            formatter.write_paragraph()
            formatter.write_text("`run -- COMMAND` ends with the exit code of the command.")

    def _ask_plugins(self) -> None:
        if not self._asked:
            self._asked = True
            from clustrix_core.cli.guests import register

            register(self)


def _version(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value and not context.resilient_parsing:
        from clustrix_core import __version__

        click.echo(f"clustrix {__version__}")
        context.exit()


@click.group(
    cls=Root,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="The version.")
@click.pass_context
def clustrix(context: click.Context) -> None:
    """Run functions and commands on Slurm, PBS, Grid Engine, any SSH host or this machine.

    Ids of jobs may be shortened as long as they are unambiguous. stdout is data, stderr is talk; with --json errors are
    told on stdout too, as {"error": {"type", "message", "hint"}}.
    """
    context.ensure_object(State)


clustrix.params += [cluster_option(), *everywhere()]
