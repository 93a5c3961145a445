"""Requirements as people keep them: files for pip, pyproject.toml, uv.lock and pylock.toml."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from clustrix_core.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_REQUIREMENT = re.compile(rf"({_NAME})\s*(\[[^\]]*\])?\s*([<>=!~(;@ ].*)?", re.DOTALL)
_OPTION = re.compile(r"--?[A-Za-z][\w-]*")
# Options of requirements files that mean the same to pip and uv, and need no file of this machine.
_KEPT = frozenset(
    (
        "--index-url",
        "-i",
        "--extra-index-url",
        "--find-links",
        "-f",
        "--no-index",
        "--pre",
        "--no-binary",
        "--only-binary",
        "--require-hashes",
        "--trusted-host",
        "--prefer-binary",
    )
)
_INCLUDED = {"-r": False, "--requirement": False, "-c": True, "--constraint": True}
_DEEP = 20  # files that include one another


class Listed(NamedTuple):
    """The lines of a file, and the versions that hold for what these bring along."""

    lines: tuple[str, ...]
    constraints: tuple[str, ...] = ()


def read(path: Path) -> Listed:
    """Return what a file lists, with what it includes. Raises ConfigError that names file and line."""
    if not path.is_file():
        raise ConfigError(f"there is no requirements file {str(path)!r}", hint="Its place counts from here.")
    if path.suffix in (".yml", ".yaml"):
        raise ConfigError(
            f"{path}: conda's environment files are not read",
            hint="Create it there and give its name, or list what pip gets.",
        )
    if path.suffix in (".toml", ".lock"):
        return _toml(path)
    pairs = list(_lines(path, False, 0))
    return Listed(
        tuple(line for line, constraint in pairs if not constraint),
        tuple(line for line, constraint in pairs if constraint),
    )


def is_requirement(word: str) -> bool:
    """Return whether a word with a slash or a dot in it is a requirement: ``name @ https://…``, ``name==1.toml``."""
    match = _REQUIREMENT.fullmatch(word)
    return bool(match and match[3])


def name_of(line: str) -> str:
    """Return the normalised name of the project that a line is about; "" for an option."""
    match = _REQUIREMENT.fullmatch(line)
    return normal(match[1]) if match else ""


def normal(name: str) -> str:
    """Return a project's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def checked(line: str, place: str) -> str:
    """Return a requirement that names a project. Raises ConfigError for what only this machine has, and for secrets."""
    match = _REQUIREMENT.fullmatch(line)
    if match is None or "file:" in line:
        raise ConfigError(
            f"{place}: {line!r} is not to be had on the cluster",
            hint="Name a project and its version. What lies here alone goes along as a wheel, in a folder (wheels:).",
        )
    for word in line.split():
        if "://" in word:
            address(word, place)
    return line


def address(url: str, place: str) -> str:
    """Return an address as it is. Raises ConfigError where it holds a password: it would be kept in plain text."""
    parts = urlsplit(url)
    if parts.password is not None or ("http" in parts.scheme and parts.username):
        raise ConfigError(
            f"{place}: the address of {parts.hostname} holds a user name or password",
            hint="Put them into ~/.netrc on the cluster: pip and uv read it.",
        )
    if "\n" in url or url.startswith("-"):
        raise ConfigError(f"{place}: {url!r} is not an address")
    return url


def _lines(path: Path, constraint: bool, depth: int) -> Iterator[tuple[str, bool]]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    number = 0
    for line in _joined(text):
        number += 1 + line.count("\n")
        line = re.sub(r"(^|\s)#.*$", "", line.replace("\n", " ")).strip()
        if not line:
            continue
        place = f"{path}:{number}"
        option = _OPTION.match(line)
        word = option[0] if option else ""
        rest = line[len(word) :].lstrip(" =")
        if word in _INCLUDED:
            if depth == _DEEP:
                raise ConfigError(f"{place}: files include one another")
            yield from _lines(path.parent / rest, constraint or _INCLUDED[word], depth + 1)
        elif word in _KEPT:
            if "://" in rest:
                address(rest, place)
            elif word in ("-f", "--find-links") and not rest.startswith("/"):
                raise ConfigError(f"{place}: {rest!r} is a folder of this machine", hint="Set wheels: to it.")
            yield line, False
        else:
            yield checked(line, place), constraint


def _joined(text: str) -> Iterator[str]:
    """Yield lines, continued ones as one with line ends in it."""
    held = ""
    for line in text.splitlines():
        if line.endswith("\\"):
            held += line[:-1] + "\n"
        else:
            yield held + line
            held = ""
    if held:
        yield held


def _toml(path: Path) -> Listed:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if path.name == "uv.lock":
        return _uv_lock(data, path)
    if path.name.startswith("pylock") and isinstance(data.get("packages"), list):
        return Listed(tuple(_pinned(one, path) for one in data["packages"]))
    project = data.get("project")
    if not isinstance(project, Mapping):
        raise ConfigError(
            f"{path}: neither a [project], nor a uv.lock or pylock.toml", hint="Export it as a requirements file."
        )
    return Listed(tuple(checked(str(line), str(path)) for line in project.get("dependencies", ())))


def _pinned(one: Mapping[str, Any], path: Path) -> str:
    if "version" not in one or "directory" in one:
        raise ConfigError(f"{path}: {one.get('name')} has no version: it lies here alone", hint="Build a wheel of it.")
    marker = f" ; {one['marker']}" if one.get("marker") else ""
    return checked(f"{one['name']}=={one['version']}{marker}", str(path))


def _uv_lock(data: Mapping[str, Any], path: Path) -> Listed:
    """Return what the project itself depends on, and as constraints all versions that are locked once."""
    packages = data.get("package", ())
    roots = [one for one in packages if {"editable", "virtual"} & set(one.get("source", {}))]
    lines = []
    for need in (need for root in roots for need in root.get("dependencies", ())):
        extras = f"[{','.join(need['extra'])}]" if need.get("extra") else ""
        marker = f" ; {need['marker']}" if need.get("marker") else ""
        lines.append(checked(f"{need['name']}{extras}{marker}", str(path)))
    names = [one["name"] for one in packages]
    locked = [one for one in packages if names.count(one["name"]) == 1 and "registry" in one.get("source", {})]
    return Listed(tuple(lines), tuple(f"{one['name']}=={one['version']}" for one in locked))
