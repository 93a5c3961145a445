"""Values come back as they are: from any kind of function, for any argument, from scripts, stdin and notebooks."""

from __future__ import annotations

import enum
import functools
import math
import operator
import os
import random
import socket
import sys
import textwrap
import threading
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import numpy as np
import pytest

import clustrix
from clustrix import CannotTravel, ClusterConfig, InsideJobError, Job, PayloadError, cluster
from clustrix.config import configure
from tests.real.conftest import OTHER_WAYS, settings
from tests.testbeds.bed import Bed


@dataclass
class Point:
    x: float
    y: float = 0.0
    tags: list[str] = field(default_factory=list)

    def norm(self) -> float:
        return math.hypot(self.x, self.y)

    @cluster
    def scaled(self, factor: float, *, shift: float = 0) -> Point:
        return Point(self.x * factor + shift, self.y * factor + shift, [*self.tags, "scaled"])

    @staticmethod
    @cluster
    def origin() -> Point:
        return Point(0)

    @classmethod
    @cluster
    def diagonal(cls, x: float) -> Point:
        return cls(x, x)


class Colour(enum.Enum):
    RED = "red"
    GREEN = "grün"


Pair = namedtuple("Pair", "left right")
offset = 10


def plain(value: Any) -> Any:
    return value


def far(point: Point) -> Point:
    return Point(point.norm(), offset)


def defaults(item: int, seen: list[int] = [], *, by: dict[str, int] = {}) -> tuple[list[int], dict[str, int]]:  # noqa: B006
    seen.append(item)
    by[str(item)] = len(seen)
    return seen, by


@cluster
def factorial(n: int) -> int:
    return 1 if n < 2 else n * factorial(n - 1)


def is_even(n: int) -> bool:
    return n == 0 or is_odd(n - 1)


def is_odd(n: int) -> bool:
    return n != 0 and is_even(n - 1)


class Adder:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __call__(self, value: int) -> int:
        return value + self.amount


def keywords(a: int, /, b: int, *more: int, c: int, d: int = 4, **others: int) -> Any:
    return a, b, more, c, d, others


def größe(länge: float, Ω: float = 2.0) -> str:
    return f"{länge * Ω} µm"


def counter(start: int) -> Callable[[], int]:
    def following() -> int:
        nonlocal start
        start += 1
        return start

    return following


def test_any_callable(there: ClusterConfig) -> None:
    factor = 3

    class Local:
        def __init__(self, value: int) -> None:
            self.value = value

        def doubled(self) -> Local:
            return Local(2 * self.value)

    def closure(x: int) -> int:
        return x * factor + offset

    cases: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Any]] = {
        "function": (far, (Point(3, 4),), Point(5, 10)),
        "lambda": (lambda x: x + offset, (1,), 11),
        "closure": (closure, (2,), 16),
        "closure with a cell that it changes": (counter(5), (), 6),
        "method": (Point(3, 4).norm, (), 5.0),
        "decorated method": (Point(1, 2, ["a"]).scaled, (10,), Point(10, 20, ["a", "scaled"])),
        "decorated static method": (Point.origin, (), Point(0)),
        "decorated class method": (Point.diagonal, (2,), Point(2, 2)),
        "method of a class in a function": (lambda local: local.doubled().value, (Local(4),), 8),
        "partial": (functools.partial(operator.sub, 10), (3,), 7),
        "partial of a closure": (functools.partial(closure, x=1), (), 13),
        "mutable defaults": (defaults, (7,), ([7], {"7": 1})),
        "class": (Point, (1, 2), Point(1, 2)),
        "object with __call__": (Adder(2), (40,), 42),
        "builtin": (math.gcd, (12, 18), 6),
        "type": (int, ("101", 2), 5),
        "mutual recursion": (is_even, (11,), False),
        "unicode name": (größe, (1.5,), "3.0 µm"),
        "wrapped": (functools.lru_cache(plain), ("x",), "x"),
    }
    jobs = {}
    for name, (function, args, _) in cases.items():
        decorated = function if hasattr(function, "submit") else cluster(function)
        jobs[name] = decorated.submit(*args)
    recursion = factorial.submit(20)
    spread = cluster(keywords).submit(1, 2, 3, 4, c=5, e=6)

    found = {name: job.result(60) for name, job in jobs.items()}
    assert found == {name: expected for name, (_, _, expected) in cases.items()}
    assert type(found["function"]) is Point, "the class of this process, not a copy"
    assert recursion.result(60) == math.factorial(20)
    assert spread.result(60) == (1, 2, (3, 4), 5, 4, {"e": 6})
    assert defaults(1) == ([1], {"1": 1}), "what a job does to its copy of a default stays there"
    del defaults.__defaults__[0][:]
    defaults.__kwdefaults__["by"].clear()


