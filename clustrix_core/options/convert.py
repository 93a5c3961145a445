"""One value made to fit one type: strings of environment variables and flags become numbers, lists and mappings."""

from __future__ import annotations

import collections.abc
import enum
import math
import operator
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args

from clustrix_core.options.origin import Origin
from clustrix_core.options.setting import members, shape_of
from clustrix_core.quantities import parse_memory, parse_time

QUANTITIES: Mapping[str, Callable[..., int]] = {"memory": parse_memory, "time": parse_time}
LISTS = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,300}\.?|[0-9]{0,300}\.[0-9]{1,300})([eE][+-]?[0-9]{1,4})?")
# A comma ends a pair only where another "name=" follows, so that values may hold commas.
_NEXT_PAIR = re.compile(r",\s*(?=[A-Za-z_][\w./-]*=)")


class Unfit(Exception):
    """The value is not of the type. ``part`` is the key of the one inside that is wrong, where there is one."""

    def __init__(self, part: Any = None) -> None:
        super().__init__(part)
        self.part = part


def fit(hint: Any, value: Any, origin: Origin, kind: str = "", name: str = "") -> Any:
    """Return ``value`` as ``hint`` wants it. Raises Unfit, or ConfigError for a quantity or an option inside."""
    if hint is Any or hint is object:
        return value
    if value is None and NoneType in members(hint):
        return None
    if kind in QUANTITIES:
        return QUANTITIES[kind](value, name)
    shape = shape_of(hint)
    if shape in (Union, UnionType):
        return _union(get_args(hint), value, origin, kind)
    if shape is Literal:
        return choose(get_args(hint), value)
    if shape in LISTS:
        return _list(shape, get_args(hint), value, origin, kind)
    if shape in MAPPINGS:
        return _mapping(get_args(hint), value, origin)
    if is_dataclass(hint) and isinstance(hint, type):
        return _nested(hint, value, origin)
    return _scalar(hint, value, origin, kind)


def choose(choices: tuple[Any, ...], value: Any) -> Any:
    """Return the one of ``choices`` that ``value`` is or is spelt like. Raises Unfit."""
    for choice in choices:
        if choice == value and type(choice) is type(value):
            return choice
    for choice in choices:
        if isinstance(value, str) and str(choice) == value:
            return choice
    raise Unfit


def _union(hints: tuple[Any, ...], value: Any, origin: Origin, kind: str) -> Any:
    hints = tuple(hint for hint in hints if hint is not NoneType)
    exact = [hint for hint in hints if type(value) is hint and not isinstance(value, str)]
    # Text comes last among the plain types, or "4" would never be a number; and before lists, or it would be split.
    rank = {bool: 2, int: 0, float: 1, str: 4}
    others = sorted(hints, key=lambda hint: rank.get(hint, 5 if shape_of(hint) in (*LISTS, *MAPPINGS) else 3))
    for hint in (*exact, *others):
        try:
            return fit(hint, value, origin, kind)
        except Unfit:
            continue
    raise Unfit


def _list(shape: Any, args: tuple[Any, ...], value: Any, origin: Origin, kind: str) -> Any:
    make = shape if shape in (list, set, frozenset) else tuple
    if isinstance(value, str):
        value = [value] if kind == "lines" else [word.strip() for word in value.split(",") if word.strip()]
    elif not isinstance(value, (list, tuple, set, frozenset)):
        raise Unfit
    items = list(value)
    if shape is tuple and args and args[-1] is not Ellipsis:
        if len(items) != len(args):
            raise Unfit
        hints = list(args)
    else:
        hints = [args[0] if args else Any] * len(items)
    return make(
        [_inside(hint, item, origin, index) for index, (hint, item) in enumerate(zip(hints, items, strict=True))]
    )


def _mapping(args: tuple[Any, ...], value: Any, origin: Origin) -> dict[Any, Any]:
    key_hint, value_hint = args or (Any, Any)
    if not isinstance(value, Mapping):
        value = pairs(value)
    done = {}
    for key, item in value.items():
        if value_hint is str and type(item) in (int, float) and origin.at(key).text is None:
            item = str(item)
        done[_inside(key_hint, key, Origin(), key)] = _inside(value_hint, item, origin, key)
    return done


def pairs(value: Any) -> dict[str, str]:
    """Return the mapping that ``"a=1,b=2"`` or a list of such pairs stands for. Raises Unfit."""
    words = _NEXT_PAIR.split(value) if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)):
        raise Unfit
    found = {}
    for word in words:
        if not isinstance(word, str) or (word.strip() and "=" not in word):
            raise Unfit
        if word.strip():
            key, _, content = word.partition("=")
            found[key.strip()] = content
    return found


def _inside(hint: Any, value: Any, origin: Origin, key: Any) -> Any:
    try:
        return fit(hint, value, origin.at(key))
    except Unfit as error:
        raise Unfit(key) from error


def _nested(cls: type, value: Any, origin: Origin) -> Any:
    from clustrix_core.options.build import build

    if not isinstance(value, (cls, Mapping)):
        raise Unfit
    return build(cls, value, origin)


def _scalar(hint: Any, value: Any, origin: Origin, kind: str) -> Any:
    if hint in _SCALARS:
        return _SCALARS[hint](value, origin, kind)
    if not isinstance(hint, type):
        raise Unfit
    if issubclass(hint, enum.Enum):
        return value if isinstance(value, hint) else hint(choose(tuple(item.value for item in hint), value))
    if issubclass(hint, PurePath) and isinstance(value, (str, PurePath)):
        return hint(_text(str(value), origin, kind))
    if isinstance(value, hint):
        return value
    raise Unfit


def _truth(value: Any, origin: Origin, kind: str) -> bool:
    if isinstance(value, str) and value.strip().lower() in _TRUTH:
        return _TRUTH[value.strip().lower()]
    if not isinstance(value, bool):
        raise Unfit
    return value


def _integer(value: Any, origin: Origin, kind: str) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, (bool, enum.Enum)) or not hasattr(value, "__index__"):
        raise Unfit
    return operator.index(value)


def _number(value: Any, origin: Origin, kind: str) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unfit
    try:
        number = float(value)
    except OverflowError:
        raise Unfit from None
    if not math.isfinite(number):
        raise Unfit
    return number


def _text(value: Any, origin: Origin, kind: str) -> str:
    if isinstance(value, os.PathLike) and kind == "path":
        value = os.fspath(value)
    elif origin.text is not None and isinstance(value, (bool, int, float)):
        value = origin.text
    if not isinstance(value, str) or "\0" in value:
        raise Unfit
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Unfit from None
    return value


def _nothing(value: Any, origin: Origin, kind: str) -> None:
    if value is not None:
        raise Unfit


_SCALARS: Mapping[Any, Callable[[Any, Origin, str], Any]] = {
    bool: _truth,
    int: _integer,
    float: _number,
    str: _text,
    Path: lambda value, origin, kind: Path(_text(value, origin, "path")),
    NoneType: _nothing,
}
