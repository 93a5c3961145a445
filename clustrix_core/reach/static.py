"""What things refer to, read from source: the edges that leave a definition, or a module that travels whole."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterable, Iterator

from clustrix_core.reach import data, names, own, scopes, uses
from clustrix_core.reach.bindings import Binding
from clustrix_core.reach.bytecode import Import
from clustrix_core.reach.graph import Definition, Doubt, Edge, File, Module, Need, Place
from clustrix_core.reach.names import Target, Unclear
from clustrix_core.reach.shelf import Function
from clustrix_core.reach.values import held
from clustrix_core.reach.world import World

Found = Iterator[Edge | Doubt]
_LAZY_ANNOTATIONS = sys.version_info >= (3, 14)


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


class Reading:
    """Reads pieces of the source of one module; ``hidden``: names of the class around them, which are none of its."""

    def __init__(self, world: World, module: str, hidden: Collection[str] = ()) -> None:
        self._world = world
        self._module = module
        self._hidden = hidden
        self._file = world.find(module).file or module
        self._postponed = world.bindings(module).postponed or _LAZY_ANNOTATIONS

    # -- what a definition is made of

    def outside(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Found:
        """Yield what a function holds without being run: decorators, defaults, annotations."""
        yield from self._decorators(node.decorator_list)
        annotations = [one.annotation for one in ast.walk(node.args) if isinstance(one, ast.arg)]
        evaluated = [] if self._postponed else [node.returns, *annotations]
        for expression in (*node.args.defaults, *node.args.kw_defaults, *evaluated):
            yield from self.value(expression)

    def body(self, node: Function, inner: int = 0) -> Found:
        """Yield what a function takes when it runs; ``inner``: only what the functions in it do."""
        read = uses.of(node, self._postponed)
        for use in read.names:
            if use.depth >= inner:
                yield from self.name(use.chain, use.line)
        for one in read.imports:
            if one.depth >= inner:
                need = Need.OPTIONAL if one.optional else Need.CERTAIN
                yield from self.imported(one.wanted, one.chain, one.line, need, body=True)
        yield from (Doubt(text, Place(self._file, line)) for text, line in read.doubts)
        yield from self.files(node)

    def a_class(self, node: ast.ClassDef) -> Found:
        """Yield what a class refers to; its body has been run, what it left is sent."""
        yield from self._decorators(node.decorator_list)
        for expression in (*node.bases, *(keyword.value for keyword in node.keywords)):
            yield from self.value(expression)
        within = Reading(self._world, self._module, scopes.bound(node.body, ()).names)
        waiting: list[ast.AST] = [*node.body]
        while waiting:
            one = waiting.pop()
            if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from within.outside(one)
                yield from self.body(one)
            elif isinstance(one, ast.ClassDef):
                yield from within.a_class(one)
            elif isinstance(one, (ast.Assign, ast.AnnAssign)):
                yield from within.value(one.value)
                yield from within.value(
                    one.annotation if isinstance(one, ast.AnnAssign) and not self._postponed else None
                )
            elif isinstance(one, (ast.Import, ast.ImportFrom)):
                for wanted in uses.statements(one):
                    yield from self.imported(wanted, (), one.lineno, Need.CERTAIN, body=False)
            else:  # a definition may stand in an `if`
                waiting += [
                    part for part in ast.iter_child_nodes(one) if isinstance(part, (ast.stmt, ast.excepthandler))
                ]

    def _decorators(self, decorators: Iterable[ast.expr]) -> Found:
        for decorator in decorators:
            called = isinstance(decorator, ast.Call)
            chain = uses.chain_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if chain is not None and chain[0] in self._hidden:
                continue
            for edge in self.name(chain, decorator.lineno) if chain is not None else ():
                node = edge.node if isinstance(edge, Edge) else None
                if isinstance(node, Module) and self._world.find(node.name).kind == "brought":
                    continue  # the plain function is sent, without its @cluster
                if isinstance(node, Definition) and self._world.bindings(node.module).is_function(node.name):
                    # What it has put around the function travels, it itself does not.
                    node = Definition(node.module, node.name, inner=1 + called)
                    edge = Edge(node, node.name, edge.place, edge.need if isinstance(edge, Edge) else Need.CERTAIN)
                yield _not_run(edge)
            if isinstance(decorator, ast.Call):
                for value in (*decorator.args, *(keyword.value for keyword in decorator.keywords)):
                    if not self._is_ours(chain):
                        yield from self.value(value)

    def _is_ours(self, chain: tuple[str, ...] | None) -> bool:
        targets = names.lead(self._world, self._module, chain) if chain else ()
        modules = [one.node.name for one in targets if isinstance(one, Target) and isinstance(one.node, Module)]
        return any(self._world.find(name).kind == "brought" for name in modules)

    # -- what names and values lead to

    def value(self, expression: ast.expr | None) -> Found:
        """Yield what a value holds that comes from an expression."""
        for one in held(expression, self._hidden) if expression is not None else ():
            if isinstance(one, ast.Lambda):
                yield from self.body(one)
                continue
            for edge in self.name(one.chain, one.line, one.need):
                yield from self._returned(edge, one.chain) if one.called else (_not_run(edge),)

    def _returned(self, edge: Edge | Doubt, chain: tuple[str, ...]) -> Found:
        """Yield what a value may hold that a call has returned. Names of classes begin with a capital."""
        node = edge.node if isinstance(edge, Edge) else None
        if isinstance(node, Definition) and self._world.bindings(node.module).is_function(node.name):
            yield Edge(node, node.name, edge.place, Need.GUESS)
            yield Doubt(f"what {'.'.join(chain)}() has returned is known after a run only", edge.place, edge.need)
        elif isinstance(node, Module) and self._world.find(node.name).kind != "own" and not chain[-1][:1].isupper():
            yield Edge(node, ".".join(chain), edge.place, max(edge.need, Need.PERHAPS))
        else:
            yield _not_run(edge)

    def name(self, chain: tuple[str, ...], line: int, need: Need = Need.CERTAIN) -> Found:
        """Yield what a dotted name leads to."""
        if chain[0] in ("__class__", "super"):  # the class around the method: it is there, or nobody asks
            return
        for target in names.lead(self._world, self._module, chain, need):
            yield from self._edge(target, ".".join(chain), line, body=True)

    def imported(self, wanted: Import, chain: tuple[str, ...], line: int, need: Need, body: bool) -> Found:
        """Yield what an import that is run leads to."""
        text = "." * wanted.level + ".".join([*filter(None, [wanted.name]), *wanted.names[:1]])
        base = self._world.find(self._module).absolute(wanted)
        if need == Need.OPTIONAL and not chain:
            yield Doubt(f"{text} is optional: that it cannot be imported is caught", Place(self._file, line), need)
        if "*" in wanted.names:
            inside = self._world.find(base).kind == "own" if base else False
            everything = self._world.bindings(base).names if inside else ()
            wanted = Import(wanted.name, wanted.level, (*everything,))
        for target in names.imported(self._world, self._module, wanted, chain, need):
            yield from self._edge(target, text, line, body)

    def taken(self, name: str, place: Place, need: Need) -> Found:
        """Yield what one name of the module leads to, for somebody elsewhere who imports it."""
        for target in names.lead(self._world, self._module, (name,), need):
            if isinstance(target, Target):
                yield Edge(target.node, f"{self._module}.{name}", place, target.need, body=True)
            else:
                yield Doubt(target.text, place, target.need)

    def _edge(self, target: Target | Unclear, text: str, line: int, body: bool) -> Found:
        place = Place(self._file, line)
        if isinstance(target, Unclear):
            yield Doubt(target.text, place, target.need)
        else:
            name = text
            if isinstance(target.node, Definition):
                name = f"{target.node.module}.{target.node.name}"
            elif self._world.find(target.node.name).kind == "own":
                name = target.node.name
            yield Edge(target.node, name, place, target.need, body)

    def files(self, node: ast.AST) -> Found:
        """Yield the data files that code names."""
        for path, (file, line) in data.named(self._world, self._module, node):
            if path is None:
                yield Doubt("a path beside the module has a part that only a run can tell", Place(file, line))
            else:
                yield Edge(File(path), path, Place(file, line), body=True)


def _not_run(edge: Edge | Doubt) -> Edge | Doubt:
    """Return the same edge for what is held whether or not code runs."""
    return Edge(edge.node, edge.name, edge.place, edge.need) if isinstance(edge, Edge) else edge
