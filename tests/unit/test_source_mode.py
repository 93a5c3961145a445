"""Source mode: what is cut out, what is refused and how, and that hostile source harms nobody."""

from __future__ import annotations

import collections
import copyreg
import dataclasses
import io
import itertools
import json
import os
import pathlib
import pickle
import pickletools
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clustrix_core import environments, payload
from clustrix_core.config import ClusterConfig
from clustrix_core.engine import specs
from clustrix_core.entry import Entry
from clustrix_core.environments import Recipe
from clustrix_core.errors import CannotTravel, PayloadError
from clustrix_core.model import Site
from clustrix_core.payload import source
from clustrix_core.payload.source import opcodes, scopes, text
from clustrix_core.worker import names, pickling, trees
from tests.unit.worker.jobdir import JobDir, interpreters

NUMBERS = itertools.count()
OTHERS = [python for version, python in interpreters().items() if version != "{}.{}".format(*sys.version_info)]
OLDEST, NEWEST = (OTHERS or [sys.executable])[0], (OTHERS or [sys.executable])[-1]  # source is for any


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., types.ModuleType]]:
    """Write a module and import it."""
    place = tmp_path / "modules"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    made = []

    def written(content: str, name: str = "", imported: bool = True) -> Any:
        name = name or f"source_mode_{next(NUMBERS)}"
        path = place / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(textwrap.dedent(content), "utf-8")
        made.append(name.partition(".")[0])
        if not imported:
            return name
        __import__(name)
        return sys.modules[name]

    yield written
    for name in [one for one in sys.modules if one.partition(".")[0] in made]:
        del sys.modules[name]


