"""``clustrix status``: one job."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from clustrix_core.cli import jobbook, output
from clustrix_core.cli.command import Command
from clustrix_core.cli.completion import jobs
from clustrix_core.cli.state import state

if TYPE_CHECKING:
    from clustrix_core.engine.survey import Seen
    from clustrix_core.entry import Entry

SHOWN = 5  # errors and calls that are told of
_APART = ("errors", "progress")


@click.command("status", cls=Command)
@click.argument("id", shell_complete=jobs)
def command(id: str) -> None:
    """Tell what is known of a job; its cluster is asked while it is in flight.

    The exit code says whether it could be told, not how the job is.
    """
    entry = jobbook.journal().get(id)
    seen = jobbook.look([entry]).get(entry.id)
    found = _described(entry, seen)
    if state().json:
        output.document(found)
        return
    tasks = found.pop("tasks")
    shown = {name: value for name, value in found.items() if value not in (None, "", {}) and name not in _APART}
    width = max(map(len, shown))
    for name, value in shown.items():
        output.line(f"{name:{width}}  {output.plain(value)}")
    for said in seen.progress[:SHOWN] if seen else ():
        call = f"call {said.call}: " if found["calls"] > 1 else ""
        output.line(f"{'progress':{width}}  {call}{said}")
    if tasks:
        counted = Counter(task["state"] for task in tasks)
        output.line(f"{'tasks':{width}}  " + ", ".join(f"{number} {word}" for word, number in counted.items()))
    for end in found["errors"][:SHOWN]:
        output.line(f"{'error':{width}}  {output.plain(end)}")


def _described(entry: Entry, seen: Seen | None) -> dict[str, Any]:
    known = seen.status if seen else None
    return {
        **jobbook.described(entry, seen),
        "word": known.word if known else "",
        "exit_code": known.exit_code if known else None,
        "arrived": seen.arrived if seen and jobbook.is_open(entry) else None,
        "tasks": [
            {"task": index, "state": task.state.value, "reason": task.reason, "exit_code": task.exit_code}
            for index, task in sorted(known.tasks.items())
        ]
        if known
        else [],
        "work_dir": str(entry.settings.get("work_dir") or "~/.clustrix"),
        "directory": entry.handle.dir if entry.handle else None,
        "errors": list(dict.fromkeys(str(end.get("message")) for end in entry.ends.values())),
    }
