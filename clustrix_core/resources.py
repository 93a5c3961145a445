"""What one call needs: cores, memory, walltime and the rest, checked when it is made."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, replace
from typing import Any

from clustrix_core.errors import ConfigError

ALIASES = {"queue": "partition"}  # other words for a resource
# Not CANCELLED: somebody wanted it to end.
RETRIABLE = ("NODE_FAIL", "PREEMPTED", "TIMEOUT", "OUT_OF_MEMORY", "FAILED", "LOST", "ERROR")

_UNITS = {"": 1, "b": 1, **{p + s: 1024 ** (i + 1) for i, p in enumerate("kmgtp") for s in ("", "b", "ib")}}
_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_AMOUNT = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,18})?)\s*([a-z]*)")
_CLOCK = re.compile(r"(?:([0-9]{1,6})-)?([0-9]{1,9}):([0-9]{1,2})(?::([0-9]{1,2}))?")
_WHOLE = re.compile(r"[0-9]{1,18}")
_WORD = re.compile(r"[A-Za-z0-9_.,:=@%+/\-]+")
_CONSTRAINT = re.compile(r"[A-Za-z0-9_.,:=@%+/&|\[\]()*\-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GPUS = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.\-]*:[1-9][0-9]{0,5}")

_MOST = 10**6  # cores, nodes or GPUs: more is a slip of the keyboard
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


def nearest(word: str, known: Iterable[object]) -> str:
    """Return a sentence that names the likeliest of ``known``, or all of them."""
    import difflib

    names = sorted(str(name) for name in known)
    close = difflib.get_close_matches(word, names, 1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names)}."


def quoted(value: object) -> str:
    """Return how an error message shows a value: its repr, cut short, whatever its repr does."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 200 else f"{text[:200]}…"


def _help(text: str, default: Any = None, **extra: Any) -> Any:
    return field(default=default, metadata={"help": text, **extra})


@dataclass(frozen=True)
class Resources:
    """What ONE call needs. Fields left at None are the scheduler's to decide.

    Raises ConfigError for a value that is wrong; the error's ``field`` names it.
    """

    cores: int = _help("cores of one call", 1)
    memory: int | None = _help("resident memory of one call, like 8GB", kind="memory")
    time: int | None = _help("walltime of one call, like 01:30:00", kind="time")
    gpus: int | str | None = _help("GPUs of one call: a number, or type:number")
    nodes: int | None = _help("nodes of one call")
    partition: str | None = _help("partition or queue")
    account: str | None = _help("account or project to charge")
    qos: str | None = _help("quality of service")
    constraint: str | None = _help("node features")
    exclusive: bool = _help("whole nodes", False)
    name: str | None = _help("name that the scheduler shows")
    directives: tuple[str, ...] = _help("raw scheduler options, one each, like --mail-type=END", (), kind="lines")
    modules: tuple[str, ...] = _help("environment modules to load", ())
    # Values may be secrets, so no repr shows them.
    env: Mapping[str, str] = field(
        default_factory=dict, repr=False, hash=False, metadata={"help": "environment variables of the job"}
    )
    setup: tuple[str, ...] = _help("shell lines before the function", (), kind="lines")
    teardown: tuple[str, ...] = _help("shell lines after the function", (), kind="lines")
    retries: int = _help("how often a call may be run again, after the ends of retry_on or when it asks for it", 0)
    retry_on: tuple[str, ...] = _help(
        "ends after which it is; ERROR: its own exception", ("NODE_FAIL", "PREEMPTED"), choices=RETRIABLE
    )
    warn: int | None = _help("how long before its walltime a call gets SIGUSR1 and checkpoint.due()", kind="time")

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            try:
                object.__setattr__(self, name, check(name, value))
            except ConfigError as error:
                error.__dict__["field"] = name
                raise
        if self.warn is not None and self.time is not None and self.warn >= self.time:
            late = f"warn={format_time(self.warn)} is not shorter than time={format_time(self.time)}"
            raise ConfigError(late, field="warn")

    def but(self, **changes: Any) -> Resources:
        """Return a copy with ``changes`` (None changes nothing; ``env`` is merged). Unknown names raise ConfigError."""
        changes = {ALIASES.get(name, name): value for name, value in changes.items() if value is not None}
        known = {f.name for f in fields(self)}
        for name in changes:
            if name not in known:
                raise ConfigError(f"unknown resource {name!r}", hint=nearest(name, known))
        if "env" in changes:
            changes["env"] = {**self.env, **_env("env", changes["env"])}
        return replace(self, **changes) if changes else self


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


