"""What one call needs: cores, memory, walltime and the rest, checked when it is made."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, replace
from typing import Any

from clustrix_core.errors import ConfigError
from clustrix_core.quantities import format_time, parse_memory, parse_time, quoted

ALIASES = {"queue": "partition"}  # other words for a resource
# Not CANCELLED: somebody wanted it to end.
RETRIABLE = ("NODE_FAIL", "PREEMPTED", "RESULT_LOST", "TIMEOUT", "OUT_OF_MEMORY", "FAILED", "LOST", "ERROR")

_WHOLE = re.compile(r"[0-9]{1,18}")
_WORD = re.compile(r"[A-Za-z0-9_.,:=@%+/\-]+")
_CONSTRAINT = re.compile(r"[A-Za-z0-9_.,:=@%+/&|\[\]()*\-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GPUS = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.\-]*:[1-9][0-9]{0,5}")

_MOST = 10**6  # cores, nodes or GPUs: more is a slip of the keyboard


def nearest(word: str, known: Iterable[object]) -> str:
    """Return a sentence that names the likeliest of ``known``, or all of them."""
    import difflib

    names = sorted(str(name) for name in known)
    close = difflib.get_close_matches(word, names, 1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names)}."


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
        "ends after which it is; ERROR: its own exception", ("NODE_FAIL", "PREEMPTED", "RESULT_LOST"), choices=RETRIABLE
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
