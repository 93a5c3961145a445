"""What ``explain`` says travels is what the payload takes along: read from source, and of the live function."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from clustrix_core.payload import modules, pickler
from clustrix_core.reach import analysis, own
from clustrix_core.reach.graph import Need
from clustrix_core.reach.piles import Reach
from clustrix_core.worker import pickling

# Each: the files, of which `main` has the function f.
CASES: dict[str, dict[str, str]] = {
    "alone": {"main": "def f(x): return x + 1"},
    "a helper of its own file": {"main": "STEP = 2\ndef g(x): return x * STEP\ndef h(): pass\ndef f(x): return g(x)"},
    "helpers that call each other": {
        "main": "def g(n): return n and h(n - 1)\ndef h(n): return n and g(n)\ndef f(): g(3)"
    },
    "a function of another module": {
        "main": "from near import g\ndef f(): return g()",
        "near": "def g(): return h()\ndef h(): return 1\ndef unused(): import json",
    },
    "a module as a whole": {
        "main": "import near\ndef f(): return near.g()",
        "near": "import far\ndef g(): return 1\ndef unused(): return far.h()",
        "far": "from other import k\ndef h(): return 1",
        "other": "def k(): return 2",
    },
    "a module under another name": {"main": "import near as n\ndef f(): return n.g()", "near": "def g(): return 1"},
    "passed on by a package": {
        "main": "from pkg import g\ndef f(): return g()",
        "pkg/__init__": "from .impl import g\n",
        "pkg/impl": "from .deep import k\ndef g(): return k()",
        "pkg/deep": "def k(): return 1",
    },
    "a module of a package": {
        "main": "import pkg.sub\ndef f(): return pkg.sub.g()",
        "pkg/__init__": "NAME = 1\n",
        "pkg/sub": "from . import other\ndef g(): return other.h()",
        "pkg/other": "def h(): return 1",
        "pkg/unused": "def k(): return 1",
    },
    "a package without a file": {
        "main": "from room import one\ndef f(): return one.g()",
        "room/one": "from . import two\ndef g(): return two",
        "room/two": "",
    },
    "imported when it runs": {
        "main": "def f():\n    import late\n    return late.g()",
        "late": "import near\ndef g():\n    import far\n    return far",
        "near": "def h(): return 1",
        "far": "from near import h",
        "stranger": "",
    },
    "imported from when it runs": {
        "main": "def f():\n    from pkg.sub import g\n    return g()",
        "pkg/__init__": "",
        "pkg/sub": "from .other import h\ndef g(): return h()",
        "pkg/other": "def h(): return 1",
    },
    "imported when it runs and before": {
        "main": "import late\ndef f():\n    import late\n    return late.g()",
        "late": "STEP = 1\ndef g(): return STEP",
    },
    "defaults": {"main": "def g(): return 1\ndef f(x=g, *, y=[g]): return x()"},
    "a closure": {
        "main": "def k(): return 1\ndef make():\n    def inner(): return k()\n    return inner\ndef f(): make()()"
    },
    "a class and its bases": {
        "main": "from near import Base\nclass A(Base):\n    def go(self): return g()\ndef g(): pass\ndef f(): A().go()",
        "near": "class Root: pass\nclass Base(Root):\n    def up(self): k()\ndef k(): pass\ndef unused(): pass",
    },
    "a class with a metaclass and properties": {
        "main": """
            class Meta(type): pass
            def g(): return 1
            class A(metaclass=Meta):
                table = {"g": g}
                @property
                def x(self): return h()
                @x.setter
                def x(self, value): self.y = value
                @staticmethod
                def s(): return k()
            def h(): return 2
            def k(): return 3
            def f(): return A().x
        """
    },
    "a decorator": {
        "main": "from near import timed\n@timed\ndef g(): return 1\ndef f(): return g()",
        "near": """
            import functools, time
            def clock(): return time.time()
            def unused(): pass
            def timed(function):
                @functools.wraps(function)
                def inner(*args):
                    clock()
                    return function(*args)
                return inner
        """,
    },
    "a decorator with arguments": {
        "main": "from near import retry\n@retry(3)\ndef g(): return 1\ndef f(): return g()",
        "near": """
            def pause(): pass
            def checked(n): return n
            def retry(n):
                checked(n)
                def decorate(function):
                    def inner(*args):
                        pause()
                        return function(*args)
                    return inner
                return decorate
        """,
    },
    "under @cluster": {
        "main": "from clustrix import cluster\ndef g(): return 1\n@cluster(cores=1)\ndef f(): return g()",
    },
    "a cache and a partial": {
        "main": """
            import functools
            @functools.lru_cache(None)
            def g(x): return h(x)
            def h(x): return x
            def k(x, y): return x
            p = functools.partial(k, 1)
            def f(x): return g(x), p(2)
        """
    },
    "a dataclass": {
        "main": """
            from dataclasses import dataclass, field
            @dataclass
            class Point:
                x: int = 0
                other: "list[Point]" = field(default_factory=list)
            def f(): return Point(1)
        """
    },
    "values that hold functions": {
        "main": "def g(): pass\ndef h(): pass\ndef k(): pass\nTABLE = {'g': g, 'more': [h, 3]}\ndef f(): TABLE['g']()"
    },
    "named by the body of a class inside": {
        "main": """
            from near import Base
            def g(): return 1
            def h(): return 2
            def f():
                class A(Base):
                    x = g()
                    class B:
                        y = h
                return A
        """,
        "near": "class Base: pass\ndef unused(): pass",
    },
    "an object of a class": {
        "main": "class A:\n    def go(self): return g()\ndef g(): pass\nA0 = A()\ndef f(): return A0.go()"
    },
    "annotations are sent": {"main": "class A: pass\nclass B: pass\ndef f(x: A) -> 'B': return x"},
    "annotations that are postponed": {
        "main": "from __future__ import annotations\nclass A: pass\ndef f(x: A):\n    y: A = x\n    return y"
    },
    "for type checkers only": {
        "main": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import near\ndef f(x: 'near.A'): return x",
        "near": "class A: pass",
    },
    "star imports": {
        "main": "from near import *\ndef f(): return g()",
        "near": "from far import *\ndef h(): pass",
        "far": "def g(): return 1\ndef unused(): pass",
    },
    "imports in a circle": {
        "main": "import a\ndef f(): return a.g()",
        "a": "import b\ndef g(): return b.h()",
        "b": "import a\ndef h(): return a.g",
    },
    "importlib with a constant": {
        "main": "import importlib\ndef f(): return importlib.import_module('math').pi",
    },
    "lambdas, comprehensions, globals": {
        "main": """
            COUNT = 0
            def g(x): return x
            def h(x): return x
            key = lambda x: g(x)
            def f(xs):
                global COUNT
                COUNT += 1
                return sorted((h(x) for x in xs), key=key)
        """
    },
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("way", ["from source", "live"])
def test_what_is_said_to_travel_is_what_travels(
    name: str, way: str, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write(CASES[name])
    said = analysis.of_file(str(place / "main.py"), "f") if way == "from source" else None
    function = importlib.import_module("main").f
    said = said or analysis.of_function(function)
    taken, installed = sent(getattr(function, "local", function), monkeypatch)
    assert told(said) == taken
    needed = [one for one in said.installed if one.need <= Need.OPTIONAL]
    assert installed <= {module.partition(".")[0] for one in needed for module in one.modules}


def told(reach: Reach) -> set[str]:
    """Return the own modules that are said to travel whole, and the definitions apart from them as FILE:NAME."""
    whole = {one.name for one in reach.own if one.kind in ("module", "source")}
    definitions = [one for one in reach.own if one.kind in ("function", "class")]
    return whole | {outermost(one.place.file, one.place.line) for one in definitions}


def sent(function: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[set[str], set[str]]:
    """Pickle a function as the payload does, and return the same of what is really written, with what is installed."""
    by_value: set[str] = set()
    whole: set[str] = set()
    installed: set[str] = set()

    class Witness(pickler.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            reduced = super().reducer_override(obj)
            if isinstance(obj, (FunctionType, type)):
                module = importlib.import_module(obj.__module__)
                if not isinstance(reduced, tuple):
                    installed.update({obj.__module__.partition(".")[0]} - set(sys.stdlib_module_names) - own.BROUGHT)
                elif isinstance(obj, FunctionType):
                    by_value.add(outermost(obj.__code__.co_filename, obj.__code__.co_firstlineno))
                elif own.is_own(module):
                    by_value.add(f"{Path(str(module.__file__)).name}:{obj.__qualname__.split('.')[0]}")
            return reduced

    class Watched(modules.Luggage):
        def add(self, module: ModuleType, *rest: Any) -> None:
            whole.add(module.__name__)
            super().add(module, *rest)

        def add_source(self, name: str) -> set[str]:
            whole.add(name)
            return super().add_source(name)

    monkeypatch.setattr(pickler, "Pickler", Witness)
    monkeypatch.setattr(modules, "Luggage", Watched)
    with modules.by_value(), pickling.Deep():
        pickler.parts_of(function)
    return within(by_value, whole), installed


def within(definitions: Iterable[str], whole: set[str]) -> set[str]:
    files = {name.rpartition(".")[2] + ".py" for name in whole}
    return whole | {one for one in definitions if one.partition(":")[0] not in files and one}


def outermost(file: str, line: int) -> str:
    """Return FILE:NAME of the definition of a file's top level that a line is in."""
    if not Path(file).is_file() or not own.is_own_place(file, ()):
        return ""  # made by a library
    for node in ast.parse(Path(file).read_text()).body:
        decorators = [one.lineno for one in getattr(node, "decorator_list", ())]
        if min([node.lineno, *decorators]) <= line <= (node.end_lineno or 0):
            name = getattr(node, "name", None) or (node.targets[0].id if isinstance(node, ast.Assign) else "")  # type: ignore[attr-defined]
            return f"{Path(file).name}:{name}"
    return ""