VALUES: tuple[Any, ...] = (
    None,
    False,
    True,
    0,
    -1,
    0.0,
    -0.0,
    math.nan,
    math.inf,
    1 + 2j,
    10**4000,
    "",
    "naïve 馬 \U0001f40e \x00 \ud800",
    b"",
    bytes(range(256)),
    bytearray(b"x"),
    (),
    [],
    {},
    set(),
    frozenset({1}),
    ...,
    NotImplemented,
    range(3, 9, 2),
    slice(1, None, 2),
    Point(1, 2, ["é"]),
    Pair(1, "r"),
    Colour.GREEN,
    Point,
    int,
    math,
    math.sqrt,
    datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    Decimal("1.10"),
    Fraction(1, 3),
    UUID(int=7),
    PurePosixPath("/scratch/größe"),
    OrderedDict(b=1, a=2),
    Counter("hello"),
    deque([1, 2], maxlen=5),
    defaultdict(list, a=[1]),
    StopIteration(3),
    ValueError("as a value"),
    {(1, "a"): [None, {"x": (Point(0),)}]},
    np.float32(1.5),
    np.datetime64("2024-02-29"),
)
_PYTHON_ALONE = [value for value in VALUES if not type(value).__module__.startswith("numpy")]


def assert_same(found: Any, sent: Any) -> None:
    assert type(found) is type(sent)
    if isinstance(sent, BaseException):
        assert found.args == sent.args
    elif isinstance(sent, float):
        assert repr(found) == repr(sent)
    else:
        assert found == sent


def test_values_go_there_and_back(there: ClusterConfig) -> None:
    sent = _PYTHON_ALONE
    for found, value in zip(cluster(plain).map(sent), sent, strict=True):
        assert_same(found, value)


def test_one_call_returns_what_could_be_taken_for_nothing(there: ClusterConfig) -> None:
    values = [None, False, 0, "", "\ud800", math.nan, ValueError("as a value")]
    jobs = [cluster(plain).submit(value) for value in values]
    for job, value in zip(jobs, values, strict=True):
        assert_same(job.result(60), value)


def test_one_object_that_is_sent_twice_is_one_object_there(there: ClusterConfig) -> None:
    shared = [1]
    circle: list[Any] = [shared]
    circle.append(circle)
    same, inner = cluster(lambda a, b: (a is b[0], b[1] is b))(shared, circle)
    assert (same, inner) == (True, True)
    came = cluster(plain)(circle)
    assert came[1] is came and came[0] == [1]


def test_arrays(there: ClusterConfig, with_numpy: None) -> None:
    arrays = [
        np.arange(12.0).reshape(3, 4),
        np.arange(10**6, dtype="i4")[::2],
        np.asfortranarray(np.ones((200, 300))),
        np.array(["ä", "b"]),
        np.zeros((0, 3)),
        np.array([None, {"a": 1}], dtype=object),
        np.rec.array([(1, 2.5)], dtype=[("i", "i2"), ("x", "f8")]),
    ]
    for found, sent in zip(cluster(lambda a: a).map(arrays), arrays, strict=True):
        assert type(found) is type(sent) and found.dtype == sent.dtype and found.shape == sent.shape
        assert (found == sent).all()
        found[...] = sent  # what comes back may be written to
    assert float(cluster(lambda a, b: (a @ b).sum())(arrays[0], arrays[0].T)) == 1134.0 + 0.0
    for value in VALUES:
        if type(value).__module__.startswith("numpy"):
            assert_same(cluster(plain)(value), value)


@pytest.mark.slow
def test_200_megabytes(there: ClusterConfig) -> None:
    block = random.Random(1).randbytes(1 << 20)
    sent = block * 200
    assert there.resources.memory is None
    found = cluster(lambda data: data[::-1], memory="2GB", name="large")(sent)
    assert found == sent[::-1]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def depth_of(value: Any) -> int:
    depth = 0
    while value:
        value, depth = value[0], depth + 1
    return depth


