"""``clustrix audit``: the log, read."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

import click

from clustrix_audit import log

COLUMNS = ("when", "who", "event", "cluster", "backend", "name")


@click.command("audit")
@click.option("--job", metavar="ID", help="Of this job only; its id may be shortened.")
@click.option("--last", metavar="N", type=click.IntRange(min=1), help="The last N entries only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def audit(context: click.Context, job: str | None, last: int | None, as_json: bool) -> None:
    """Print what was submitted to any cluster, and what became of it."""
    entries = [entry for entry in log.read(log.path()) if str(entry.get("job", "")).startswith(job or "")]
    found = list(deque(entries, maxlen=last))
    if as_json or getattr(context.obj, "json", False):  # `clustrix --json audit` says it before the command
        click.echo(json.dumps(found))
        return
    for entry in found:
        click.echo("  ".join([*(_plain(entry.get(column)) for column in COLUMNS), _more(entry)]).rstrip())


def _more(entry: Mapping[str, Any]) -> str:
    if entry.get("event") == "changed":
        return f"{_plain(entry.get('before'))} → {_plain(entry.get('after'))}  {_plain(entry.get('reason'))}"
    asked = entry.get("resources")
    words = [f"{name}={value}" for name, value in asked.items()] if isinstance(asked, dict) else []
    return _plain("  ".join([*words, str(entry.get("error", ""))]))


def _plain(value: Any) -> str:
    """Return a value as one line without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in str("" if value is None else value))
