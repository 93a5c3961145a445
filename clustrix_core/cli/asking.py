"""Questions. They are talk, so they go to stderr; the answers come from stdin."""

from __future__ import annotations

import click

from clustrix_core.cli import output


def answer(question: str, default: str = "", flag: str = "--yes") -> str:
    """Ask for a line of text and return it; an empty one is the default.

    Raises UsageError where nobody answers, which says the ``flag`` that answers beforehand.
    """
    output.tell(f"{question} [{default}]: " if default else f"{question}: ")
    try:
        return input().strip() or default
    except EOFError:
        output.say("")
        raise click.UsageError(f"nobody answers: say {flag}.") from None


def agreed(question: str, flag: str = "--yes") -> bool:
    """Ask for a yes; anything else is a no."""
    return answer(f"{question} [y/N]", flag=flag).lower() in ("y", "yes")