def test_deep_nesting(there: ClusterConfig) -> None:
    assert depth_of(cluster(plain)(nested(500))) == 500
    there_only = cluster(lambda depth, nested=nested: nested(depth))
    assert depth_of(there_only(500)) == 500
    # Too deep for pickle: said clearly, on the way there and on the way back.
    with pytest.raises(CannotTravel, match=r"argument 'value'.*recursion"):
        cluster(plain)(nested(100_000))
    with pytest.raises(CannotTravel, match="recursion"):
        there_only(100_000)


def test_unicode_everywhere(there: ClusterConfig, shared: Path) -> None:
    path = shared / "größe 馬 \U0001f40e.txt"

    @cluster(name="größe 馬")
    def schreibe(wörter: dict[str, str], *, name: str) -> str:
        with open(name, "w", encoding="utf-8") as file:
            file.write("".join(wörter.values()))
        print("fertig: 馬 \U0001f40e é")
        return os.path.basename(name)

    job = schreibe.submit({"schlüssel": "żółć\n"}, name=str(path))
    assert job.result(60) == path.name
    assert path.read_text("utf-8") == "żółć\n"
    assert "fertig: 馬 \U0001f40e é" in job.logs()
    assert job.name.isascii()


# -- from scripts, stdin and notebooks


SCRIPT = """
from dataclasses import dataclass
from clustrix import cluster

LIMIT = 100

@dataclass
class Rechnung:
    größe: int

def help_out(x):
    return Rechnung(x + LIMIT)

@cluster(name="script")
def of_main(x):
    return help_out(x)

@cluster
def raises():
    raise KeyError(Rechnung(1))

if __name__ == "__main__":
    answer = of_main(1)
    assert answer == Rechnung(101) and type(answer) is Rechnung, answer
    try:
        raises()
    except KeyError as error:
        assert error.args == (Rechnung(1),)
    print("all is well")
"""

NEIGHBOURS = {
    "neighbour.py": """
        import math
        import threading

        import a_module_that_only_this_machine_has

        class Shape:
            def __init__(self, r):
                self.r = r
            def __eq__(self, other):
                return type(other) is Shape and other.r == self.r
            def area(self):
                return round(math.pi * self.r ** 2, 3)

        class TooSmall(ValueError):
            pass

        def grown(shape):
            if shape.r < 0:
                raise TooSmall(shape.r)
            return Shape(shape.r + STEP)

        def is_shape(thing):
            from neighbour import Shape as Known
            return isinstance(thing, Known) and isinstance(thing, Shape)

        STEP = 1
        lock = threading.Lock()  # nobody there needs it
    """,
    "package/__init__.py": "from .inner import twice\nNAME = 'package'\n",
    "package/inner.py": """
        from . import deep
        from .deep.er import constant

        def twice(x):
            return 2 * x + constant() + deep.SHIFT
    """,
    "package/deep/__init__.py": "SHIFT = 1000\n",
    "package/deep/er.py": "def constant():\n    return 100\n",
    "package/unseen.py": """
        from . import NAME
        from .deep import er
        import stranger

        def tell():
            return NAME, er.constant(), stranger.here()
    """,
    "stranger.py": "def here():\n    return __name__\n",
}


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")


@pytest.fixture
def folder(tmp_path: Path, client: Callable[..., str]) -> Path:
    """A directory of a user's modules; one of them imports something that the cluster does not have."""
    write(tmp_path / "größe", NEIGHBOURS)
    write(tmp_path / "installed/site-packages", {"a_module_that_only_this_machine_has.py": "here = True\n"})
    client.environment["SITE"] = str(tmp_path / "installed/site-packages")  # type: ignore[attr-defined]
    return tmp_path / "größe"


def test_a_script_with_its_neighbours(client: Callable[..., str], folder: Path) -> None:
    main = """
        import os, sys
        sys.path.append(os.environ["SITE"])
        import neighbour, package, package.inner
        from clustrix import cluster
        from neighbour import Shape, grown
        from package import twice

        @cluster
        def uses(r):
            return grown(Shape(r)), twice(1), package.NAME, package.inner.twice(2), neighbour.Shape(2).area()

        found = uses(1)
        assert found == (Shape(2), 1102, "package", 1104, 12.566), found
        assert cluster(neighbour.grown)(Shape(5)) == Shape(6)
        assert cluster(Shape(2).area)() == 12.566
        try:
            cluster(grown)(Shape(-1))
        except neighbour.TooSmall as error:
            assert error.args == (-1,)
            assert "in grown" in error.remote_traceback and "raise TooSmall(shape.r)" in error.remote_traceback
        else:
            raise AssertionError("did not raise")
        print("all is well")
    """
    write(folder, {"main.py": main})
    assert client(folder / "main.py").splitlines() == ["all is well"]


