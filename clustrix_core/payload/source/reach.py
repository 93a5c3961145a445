"""What a function needs of the user's own modules, collected as pieces of source and pickled variables."""

from __future__ import annotations

import ast
import base64
import builtins
import sys
import typing
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from clustrix_core.errors import CannotTravel, ClustrixError
from clustrix_core.payload import reached
from clustrix_core.payload.source import genuine, opcodes, pickler, scopes, text
from clustrix_core.payload.source.plan import STANDARD, Plan, Whole
from clustrix_core.payload.source.scopes import Piece
from clustrix_core.payload.source.text import Text
from clustrix_core.payload.staying import Stays
from clustrix_core.reach import own
from clustrix_core.worker import trees
from clustrix_core.worker.parts import Parts

_ABSENT = object()
_MAIN = ("__main__", "__mp_main__")


class Reach:
    """The pieces. ``protocol`` is the pickles'. Everything raises CannotTravel for what cannot be told as source."""

    def __init__(self, protocol: int) -> None:
        self.plan = Plan(protocol)
        self._keys: dict[tuple[str, str, CodeType], str] = {}
        self._waiting: list[tuple[str, str, str]] = []
        self._asked: set[tuple[str, str]] = set()

    # -- what the pickler tells

    def own(self, module: str) -> bool:
        return module in _MAIN or own.is_own(sys.modules.get(module))

    def refer(self, module: str, name: str) -> None:
        if self.own(module):
            self._need(module, name.partition(".")[0], "the call")
        elif not module.startswith("clustrix"):
            self.plan.names.add((module, name))
            reached.note_names(module)

    def whole(self, module: str) -> None:
        """Take a module as it is in its file, with what its variables hold now."""
        if module in self.plan.whole:
            return
        if module in _MAIN:
            raise CannotTravel(
                "the script itself (__main__) cannot travel as a module", hint="Name what you need of it."
            )
        found = self.plan.whole[module] = _whole(module)
        self.plan.module(module)
        if found.source is not None:
            self._imported(found.source.tree, module, found.package)

    def function(self, function: FunctionType) -> str:
        """Take a function by itself and what it names; return its key."""
        code = function.__code__
        key = self._keys.setdefault((function.__module__, function.__qualname__, code), str(len(self._keys)))
        if key not in self.plan.functions:
            source = text.of_file(code.co_filename)
            piece = {**source.function(function), "module": function.__module__, "file": source.file}
            self.plan.functions[key] = piece
            self.plan.module(function.__module__)
            self._named_by(piece, function.__module__, source, function.__qualname__, alone=True)
        return key

    # -- what needs what

    def _need(self, module: str, name: str, by: str) -> None:
        if (module, name) not in self._asked:
            self._asked.add((module, name))
            self._waiting.append((module, name, by))

    def _named_by(self, piece: Piece, module: str, source: Text, by: str, *, alone: bool = False) -> None:
        for name in scopes.names_of(piece, source.postponed, alone=alone):
            if hasattr(builtins, name) and name not in vars(sys.modules[module]):
                continue
            self._need(module, name, by)
        tree = trees.parsed(piece["text"], source.file, 1)
        self._imported(tree, module, hasattr(sys.modules[module], "__path__"))

    def finish(self) -> None:
        """Follow everything that is needed to its end."""
        while self._waiting:
            module, name, by = self._waiting.pop()
            if module not in self.plan.whole:
                self._resolve(module, name, by)
        for module in list(self.plan.whole):
            self._overlay(module)
        if self._waiting:
            self.finish()

    def _resolve(self, module: str, name: str, by: str) -> None:
        held = sys.modules[module]
        value = vars(held).get(name, _ABSENT)
        known = self.plan.module(module)
        if value is _ABSENT or name in known or (name.startswith("__") and name.endswith("__")):
            if isinstance(value := getattr(held, name, None), ModuleType) and self.own(value.__name__):
                self.whole(value.__name__)
            return
        source = text.of_module(held) or genuine.home(value)
        top, inner = source.binds(name) if source else (None, None)
        if isinstance(inner, scopes.DEFINITIONS):
            assert source is not None and top is not None
            genuine.check(value, source, module, name)
            known[name] = [self._statement(source, module, top, name)]
        elif isinstance(inner, ast.ImportFrom) and source and not _is_as_imported(value, source, module, name):
            known[name] = [self._variable(source, None, None, module, name, value, by)]
        elif isinstance(inner, scopes.IMPORTS) and source is not None:
            known[name] = list(self._import_statements(source, module, name, value))
        elif isinstance(value, ModuleType):
            known[name] = [(0, self._module_step(name, value))]
        else:
            known[name] = [self._variable(source, top, inner, module, name, value, by)]

    def _statement(self, source: Text, module: str, top: ast.stmt, name: str) -> tuple[int, Piece]:
        piece = source.statement(top)
        self._named_by(piece, module, source, name)
        return piece["line"], piece

    def _import_statements(self, source: Text, module: str, name: str, value: Any) -> Iterator[tuple[int, Piece]]:
        for top, inner in source.binders[name]:
            if not isinstance(inner, scopes.IMPORTS):
                continue
            if top is not inner and not scopes.is_main_guard(top):
                yield self._statement(source, module, top, name)
                continue
            for alias in inner.names:
                if (alias.asname or alias.name.partition(".")[0]) == name:
                    yield inner.lineno, self._import_step(inner, alias, module, value)

    def _import_step(self, node: ast.Import | ast.ImportFrom, alias: ast.alias, module: str, value: Any) -> Piece:
        if isinstance(node, ast.Import):
            self._import(alias.name, "", False)
            words = f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
            return {"line": node.lineno, "text": words + "\n"}
        origin = scopes.absolute(node, module, hasattr(sys.modules[module], "__path__"))
        if self.own(origin):
            if isinstance(value, ModuleType) and self.own(value.__name__):
                self.whole(value.__name__)
            else:
                self._need(origin, alias.name, module)
        else:
            self._import(origin, alias.name, False)
        words = f"from {origin} import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
        return {"line": node.lineno, "text": words + "\n"}

    def _module_step(self, name: str, value: ModuleType) -> Piece:
        """Bind a name to a module that no statement in sight has imported."""
        self._import(value.__name__, "", False)
        return {"line": 1, "text": f"{name} = __import__('importlib').import_module({value.__name__!r})\n"}

    def _variable(
        self,
        source: Text | None,
        top: ast.stmt | None,
        inner: ast.stmt | None,
        module: str,
        name: str,
        value: Any,
        by: str,
    ) -> tuple[int, Piece]:
        """Take what a variable holds now; what is its own name, such as a type variable, as its statement."""
        line = top.lineno if top is not None else 0
        if source is not None and top is None and (words := self._from_star(source, module, name, value)):
            return line, {"line": 1, "text": words}
        why: object = "nothing in sight says what it is made of"
        try:
            parts = pickler.dump(value, self.plan.protocol, self)
            if (module, name) not in opcodes.globals_in(b"".join(parts.stream)):
                return line, self._keep(name, parts)
        except Stays as error:
            raise CannotTravel(
                f"{name!r} of {module}, which {by} uses, cannot travel: {error.args[0]}", hint=error.hint
            ) from None
        except ClustrixError:
            raise
        except Exception as error:  # pickling runs anybody's code
            why = error
        plain = isinstance(top, (ast.Assign, ast.AnnAssign)) and top is inner
        if plain and (isinstance(value, type) or type(value).__module__ == typing.__name__):
            assert source is not None and top is not None
            return self._statement(source, module, top, name)
        raise CannotTravel(
            f"{name!r} of {module}, which {by} uses, cannot travel to another version of Python: "
            f"{type(value).__name__} object: {why}",
            hint="Make it inside the function, or use the same Python over there (`python:`, conda, uv).",
        )

    def _from_star(self, source: Text, module: str, name: str, value: Any) -> str:
        for node in source.stars:
            origin = scopes.absolute(node, module, hasattr(sys.modules[module], "__path__"))
            if getattr(sys.modules.get(origin), name, _ABSENT) is value:
                if self.own(origin):
                    self._need(origin, name, module)
                else:
                    self._import(origin, name, False)
                return f"from {origin} import {name}\n"
        return ""

    @staticmethod
    def _keep(name: str, parts: Parts) -> Piece:
        return {"name": name, "pickle": base64.b64encode(b"".join(parts.stream)).decode("ascii")}

    # -- imports inside what travels

    def _imported(self, tree: ast.AST, module: str, package: bool) -> None:
        for node, guarded in scopes.imports_in(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._import(alias.name, "", guarded)
                continue
            origin = scopes.absolute(node, module, package)
            for alias in node.names:
                if not self._import(f"{origin}.{alias.name}", "", True):
                    self._import(origin, alias.name, guarded)

    def _import(self, module: str, name: str, guarded: bool) -> bool:
        """Take note of an import; an own module travels whole. Return whether it is one."""
        if _is_to_be_had(module):
            for one in own.with_parents(module):
                self.whole(one)
            return True
        reached.note_names(*([module, f"{module}.{name}"] if name else [module]))
        top = module.partition(".")[0]
        if top in STANDARD and top != "__future__" and not guarded and name != "*":
            self.plan.imports.add((module, name))
        return False

    def _overlay(self, module: str) -> None:
        """Let the variables of a whole module hold what they hold now, where that can travel."""
        found, held = self.plan.whole[module], sys.modules.get(module)
        if held is None or found.source is None or found.steps:
            return
        found.steps.append({"line": 1, "text": found.source.text})
        for name, value in list(vars(held).items()):
            _, inner = found.source.binds(name)
            if name.startswith("__") or isinstance(value, ModuleType) or isinstance(inner, ast.Import):
                continue
            if isinstance(inner, scopes.DEFINITIONS):
                genuine.check(value, found.source, module, name)
            elif isinstance(inner, ast.ImportFrom) or inner is None:
                if not _is_as_imported(value, found.source, module, name):
                    self._overlay_one(found, name, value)
            elif not isinstance(value, type):
                self._overlay_one(found, name, value)

    def _overlay_one(self, found: Whole, name: str, value: Any) -> None:
        before = len(self._waiting)
        try:
            found.steps.append(self._keep(name, pickler.dump(value, self.plan.protocol, self)))
        except Exception:  # its own statement makes it over there, as it did here
            self._asked.difference_update((module, name) for module, name, _ in self._waiting[before:])
            del self._waiting[before:]


def _is_as_imported(value: Any, source: Text, module: str, name: str) -> bool:
    """Return whether what a module holds is what it would import now: the other module may have changed since."""
    package = hasattr(sys.modules[module], "__path__")
    _, inner = source.binds(name)
    for node in [inner] if isinstance(inner, ast.ImportFrom) else source.stars:
        origin = sys.modules.get(scopes.absolute(node, module, package))
        for alias in node.names:
            given = name if alias.name == "*" else alias.name
            named = alias.name == "*" or (alias.asname or alias.name) == name
            if named and getattr(origin, given, _ABSENT) is value:
                return True
    return False


def _is_to_be_had(module: str) -> bool:
    return module not in _MAIN and own.is_to_be_had(module)


def _whole(module: str) -> Whole:
    held = sys.modules.get(module)
    if held is not None:
        return Whole(text.of_module(held), hasattr(held, "__path__"))
    spec = own.find(module)
    package = spec is not None and spec.submodule_search_locations is not None
    return Whole(text.of_file(spec.origin) if spec is not None and spec.origin else None, package)


__all__ = ["Reach"]
