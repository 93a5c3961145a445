"""Files and folders that travel: as arguments to the cluster, as values back from there."""

import importlib
import os
import shutil
import stat

from clustrix_core.worker import blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from clustrix_core.worker.parts import Named


class Carried(os.PathLike):  # type: ignore[type-arg]
    """What ``File`` and ``Folder`` are both: a path to something that travels along with it."""

    kind = ""
    _is: "Callable[[int], bool]"

    def __init__(self, path: "Any") -> None:
        self._path: "str" = os.path.abspath(os.fspath(path))

    def __fspath__(self) -> str:
        return self._path

    @property
    def path(self) -> "Any":
        """Where it lies here, a ``pathlib.Path``."""
        from pathlib import Path  # costs more than a small call

        return Path(self._path)

    @property
    def name(self) -> str:
        """Its name, the last part of the path: the same there as here."""
        return os.path.basename(self._path)

    def check(self) -> None:
        """Raise CannotTravel unless it is there, and is what it is said to be."""
        try:
            mode = os.stat(self._path).st_mode
        except OSError as error:
            raise _refused("%s: %s" % (self._path, error.strerror or error))
        if not type(self)._is(mode):
            raise _refused("%s is not a %s" % (self._path, self.kind))

    def put(self, store: blobs.Store) -> "Named":
        """Put what it holds into a store. Raises CannotTravel."""
        raise NotImplementedError

    def __reduce__(self) -> "Any":
        store = blobs.store()
        if store is None:
            return type(self), (self._path,)
        blob = store.take(self)
        store.files.append(blob)
        return arrived, (self.kind, self.name, bytes(blob))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._path == self._path

    def __hash__(self) -> int:
        return hash((self.kind, self._path))

    def __repr__(self) -> str:
        return "%s(%r)" % (type(self).__name__, self._path)


class File(Carried):
    """A file that travels: as an argument to the cluster, as (part of) a value back from it.

    It goes wherever a path does: ``open(file)``, ``numpy.load(file)``, ``file.path.read_text()``. Over there it has the
    same name, can be read and not written to, and lies where all calls of its job that need it find it.
    """

    kind = "file"
    _is = staticmethod(stat.S_ISREG)

    def put(self, store: blobs.Store) -> "Named":
        """Put a copy of the file into a store."""
        self.check()
        return store.keep_file(self._path)


class Folder(Carried):
    """A folder that travels with all that is in it: files, whether they can be executed, folders, links within it."""

    kind = "folder"
    _is = staticmethod(stat.S_ISDIR)

    def put(self, store: blobs.Store) -> "Named":
        """Put the tree into a store, as an archive."""
        self.check()
        from clustrix_core.worker import folders

        try:
            with store.new() as new:
                folders.pack(self._path, new)
                new.done()
                return store.noted(new.digest, new.length)
        except folders.Unfit as error:
            raise _refused("the folder %s cannot travel: %s" % (self._path, error))


def _refused(message: str) -> BaseException:
    errors = importlib.import_module("clustrix_core.errors")
    error: BaseException = errors.CannotTravel(message, hint="Name what is there and can be read.")
    return error


def arrived(kind: str, name: str, blob: bytes) -> Carried:
    """Return a file or a folder again, made of the blob that has arrived with it."""
    shelf = blobs.shelf()
    source, _ = shelf.find(blob)
    place = os.path.join(shelf.directory, "files", blobs.parse(blob)[0][:32])
    path = os.path.join(place, os.path.basename(name) or "folder")
    if not os.path.exists(path):
        _put(kind, source, place, path)
    return (Folder if kind == Folder.kind else File)(path)


def _put(kind: str, source: str, place: str, path: str) -> None:
    os.makedirs(place, 0o700, exist_ok=True)
    new = os.path.join(place, ".new.%s" % os.urandom(8).hex())
    try:
        if kind == Folder.kind:
            from clustrix_core.worker import folders

            folders.unpack(source, new)
        else:
            _link(source, new)
        os.rename(new, path)
    except OSError:
        if not os.path.exists(path):  # nobody else was faster
            raise
    finally:
        if kind == Folder.kind:
            shutil.rmtree(new, ignore_errors=True)
        elif os.path.exists(new):
            os.unlink(new)


def _link(source: str, new: str) -> None:
    try:
        os.link(source, new)
    except OSError:  # no hard links on this file system
        shutil.copyfile(source, new)
    os.chmod(new, 0o400)