def pack(folder: Path, function: Any, *args: Any, **constants: Any) -> dict[str, Any]:
    source.pack(folder / "payload", folder / "source", function, [(args, {})], constants, None, None)
    plan: dict[str, Any] = json.loads((folder / "source").read_text("utf-8"))
    return plan


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Run a call by the workers of an older and a newer Python; return the value, or raise what it raised."""

    def ran(function: Any, *args: Any, **constants: Any) -> Any:
        values = []
        for python in (OLDEST, NEWEST):
            job = JobDir(tmp_path / "there", f"{next(NUMBERS):08x}")
            pack(job.path, function, *args, **constants)
            job.write_spec()
            asked = subprocess.run(job.argv("admit", 0, python=python), cwd=job.path, capture_output=True, text=True)
            assert (asked.returncode, asked.stderr) == (0, "")
            _, out, err = job.run(python=python)
            assert (out, err) == ("", "")
            end = job.only()["body"]
            if isinstance(end, BaseException):
                raise end
            values.append(end)
        assert repr(values[0]) == repr(values[1])
        return values[1]

    return ran


def admit(tmp_path: Path, python: str, function: Any, *args: Any) -> str:
    """Return why a Python does not take a call."""
    job = JobDir(tmp_path / "asked", f"{next(NUMBERS):08x}")
    pack(job.path, function, *args)
    asked = subprocess.run(job.argv("admit", 0, python=python), cwd=job.path, capture_output=True, text=True)
    assert asked.returncode in (0, 71), asked.stderr
    return asked.stderr


# -- what travels


def test_variables_hold_what_they_hold_now(write: Any, run: Any) -> None:
    module = write("STEP = 1\nBIG = [1]\ndef f(x):\n    BIG.append(x)\n    return STEP, BIG\n")
    module.STEP = 5
    assert run(module.f, 2) == (5, [1, 2]) and module.BIG == [1]


def test_only_what_is_named_travels(write: Any, run: Any, tmp_path: Path) -> None:
    module = write(
        """\
        import threading, os.path as path
        LOCK = threading.Lock()
        open_file = open(__file__)
        def unused(): return LOCK
        def f(x: "NotThere") -> threading.Lock: return path.join("a", x)
        """
    )
    module.open_file.close()
    assert run(module.f, "b") == "a/b"
    (steps,) = [one["steps"] for one in pack(tmp_path, module.f, "b")["modules"].values()]
    assert "LOCK" not in json.dumps(steps) and "threading" not in json.dumps(
        [s for s in steps if "def" not in s["text"]]
    )


def test_statements_that_share_a_line(write: Any, run: Any) -> None:
    module = write("A = 1; import math as m; B = 2\ndef f(): return A + B + m.floor(2.5)\n")
    assert run(module.f) == 5


def test_closures_lambdas_defaults_and_recursion(write: Any, run: Any) -> None:
    module = write("""\
        def make(k):
            def rec(n, *, base={"a": k}):
                return base["a"] if n == 0 else n * rec(n - 1)
            return rec
        pair = [lambda x: x + 1, lambda x: x + 2]
        def unset():
            def f(): return 1 if True else later
            return f
            later = 2
        """)
    assert run(module.make(3), 4) == 72
    assert run(module.pair[1], 1) == 3
    assert run(module.unset()) == 1


def test_classes_their_bases_enums_and_named_tuples(write: Any, run: Any) -> None:
    module = write("""\
        import abc, collections, enum, typing
        T = typing.TypeVar("T")
        Point = collections.namedtuple("Point", "x y")
        class Base(abc.ABC, typing.Generic[T]):
            LIMIT = 3
            @property
            def limit(self) -> "typing.Any": return self.LIMIT
        class Mine(Base):
            def __init__(self, x): self.__x = x
            def value(self): return self.__x + self.limit
        class Kind(enum.Enum):
            A = Point(1, 2)
        def f(mine, kind): return mine.value(), kind.value.y, kind
        """)
    assert run(module.f, module.Mine(4), module.Kind.A) == (7, 2, module.Kind.A)


def test_decorators(write: Any, run: Any) -> None:
    module = write("""\
        import functools
        from clustrix import cluster
        def twice(function):
            @functools.wraps(function)
            def inner(*args): return 2 * function(*args)
            return inner
        @cluster(cores=2)
        def remote(x): return x + 1
        @twice
        @functools.lru_cache(None)
        def g(x): return remote(x)
        def f(x): return g(x)
        """)
    assert run(module.f, 3) == 8
    assert run(module.remote.local, 3) == 4


def test_modules_as_a_whole_and_packages(write: Any, run: Any) -> None:
    write("", "parcel.__init__")
    write("VALUE = 1\nclass Box: pass\n", "parcel.low")
    write(
        "from __future__ import annotations\nfrom . import low\nfrom .low import *\n"
        "def get(x: int | None): return low.VALUE + VALUE, Box.__name__, EXTRA\n",
        "parcel.high",
    )
    module = write(
        "import parcel.high\ndef f(): return parcel.high.get(1)\n"
        "def g():\n    from parcel import high\n    return high.get(0)\n"
    )
    sys.modules["parcel.low"].VALUE = 7  # type: ignore[attr-defined]
    sys.modules["parcel.high"].EXTRA = 9  # type: ignore[attr-defined]
    assert run(module.f) == (8, "Box", 9) and run(module.g) == (8, "Box", 9)


def test_a_name_that_was_imported_before_it_changed(write: Any, run: Any) -> None:
    write("STEP = 1\nSHARED = []\n", "changing")
    module = write("""\
        from changing import STEP, SHARED as mine
        import changing
        def f():
            mine.append(1)
            return STEP, changing.STEP, changing.SHARED
        """)
    sys.modules["changing"].STEP = 2  # type: ignore[attr-defined]
    assert run(module.f) == (1, 2, [1])


def test_exceptions_come_back_as_themselves(write: Any, run: Any) -> None:
    module = write("""\
        class Odd(Exception):
            def __init__(self, a, *, b): super().__init__(a); self.b = b
        def f():
            try: 1 / 0
            except ZeroDivisionError as error: raise Odd("x", b=2) from error
        """)
    with pytest.raises(module.Odd) as caught:
        run(module.f)
    assert caught.value.b == 2 and isinstance(caught.value.__cause__, ZeroDivisionError)


def test_paths_go_both_ways(write: Any, run: Any) -> None:
    module = write("import pathlib\nHOME = pathlib.Path('/home')\ndef f(p): return p / 'x', HOME\n")
    assert run(module.f, Path("/a")) == (Path("/a/x"), Path("/home"))


def test_large_arguments_and_constants(write: Any, run: Any) -> None:
    module = write("def f(data, other): return len(data), other\n")
    assert run(module.f, b"x" * 10**6, other=[1]) == (10**6, [1])


# -- what is refused, by name, before anything is sent


REFUSED = {
    "an open file": ("f_open = open(__file__)\ndef f(): return f_open", "f_open"),
    "a lock": ("import threading\nLOCK = threading.Lock()\ndef f(): return LOCK", "'LOCK'"),
    "a local class": ("def make():\n    class A: pass\n    return A\nA2 = make()\ndef f(): return A2", "local|no name"),
    "a generator": ("g = (x for x in [1])\ndef f(): return g", "generator"),
    "a method's closure": (
        "def make():\n    class A:\n        def f(self): return super()\n    return A.f\nf = make()",
        "no name|class",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_go(case: str, write: Any, tmp_path: Path) -> None:
    content, said = REFUSED[case]
    module = write(content)
    with pytest.raises(CannotTravel, match=said) as caught:
        pack(tmp_path, module.f)
    assert caught.value.hint
    if hasattr(module, "f_open"):
        module.f_open.close()


@pytest.mark.parametrize("bad", [threading.Lock(), (x for x in [1]), threading.current_thread()])
def test_an_argument_is_named(bad: Any, write: Any, tmp_path: Path) -> None:
    module = write("def f(fine, wrong): pass")
    with pytest.raises(CannotTravel, match="the argument 'wrong'"):
        pack(tmp_path, module.f, 1, bad)


def test_an_argument_that_stays_here_is_said_to(write: Any, tmp_path: Path) -> None:
    module = write("def f(wrong): pass")
    with tempfile.TemporaryDirectory() as folder, pytest.raises(CannotTravel, match="this is a socket or") as caught:
        with socket.socket() as connection:
            pack(tmp_path, module.f, [folder, connection])
    assert caught.value.hint and "inside the function" in caught.value.hint


def test_the_environment_is_that_over_there(write: Any, run: Any) -> None:
    module = write("import os\ndef f(known): return known is os.environ\n")
    assert run(module.f, os.environ)


def test_a_function_that_was_replaced(write: Any, tmp_path: Path) -> None:
    module = write(
        "def g(): return 1\ndef f(): return g()\n"
        "class C:\n    N = 1\n    def go(self): return 1\ndef h(): return C().go()"
    )
    module.C.N = 2
    with pytest.raises(CannotTravel, match=r"C\.N is not what"):
        pack(tmp_path, module.h)
    module.C.N = 1
    module.C.go = lambda self: 2
    with pytest.raises(CannotTravel, match=r"C\.go is not what"):
        pack(tmp_path, module.h)
    namespace: dict[str, Any] = {"__name__": module.__name__}
    exec("def g(): return 2", namespace)
    module.g = namespace["g"]
    with pytest.raises(CannotTravel, match=r"\.g is not what"):
        pack(tmp_path, module.f)


def test_a_file_that_was_changed(write: Any, tmp_path: Path) -> None:
    module = write("def f(): return 1\n")
    Path(module.__file__).write_text("def f(): return 22\n")
    with pytest.raises(CannotTravel, match=r"is not what .* says now"):
        pack(tmp_path, module.f)


def test_what_was_typed_at_a_prompt(tmp_path: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(): return 1", namespace)
    with pytest.raises(CannotTravel, match="not at hand"):
        pack(tmp_path, namespace["f"])


def test_the_target_says_what_it_does_not_take(write: Any, tmp_path: Path) -> None:
    module = write("""\
        def walrus(x):
            # a comment
            return (y := x)
        def missing():
            from math import prod
            import nothing_that_matters
            try:
                from math import not_there
            except ImportError:
                pass
        def f(path): pass
        """)
    if OLDEST.find("3.6") < 0:
        pytest.skip("there is no Python 3.6")
    said = admit(tmp_path, OLDEST, module.walrus)
    assert f'File "{module.__file__}", line 3' in said and "(y := x)" in said and "SyntaxError" in said
    assert "has no math.prod" in admit(tmp_path, OLDEST, module.missing)
    assert "not_there" not in admit(tmp_path, OLDEST, module.missing)
    alias = types.GenericAlias(list, (int,))
    assert "types.GenericAlias" in admit(tmp_path, OLDEST, module.f, alias)
    assert admit(tmp_path, OLDEST, module.f, Path("/")) == ""


def test_the_modules_that_it_reaches_are_told(write: Any, tmp_path: Path) -> None:
    """What is to be installed follows from them."""
    write("import pluggy\ndef g(): import click.testing\n", "reaches")
    module = write("import cloudpickle\nfrom rich import box\nfrom reaches import g\ndef f(x): return box, g, x\n")
    folder = tmp_path / "payload"
    value = __import__("yaml").YAMLError("no")
    found = source.pack(folder, tmp_path / "source", module.f, [((value,), {})], {}, None, (3, 9))
    assert {"rich.box", "click.testing", "yaml.error"} <= found
    assert not any(name.startswith(("pluggy", "cloudpickle")) for name in found), "the function does not need them"


# -- which of both is sent


def test_what_is_packed_and_what_is_sent(write: Any, tmp_path: Path) -> None:
    module = write("import threading\ndef f(): pass\ndef g(): return threading.Lock, f\n")
    here, other = payload.HERE, (3, 9) if payload.HERE != (3, 9) else (3, 8)

    def packed(name: str, function: Any, python: tuple[int, int] | None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        payload.pack(folder, function, [((), {})], {}, python=python)
        return folder

    assert {path.name for path in packed("same", module.f, here).iterdir()} == {"payload"}
    assert {path.name for path in packed("other", module.f, other).iterdir()} == {"payload-source", "source"}
    unseen = packed("unseen", module.f, None)
    assert payload.files(unseen, here) == {"payload": unseen / "payload"}
    assert payload.files(unseen, other) == {"payload": unseen / "payload-source", "source": unseen / "source"}
    with pytest.raises(PayloadError, match=r"3\.6 and later"):
        payload.files(unseen, (3, 5))
    with pytest.raises(PayloadError, match="another Python on the cluster than before"):
        payload.files(tmp_path / "same", other)
    assert set(payload.files(tmp_path / "other", here)) == {"payload", "source"}, "source is for any"
    payload.pack_command(packed("command", module.f, here), "true")
    assert payload.files(tmp_path / "command", other) == {"payload": tmp_path / "command" / "payload"}


def test_an_environment_with_a_python_of_its_own_gets_what_the_client_has(write: Any, tmp_path: Path) -> None:
    """conda brings the client's version, whatever the cluster's is; one that is made of the cluster's has that."""
    site = Site("/scratch", (3, 6), "ada")

    def python(**recipe: Any) -> tuple[int, int]:
        spec = {specs.RECIPE: Recipe("some", ("moss",), **recipe).to_json()} if recipe else {}
        return specs.python(Entry("0" * 16, "f", "there", {}, "call", spec, "me"), site)

    assert python() == python(manager="pip") == (3, 6)
    assert python(manager="conda", version=payload.HERE) == payload.HERE
    module = write("def f(): return open\n")
    payload.pack(tmp_path, module.f, [((), {})], {}, python=None)
    assert set(payload.files(tmp_path, python(manager="conda", version=payload.HERE))) == {"payload"}
    assert set(payload.files(tmp_path, python(manager="pip"))) == {"payload", "source"}


