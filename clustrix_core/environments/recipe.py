"""A recipe: all that decides what is installed in an environment, and the key that follows from it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clustrix_core.model import Site

_NOT_IN_KEY = ("name", "build")


@dataclass(frozen=True)
class File:
    """A file of this machine that is sent along, found over there by its hash."""

    name: str
    sha256: str
    path: str

    @classmethod
    def of(cls, path: Path) -> File:
        state = path.stat()
        return cls(path.name, _sha256(str(path), state.st_mtime_ns, state.st_size), str(path))


@functools.cache
def _sha256(path: str, changed: int, size: int) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


@dataclass(frozen=True)
class Recipe:
    """What to install, and how. ``name`` is what people call it, ``lines`` are those of a requirements file.

    ``constraints`` hold the versions of what these bring along. ``conda`` names an environment that is there already.
    ``wheels`` are a wheelhouse, ``local`` the packages that no index has; ``offline``: no index is asked. ``version``
    is that of the client, which an environment with a Python of its own must have, and None for one that is made of the
    cluster's; ``modules`` are loaded before anything is done.
    ``build`` says where it is built: on the login node, or in a job.
    """

    name: str
    lines: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    conda: str = ""
    manager: str = "auto"
    index: str = ""
    find_links: tuple[str, ...] = ()
    wheels: tuple[File, ...] = ()
    local: tuple[File, ...] = ()
    offline: bool = False
    version: tuple[int, int] | None = None
    modules: tuple[str, ...] = ()
    build: str = "login"

    def key(self, site: Site) -> str:
        """Return the name of the environment on a cluster, 16 hex digits: whatever matters changes it."""
        data = {name: value for name, value in self.to_json().items() if name not in _NOT_IN_KEY}
        for files in ("wheels", "local"):
            data[files] = [[file["name"], file["sha256"]] for file in data[files]]
        text = json.dumps([data, site.interpreter], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Recipe:
        files = {name: tuple(File(**file) for file in data[name]) for name in ("wheels", "local")}
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        return cls(**{**data, **lists, **files})
