"""What travels, packed here and run by the worker in a process that knows nothing of the user's modules."""

from __future__ import annotations

import functools
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import payload
from clustrix_core.errors import CannotTravel
from clustrix_core.reach import own
from tests.unit.worker.jobdir import JobDir

NAMES = iter(range(10**6))


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Write modules into a directory that this process imports from; they are forgotten afterwards."""
    place = tmp_path / "modules"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    before = set(sys.modules)

    def written(**files: str) -> None:
        for name, text in files.items():
            path = place / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), "utf-8")

    yield written
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(place)):
            del sys.modules[name]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Run a function by the worker; return its value or raise its exception."""

    def ran(function: Callable[..., Any], *calls: tuple[Any, ...], **constants: Any) -> Any:
        job = JobDir(tmp_path / "there", f"{next(NAMES):08x}", calls=len(calls) or 1)
        payload.pack_by_value(job.path / "payload", function, [(args, {}) for args in calls or [()]], constants)
        job.write_spec()
        _, out, err = job.run()
        assert (out, err) == ("", "")
        ends = [end["body"] for end in job.ends()]
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return ends[0] if not calls else ends

    return ran


def made(source: str, **globals: Any) -> Callable[..., Any]:
    """Return the function ``f`` of a script."""
    namespace = {"__name__": "__main__", **globals}
    exec(compile(textwrap.dedent(source), "/home/ada/script.py", "exec"), namespace)
    return namespace["f"]


# -- own modules


def test_a_module_is_there_as_it_is_now(write: Any, run: Any) -> None:
    write(helpers="STEP = 1\nseen = []\ndef run(x):\n    seen.append(x)\n    return x + STEP\n")
    import helpers

    helpers.STEP = 5
    f = made("import helpers\ndef f(): return helpers.run(1), helpers.STEP, helpers.seen, helpers.__name__")
    assert run(f) == (6, 5, [1], "helpers")
    assert helpers.seen == []


def test_its_functions_and_its_variables_are_one_thing(write: Any, run: Any) -> None:
    write(
        counter="""
            count = 0
            def bump():
                global count
                count += 1
        """
    )
    source = """
        import counter
        from counter import bump
        def f():
            bump()
            counter.bump()
            before = counter.count
            counter.count = 10
            bump()
            import counter as again
            return before, counter.count, again is counter
    """
    assert run(made(source)) == (2, 11, True)


def test_a_module_that_nobody_has_imported_travels_as_source_and_is_not_imported(write: Any, run: Any) -> None:
    write(
        late="import json\nfrom below import deep\nfrom below.deep import far\nVALUE = json.loads('[1]')",
        below____init__="",
        below__deep="from . import other\ndef far(): return other.NAME, __file__\n",
        below__other="# -*- coding: latin-1 -*-\nNAME = 'größe'\n".replace("latin-1", "utf-8"),
    )
    name, file = run(made("def f():\n    import late\n    return late.far()"))
    assert name == "größe" and file.endswith("below/deep.py")
    assert "late" not in sys.modules and "below" not in sys.modules


def test_packages_with_and_without_a_file(write: Any, run: Any) -> None:
    write(space__one="from . import two\ndef one(): return two.two()\n", space__two="def two(): return __package__\n")
    write(wide__open__land="NAME = __name__\n")
    late = made("def f():\n    from space import one\n    return one.one()")
    assert run(made("def f():\n    from wide.open import land\n    return land.NAME")) == "wide.open.land"
    assert run(late) == "space"
    import space.one

    assert run(late) == "space"
    assert run(made("import space.one\ndef f(): return space.one.one()")) == "space"
    assert run(space.one.one) == "space"


def test_modules_that_import_each_other(write: Any, run: Any) -> None:
    write(
        chicken="import egg\nclass Chicken:\n    def lay(self): return egg.Egg()\n",
        egg="import chicken\nclass Egg:\n    def hatch(self): return chicken.Chicken()\n",
    )
    source = """
        import chicken
        def f():
            import egg
            one = chicken.Chicken()
            return type(one.lay().hatch()) is chicken.Chicken and isinstance(one.lay(), egg.Egg)
    """
    assert run(made(source)) is True


def test_a_result_of_such_a_class_is_of_the_class_here(write: Any, run: Any) -> None:
    write(
        shapes="class Shape:\n    def __init__(self, r): self.r = r\n    def same(self): return type(self) is Shape\n"
    )
    import shapes

    f = made("import shapes\ndef f(s): return shapes.Shape(s.r + 1), s.same(), isinstance(s, shapes.Shape)")
    ((shape, same, known),) = run(f, (shapes.Shape(1),))
    assert type(shape) is shapes.Shape and shape.r == 2 and same and known