@pytest.mark.parametrize(
    ("asked", "manager", "own"),
    [
        ("auto", "auto", False),
        (["auto", "moss"], "uv", False),
        ("requirements.txt", "pip", False),
        ("lab", "auto", True),
        ("auto", "conda", True),
    ],
)
def test_which_environments_may_have_a_python_of_their_own(asked: Any, manager: str, own: bool) -> None:
    place = ClusterConfig(name="there", backend="local", manager=manager)
    assert environments.may_bring_python(asked, place) is own


def test_a_refusal_of_source_waits_until_it_matters(tmp_path: Path) -> None:
    """Whoever has the same Python over there is not to be kept from anything."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(): return 1", namespace)
    payload.pack(tmp_path, namespace["f"], [((), {})], {})
    assert payload.files(tmp_path, payload.HERE) == {"payload": tmp_path / "payload"}
    with pytest.raises(CannotTravel, match="not at hand"):
        payload.files(tmp_path, (3, 9))


def test_calls_are_packed_one_by_one(write: Any, tmp_path: Path) -> None:
    """A map of large arguments needs the memory of one of them."""
    module = write("def f(data): pass")
    code = (
        "import resource, sys, pathlib\nsys.path.insert(0, sys.argv[1])\nfrom clustrix_core.payload import source\n"
        f"from {module.__name__} import f\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "calls = (((bytes(10**7),), {}) for _ in range(30))\n"
        "source.pack(pathlib.Path(sys.argv[1], 'p'), pathlib.Path(sys.argv[1], 's'), f, calls, {}, None, None)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    folder = str(Path(str(module.__file__)).parent)
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
    assert done.returncode == 0 and int(done.stdout) < 100, done.stdout + done.stderr


# -- names in pickles


class Plain:
    pass


class Spy(pickle.Unpickler):
    """Knows what an unpickler really looks for."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.seen: set[tuple[str, str]] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.seen.add((module, name))
        return super().find_class(module, name)


