"""A function that is at hand: its names are what they are bound to, whatever its source says."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from clustrix_core.reach import analysis
from clustrix_core.reach.graph import Need
from clustrix_core.reach.piles import Reach

Write = Callable[..., Path]


def named(reach: Reach) -> dict[str, str]:
    return {one.name: one.kind for one in reach.own}


def needs(reach: Reach) -> dict[str | None, Need]:
    return {one.distribution: one.need for one in reach.installed}


def module(write: Write, **files: str) -> ModuleType:
    write({"main": "", **files})
    return importlib.import_module("main")


def test_what_a_name_is_bound_to_now(write: Write) -> None:
    main = module(write, main="import near\ndef f(): return near.g()\n", near="def g(): pass\n")
    import yaml

    main.near = yaml  # type: ignore[attr-defined]
    reach = analysis.of_function(main.f)
    assert (named(reach), needs(reach)) == ({"main.f": "function"}, {"PyYAML": Need.CERTAIN})


def test_a_value_holds_what_it_holds(write: Write) -> None:
    text = """
        import yaml, click
        def load(): return yaml.safe_load("1")
        NUMBER = load()
        class Box:
            __slots__ = ("inside",)
        box = Box()
        box.inside = [click.echo]
        def f(): return NUMBER, box
    """
    reach = analysis.of_function(module(write, main=text).f)
    assert needs(reach) == {"click": Need.CERTAIN}
    assert named(reach) == {"main.f": "function", "main.Box": "class"}
    assert reach.doubts == ()


def test_closures_methods_partials_and_decorators(write: Write) -> None:
    text = """
        import functools, yaml, click
        from clustrix import cluster
        def outer(tool):
            def inner(): return tool.x
            return inner
        f = outer(yaml)
        class A:
            def go(self): return click.echo
        go = A().go
        def g(x): return yaml
        p = functools.partial(g, click)
        @cluster(cores=2)
        @functools.lru_cache(None)
        def cached(): return click
    """
    main = module(write, main=text)
    assert set(needs(analysis.of_function(main.f))) == {"PyYAML"}
    assert set(needs(analysis.of_function(main.go))) == {"click"}
    assert set(needs(analysis.of_function(main.p))) == {"PyYAML", "click"}
    assert set(needs(analysis.of_function(main.cached))) == {"click"}


def test_a_module_that_its_run_would_import_is_read_and_not_imported(write: Write) -> None:
    main = module(
        write, main="def f():\n    import late\n    return late.g()\n", late="import yaml\ndef g(): return 1\n"
    )
    reach = analysis.of_function(main.f)
    assert named(reach) == {"main.f": "function", "late": "source"} and needs(reach) == {"PyYAML": Need.CERTAIN}
    assert "late" not in sys.modules


def test_without_source_the_bytecode_is_read(tmp_path: Path) -> None:
    text = "import yaml, click\ndef f():\n    import json\n    return yaml, json\n"
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, str(tmp_path / "gone.py"), "exec"), space)
    reach = analysis.of_function(space["f"])
    assert set(needs(reach)) == {"PyYAML"} and [one.module for one in reach.standard] == ["json"]
    assert [one.text for one in reach.doubts] == ["the source of f is not at hand, so its bytecode was read"]


def test_source_that_has_changed_since_is_not_believed(write: Write) -> None:
    main = module(write, main="import yaml\ndef f():\n    return yaml\n")
    write({"main": "import click\ndef f():\n    return click\n"})
    reach = analysis.of_function(main.f)
    assert set(needs(reach)) == {"PyYAML"} and "not at hand" in reach.doubts[0].text


def test_no_code_of_an_object_is_run(write: Write) -> None:
    text = """
        class Trap:
            def __getattr__(self, name): raise SystemExit(name)
            def __iter__(self): raise SystemExit("iter")
            def __reduce_ex__(self, protocol): raise SystemExit("reduce")
            def __eq__(self, other): raise SystemExit("eq")
            def __hash__(self): raise SystemExit("hash")
            def __len__(self): raise SystemExit("len")
            def __bool__(self): raise SystemExit("bool")
            def __repr__(self): raise SystemExit("repr")
            @property
            def x(self): raise SystemExit("x")
            __dict__ = property(lambda self: 1 / 0)
        class Table(dict):
            def values(self): raise SystemExit("values")
        trap, table = Trap(), Table(a=1)
        def f(): return trap.x, table, [trap]
    """
    reach = analysis.of_function(module(write, main=text).f)
    assert {"main.f", "main.Trap", "main.Table"} <= set(named(reach))


def test_a_large_value_is_not_looked_through_for_ever(write: Write) -> None:
    main = module(write, main="TABLE = [[n] for n in range(100_000)]\ndef f(): return TABLE\n")
    assert any("more than" in one.text for one in analysis.of_function(main.f).doubts)


def test_a_value_that_holds_itself(write: Write) -> None:
    main = module(
        write, main="LOOP = []\nLOOP.append(LOOP)\nclass A: pass\nA.a = A()\nA.a.a = A\ndef f(): return LOOP, A\n"
    )
    assert named(analysis.of_function(main.f)) == {"main.f": "function", "main.A": "class"}


@pytest.mark.parametrize("function", [len, str.upper, functools.partial(print), "text".join, sys.exit, Path, type])
def test_anything_that_can_be_called(function: Any) -> None:
    reach = analysis.of_function(function)
    assert reach.installed == () and reach.doubts == ()