def test_modules_that_are_imported_inside_a_function(client: Callable[..., str], folder: Path) -> None:
    """Whether they have been imported here or not; and their classes are the same as those that came as arguments."""
    main = """
        import os, sys
        from multiprocessing import Pool
        sys.path.append(os.environ["SITE"])

        import neighbour
        from clustrix import CannotTravel, cluster

        neighbour.STEP = 10

        @cluster
        def late(shape):
            import neighbour as again
            from package.deep.er import constant
            from package import inner, unseen
            import package
            grown = again.grown(shape)
            same = isinstance(shape, again.Shape), again.is_shape(shape), neighbour is again, type(grown) is again.Shape
            again.STEP = 100
            return grown, again.grown(shape).r, constant(), inner.twice(3), unseen.tell(), package.NAME, same

        @cluster
        def spread():
            with Pool(2) as pool:
                return pool.map(neighbour.grown, [neighbour.Shape(1), neighbour.Shape(2)])

        @cluster
        def locked():
            return neighbour.lock.locked()

        @cluster
        def hides_the_name():
            return getattr(neighbour, "lo" + "ck")

        @cluster
        def needs_what_is_not_there():
            return neighbour.a_module_that_only_this_machine_has.here

        if __name__ == "__main__":
            same = (True, True, True, True)
            found = late(neighbour.Shape(1))
            assert found == (neighbour.Shape(11), 101, 100, 1106, ("package", 100, "stranger"), "package", same), found
            assert type(found[0]) is neighbour.Shape
            assert spread() == [neighbour.Shape(11), neighbour.Shape(12)]
            assert neighbour.STEP == 10
            for function, kind, words in (
                (locked, CannotTravel, "neighbour.lock, which locked uses"),
                (hides_the_name, AttributeError, "neighbour.lock could not travel"),
                (needs_what_is_not_there, ModuleNotFoundError, "a_module_that_only_this_machine_has"),
            ):
                try:
                    function()
                except kind as error:
                    assert words in str(error), error
                else:
                    raise AssertionError(function)
            print("all is well")
    """
    write(folder, {"main.py": main})
    assert client(folder / "main.py").splitlines() == ["all is well"]


def test_python_m(client: Callable[..., str], folder: Path) -> None:
    main = """
        from clustrix import cluster
        from .inner import twice

        @cluster
        def late():
            from . import NAME, unseen
            return twice(1), NAME, unseen.tell()[2]

        assert late() == (1102, "package", "stranger")
        print("all is well")
    """
    write(folder, {"package/run.py": main})
    assert client("-m", "package.run", cwd=folder).splitlines() == ["all is well"]


def test_a_script_alone(client: Callable[..., str], tmp_path: Path) -> None:
    write(tmp_path, {"größe/skript.py": SCRIPT})
    assert client(tmp_path / "größe/skript.py").splitlines() == ["all is well"]


def test_stdin(client: Callable[..., str]) -> None:
    assert client("-", stdin=SCRIPT).splitlines() == ["all is well"]
    assert client("-c", SCRIPT).splitlines() == ["all is well"]


def test_a_notebook(client: Callable[..., str], tmp_path: Path) -> None:
    from jupyter_client.manager import start_new_kernel

    manager, kernel = start_new_kernel(
        kernel_name="python3",
        env=client.environment,
        cwd=str(tmp_path),  # type: ignore[attr-defined]
    )

    def cell(source: str) -> str:
        said: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            said.append(content.get("text") or content.get("data", {}).get("text/plain") or content.get("ename") or "")

        kernel.execute_interactive(textwrap.dedent(source), timeout=60, output_hook=hear)
        return "".join(part for part in said if part)

    try:
        cell(
            """
            from dataclasses import dataclass
            from clustrix import cluster
            @dataclass
            class Cell:
                x: int
            def neighbour(x): return Cell(x + shift)
            shift = 1
            """
        )
        cell("@cluster\ndef run(x): return neighbour(x)")
        assert cell("run(1)").endswith("Cell(x=2)")
        cell("shift = 5\n@dataclass\nclass Cell:\n    x: int\n    y: int = 0")
        assert cell("run(1)").endswith("Cell(x=6, y=0)"), "cells that ran again count"
        assert cell("isinstance(await run.submit(2), Cell)").endswith("True")
        assert cell("list(run.map(range(3)))").endswith("[Cell(x=5, y=0), Cell(x=6, y=0), Cell(x=7, y=0)]")
        assert "ZeroDivisionError" in cell("cluster(lambda: 1 / 0)()")
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)


