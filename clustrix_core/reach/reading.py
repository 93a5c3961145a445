"""One module's source, read piece by piece: what a function, a class or a value in it refers to."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterable, Iterator

from clustrix_core.reach import data, names, scopes, uses
from clustrix_core.reach.bytecode import Import
from clustrix_core.reach.graph import Definition, Doubt, Edge, File, Module, Need, Place
from clustrix_core.reach.names import Target, Unclear
from clustrix_core.reach.shelf import Function
from clustrix_core.reach.syntax import chain_of, statements
from clustrix_core.reach.values import held
from clustrix_core.reach.world import World

Found = Iterator[Edge | Doubt]
_LAZY_ANNOTATIONS = sys.version_info >= (3, 14)


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
                for wanted in statements(one):
                    yield from self.imported(wanted, (), one.lineno, Need.CERTAIN, body=False)
            else:  # a definition may stand in an `if`
                waiting += [
                    part for part in ast.iter_child_nodes(one) if isinstance(part, (ast.stmt, ast.excepthandler))
                ]

    def _decorators(self, decorators: Iterable[ast.expr]) -> Found:
        for decorator in decorators:
            called = isinstance(decorator, ast.Call)
            chain = chain_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
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