def test_what_nobody_needs_stays_behind(write: Any, run: Any, tmp_path: Path) -> None:
    write(
        helpers="""
            import threading
            lock = threading.Lock()
            log = open(__file__)
            log.close()
            large = "x" * 1_000_000
            def safe(): return 1
            def locks(): return lock.locked()
            def __getattr__(name):
                if name == "made_up": return "made up"
                raise AttributeError(name)
        """
    )
    f = made("import helpers\ndef f(): return helpers.safe(), helpers.made_up")
    assert run(f) == (1, "made up")
    for source, names in (
        ("import helpers\ndef f(): return helpers.lock", "helpers.lock"),
        ("import helpers\ndef f(): return helpers.locks()", "helpers.locks"),
        ("def f():\n    from helpers import lock\n    return lock", "helpers.lock"),
    ):
        with pytest.raises(CannotTravel, match=rf"{names}, which f uses, cannot travel: .*lock"):
            run(made(source))
    payload.pack_by_value(tmp_path / "small", made("from helpers import safe\ndef f(): return safe()"), [((), {})], {})
    assert (tmp_path / "small").stat().st_size < 5000


def test_why_something_is_not_there(write: Any, run: Any) -> None:
    write(helpers="import threading\nlock = threading.Lock()\n")
    f = made("import helpers\ndef f(name): return getattr(helpers, name)")
    with pytest.raises(AttributeError, match=r"helpers.lock could not travel to this job: .*lock"):
        run(f, ("lock",))
    with pytest.raises(AttributeError, match="'helpers' has no attribute 'lok'"):
        run(f, ("lok",))


