"""What a piece of source takes from outside of itself: names, imports, and what only a run can tell."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from clustrix_core.reach.bytecode import Import
from clustrix_core.reach.scopes import Scope, bound
from clustrix_core.reach.shelf import Function
from clustrix_core.reach.syntax import chain_of, forgives, is_for_checkers, names_import_error, statements

UNKNOWN = "*"  # in a chain: an attribute whose name is computed

_AT_RUN_TIME = {
    "exec": "exec runs code that is only text",
    "eval": "eval runs code that is only text",
    "globals": "globals() is asked for names",
    "runpy.run_path": "runpy runs another file",
    "runpy.run_module": "runpy runs another module",
    "importlib.util.spec_from_file_location": "a module is loaded by the path of its file",
    "importlib.metadata.entry_points": "plugins are looked for when it runs",
    "entry_points": "plugins are looked for when it runs",
    "pkg_resources.iter_entry_points": "plugins are looked for when it runs",
    "pkgutil.iter_modules": "modules are looked for when it runs",
    "pkgutil.walk_packages": "modules are looked for when it runs",
    **{f"sys.path.{verb}": "the search path of modules is changed" for verb in ("append", "insert", "extend")},
}
_IMPORTERS = {"importlib.import_module", "import_module", "__import__", "importlib.__import__"}


@dataclass(frozen=True)
class Use:
    """``chain``: a name and the attributes plainly taken from it. ``depth``: in how many functions inside."""

    chain: tuple[str, ...]
    line: int
    depth: int = 0


@dataclass(frozen=True)
class Imported:
    """An import that happens when the code runs, and the attributes plainly taken from the module."""

    wanted: Import
    line: int
    depth: int = 0
    optional: bool = False
    chain: tuple[str, ...] = ()


@dataclass
class Uses:
    """Of one piece of code. ``doubts`` are texts with their lines."""

    names: list[Use] = field(default_factory=list)
    imports: list[Imported] = field(default_factory=list)
    doubts: list[tuple[str, int]] = field(default_factory=list)


def of(node: ast.AST, postponed: bool = False) -> Uses:
    """Return what the body of a function, a whole module or an expression uses.

    Decorators, defaults and annotations of the function itself are left out: they have had their effect. ``postponed``:
    annotations are not evaluated.
    """
    reader = _Reader(postponed)
    try:
        if isinstance(node, Function):
            reader.inside(node)
        else:
            reader.visit(node)
    except RecursionError:
        reader.uses.doubts.append(("it is nested too deeply to be read whole", getattr(node, "lineno", 0)))
    return reader.uses


class _Reader(ast.NodeVisitor):
    def __init__(self, postponed: bool) -> None:
        self.uses = Uses()
        self._postponed = postponed
        self._scopes: list[Scope] = []
        self._depth = 0
        self._forgiven = 0
        self._seen: set[tuple[object, ...]] = set()  # the first line of a name is enough

    # -- scopes

    def inside(self, node: Function) -> None:
        """Read what runs when the function is called."""
        body = node.body if isinstance(node.body, list) else [node.body]
        arguments = [one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)]
        with self._scope(bound(body, arguments)):
            self._all(body)

    @contextmanager
    def _scope(self, scope: Scope) -> Iterator[None]:
        self._scopes.append(scope)
        yield
        self._scopes.pop()

    def _all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def _function(self, node: Function) -> None:
        self._all([*getattr(node, "decorator_list", ()), *node.args.defaults, *node.args.kw_defaults])
        if not self._postponed and not isinstance(node, ast.Lambda):
            self._all([node.returns, *(one.annotation for one in ast.walk(node.args) if isinstance(one, ast.arg))])
        self._depth += 1
        self.inside(node)
        self._depth -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all([*node.decorator_list, *node.bases, *node.keywords])
        with self._scope(bound(node.body, (), is_class=True)):
            self._all(node.body)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.visit(node.generators[0].iter)
        with self._scope(bound([one.target for one in node.generators], ())):
            self._all(ast.iter_child_nodes(node))

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    # -- statements that make a difference

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        is_evaluated = not self._scopes or self._scopes[-1].is_class
        self._all([node.target, node.annotation if is_evaluated and not self._postponed else None, node.value])

    def visit_If(self, node: ast.If) -> None:
        if is_for_checkers(node.test):
            self._all(node.orelse)
        else:
            negated = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
            only_body = negated and is_for_checkers(node.test.operand)  # type: ignore[attr-defined]
            self._all([node.test, *node.body, *([] if only_body else node.orelse)])

    def visit_Try(self, node: ast.Try) -> None:
        with self._forgiving(forgives(node)):
            self._all([*node.body, *node.handlers])
        self._all([*node.orelse, *node.finalbody])

    def visit_With(self, node: ast.With) -> None:
        calls = [one.context_expr for one in node.items if isinstance(one.context_expr, ast.Call)]
        suppressing = [call for call in calls if (chain_of(call.func) or ("",))[-1] == "suppress"]
        with self._forgiving(any(names_import_error(kind) for call in suppressing for kind in call.args)):
            self.generic_visit(node)

    @contextmanager
    def _forgiving(self, really: bool) -> Iterator[None]:
        self._forgiven += really
        yield
        self._forgiven -= really

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for wanted in statements(node):
            self._imports(wanted, node.lineno)

    visit_Import = visit_ImportFrom = _import

    def _imports(self, wanted: Import, line: int, chain: tuple[str, ...] = ()) -> None:
        self.uses.imports.append(Imported(wanted, line, self._depth, self._forgiven > 0, chain))

    # -- names

    def visit_Name(self, node: ast.Name) -> None:
        self._chain((node.id,), node.lineno, not isinstance(node.ctx, ast.Load))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        if chain is not None:
            self._chain(chain, node.lineno)
        else:
            self.visit(node.value)

    def _chain(self, chain: tuple[str, ...], line: int, stored: bool = False) -> None:
        local = self._local(chain[0])
        key = (chain, self._depth, local, self._forgiven > 0)
        if key in self._seen:
            return
        self._seen.add(key)
        if local is None and not (stored and not self._scopes):
            self.uses.names.append(Use(chain, line, self._depth))
        for wanted in local or ():
            taken = (*wanted.names, *chain[1:]) if wanted.names else chain[1:]
            self._imports(Import(wanted.name, wanted.level, ()), line, taken)

    def _local(self, name: str) -> tuple[Import, ...] | None:
        """Return what is imported under a local name, nothing for other local names; None: it is not local."""
        for number, scope in enumerate(reversed(self._scopes)):
            if name in scope.elsewhere:
                continue
            if name in scope.names and (number == 0 or not scope.is_class):
                return scope.names[name]
        return None

    # -- calls that no static reading sees through

    def visit_Call(self, node: ast.Call) -> None:
        chain = chain_of(node.func)
        if chain is not None and self._local(chain[0]) != ():
            self._call(".".join(chain), node)
        self.generic_visit(node)

    def _call(self, name: str, node: ast.Call) -> None:
        if name in _IMPORTERS:
            wanted = _computed(node)
            if isinstance(wanted, Import):
                self._imports(wanted, node.lineno)
            else:
                self.uses.doubts.append((wanted, node.lineno))
        elif name == "getattr" and len(node.args) > 1:
            chain, attribute = chain_of(node.args[0]), node.args[1]
            known = isinstance(attribute, ast.Constant) and isinstance(attribute.value, str)
            if chain is not None:
                self._chain((*chain, attribute.value if known else UNKNOWN), node.lineno)  # type: ignore[attr-defined]
        elif name in _AT_RUN_TIME:
            self.uses.doubts.append((_AT_RUN_TIME[name], node.lineno))


def _computed(node: ast.Call) -> Import | str:
    """Return what a call of ``import_module`` or ``__import__`` imports, or why nobody can tell."""
    text = ast.unparse(node)
    doubt = f"{text if len(text) <= 80 else text[:77] + '...'}: which module that is, only a run can tell"
    given = node.args[0] if node.args else None
    if not isinstance(given, ast.Constant) or not isinstance(given.value, str):
        return doubt
    name = given.value.lstrip(".")
    level = len(given.value) - len(name)
    if not level:
        return Import(name, 0, ()) if name else doubt
    package = node.args[1] if len(node.args) > 1 else next((one.value for one in node.keywords), None)
    if isinstance(package, ast.Constant) and isinstance(package.value, str):
        base = package.value.rsplit(".", level - 1)[0]
        return Import(f"{base}.{name}".strip("."), 0, ())
    is_here = package is not None and chain_of(package) == ("__package__",)
    return Import(name, level, ()) if is_here else doubt
