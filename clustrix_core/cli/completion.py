"""Shell completion: what the shell may offer, and the line that switches it on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import click
from click.shell_completion import CompletionItem

from clustrix_core.cli import output
from clustrix_core.cli.command import Command
from clustrix_core.cli.state import state

LATEST = 100
LINES = {
    "bash": ("~/.bashrc", 'eval "$(_CLUSTRIX_COMPLETE=bash_source clustrix)"'),
    "zsh": ("~/.zshrc", 'eval "$(_CLUSTRIX_COMPLETE=zsh_source clustrix)"'),
    "fish": ("~/.config/fish/completions/clustrix.fish", "_CLUSTRIX_COMPLETE=fish_source clustrix | source"),
}


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(list(LINES)))
def command(shell: str) -> None:
    """Print the line that switches completion on in your shell.

    Put it into the file that is named on stderr; then Tab completes commands, options, clusters and job ids.
    """
    file, text = LINES[shell]
    if state().json:
        output.document({"shell": shell, "file": file, "line": text})
        return
    output.line(text)
    output.say(f"Add this line to {file}.")


def clusters(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the configured clusters."""
    from clustrix_core import config
    from clustrix_core.errors import ClustrixError

    try:
        known = config.current().clusters
    except ClustrixError:
        return []
    found = {"local": "this machine", **{name: cluster.host or "" for name, cluster in known.items()}}
    return [CompletionItem(name, help=where) for name, where in found.items() if name.startswith(incomplete)]


def jobs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the latest jobs."""
    return list(_jobs(incomplete))


def _jobs(incomplete: str) -> Iterator[CompletionItem]:
    from clustrix_core.cli.jobbook import journal

    for entry in journal().entries(limit=LATEST):
        if entry.id.startswith(incomplete):
            when = datetime.fromtimestamp(entry.created).strftime("%d %b %H:%M")
            yield CompletionItem(entry.id, help=f"{entry.label}, {entry.state.lower()}, {when}")
