"""Option dataclasses as people and tools see them: command-line flags, tables of the documentation, JSON schemas."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, is_dataclass
from pathlib import PurePath
from types import NoneType
from typing import Any, Literal, get_args

from clustrix_core.options.convert import LISTS, MAPPINGS
from clustrix_core.options.setting import Setting, members, settings, shape_of
from clustrix_core.quantities import format_memory, format_time

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_KINDS = {"memory": "an amount of memory", "time": "a walltime", "path": "a path"}
_JSON = {bool: "boolean", int: "integer", float: "number", str: "string", NoneType: "null"}
_FORMAT = {"memory": format_memory, "time": format_time}


@dataclass(frozen=True)
class Flag:
    """One command-line flag. ``build`` takes ``{flag.field: value}`` of those that were given.

    ``type`` is bool, int, float or str; ``off`` is the flag that says no, of a bool; ``multiple``: may be repeated.
    """

    name: str
    dest: str
    field: str
    type: type
    help: str
    multiple: bool = False
    off: str | None = None
    choices: tuple[str, ...] = ()


def flags(cls: type, prefix: str = "") -> Sequence[Flag]:
    """Return the flags of an option dataclass, ``--<prefix>-<name>``. None for secrets and for dataclasses inside."""
    return [
        _flag(setting, prefix)
        for setting in settings(cls).values()
        if not setting.secret and not any(is_dataclass(hint) for hint in _members(setting))
    ]


def table(cls: type) -> str:
    """Return a Markdown table of an option dataclass: name, type, default, help."""
    rows = ["| name | type | default | |", "|---|---|---|---|"]
    for setting in settings(cls).values():
        cells = (f"`{setting.name}`", wanted(setting), _default(setting), setting.help)
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def schema(cls: type) -> dict[str, Any]:
    """Return the JSON schema of an option dataclass."""
    known = settings(cls)
    required = [name for name, setting in known.items() if setting.required]
    return {
        "type": "object",
        "properties": {name: _property(setting) for name, setting in known.items()},
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def wanted(setting: Setting) -> str:
    """Return in words what a setting takes."""
    if setting.choices:
        return " or ".join(f"`{choice}`" for choice in setting.choices)
    if setting.kind in _KINDS:
        return _KINDS[setting.kind]
    return " or ".join(dict.fromkeys(_words(hint) for hint in _members(setting)))


def _members(setting: Setting) -> list[Any]:
    return [hint for hint in members(setting.type) if hint is not NoneType]


def _words(hint: Any) -> str:
    shape, args = shape_of(hint), get_args(hint)
    if shape is Literal:
        return " or ".join(f"`{choice}`" for choice in args)
    if shape in LISTS:
        item = _words(args[0]).removeprefix("a ") if args and args[0] is not Any else "values"
        return f"a list of {item}" if item in ("text", "values") else f"a list of {item}s"
    if shape in MAPPINGS:
        return "a mapping of names to values"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return " or ".join(f"`{item.value}`" for item in hint)
    if isinstance(hint, type) and issubclass(hint, PurePath):
        return _KINDS["path"]
    return _WORDS.get(hint) or ("anything" if hint is Any else f"a mapping ({getattr(hint, '__name__', hint)})")


def _default(setting: Setting) -> str:
    value = setting.default
    if value is MISSING:
        return "must be given"
    if value is None or (isinstance(value, (str, tuple, list, dict)) and not value) or is_dataclass(value):
        return ""
    if setting.kind in _FORMAT:
        return f"`{_FORMAT[setting.kind](value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{', '.join(map(str, value)) if isinstance(value, (tuple, list)) else value}`"


def _flag(setting: Setting, prefix: str) -> Flag:
    words = (f"{prefix}-" if prefix else "") + setting.name.replace("_", "-")
    hints = _members(setting)
    kind = hints[0] if len(hints) == 1 and hints[0] in (bool, int, float) and setting.kind not in _FORMAT else str
    return Flag(
        name=f"--{words}",
        dest=words.replace("-", "_"),
        field=setting.name,
        type=kind,
        help=setting.help,
        multiple=any(shape_of(hint) in (*LISTS, *MAPPINGS) for hint in hints),
        off=f"--no-{words}" if kind is bool else None,
        choices=tuple(map(str, setting.choices)),
    )


def _property(setting: Setting) -> dict[str, Any]:
    found = _type(setting)
    if setting.help:
        found["description"] = setting.help
    default = setting.default
    if default is not MISSING and default is not None and isinstance(default, (bool, int, float, str)):
        found["default"] = default
    return found


def _type(setting: Setting) -> dict[str, Any]:
    if setting.choices:
        return {"enum": [*setting.choices, *([None] if setting.optional else [])]}
    if setting.kind in _FORMAT:
        return {"type": ["string", "integer", *(["null"] if setting.optional else [])]}
    return _any_of(list(members(setting.type)))


def _any_of(hints: list[Any]) -> dict[str, Any]:
    plain = [_JSON[hint] for hint in hints if hint in _JSON]
    rest = [_shape(hint) for hint in hints if hint not in _JSON]
    if not rest:
        return {"type": plain[0] if len(plain) == 1 else plain}
    if plain:
        rest.append({"type": plain[0] if len(plain) == 1 else plain})
    return rest[0] if len(rest) == 1 else {"anyOf": rest}


def _shape(hint: Any) -> dict[str, Any]:
    shape, args = shape_of(hint), get_args(hint)
    if shape is Literal:
        return {"enum": list(args)}
    if shape in LISTS:
        item = _any_of(list(members(args[0]))) if args and args[0] is not Any else {}
        return {"anyOf": [{"type": "array", "items": item}, {"type": "string"}]}
    if shape in MAPPINGS:
        value = _any_of(list(members(args[1]))) if args and args[1] is not Any else {}
        return {"type": "object", "additionalProperties": _lenient(value)}
    if isinstance(hint, type) and is_dataclass(hint):
        return schema(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [item.value for item in hint]}
    return {"type": "string"} if isinstance(hint, type) and issubclass(hint, PurePath) else {}


def _lenient(value: dict[str, Any]) -> dict[str, Any]:
    # Text inside a mapping may be typed bare in a file: OMP_NUM_THREADS: 4.
    return {"type": ["string", "number", "boolean"]} if value == {"type": "string"} else value