VALUES: list[Any] = [
    Plain(),
    [Plain, Plain],
    collections.OrderedDict(a=1),
    Path("/a"),
    dataclasses.dataclass,
    [len] * 3,
]


@pytest.mark.parametrize("protocol", [4, 5])
def test_every_name_in_a_pickle_is_seen(protocol: int) -> None:
    for value in VALUES:
        stream = pickle.dumps(value, protocol)
        spy = Spy(io.BytesIO(stream))
        spy.load()
        assert opcodes.globals_in(stream) == spy.seen


def test_what_has_moved_is_found() -> None:
    assert names.resolve("pathlib._local", "PosixPath") is pathlib.PosixPath
    for module in ("pathlib._local", "pathlib"):
        stream = b"\x80\x04" + b"c" + f"{module}\nPurePosixPath\n".encode() + b"(\x8c\x01atR."
        assert pickling.loads(pickling.Parts([stream])) == pathlib.PurePosixPath("a")  # type: ignore[attr-defined]
    with pytest.raises((ImportError, AttributeError), match="nothing_like_it"):
        names.resolve("pathlib._local", "nothing_like_it")
    assert names.places("numpy.core.multiarray") == ("numpy._core.multiarray", "numpy.core.multiarray")


def by_pickletools(stream: bytes) -> set[tuple[str, str]]:
    """Return the names as pickletools reads them; slowly."""
    found, pushed, memo = set(), [""], []
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "STACK_GLOBAL":
            found.add((pushed[-2], pushed[-1]))
        if opcode.name == "MEMOIZE":
            memo.append(pushed[-1])
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            pushed.append(memo[argument])
        elif opcode.name not in ("PROTO", "FRAME"):
            pushed.append(argument if isinstance(argument, str) else "")
    return found


