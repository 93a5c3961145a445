"""A command: what all of them have."""

from __future__ import annotations

import sys
from typing import Any

import click

from clustrix_core.cli.state import State, everywhere


class Command(click.Command):
    """A command with the options that are everywhere; it listens to ``clustrix.*`` while it runs."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += everywhere()

    def invoke(self, ctx: click.Context) -> Any:
        listen(ctx.ensure_object(State).debug)
        return super().invoke(ctx)


def listen(debug: bool) -> None:
    """Send what Clustrix logs to stderr: warnings, and with ``debug`` everything, with tracebacks."""
    import logging

    class Brief(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return f"clustrix: {record.getMessage()}"

    logger = logging.getLogger("clustrix")
    for old in [handler for handler in logger.handlers if handler.name == "clustrix-cli"]:
        logger.removeHandler(old)
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name("clustrix-cli")
    handler.setFormatter(logging.Formatter("%(relativeCreated)7d ms %(name)s: %(message)s") if debug else Brief())
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