def _whole(name: str, value: Any, least: int = 1) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ConfigError(f"{name}={quoted(value)} is not a whole number of at least {least}")
    number = operator.index(value)
    if not least <= number <= _MOST:
        raise ConfigError(f"{name}={quoted(number)} is not a whole number from {least} to {_MOST}")
    return number


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={quoted(value)} is neither true nor false")
    return value


def _gpus(name: str, value: Any) -> int | str:
    if isinstance(value, str) and _GPUS.fullmatch(value):
        return value
    return _whole(name, value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{name}: {quoted(value)} is not a line of text")
    return value


def _line(name: str, value: Any) -> str:
    # isprintable is False for control characters, line ends of any kind and lone surrogates.
    if not _text(name, value).isprintable():
        raise ConfigError(f"{name}: {quoted(value)} holds a character that cannot be sent")
    return str(value)


def _shell(name: str, value: Any) -> str:
    if any(bad in _text(name, value) for bad in "\0\r") or not _encodes(value):
        raise ConfigError(f"{name}: {quoted(value)} holds a character that cannot be sent")
    return str(value)


def _word(name: str, value: Any, allowed: re.Pattern[str] = _WORD) -> str:
    if not isinstance(value, str) or not allowed.fullmatch(value) or value.startswith("-"):
        raise ConfigError(f"{name}={quoted(value)} is not a name that a scheduler knows")
    return value


def _several(name: str, value: Any, check: Callable[[str, Any], str]) -> tuple[str, ...]:
    if isinstance(value, bytes) or not isinstance(value, (str, Sequence, Set)):
        raise ConfigError(f"{name}={quoted(value)} is not a list of text")
    return tuple(check(name, item) for item in ((value,) if isinstance(value, str) else value))


def _words(name: str, value: Any) -> tuple[str, ...]:
    words = [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value
    return _several(name, words, _word)


def _ends(name: str, value: Any) -> tuple[str, ...]:
    words = _words(name, value)
    for word in words:
        if word not in RETRIABLE:
            raise ConfigError(f"{name}: {quoted(word)} is no end of a call", hint=nearest(word, RETRIABLE))
    return words


def _env(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} is not a mapping of names to values")
    for key, content in value.items():
        if not isinstance(key, str) or not _VARIABLE.fullmatch(key):
            raise ConfigError(f"{name}: {quoted(key)} is not the name of a variable")
        if isinstance(content, bool) or not isinstance(content, (str, int, float)):
            raise ConfigError(f"{name}: the value of {key} is not text", hint=f'Write it in quotes: {key}: "…"')
        if "\0" in str(content) or not _encodes(str(content)):
            raise ConfigError(f"{name}: the value of {key} holds a character that cannot be sent")
    return {key: str(content) for key, content in value.items()}


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


_OPTIONAL = frozenset({"memory", "time", "gpus", "nodes", "partition", "account", "qos", "constraint", "name", "warn"})
_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "cores": _whole,
    "memory": lambda name, value: parse_memory(value, name),
    "time": lambda name, value: parse_time(value, name),
    "gpus": _gpus,
    "nodes": _whole,
    "partition": _word,
    "account": _word,
    "qos": _word,
    "constraint": lambda name, value: _word(name, value, _CONSTRAINT),
    "exclusive": _flag,
    "name": _line,
    "directives": lambda name, value: _several(name, value, _line),
    "modules": _words,
    "env": _env,
    "setup": lambda name, value: _several(name, value, _shell),
    "teardown": lambda name, value: _several(name, value, _shell),
    "retries": lambda name, value: _whole(name, value, 0),
    "retry_on": _ends,
    "warn": lambda name, value: parse_time(value, name),
}