NAMED = st.sampled_from([Plain, Plain(), Path("/a"), len, collections.deque, collections.OrderedDict(a=Plain)])
ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=300) | NAMED
NESTED = st.recursive(
    ATOMS, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner)
)


@settings(max_examples=50, deadline=None)
@given(NESTED, st.sampled_from([4, 5]))
def test_names_are_found_as_pickletools_finds_them(value: Any, protocol: int) -> None:
    stream = pickle.dumps([value, [value], {"x" * 300: value}], protocol)
    assert opcodes.globals_in(stream) == by_pickletools(stream)


@pytest.mark.parametrize("protocol", [0, 2])
def test_an_older_protocol_is_none_of_ours(protocol: int) -> None:
    with pytest.raises(pickle.PicklingError, match="old protocol"):
        opcodes.globals_in(pickle.dumps(Path("/a"), protocol))


class Numbered:
    pass


def test_a_class_that_goes_by_a_number_of_this_process() -> None:
    copyreg.add_extension(__name__, "Numbered", 4711)
    try:
        with pytest.raises(pickle.PicklingError, match="extension code"):
            opcodes.globals_in(pickle.dumps(Numbered(), 4))
    finally:
        copyreg.remove_extension(__name__, "Numbered", 4711)


# -- hostile source

PIECES = [
    "def f(x",
    "):",
    "\n",
    "    ",
    "return",
    " lambda",
    "f'{x",
    "}'",
    '"""',
    "\\",
    "\t",
    "\x00",
    "\f",
    "é",
    "class A:",
    "import",
    "from . import *",
    "(",
    ")",
    "[",
    "]",
    "x:=1",
    "@",
    "#",
    "# -*- coding: latin-1 -*-",
    "\ufeff",
    "\r",
    ";",
    "if 1:",
    "async ",
    "match x:",
    "del",
    "\u2028",
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.text(max_size=200)))
def test_any_text_is_read_or_refused(content: str) -> None:
    try:
        read = text.Text("hostile.py", content)
    except CannotTravel:
        return
    for name in read.binders:
        top, _ = read.binds(name)
        if top is not None:
            piece = read.statement(top)
            scopes.names_of(piece, read.postponed)
            trees.code_of(piece, "hostile.py", read.postponed)


