"""Amounts of memory and time, as people write them and as schedulers read them."""

from __future__ import annotations

import operator
import re
from typing import Any

from clustrix_core.errors import ConfigError

_UNITS = {"": 1, "b": 1, **{p + s: 1024 ** (i + 1) for i, p in enumerate("kmgtp") for s in ("", "b", "ib")}}
_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_AMOUNT = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,18})?)\s*([a-z]*)")
_CLOCK = re.compile(r"(?:([0-9]{1,6})-)?([0-9]{1,9}):([0-9]{1,2})(?::([0-9]{1,2}))?")

_MEMORY = (1024**2, 1024**6)  # below it "8" was meant to be 8GB
_TIME = 10 * 366 * 86400


def parse_memory(value: str | int | float, name: str = "memory") -> int:
    """Return bytes of ``"8GB"``, ``"8G"``, ``"512 MiB"`` (powers of 1024, as the schedulers count) or of a number.

    Raises ConfigError for anything else, and for less than one MiB or more than one EiB.
    """
    match = _AMOUNT.fullmatch(_amount(value).lower())
    if not match or match[2] not in _UNITS:
        raise ConfigError(f"{name}={quoted(value)} is not an amount of memory", hint='Write it like "8GB" or "512MB".')
    # Whole numbers stay whole: a float loses digits above 2**53.
    size = int(match[1]) * _UNITS[match[2]] if "." not in match[1] else int(float(match[1]) * _UNITS[match[2]])
    if not _MEMORY[0] <= size <= _MEMORY[1]:
        what = "bytes, too little" if size < _MEMORY[0] else "bytes, more than there is"
        raise ConfigError(f"{name}={quoted(value)} is {size} {what}", hint='Write it like "8GB" or "512MB".')
    return size


def format_memory(size: int) -> str:
    """Return bytes as ``"8GB"``, in the largest unit that is exact; ``parse_memory`` reads it back."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "KB")):
        if size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return f"{size}B"


def parse_time(value: str | int | float, name: str = "time") -> int:
    """Return seconds of ``"01:30:00"``, ``"2-00:00:00"``, ``"90m"``, ``"36h"``, ``"1d"``, or of a number of seconds.

    Raises ConfigError for anything else, for zero and for more than ten years.
    """
    text = _amount(value).lower()
    clock = _CLOCK.fullmatch(text)
    seconds = _clock(clock, value, name) if clock else _duration(text)
    if not 0 < seconds <= _TIME:
        raise ConfigError(f"{name}={quoted(value)} is not a walltime", hint='Write it like "01:30:00", "90m" or "36h".')
    return seconds


def format_time(seconds: int) -> str:
    """Return ``HH:MM:SS``, days folded into hours: every scheduler reads that."""
    return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"


def quoted(value: object) -> str:
    """Return how an error message shows a value: its repr, cut short, whatever its repr does."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 200 else f"{text[:200]}…"


def _amount(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float):
        return format(value, "f")
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return ""
    number = operator.index(value)
    return str(number) if 0 <= number < 10**19 else ""


def _clock(match: re.Match[str], value: object, name: str) -> int:
    # Without seconds, "90:00" would be minutes to Slurm and hours to people: ask for all three.
    if match[4] is None:
        raise ConfigError(f"{name}={quoted(value)} is ambiguous", hint='Write hours, minutes and seconds: "01:30:00".')
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    if minutes > 59 or seconds > 59 or (match[1] and hours > 23):
        return 0
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _duration(text: str) -> int:
    match = _AMOUNT.fullmatch(text)
    return int(float(match[1]) * _SECONDS[match[2]]) if match and match[2] in _SECONDS else 0
