"""Where a value was written, so that an error can say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from clustrix_core.errors import ConfigError


@dataclass(frozen=True)
class Origin:
    """A file and a line, or another ``place`` such as ``$CLUSTRIX_CORES``; ``parts`` are the origins of what is inside.

    ``text`` is a bare scalar of a file as it was typed: ``010`` for the number 10.
    """

    place: str = ""
    file: str | None = None
    line: int | None = None
    text: str | None = None
    parts: Mapping[Any, Origin] = field(default_factory=dict, repr=False)

    def at(self, key: object) -> Origin:
        """Return the origin of one part; of a part that is not known, this one."""
        known = self.parts.get(key) if isinstance(key, (str, int)) else None
        return known or replace(self, text=None, parts={})

    def with_parts(self, parts: Mapping[Any, Origin]) -> Origin:
        """Return a copy that has ``parts`` in place of its own."""
        return replace(self, parts=dict(parts))

    def error(self, message: str, hint: str | None = None) -> ConfigError:
        """Return a ConfigError that says where."""
        return self.locate(ConfigError(message, hint=hint))

    def locate(self, error: ConfigError) -> ConfigError:
        """Return ``error`` with this place in front of its message, unless it names a place already."""
        said = error.__dict__
        where = f"{self.file}:{self.line}" if self.file and self.line else self.file or self.place
        if where and not said.get("place"):
            said.update(file=self.file, line=self.line, place=where)
            error.args = (f"{where}: {error.args[0] if error.args else ''}",)
        return error