@pytest.mark.parametrize(
    "content",
    [
        b"x = " + b"(" * 100_000,
        b"x = " + b"-" * 100_000 + b"1",
        b"x = " + b"+".join([b"1"] * 50_000),
        b"def f(): return " + b"lambda: " * 5_000 + b"0",
        b"# -*- coding: rot13 -*-\ndef f(): pass",
        b"# -*- coding: no-such-thing -*-\nx = 1",
        b"\xff\xfe\x00x = 1",
        b"x = '" + b"a" * 1_000_000 + b"'\ndef f(): return x\n",
        b"".join(b"def f%d(x):\n    return f%d(x)\n" % (n, n + 1) for n in range(25_000)),
    ],
    ids=["brackets", "signs", "sums", "lambdas", "rot13", "cookie", "bytes", "a long line", "a megabyte of functions"],
)
def test_hostile_files(content: bytes, tmp_path: Path) -> None:
    """They are read, or refused as what they are; in a process of its own, which some could end."""
    (tmp_path / "hostile.py").write_bytes(content)
    code = (
        "import sys\nfrom clustrix_core.payload.source import text\nfrom clustrix_core.errors import CannotTravel\n"
        "try:\n    read = text.of_file(sys.argv[1])\n"
        "    [read.statement(read.binds(n)[0]) for n in list(read.binders)[:50]]\n"
        "except CannotTravel as error:\n    assert 'hostile.py' in str(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "hostile.py")], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr[-2000:]


def test_circles(write: Any, run: Any) -> None:
    write("", "ring.__init__")
    write("import ring.a\ndef odd(n): return n != 0 and ring.a.even(n - 1)\n", "ring.b", imported=False)
    write("from ring import b\ndef even(n): return n == 0 or b.odd(n - 1)\n", "ring.a")
    module = write(
        "from ring.a import even\ndef f(n): return even(n)\n"
        "def g(n): return h(n)\ndef h(n): return n if not n else g(n - 1)\n"
    )
    assert run(module.f, 10) is True and run(module.g, 5) == 0
