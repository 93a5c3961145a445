"""What a dotted name in an own module leads to: through its imports, those of other modules, and star imports."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import dataclass

from clustrix_core.reach.bytecode import Import
from clustrix_core.reach.graph import Definition, Module, Need
from clustrix_core.reach.uses import UNKNOWN
from clustrix_core.reach.world import World

_GIVEN = {*vars(builtins), "__file__", "__name__", "__package__", "__doc__", "__spec__", "__loader__", "__path__"}


@dataclass(frozen=True)
class Target:
    """A thing that a name leads to or through; ``taken``: it is a name of another module rather than the module."""

    node: Module | Definition
    need: Need = Need.CERTAIN
    taken: bool = False


@dataclass(frozen=True)
class Unclear:
    """Why a name leads nowhere."""

    text: str
    need: Need = Need.CERTAIN


@dataclass(frozen=True)
class _Way:
    """Still to go: ``chain`` in ``module``."""

    module: str
    chain: tuple[str, ...]
    need: Need


def lead(world: World, module: str, chain: tuple[str, ...], need: Need = Need.CERTAIN) -> Iterator[Target | Unclear]:
    """Yield what a dotted name of an own module leads to, with the own modules that it passes as a whole."""
    yield from _walk(world, _Way(module, chain, need))


def imported(
    world: World, module: str, wanted: Import, chain: tuple[str, ...], need: Need
) -> Iterator[Target | Unclear]:
    """Yield what an import that is run leads to: the module as a whole, and what is taken from it."""
    base = world.find(module).absolute(wanted)
    if not base:
        yield Unclear("a relative import without a package around it", need)
        return
    found = world.find(base)
    parts = (*wanted.names, *chain)
    yield Target(Module(base, parts), need)
    if found.kind == "own":
        for name in wanted.names or ((chain[0],) if chain else ()):
            if name != "*":
                rest = chain[1:] if not wanted.names else ()
                yield from _walk(world, _Way(base, (name, *rest), need))


def _walk(world: World, first: _Way) -> Iterator[Target | Unclear]:
    waiting, seen = [first], set()
    while waiting:
        way = waiting.pop()
        if way in seen:
            continue
        seen.add(way)
        for step in _step(world, way):
            if isinstance(step, _Way):
                waiting.append(step)
            else:
                yield step


def _step(world: World, way: _Way) -> Iterator[Target | Unclear | _Way]:
    name, rest = way.chain[0], way.chain[1:]
    known = world.bindings(way.module)
    if name == UNKNOWN:
        yield Unclear(f"getattr takes a name from {way.module} that only a run can tell", way.need)
        return
    for binding in known.names.get(name, ()):
        need = max(way.need, binding.need)
        if isinstance(binding.meaning, Import):
            yield from _through(world, way.module, binding.meaning, rest, need)
        else:
            yield Target(Definition(way.module, name), need)
    if name not in known.names:
        yield from _elsewhere(world, way)


def _through(
    world: World, module: str, wanted: Import, rest: tuple[str, ...], need: Need
) -> Iterator[Target | Unclear | _Way]:
    """Yield what is behind a name that an import has bound."""
    base = world.find(module).absolute(wanted)
    if not base:
        yield Unclear("a relative import without a package around it", need)
    elif not wanted.names:
        yield from _module(world, base, rest, need)
    elif base == module and world.find(f"{base}.{wanted.names[0]}").kind == "own":
        # `from . import sub` in the package itself: what it binds is the submodule.
        yield from _module(world, f"{base}.{wanted.names[0]}", (*wanted.names[1:], *rest), need)
    elif world.find(base).kind == "own":
        yield _Way(base, (*wanted.names, *rest), need)
    else:
        is_module = world.find(f"{base}.{wanted.names[0]}").kind not in ("missing", "standard")
        yield Target(Module(base, (*wanted.names, *rest)), need, taken=not is_module)


def _module(world: World, name: str, rest: tuple[str, ...], need: Need) -> Iterator[Target | _Way]:
    yield Target(Module(name, rest), need)
    if rest and world.find(name).kind == "own":
        yield _Way(name, rest, need)


def _elsewhere(world: World, way: _Way) -> Iterator[Target | Unclear | _Way]:
    """Yield what a name may be that its module does not bind itself."""
    name, rest = way.chain[0], way.chain[1:]
    known, found = world.bindings(way.module), world.find(way.module)
    if found.places is not None and world.find(f"{way.module}.{name}").kind != "missing":
        yield from _module(world, f"{way.module}.{name}", rest, way.need)
        return
    bases = [found.absolute(star) for star in known.stars]
    owned = [base for base in bases if base and world.find(base).kind == "own"]
    binding = [base for base in owned if name in world.bindings(base).names or world.bindings(base).stars]
    if binding:
        yield from (_Way(base, way.chain, way.need) for base in binding)
    elif name in _GIVEN:
        return
    elif others := [base for base in bases if base and base not in owned]:
        need = way.need if len(others) == 1 else max(way.need, Need.PERHAPS)
        yield from (Target(Module(base, way.chain), need, taken=True) for base in others)
    elif name in known.checkers:
        yield Unclear(f"{name} is bound for type checkers only", way.need)
    elif "__getattr__" in known.names:
        yield Target(Definition(way.module, "__getattr__"), way.need)
        yield Unclear(f"{way.module}.__getattr__ makes {name} up", way.need)
    else:
        source = world.source(way.module)
        problem = f"{source.file} {source.problem}" if source is not None and source.problem else ""
        yield Unclear(problem or f"{name} is bound nowhere in {way.module}", way.need)
