"""A configuration file as plain data, with the line of every value. YAML 1.2's core types, and JSON."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from clustrix_core.options import Origin

LARGEST = 1 << 20
_MOST_NODES = 100_000
_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z")
# Numbers with a leading zero stay text, and so do clock times, which YAML 1.1 reads in base 60.
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z|[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z"
)
_UNLIKE = re.compile(r"[^\x00-\x7e]")
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
PLAIN = {
    "null": re.compile(r"(~|null|Null|NULL|)\Z"),
    "bool": re.compile(r"(true|True|TRUE|false|False|FALSE)\Z"),
    "int": _INT,
    "float": _FLOAT,
    "merge": re.compile(r"<<\Z"),
}


@dataclass(frozen=True)
class Read:
    """What a file holds: ``data`` (None when empty), where each value stands, and whether others may read the file."""

    data: Any
    origin: Origin
    exposed: bool = False


def read(path: Path) -> Read:
    """Return what a YAML or JSON file holds. Raises ConfigError, with the line where there is one."""
    origin = Origin(file=str(path))
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            raw = stream.read(LARGEST + 1)
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise origin.error(f"is not UTF-8: {error}") from None
    except OSError as error:
        raise origin.error(f"cannot be read: {error.strerror or error}") from None
    if len(raw) > LARGEST:
        raise origin.error(f"is larger than {LARGEST} bytes, so it is not a configuration")
    data, origin = parse(text, origin, as_json=path.suffix == ".json")
    return Read(data, origin, exposed=os.name == "posix" and bool(stat.S_IMODE(mode) & 0o077))


def parse(text: str, origin: Origin, as_json: bool = False) -> tuple[Any, Origin]:
    """Return the data of a text and the origin of every value in it. Raises ConfigError."""
    import yaml

    if as_json and text.strip():
        text = _json(text, origin)
    try:
        node = yaml.compose(text, Loader=_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _at(origin, mark).error(f"is not YAML: {error.problem or error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise origin.error(f"is not YAML: {str(error).splitlines()[0]}") from None
    return (None, origin) if node is None else _Builder(origin).value(node)


def _json(text: str, origin: Origin) -> str:
    """Return JSON as YAML reads it. Raises ConfigError when it is not JSON."""
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        at = Origin(origin.place, origin.file, line)
        raise at.error(f"is not JSON: {getattr(error, 'msg', error)}") from None
    # Outside its strings JSON is ASCII, and in them it has no bare tabs: what YAML sees otherwise can be escaped.
    text = _UNLIKE.sub(lambda m: f"\\U{ord(m[0]):08x}", text.replace("\t", " "))
    return _SURROGATES.sub(lambda m: m[1] + _pair(m[2], m[3]), text)


def _pair(high: str, low: str) -> str:
    return f"\\U{0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00:08x}"


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


@lru_cache(maxsize=1)
def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """PyYAML's parser with the plain scalars of YAML 1.2: no base 60, no octal, and "no" is a word."""

        yaml_implicit_resolvers = {None: [(_TAG + name, pattern) for name, pattern in PLAIN.items()]}  # noqa: RUF012

    return Loader


def _at(origin: Origin, mark: Any) -> Origin:
    return Origin(origin.place, origin.file, mark.line + 1 if mark else None)


class _Builder:
    """Turns composed nodes into data and origins; keeps count, because aliases can make a small file huge."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.nodes = 0
        self.open: set[int] = set()

    def value(self, node: Any) -> tuple[Any, Origin]:
        self.nodes += 1
        at = _at(self.origin, node.start_mark)
        if id(node) in self.open or self.nodes > _MOST_NODES:
            raise at.error("aliases that never end, or too many of them")
        self.open.add(id(node))
        try:
            return self._scalar(node, at) if isinstance(node.value, str) else self._collection(node, at)
        finally:
            self.open.discard(id(node))

    def _collection(self, node: Any, at: Origin) -> tuple[Any, Origin]:
        parts: dict[Any, Origin] = {}
        if node.tag == _TAG + "map":
            data: Any = {}
            for key, inner in self._pairs(node):
                found, place = self.value(inner)
                data[key.value] = found
                parts[key.value] = Origin(place.place, place.file, key.start_mark.line + 1, place.text, place.parts)
        elif node.tag == _TAG + "seq":
            data = []
            for index, inner in enumerate(node.value):
                found, parts[index] = self.value(inner)
                data.append(found)
        else:
            raise at.error(f"the tag {node.tag!r} is not taken")
        return data, at.with_parts(parts)

    def _pairs(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Yield the pairs of a mapping, those merged in first. Keys are text, as written."""
        own: dict[str, int] = {}
        merged: list[Any] = []
        for key, inner in node.value:
            if not isinstance(key.value, str) or key.tag.startswith("!"):
                raise _at(self.origin, key.start_mark).error("a key must be a word")
            if key.tag == _TAG + "merge":
                merged += inner.value if inner.tag == _TAG + "seq" else [inner]
                continue
            if key.value in own:
                raise _at(self.origin, key.start_mark).error(
                    f"{key.value!r} is here twice, in line {own[key.value]} too"
                )
            own[key.value] = key.start_mark.line + 1
        for other in reversed(merged):
            self.nodes += 1
            if other.tag != _TAG + "map" or id(other) in self.open or self.nodes > _MOST_NODES:
                raise _at(self.origin, other.start_mark).error("only a mapping can be merged in")
            self.open.add(id(other))
            yield from self._pairs(other)
            self.open.discard(id(other))
        yield from ((key, inner) for key, inner in node.value if key.tag != _TAG + "merge")

    def _scalar(self, node: Any, at: Origin) -> tuple[Any, Origin]:
        kind = node.tag.removeprefix(_TAG)
        if kind == "str":
            return node.value, at
        bare = Origin(at.place, at.file, at.line, node.value)
        if kind == "null" or kind not in PLAIN or not PLAIN[kind].match(node.value):
            if kind == "null" and PLAIN["null"].match(node.value):
                return None, at
            raise at.error(f"the tag {node.tag!r} is not taken")
        if kind == "bool":
            return node.value.lower() == "true", bare
        if kind == "int":
            return int(node.value), bare
        if kind == "float":
            return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan")), bare
        return node.value, at
