"""One option: a field of an option dataclass with its type resolved and its metadata read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from clustrix_core.errors import PluginError

_SECRET = re.compile(
    r"(^|[_-])(password|passwd|passphrase|secret|token|api_?key|access_?key|private_?key)([_-]|$)", re.I
)


@dataclass(frozen=True)
class Setting:
    """What is known of one option. ``default`` is ``dataclasses.MISSING`` where one must be given."""

    name: str
    type: Any
    default: Any
    help: str = ""
    kind: str = ""
    choices: tuple[Any, ...] = ()

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def optional(self) -> bool:
        """True where None is a value of its own."""
        return self.type is Any or NoneType in members(self.type)

    @property
    def secret(self) -> bool:
        return self.kind == "secret" or is_secret(self.name)


def is_secret(name: str) -> bool:
    """Return whether a name says that its value must not be shown: password, token, api_key and the like."""
    return bool(_SECRET.search(name))


def members(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union; of another type, the type alone."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def shape_of(hint: Any) -> Any:
    """Return ``list`` of ``list[str]``; of a type without parameters, the type itself."""
    return get_origin(hint) or hint


def settings(cls: type) -> Mapping[str, Setting]:
    """Return the options of a dataclass by name, in order; fields with ``init=False`` are none.

    Raises PluginError when it is no dataclass, or an annotation names something that cannot be found.
    """
    return _settings(cls)


@lru_cache(maxsize=256)
def _settings(cls: type) -> Mapping[str, Setting]:
    if not is_dataclass(cls) or not isinstance(cls, type):
        raise PluginError(f"{cls!r} is not a dataclass, so it cannot describe options")
    try:
        hints = get_type_hints(cls)
    except (NameError, TypeError, AttributeError) as error:
        raise PluginError(f"the types of {cls.__qualname__} cannot be read: {error}") from error
    found = {}
    for item in fields(cls):
        if item.init:
            default = item.default if item.default_factory is MISSING else item.default_factory()
            known = {key: item.metadata[key] for key in ("help", "kind") if key in item.metadata}
            choices = tuple(item.metadata.get("choices", ()))
            found[item.name] = Setting(item.name, hints[item.name], default, choices=choices, **known)
    return found
