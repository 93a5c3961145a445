"""The nine file functions, as they are on a client: they act on a cluster, over its own connection.

One command a call, after the first contact. It runs the same code as in a job, so results are the same too: sorted, and
names that are not UTF-8 with surrogates, as ``os`` gives them. Relative paths begin in your home directory there, where
jobs begin too (without a host: in the working directory here). Inside a job they look at the node's own file system,
and on a ``local`` cluster at this machine's.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from clustrix_core import bundle
from clustrix_core import config as configuration
from clustrix_core.api import session
from clustrix_core.batch.script import modules, python
from clustrix_core.batch.site import where
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import CommandError, ConfigError, StagingError
from clustrix_core.worker import files as node
from clustrix_core.worker.files import DiskUsage as DiskUsage
from clustrix_core.worker.files import FileInfo as FileInfo
from clustrix_core.worker.lookup import MARK

if TYPE_CHECKING:
    from clustrix_core.model import Cluster

T = TypeVar("T")
Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Config = ClusterConfig | str | None
MOST = 64 << 20  # bytes of an answer: a million paths
_LONGEST = 1 << 17  # bytes of one line: a path is 4096 at most, and JSON may take six for each
_NO_WORKER = 66
_NUMBER = (int, float)


def cluster_ls(path: Path = ".", config: Config = None) -> list[str]:
    """Return the sorted names in a directory of the cluster ``config``: a name, a ClusterConfig, or the default one.

    Raises FileNotFoundError, NotADirectoryError and PermissionError as ``os`` does, ClustrixError for everything else.
    """
    return _look(node.cluster_ls, config, path=path)


def cluster_find(pattern: str, path: Path = ".", config: Config = None) -> list[str]:
    """Return the files at any depth below ``path`` whose name fits, as sorted paths from there; see ``cluster_ls``.

    A pattern of several parts (``run*/*.csv``) is for the last parts of the path. Links to directories are not
    followed; a directory that cannot be read is a PermissionError.
    """
    return _look(node.cluster_find, config, pattern=node.sought(pattern), path=path)


def cluster_stat(path: Path, config: Config = None) -> FileInfo:
    """Return what a file or directory is: ``size`` in bytes, ``modified`` in seconds since the epoch, ``is_dir``,
    ``is_file``, ``permissions`` as three octal digits, ``name``. Of a link, what it leads to. See ``cluster_ls``."""
    return _look(node.cluster_stat, config, path=path)


def cluster_exists(path: Path, config: Config = None) -> bool:
    """Return whether something is there; False also where that cannot be seen. See ``cluster_ls``."""
    return _look(node.cluster_exists, config, path=path)


def cluster_isdir(path: Path, config: Config = None) -> bool:
    """Return whether a directory is there; False also where that cannot be seen. See ``cluster_ls``."""
    return _look(node.cluster_isdir, config, path=path)


def cluster_isfile(path: Path, config: Config = None) -> bool:
    """Return whether a regular file is there; False also where that cannot be seen. See ``cluster_ls``."""
    return _look(node.cluster_isfile, config, path=path)


def cluster_glob(pattern: str, path: Path = ".", config: Config = None) -> list[str]:
    """Return what fits a pattern (``*.csv``, ``run-?/log``), as sorted paths from ``path``; see ``cluster_ls``.

    Files and directories; what begins with a dot must be asked for with one, and ``**`` is no more than ``*``.
    """
    return _look(node.cluster_glob, config, pattern=pattern, path=path)


def cluster_du(path: Path = ".", config: Config = None) -> DiskUsage:
    """Return ``total_bytes`` and ``file_count`` of all files below ``path``, with ``total_mb`` and ``total_gb`` (units
    of 1024² and 1024³ bytes). Sizes as a reader gets them; of a link, its own. See ``cluster_find``."""
    return _look(node.cluster_du, config, path=path)


def cluster_count_files(path: Path = ".", pattern: str = "*", config: Config = None) -> int:
    """Return the number of files that ``cluster_find`` would return."""
    return _look(node.cluster_count_files, config, path=path, pattern=node.sought(pattern))


def _look(function: Callable[..., T], asked: Config, **arguments: Path) -> T:
    words = {name: node.word(name, value) for name, value in arguments.items()}
    if session.inside():
        return function(**words)
    settings, running = _settings(asked), session.engine()
    info = running.dispatch.backend(settings.backend)
    if info.here:
        return function(**words)
    cluster = running.places.cluster(settings, settings.resources)
    name = function.__name__
    question = {"ask": name, "arguments": words, "cwd": None if settings.host or info.connect else os.getcwd()}
    try:
        values = _asked(running.places.ready(cluster), question)
    except StagingError:  # somebody has removed what the first contact had put there
        values = _asked(running.places.ready(cluster, again=True), question)
    found: T = _READ[name](values)
    return found


def _settings(asked: Config) -> ClusterConfig:
    if isinstance(asked, ClusterConfig):
        return asked
    if asked is not None and not isinstance(asked, str):
        raise ConfigError(f"config={asked!r:.200} is no cluster", hint="Give its name, a ClusterConfig, or nothing.")
    return configuration.find(asked)


def _asked(cluster: Cluster, question: dict[str, Any]) -> list[Any]:
    """Ask over there, with one command, and return the values. Raises OSError as over there."""
    worker, load = f"worker/{bundle.digest()}", "; ".join(modules(cluster.resources)) or ":"
    command = (
        f"cd -- {where(cluster)} && [ -f {worker}/complete ] || exit {_NO_WORKER};"
        f" {{ {load}; }} </dev/null; exec {python(cluster)} {worker} files"
    )
    answer = _Answer(cluster.name)
    completed = cluster.transport.run(command, [json.dumps(question).encode("ascii")], answer.feed)
    if completed.returncode == _NO_WORKER:
        raise StagingError("the worker is no longer there", cluster=cluster.name, transient=True)
    if completed.returncode or answer.last is None:
        said = completed.error[-1000:] or "the answer is damaged"
        raise CommandError(
            f"the files cannot be looked at: {said}",
            cluster=cluster.name,
            returncode=completed.returncode,
            stderr=completed.error,
            hint="`clustrix doctor` tells what is wrong with a cluster.",
        )
    return answer.values()


class _Answer:
    """The answer to one question as it arrives. Every byte of it is untrusted."""

    def __init__(self, cluster: str) -> None:
        self.last: dict[str, Any] | None = None
        self._cluster = cluster
        self._values: list[Any] = []
        self._begun = False
        self._rest = b""
        self._size = 0

    def feed(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MOST:
            raise CommandError(
                f"the answer is longer than {MOST >> 20} MB",
                cluster=self._cluster,
                hint="Ask for less: with a pattern, or further down. Inside a job there is no such limit.",
            )
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._begun:  # modules and login shells may have said something
                self._begun = line.endswith(MARK)
            elif line:
                self._take(line)
        if len(self._rest) > _LONGEST:
            raise self._damaged(self._rest)

    def values(self) -> list[Any]:
        """Return what came. Raises OSError of the kind that was raised over there, CommandError for other kinds."""
        assert self.last is not None
        if "error" in self.last:
            kind, said, path = (str(self.last.get(key, "")) for key in ("error", "said", "path"))
            said = "".join(char if char.isprintable() else " " for char in said[:300])
            if kind in _ERRORS:
                known, number = _ERRORS[kind]
                raise known(number, f"{said} (on {self._cluster})", path)
            raise CommandError(f"{kind}: {said}: {path!r}", cluster=self._cluster)
        if self.last.get("end") != len(self._values):
            raise self._damaged(b"%d values" % len(self._values))
        return self._values

    def _take(self, line: bytes) -> None:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise self._damaged(line) from None
        if self.last is not None:
            raise self._damaged(line)
        if isinstance(value, dict):
            self.last = value
        else:
            self._values.append(value)

    def _damaged(self, line: bytes) -> CommandError:
        return CommandError(f"looking at files failed: {line[:80]!r} is no answer", cluster=self._cluster)


_ERRORS: dict[str, tuple[type[OSError], int]] = {
    "FileNotFoundError": (FileNotFoundError, errno.ENOENT),
    "NotADirectoryError": (NotADirectoryError, errno.ENOTDIR),
    "PermissionError": (PermissionError, errno.EACCES),
}


def _paths(values: list[Any]) -> list[str]:
    if not all(isinstance(value, str) and value and "\0" not in value for value in values):
        raise CommandError("looking at files failed: an answer that holds no path")
    return sorted(values)


def _one(*kinds: type | tuple[type, ...], make: Callable[..., Any] | None = None) -> Callable[[list[Any]], Any]:
    """Return what reads an answer of one value: a list of these kinds for ``make``, else a value of the only kind."""

    def read(values: list[Any]) -> Any:
        found = values[0] if make is not None and len(values) == 1 else values
        if not (isinstance(found, list) and len(found) == len(kinds) and all(map(_is, found, kinds))):
            raise CommandError(f"looking at files failed: {values!r:.80} is no answer")
        return make(*found) if make is not None else found[0]

    return read


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and isinstance(value, bool) is (kind is bool)


_READ: dict[str, Callable[[list[Any]], Any]] = {
    "cluster_ls": _paths,
    "cluster_find": _paths,
    "cluster_glob": _paths,
    "cluster_stat": _one(int, _NUMBER, bool, bool, str, str, make=FileInfo),
    "cluster_du": _one(int, int, make=DiskUsage),
    "cluster_exists": _one(bool),
    "cluster_isdir": _one(bool),
    "cluster_isfile": _one(bool),
    "cluster_count_files": _one(int),
}

__all__ = list(node.NAMES)
