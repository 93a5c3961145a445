"""The nine file functions: what there is in the file system of this machine. In a job, that is the node's own.

Results are sorted, a leading ``~`` is the home directory, and names that are not UTF-8 are as ``os`` gives them. Links
to directories are not followed on the way down, so circles end; a directory that cannot be read is an error. What
``config`` names makes no difference here: outside of a job it says which cluster is looked at.
"""

import fnmatch
import importlib
import os
import stat
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from typing import Any, Iterator, List, Sequence, Union

    Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

NAMES = (
    "cluster_count_files",
    "cluster_du",
    "cluster_exists",
    "cluster_find",
    "cluster_glob",
    "cluster_isdir",
    "cluster_isfile",
    "cluster_ls",
    "cluster_stat",
)
_MB = 1024 * 1024


class FileInfo(
    NamedTuple(
        "FileInfo",
        [
            ("size", int),
            ("modified", float),
            ("is_dir", bool),
            ("is_file", bool),
            ("permissions", str),
            ("name", str),
        ],
    )
):
    """What is known of a file or directory.

    ``size`` is in bytes, ``modified`` in seconds since the epoch, ``permissions`` are three octal digits, ``name`` is
    the last part of its path.
    """

    __slots__ = ()

    @property
    def modified_datetime(self) -> "datetime.datetime":
        """When it was changed, in local time."""
        import datetime

        return datetime.datetime.fromtimestamp(self.modified)


class DiskUsage(NamedTuple("DiskUsage", [("total_bytes", int), ("file_count", int)])):
    """What the files below a directory hold, in bytes, and how many there are."""

    __slots__ = ()

    @property
    def total_mb(self) -> float:
        """The same in units of 1024 × 1024 bytes."""
        return self.total_bytes / _MB

    @property
    def total_gb(self) -> float:
        """The same in units of 1024 × 1024 × 1024 bytes."""
        return self.total_bytes / (_MB * 1024)


def cluster_ls(path: "Path" = ".", config: "Any" = None) -> "List[str]":
    """Return the names in a directory. Raises FileNotFoundError, NotADirectoryError, PermissionError."""
    return sorted(names(place(path)))


def cluster_find(pattern: str, path: "Path" = ".", config: "Any" = None) -> "List[str]":
    """Return the files at any depth below ``path`` whose name fits, as paths from there.

    A pattern of several parts (``run*/*.csv``) is for the last parts of the path. Raises as ``cluster_ls``, and
    ConfigError for a pattern that begins or ends with a slash.
    """
    return sorted(found(sought(pattern), place(path)))


def cluster_stat(path: "Path", config: "Any" = None) -> FileInfo:
    """Return what a file or directory is; of a link, what it leads to. Raises FileNotFoundError, PermissionError."""
    asked = place(path)
    known = os.stat(asked)
    return FileInfo(
        size=known.st_size,
        modified=known.st_mtime,
        is_dir=stat.S_ISDIR(known.st_mode),
        is_file=stat.S_ISREG(known.st_mode),
        permissions="%03o" % (known.st_mode & 0o777),
        name=os.path.basename(os.path.normpath(asked)),
    )


def cluster_exists(path: "Path", config: "Any" = None) -> bool:
    """Return whether something is there; False also where that cannot be seen, as of ``os.path.exists``."""
    return os.path.exists(place(path))


def cluster_isdir(path: "Path", config: "Any" = None) -> bool:
    """Return whether a directory, or a link to one, is there; False also where that cannot be seen."""
    return os.path.isdir(place(path))


def cluster_isfile(path: "Path", config: "Any" = None) -> bool:
    """Return whether a regular file, or a link to one, is there; False also where that cannot be seen."""
    return os.path.isfile(place(path))


def cluster_glob(pattern: str, path: "Path" = ".", config: "Any" = None) -> "List[str]":
    """Return what fits a pattern, as paths from ``path``: ``*.csv``, ``run-?/log``. Raises as ``cluster_ls``.

    Files and directories; what begins with a dot must be asked for with one, and ``**`` is no more than ``*``.
    """
    return sorted(globbed(word("pattern", pattern), place(path)))


def cluster_du(path: "Path" = ".", config: "Any" = None) -> DiskUsage:
    """Return how many bytes the files at any depth below ``path`` have, and their number. Raises as ``cluster_ls``.

    The bytes are those that a reader gets, which may take more or less room on disk; of a link, its own.
    """
    total = count = 0
    for entry in files(place(path)):
        try:
            total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:  # removed meanwhile
            continue
        count += 1
    return DiskUsage(total, count)