def test_a_module_whose_imports_are_missing_there_fails_when_they_are_used(
    write: Any, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "here/site-packages"
    site.mkdir(parents=True)
    (site / "only_here.py").write_text("def value(): return 1\n")
    monkeypatch.syspath_prepend(site)
    own.installed_roots.cache_clear()
    write(helpers="import only_here\ndef easy(): return 1\ndef hard(): return only_here.value()\n")
    try:
        assert run(made("import helpers\ndef f(): return helpers.easy()")) == 1
        with pytest.raises(ModuleNotFoundError, match=r"cannot import the module 'only_here'"):
            run(made("import helpers\ndef f(): return helpers.hard()"))
    finally:
        sys.modules.pop("only_here", None)
        own.installed_roots.cache_clear()


def test_a_broken_module_is_a_syntax_error_there(write: Any, run: Any) -> None:
    write(broken="def (:\n")
    with pytest.raises(SyntaxError):
        run(made("def f():\n    import broken"))


def test_a_module_that_is_nested_too_deeply_fails_there(write: Any, run: Any) -> None:
    write(deep="x = " + "-" * 100_000 + "1\n")
    with pytest.raises((MemoryError, RecursionError)):
        run(made("def f():\n    import deep"))


def test_which_modules_are_own(write: Any) -> None:
    write(helpers="", space__one="")
    import helpers
    import space.one

    assert own.is_own(helpers) and own.is_own(space) and own.is_own(space.one)
    import json

    import yaml

    assert not any(own.is_own(module) for module in (json, yaml, sys, pytest, payload, sys.modules["__main__"]))


# -- functions


def test_functions_with_a_cache(run: Any) -> None:
    source = """
        import functools
        @functools.lru_cache(maxsize=3)
        def slow(x): return x * 2
        class C:
            @functools.lru_cache
            def m(self, x): return x + 1
            @functools.cached_property
            def p(self): return [5]
        def f():
            c = C()
            return slow(2), slow(2), slow.cache_info().hits, slow.cache_parameters()["maxsize"], c.m(1), c.p, c.p is c.p
    """
    assert run(made(source)) == (4, 4, 1, 3, 2, [5], True)
    import fnmatch

    (match,) = run(fnmatch._compile_pattern, ("*.py",))
    assert match("a.py"), "of an installed module: by name"


def test_functions_that_dispatch(run: Any) -> None:
    source = """
        import functools
        @functools.singledispatch
        def show(x):
            "Show it."
            return repr(x)
        @show.register(list)
        def _(x): return "[" + " ".join(map(show, x)) + "]"
        class C:
            @functools.singledispatchmethod
            def m(self, x): return "other"
            @m.register(int)
            def _(self, x): return "int"
        def f(): return show([1, ["a"]]), show.__doc__, show.__name__, C().m(1), C().m("")
    """
    assert run(made(source)) == ("[1 ['a']]", "Show it.", "show", "int", "other")


def test_constants_are_fresh_for_each_call(run: Any) -> None:
    def appends(x: int, seen: list[int]) -> list[int]:
        seen.append(x)
        return seen

    mine: list[int] = []
    assert run(appends, (1,), (2,), seen=mine) == [[1], [2]]
    assert mine == []


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": ["ü\ud800"]}, float("nan"), {1: 2}, [None]], ids=repr)
def test_values_that_json_can_hardly_hold(run: Any, value: Any) -> None:
    assert repr(run(lambda: value)) == repr(value)


@pytest.mark.parametrize("depth", [300, 450, 500, 700, 1000])
def test_deep_nesting(run: Any, depth: int) -> None:
    limit = sys.getrecursionlimit()
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    (found,) = run(lambda x: x, (value,))
    for _ in range(depth):
        found = found[0]
    assert found == [] and sys.getrecursionlimit() == limit


def test_globals_that_only_the_body_of_a_class_inside_names(write: Any, run: Any) -> None:
    write(shapes="SIDES = 3\ndef made():\n    class A:\n        sides = SIDES\n    return A.sides\n")
    f = made("""
        RATE = 2
        def g(): return 40
        def f():
            class Model:
                rate = RATE
                value = g() + rate
                class Inner:
                    size = SIZE
            return Model.value, Model.Inner.size
        SIZE = 5
    """)
    assert run(f) == (42, 5)
    assert run(made("from shapes import made\ndef f(): return made()")) == 3
    assert run(made("import shapes\ndef f():\n    class A:\n        x = shapes.made()\n    return A.x")) == 3


def test_classes_have_their_slots_over_there(run: Any) -> None:
    f = made("""
        from dataclasses import dataclass
        from typing import Generic, NamedTuple, TypeVar
        class Empty:
            __slots__ = ()
        class Pair(NamedTuple):
            left: int
        class Stack(Empty, Generic[TypeVar("T")]):
            __slots__ = ["items"]
        class Point(Empty):
            __slots__ = ("x", "__hidden")
            def __init__(self, x): self.x, self.__hidden = x, 2
            def hidden(self): return self.__hidden
        class Named(Point):
            __slots__ = "name"
        class Open(Point):
            pass
        @dataclass(slots=True)
        class Row:
            value: int
            next: "Row | None" = None
        def f(point):
            points = [Point(1), Named(2), Open(3), point]
            points[2].more = 5
            bare = [hasattr(one, "__dict__") for one in [*points, Stack()]]
            return points, bare, Row(Pair(1), Row(2)), Row.__slots__
        POINT, ROW = Point(7), Row
    """)
    (((*points, back), dicts, row, slots),) = run(f, (f.__globals__["POINT"],))
    assert dicts == [False, False, True, False, False] and slots == ("value", "next")
    assert [point.x for point in points] == [1, 2, 3] and points[2].more == 5 and points[1].hidden() == 2
    assert (back.x, back.hidden()) == (7, 2) and type(back) is type(f.__globals__["POINT"])
    assert row.next.value == 2 and row.value == (1,) and not hasattr(row, "__dict__")


def test_a_class_inside_takes_what_stays_behind(write: Any, run: Any) -> None:
    write(helpers="import threading\nlock = threading.Lock()\n")
    f = made("import helpers\ndef f():\n    class A:\n        x = helpers.lock\n    return A")
    with pytest.raises(CannotTravel, match=r"helpers.lock, which f uses, cannot travel: .*lock"):
        run(f)


def test_the_blame_names_what_its_owner_knows(tmp_path: Path) -> None:
    lock = threading.Lock()

    class Holder:
        def __init__(self) -> None:
            self.inner = {"key": [lock]}

        def method(self) -> None:
            pass

    class Closed(Holder):
        def __reduce__(self) -> Any:
            raise ValueError("mine, not yours")

    def default(x: int, guard: Any = lock) -> None:
        pass

    def below() -> bool:
        return lock.locked()

    def calls(x: int, *, flag: Any = None) -> bool:
        return below()

    script = made("def g(): return lock\ndef f(): return g()", lock=lock)
    cases: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], str]] = [
        (calls, (1,), {}, "the variable 'lock' that .*below uses cannot travel: lock object"),
        (script, (), {}, "the global 'lock' that g uses"),
        (default, (1,), {}, "the default of 'guard' in .*default"),
        (Holder().method, (), {}, r"the object whose method is called\.inner\['key'\]\[0\]"),
        (functools.partial(print, lock), (), {}, "the argument 0 of the partial"),
        (print, (Holder(),), {}, r"the argument '?(args'\[0\]|0'?)\.inner\['key'\]\[0\]"),
        (print, (Closed(),), {}, r"Closed object .*: mine, not yours"),
        (sorted, ([1],), {"key": lock}, "the constant argument 'key'"),
    ]
    for function, args, constants, words in cases:
        with pytest.raises(CannotTravel, match=words) as refused:
            payload.pack_by_value(tmp_path / "payload", function, [(args, {})], constants)
        assert refused.value.hint