# -- inside a job


@cluster(cores=1)
def inner(x: int) -> tuple[int, int]:
    return x + 1, os.getpid()


def test_a_decorated_function_in_a_job_runs_in_place(there: ClusterConfig) -> None:
    @cluster
    def outer(x: int) -> Any:
        plus, pid = inner(x)
        again, other = inner.local(x)
        third = inner.options(cores=2)(x)
        return plus, again, third[0], {pid, other, third[1]} == {os.getpid()}, os.getpid()

    plus, again, third, in_place, pid = outer(1)
    assert (plus, again, third, in_place) == (2, 2, 2, True)
    assert pid != os.getpid()
    assert inner.local(1) == (2, os.getpid())


def test_decorated_functions_travel_as_values(there: ClusterConfig) -> None:
    def apply(function: Any, x: int) -> Any:
        return function(x)[0], type(function).__name__, function

    value, kind, back = cluster(apply)(inner, 3)
    assert (value, kind) == (4, "InPlace") or there.backend == "local"
    assert type(back) is type(inner) and back.local(1) == (2, os.getpid())
    method = Point(1, 2).scaled
    assert cluster(lambda f: f(2))(method) == Point(2, 4, ["scaled"])


def _pythons(place: str) -> list[str | None]:
    # On this machine the tests' own Python has Clustrix installed, the system's has not.
    return [None, "/usr/bin/python3"] if place == "local" else [None]


def test_a_job_asks_no_cluster(there: ClusterConfig, place: str) -> None:
    @cluster
    def asks(what: str) -> Any:
        if what == "submit":
            inner.submit(1)
        elif what == "map":
            inner.map([1])
        elif what == "options":
            inner.options(cores=2).submit(1)
        elif what == "executor":
            with clustrix.Executor() as pool:
                pool.submit(inner, 1)
        elif what == "fresh":
            from clustrix import cluster as fresh

            fresh(lambda: 1).submit()
        return "not refused"

    for python in _pythons(place):
        if python is not None:
            configure(python=python)
        results = asks.options(return_exceptions=True).map(["submit", "map", "options", "executor", "fresh"])
        for error in results:
            assert isinstance(error, InsideJobError), error
            assert "inside a job" in str(error) or "already a job" in str(error)
            assert error.hint


def test_every_public_name_imports_in_a_job(there: ClusterConfig, place: str) -> None:
    @cluster
    def names(wanted: list[str]) -> dict[str, Any]:
        import clustrix
        from clustrix import current_job

        found = {name: repr(getattr(clustrix, name))[:20] for name in wanted}
        job = current_job()
        return {
            "missing": [name for name in wanted if name not in found],
            "star": sorted(set(clustrix.__all__) ^ set(wanted)),
            "job": (job.id, job.call, job.task),
            "version": clustrix.__version__,
            "config": clustrix.ClusterConfig(backend="slurm").backend,
            "same": __import__("clustrix.config", fromlist=["x"]).ClusterConfig is clustrix.ClusterConfig,
            "file": clustrix.__file__,
        }

    for python in _pythons(place):
        if python is not None:
            configure(python=python)
        job = names.submit(list(clustrix.__all__))
        found = job.result(60)
        assert found["missing"] == [] and found["star"] == []
        assert found["job"] == (job.id, 0, 0)
        assert found["version"] == clustrix.__version__
        assert found["config"] == "slurm" and found["same"]
        if place != "local" or python is not None:
            assert "facade" in found["file"]
    assert clustrix.current_job() is None


# -- what cannot travel


class Holder:
    def __init__(self, what: Any) -> None:
        self.what = what

    def asked(self) -> str:
        return repr(self.what)


def test_a_result_that_cannot_be_pickled(there: ClusterConfig) -> None:
    def gives(kind: str) -> Any:
        if kind == "generator":
            return (x for x in range(3))
        if kind == "lock":
            return {"lock": threading.Lock()}
        if kind == "file":
            return open(os.devnull)
        return Holder(socket.socket())

    kinds = ["generator", "lock", "file", "socket"]
    for kind, error in zip(kinds, cluster(gives).options(return_exceptions=True).map(kinds), strict=True):
        assert isinstance(error, CannotTravel), (kind, error)
        assert "result" in str(error)
    with pytest.raises(CannotTravel, match="generator"):
        cluster(gives)("generator")