def cluster_count_files(path: "Path" = ".", pattern: str = "*", config: "Any" = None) -> int:
    """Return the number of files that ``cluster_find`` would return. Raises as ``cluster_ls``."""
    return sum(1 for _ in found(sought(pattern), place(path)))


def place(path: "Path") -> str:
    """Return a path as ``os`` takes it, the home directory in place of a leading ``~``. Raises ConfigError."""
    return os.path.expanduser(word("path", path))


def word(what: str, value: "Path") -> str:
    """Return a path or pattern as text. Raises ConfigError for what is none."""
    try:
        text = os.fsdecode(value)
        os.fsencode(text)
    except (TypeError, UnicodeError):
        text = ""
    if not text or "\0" in text:
        errors = importlib.import_module("clustrix_core.errors")
        raise errors.ConfigError("%s=%s is no path" % (what, repr(value)[:200]), hint="Give a text or a pathlib.Path.")
    return text


def sought(pattern: "Path") -> str:
    """Return a pattern of ``cluster_find``. Raises ConfigError for one that no path below a directory can fit."""
    text = word("pattern", pattern)
    if "" in text.split("/"):
        errors = importlib.import_module("clustrix_core.errors")
        raise errors.ConfigError(
            "pattern=%s fits no path: it begins or ends with a slash, or has two in a row" % repr(text)[:200],
            hint='Name the directory aside, cluster_find("*.csv", "/data"), or take cluster_glob("/data/*.csv").',
        )
    return text


def names(directory: str) -> "Iterator[str]":
    """Yield the names in a directory, as they come."""
    with os.scandir(directory) as entries:
        for entry in entries:
            yield entry.name


def files(directory: str) -> "Iterator[os.DirEntry[str]]":
    """Yield the files at any depth below a directory, as they come. One that goes meanwhile is left out."""
    waiting = [directory]
    while waiting:
        here = waiting.pop()
        try:
            entries = os.scandir(here)
        except (FileNotFoundError, NotADirectoryError):
            if here is directory:
                raise
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif _is_file(entry):
                    yield entry


def _is_file(entry: "os.DirEntry[str]") -> bool:
    # Where a link leads may be nowhere, back to itself or closed to us: then it is no file.
    return os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file(follow_symlinks=False)


def found(pattern: str, directory: str) -> "Iterator[str]":
    """Yield the files of ``cluster_find``, as they come."""
    wanted = pattern.split("/")
    start = len(os.path.join(directory, ""))
    for entry in files(directory):
        path = entry.path[start:]
        if _fits(path.split("/")[-len(wanted) :], wanted):
            yield path


def _fits(parts: "Sequence[str]", patterns: "Sequence[str]") -> bool:
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def globbed(pattern: str, directory: str) -> "Iterator[str]":
    """Yield what fits a pattern, as it comes. An absolute pattern yields absolute paths."""
    if os.path.isabs(pattern):
        return (os.sep + path for path in _globbed(os.sep, "", pattern.lstrip("/").split("/")))
    with os.scandir(directory):  # raises where there is none, also for a pattern that needs no listing
        pass
    return _globbed(directory, "", pattern.split("/"))


def _there(directory: str, so_far: str) -> "Iterator[str]":
    """Yield the names in a directory; below the first one it may be gone by now."""
    try:
        yield from names(directory)
    except (FileNotFoundError, NotADirectoryError):
        if not so_far:
            raise


def _globbed(directory: str, so_far: str, patterns: "Sequence[str]") -> "Iterator[str]":
    first, rest = patterns[0], patterns[1:]
    here = os.path.join(directory, so_far)
    if not any(char in first for char in "*?["):
        candidates = iter([first])
    elif so_far and not os.path.isdir(here):
        return
    else:
        candidates = (name for name in _there(here, so_far) if _shown(name, first) and fnmatch.fnmatchcase(name, first))
    for name in candidates:
        path = os.path.join(so_far, name)
        if rest:
            for deeper in _globbed(directory, path, rest):
                yield deeper
        elif os.path.lexists(os.path.join(directory, path)):
            yield path


def _shown(name: str, pattern: str) -> bool:
    return pattern.startswith(".") or not name.startswith(".")
