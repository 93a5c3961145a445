"""The bundle: the files that travel to the cluster, and the name of this set of them. For the client."""

import hashlib
import importlib.util
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Tuple

_cached: "List[Tuple[str, Dict[str, bytes]]]" = []


def files() -> "Dict[str, bytes]":
    """Return the contents by path relative to the bundle's directory."""
    return dict(_made()[1])


def digest() -> str:
    """Return a short name that changes with any byte of the files."""
    return _made()[0]


def _made() -> "Tuple[str, Dict[str, bytes]]":
    if not _cached:
        found = dict(_collect())
        whole = hashlib.sha256()
        for name in sorted(found):
            whole.update(b"%s\0%d\0" % (name.encode("utf-8"), len(found[name])) + found[name])
        _cached.append((whole.hexdigest()[:16], found))
    return _cached[0]


def _collect() -> "Iterator[Tuple[str, bytes]]":
    here = os.path.dirname(os.path.abspath(__file__))
    core = os.path.dirname(here)
    for name in ("__init__.py", "errors.py"):
        yield "clustrix_core/" + name, _read(os.path.join(core, name))
    yield "__main__.py", _read(os.path.join(here, "__main__.py"))
    for name in _sources(here):
        if name not in ("__main__.py", os.path.basename(__file__)):
            yield "clustrix_core/worker/" + name, _read(os.path.join(here, name))
    cloudpickle = importlib.util.find_spec("cloudpickle")
    if cloudpickle is None or not cloudpickle.submodule_search_locations:
        raise ImportError("cloudpickle is not installed")
    place = list(cloudpickle.submodule_search_locations)[0]
    for name in _sources(place):
        yield "cloudpickle/" + name, _read(os.path.join(place, name))


def _sources(root: str) -> "Iterator[str]":
    for place, directories, names in os.walk(root):
        directories[:] = sorted(name for name in directories if name != "__pycache__")
        for name in sorted(names):
            if name.endswith(".py"):
                yield os.path.relpath(os.path.join(place, name), root).replace(os.sep, "/")


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