@pytest.fixture
def untouched(there: ClusterConfig, place: str, bed: Bed | None) -> Iterator[None]:
    """The same place with a work_dir that nobody has made yet; fails where a test has reached the cluster."""
    work_dir = Path(tempfile_name())
    configure(default=settings(place, bed, work_dir=str(work_dir)))
    yield
    assert not work_dir.exists(), "something has reached the cluster"
    assert clustrix.jobs() == []


def tempfile_name() -> str:
    return f"/tmp/clustrix-untouched-{os.getpid()}-{random.getrandbits(40):x}"


open_file = open(os.devnull)  # noqa: SIM115
a_lock = threading.Lock()


def uses_a_file() -> str:
    return open_file.read()


def uses_a_lock_below() -> bool:
    return deeper()


def deeper() -> bool:
    return a_lock.locked()


def test_what_cannot_travel_is_refused_here(untouched: None, tmp_path: Path) -> None:
    def generator() -> Iterator[int]:
        yield 1

    def with_default(x: int, log: Any = a_lock) -> int:
        return x

    text, binary = open(tmp_path / "text", "w+"), open(tmp_path / "bin", "wb+")  # noqa: SIM115
    raw = open(tmp_path / "bin", "rb", buffering=0)  # noqa: SIM115
    plug = socket.socket()
    lock = threading.RLock()
    with text, binary, raw, plug:
        arguments: dict[str, tuple[Any, str]] = {
            "text file": (text, "text"),
            "binary file": (binary, "BufferedRandom"),
            "raw file": (raw, "FileIO"),
            "stdout": (sys.__stdout__, "stdout"),
            "lock": (lock, "RLock"),
            "socket": (plug, "socket"),
            "generator": (generator(), "generator"),
            "inside a list in a dict": ({"a": [1, lock]}, r"\['a'\]\[1\].*RLock"),
            "attribute": (Holder(text), r"\.what.*text"),
            "job": (Job(), "job of this process"),
        }
        for name, (value, words) in arguments.items():
            with pytest.raises(CannotTravel, match=words) as refused:
                cluster(plain)(value)
            assert "argument 'value'" in str(refused.value), name
            assert refused.value.hint, name
            with pytest.raises(CannotTravel, match=words):
                cluster(plain).map([1, 2, value])
            with pytest.raises(CannotTravel, match=words):
                cluster(keywords).map([1], [2], c=value)
        functions: dict[str, tuple[Callable[..., Any], str]] = {
            "closure": (lambda: lock, "variable 'lock'"),
            "closure over a file": (lambda: text.read(), "variable 'text'"),
            "global": (uses_a_file, "global 'open_file'"),
            "global of a function below": (uses_a_lock_below, "'a_lock'"),
            "default": (functools.partial(with_default, 1), "default of 'log'"),
            "method": (Holder(plug).asked, "what"),
            "partial": (functools.partial(plain, lock), "RLock"),
        }
        for name, (function, words) in functions.items():
            with pytest.raises(CannotTravel) as refused:
                cluster(function).submit()
            assert words in str(refused.value), name
            assert refused.value.hint, name


def test_wrong_arguments_are_refused_here(untouched: None) -> None:
    with pytest.raises(TypeError, match=r"plain.*missing.*'value'"):
        cluster(plain)()
    with pytest.raises(TypeError, match="unexpected keyword"):
        cluster(plain).submit(1, vlaue=2)
    with pytest.raises(TypeError, match="too many"):
        cluster(plain).map([1], [2])
    with pytest.raises(TypeError, match="at least one iterable"):
        cluster(plain).map()


def test_a_module_that_is_missing_there_is_named(there: ClusterConfig) -> None:
    @cluster
    def needs() -> None:
        import a_module_that_nobody_has  # noqa: F401

    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        needs()

    def by_reference() -> Any:
        return pytest.approx

    if there.backend != "local":
        with pytest.raises(PayloadError, match=r"'pytest'.*cannot import"):
            cluster(by_reference)()


# -- the other ways to the same places


@pytest.mark.parametrize("place", OTHER_WAYS, scope="session")
def test_other_ways(there: ClusterConfig) -> None:
    assert cluster(far)(Point(3, 4)) == Point(5, 10)
    assert list(cluster(plain).map([None, "馬", 3])) == [None, "馬", 3]
    with pytest.raises(ZeroDivisionError):
        cluster(lambda: 1 / 0)()
    assert cluster(plain)(Colour.RED) is Colour.RED
