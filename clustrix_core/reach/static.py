"""What things refer to, read from source: the edges that leave a definition, or a module that travels whole."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from clustrix_core.reach import names, own, uses
from clustrix_core.reach.bindings import Binding
from clustrix_core.reach.graph import Definition, Doubt, Edge, Module, Need, Place
from clustrix_core.reach.names import Target
from clustrix_core.reach.reading import Found, Reading
from clustrix_core.reach.world import World


def definition(world: World, node: Definition) -> Found:
    """Yield what a definition of an own module refers to."""
    for binding in meanings(world, node):
        reading = Reading(world, node.module)
        if isinstance(binding.meaning, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not node.inner:
                yield from reading.outside(binding.meaning)
            yield from reading.body(binding.meaning, node.inner)
        elif isinstance(binding.meaning, ast.ClassDef):
            yield from reading.a_class(binding.meaning)
        elif isinstance(binding.meaning, ast.expr):
            yield from reading.value(binding.meaning)
            yield from reading.files(binding.meaning)


def meanings(world: World, node: Definition) -> Iterable[Binding]:
    """Return what a definition may be; that of ``A.go`` is found in the class."""
    first, *rest = node.name.split(".")
    found = world.bindings(node.module).names.get(first, [])
    for name in rest:
        bodies = [one.meaning.body for one in found if isinstance(one.meaning, ast.ClassDef)]
        found = [
            Binding(one, one.lineno)
            for body in bodies
            for one in body
            if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and one.name == name
        ][-1:]
    return found


def module(world: World, name: str) -> Found:
    """Yield what an own module needs that travels whole: as it is then, or as source if nobody has imported it."""
    file = world.find(name).file or name
    for parent in [*own.with_parents(name)][1:]:
        yield Edge(Module(parent), parent, Place(file))
    if world.is_loaded(name):
        yield from _contents(world, name, file)
    else:
        yield from _execution(world, name, file)
    source = world.source(name)
    if source is not None and source.problem:
        yield Doubt(f"{source.file} {source.problem}", Place(source.file, source.line))


def _contents(world: World, name: str, file: str) -> Found:
    known = world.bindings(name)
    for variable, found in known.names.items():
        for target in names.lead(world, name, (variable,)):
            if isinstance(target, Target):
                # A module may be missing over there as long as nobody uses it; a function of it may not.
                soft = isinstance(target.node, Module) and not target.taken and target.node.name not in world.loaded
                need = max(target.need, Need.PERHAPS) if soft else target.need
                yield Edge(target.node, variable, Place(file, found[0].line), need, held=True)
    for star in known.stars:
        if base := world.find(name).absolute(star):
            yield Edge(Module(base), base, Place(file), held=True)
    for other in world.loaded:
        if other.rpartition(".")[0] == name:
            yield Edge(Module(other), other, Place(file), held=True)


def _execution(world: World, name: str, file: str) -> Found:
    source = world.source(name)
    if source is None:
        return
    read = uses.of(source.tree, world.bindings(name).postponed)
    for one in read.imports:
        need = Need.PERHAPS if one.depth else Need.OPTIONAL if one.optional else Need.CERTAIN
        yield from Reading(world, name).imported(one.wanted, (), one.line, need, body=False)
    for text, line in read.doubts:
        yield Doubt(text, Place(file, line), Need.PERHAPS)
