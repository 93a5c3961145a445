"""A folder as one stream, a tar archive: the same bytes of the same tree, whoever packs it and whenever."""

import os
import shutil
import stat
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Tuple


_UTF, _ANY = "utf-8", "surrogateescape"  # names of files are bytes


class Unfit(ValueError):
    """A folder holds what cannot travel."""


def pack(root: str, file: "Any") -> None:
    """Write the tree below ``root``. Raises Unfit naming what is no file, no folder, or a link that leaves it."""
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.GNU_FORMAT, encoding=_UTF, errors=_ANY) as archive:
        for name, path in sorted(_walk(root)):
            member = tarfile.TarInfo(name)
            found = os.lstat(path)
            if stat.S_ISDIR(found.st_mode):
                member.type, member.mode = tarfile.DIRTYPE, 0o700
                archive.addfile(member)
            elif stat.S_ISLNK(found.st_mode):
                member.type, member.linkname = tarfile.SYMTYPE, _target(path, root)
                archive.addfile(member)
            elif stat.S_ISREG(found.st_mode):
                member.mode, member.size = 0o500 if found.st_mode & 0o100 else 0o400, found.st_size
                with open(path, "rb") as content:
                    archive.addfile(member, content)
            else:
                raise Unfit("%s is neither a file nor a folder" % path)


def unpack(path: str, into: str) -> None:
    """Make the tree again. Its files can be read and not written to: several calls may share them."""
    os.mkdir(into, 0o700)
    with tarfile.open(path, "r:", encoding=_UTF, errors=_ANY) as archive:
        for member in archive:
            place = os.path.join(into, member.name)
            if member.isdir():
                os.mkdir(place, 0o700)
            elif member.issym():
                os.symlink(member.linkname, place)
            else:
                content = archive.extractfile(member)
                assert content is not None
                with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, member.mode), "wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)


def _walk(root: str) -> "Iterator[Tuple[str, str]]":
    for directory, folders, files in os.walk(root, onerror=_raise):
        for one in folders + files:
            path = os.path.join(directory, one)
            yield os.path.relpath(path, root), path


def _raise(error: OSError) -> None:
    raise error


def _target(path: str, root: str) -> str:
    """Return where a link leads, from where it is. Raises Unfit for one that leaves the tree or leads nowhere."""
    real, top, said = os.path.realpath(path), os.path.realpath(root), os.readlink(path)
    if not os.path.exists(path):
        raise Unfit("%s is a link that leads nowhere, or to itself" % path)
    if not _is_in(real, top):
        raise Unfit("%s is a link that leaves the folder: it leads to %s" % (path, real))
    beside = os.path.dirname(path)
    if not os.path.isabs(said) and _is_in(os.path.normpath(os.path.join(beside, said)), root):
        return said
    return os.path.relpath(real, os.path.realpath(beside))


def _is_in(path: str, root: str) -> bool:
    return (path + os.sep).startswith(os.path.join(root, ""))
