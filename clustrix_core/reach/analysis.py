"""What does this function reach? Asked of a function that is at hand, or of one in a file that nobody has imported."""

from __future__ import annotations

import ast
import inspect
import linecache
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any

from clustrix_core.errors import ConfigError
from clustrix_core.reach import distributions, objects, own, static
from clustrix_core.reach.distributions import Release
from clustrix_core.reach.graph import Definition, Edge, File, Live, Module, Need, Node, Place
from clustrix_core.reach.piles import Installed, Kind, Own, Reach, Standard, Unsure
from clustrix_core.reach.shelf import Limits, Shelf
from clustrix_core.reach.syntax import chain_of
from clustrix_core.reach.walk import Visit, Walk
from clustrix_core.reach.world import World
from clustrix_core.resources import nearest

_CALLED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def of_function(function: Callable[..., Any], limits: Limits = Limits()) -> Reach:  # noqa: B008 - frozen
    """Return what a function of this process reaches, decorated with ``@cluster`` or not.

    Names are taken for what they are bound to now; modules that only its run would import are read, not imported.
    """
    plain = _plain(function)
    world = World(Shelf(limits), live=True)
    place = objects.place_of(world, plain)
    return _reach(world, Edge(Live(plain), objects.name_of(plain), place))


def of_file(file: str, name: str, limits: Limits = Limits()) -> Reach:  # noqa: B008 - frozen
    """Return what the function ``name`` of a file reaches (``A.go``: a method), from source alone.

    Raises ConfigError where the file is no Python or has no such function.
    """
    path = os.path.realpath(file)
    module, folder = _module_of(path)
    world = World(Shelf(limits), live=False, folders=[folder], first=(module, path))
    source = world.source(module)
    if source is None or source.problem:
        problem = source.problem if source is not None else "is not there"
        raise ConfigError(f"{os.path.basename(file)} {problem}", file=path, line=source.line if source else None)
    node = Definition(module, name)
    found = [one for one in static.meanings(world, node) if isinstance(one.meaning, _CALLED)]
    if not found and name in world.bindings(module).names:
        raise ConfigError(f"{name!r} of {os.path.basename(file)} is not defined there as a function", file=path)
    if not found:
        raise ConfigError(f"{os.path.basename(file)} has no function {name!r}", hint=_known(world, module, name))
    return _reach(world, Edge(node, f"{module}.{name}", Place(path, found[0].line)))


def functions(file: str) -> tuple[list[str], list[str]]:
    """Return the names of the functions of a file, and of those among them that are under ``@cluster``."""
    tree = Shelf().source(os.path.realpath(file)).tree
    found = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    decorated = [node for node in found if any(_is_cluster(one) for one in node.decorator_list)]
    return [node.name for node in found], [node.name for node in decorated]


def _is_cluster(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (chain_of(called) or ("",))[-1] == "cluster"


def _plain(function: Any) -> Any:
    """Return what is sent of it: the function under ``@cluster``."""
    if type(function).__module__ == "clustrix_core.api.function":
        function = inspect.getattr_static(function, "local")
    return function.__func__ if isinstance(function, (staticmethod, classmethod)) else function


def _module_of(path: str) -> tuple[str, str]:
    """Return the name of the module that a file is, with the packages around it, and the folder it is found from."""
    folder, base = os.path.split(path)
    names = [base.removesuffix(".py")]
    while os.path.isfile(os.path.join(folder, "__init__.py")) and os.path.basename(folder).isidentifier():
        folder, name = os.path.split(folder)
        names.insert(0, name)
    if names[-1] == "__init__" and len(names) > 1:
        names.pop()
    return ".".join(names), folder


def _known(world: World, module: str, name: str) -> str:
    known = [
        one
        for one, found in world.bindings(module).names.items()
        if any(isinstance(each.meaning, _CALLED) for each in found)
    ]
    return nearest(name, known) if known else "It defines no function at all."


# -- the piles


def _reach(world: World, first: Edge) -> Reach:
    walk = Walk(world)
    walk.go(first)
    installed, doubts = _installed(walk)
    told = [Unsure(one.text, one.place, visit.why) for one, visit in walk.doubts.items()]
    return Reach(
        first.name,
        first.place,
        own=tuple(_own(walk)),
        installed=tuple(sorted(installed, key=lambda one: (one.need, (one.distribution or "~").lower()))),
        standard=tuple(_standard(walk)),
        doubts=(*told, *doubts, *_missing(walk)),
        files=world.shelf.files,
        bytes=world.shelf.bytes,
        complete=walk.complete and not world.shelf.full,
    )


def _own(walk: Walk) -> list[Own]:
    whole = {name for name, visit in _modules(walk, "own") if visit.need < Need.GUESS}
    found: dict[tuple[str, str, Place], Own] = {}
    for (node, _), visit in walk.visits.items():
        if visit.need < Need.GUESS and (one := _of_the_user(walk, node, visit, whole)) is not None:
            found.setdefault((one.kind, one.name, one.place), one)
    classes = tuple(f"{one.name}." for one in found.values() if one.kind == "class")
    return [one for one in found.values() if one.kind != "function" or not one.name.startswith(classes)]


def _of_the_user(walk: Walk, node: Node, visit: Visit, whole: Collection[str]) -> Own | None:
    """Return what is said of a thing; nothing of what travels within its module, or is nobody's own."""
    if isinstance(node, Module):
        kind: Kind = "module" if walk.world.is_loaded(node.name) else "source"
        file = walk.world.find(node.name).file
        return Own(kind, node.name, Place(file or node.name), visit.why) if node.name in whole else None
    if isinstance(node, File):
        return Own("folder" if os.path.isdir(node.path) else "file", node.path, Place(node.path), visit.why)
    if isinstance(node, Live):
        value = node.value
        kind = "class" if isinstance(value, type) else "function" if callable(value) else "value"
        place = objects.place_of(walk.world, value)
        inside = getattr(value, "__module__", None) in whole
        # What a library has made (the __init__ of a dataclass, say) is sent too, and nobody has written it.
        return None if inside or not _is_written(place) else Own(kind, objects.name_of(value), place, visit.why)
    return _definition(walk, node, visit) if node.module not in whole else None


def _is_written(place: Place) -> bool:
    return own.is_own_place(place.file, ()) and (os.path.isfile(place.file) or bool(linecache.getline(place.file, 1)))


def _definition(walk: Walk, node: Definition, visit: Visit) -> Own:
    meaning = next(iter(static.meanings(walk.world, node)), None)
    kind: Kind = "value"
    if meaning is not None and isinstance(meaning.meaning, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        kind = "function"
    elif meaning is not None and isinstance(meaning.meaning, ast.ClassDef):
        kind = "class"
    place = Place(walk.world.find(node.module).file or node.module, meaning.line if meaning else 0)
    return Own(kind, f"{node.module}.{node.name}", place, visit.why)


def _modules(walk: Walk, kind: str) -> Iterator[tuple[str, Visit]]:
    for (node, _), visit in walk.visits.items():
        if isinstance(node, Module) and walk.world.find(node.name).kind == kind:
            yield node.name, visit


def _installed(walk: Walk) -> tuple[list[Installed], list[Unsure]]:
    found: dict[Release | str, list[tuple[str, Visit]]] = {}
    doubts = []
    for name, visit in _modules(walk, "installed"):
        node = visit.edge.node
        parts = node.parts if isinstance(node, Module) and node.name == name else ()
        for module, release in distributions.behind(walk.world, name, parts).items():
            found.setdefault(release or module, []).append((module, visit))
            if release is None:
                doubts.append(
                    Unsure(f"no distribution here says that {module} is its own", visit.edge.place, visit.why)
                )
    return [_entry(key, reached) for key, reached in found.items()], doubts


def _entry(key: Release | str, reached: list[tuple[str, Visit]]) -> Installed:
    best = min((visit for _, visit in reached), key=lambda visit: visit.need)
    modules = tuple(sorted({name for name, _ in reached}))
    need = min(best.need, Need.PERHAPS)
    name, version = (key.name, key.version) if isinstance(key, Release) else (None, None)
    return Installed(name, version, modules, need, best.why)


def _standard(walk: Walk) -> Iterator[Standard]:
    seen = set()
    for name, visit in _modules(walk, "standard"):
        if name not in seen and not name.startswith("_"):
            seen.add(name)
            yield Standard(name, visit.why)


def _missing(walk: Walk) -> Iterator[Unsure]:
    seen = set()
    for name, visit in _modules(walk, "missing"):
        if name not in seen:
            seen.add(name)
            sure = {Need.CERTAIN: "", Need.OPTIONAL: "; it is optional"}.get(visit.need, "; it may not be needed")
            yield Unsure(f"there is no module {name!r} here{sure}", visit.edge.place, visit.why)
