"""Source that was not written to be read: whatever it is, there is an answer or a ConfigError, and soon."""

from __future__ import annotations

import ast
import contextlib
import importlib
import linecache
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clustrix_core.errors import ConfigError
from clustrix_core.reach import analysis
from clustrix_core.reach.piles import Reach

STDLIB = Path(sysconfig.get_path("stdlib"))
FILES = ["argparse.py", "ast.py", "bdb.py", "codeop.py", "contextlib.py", "dataclasses.py", "enum.py", "functools.py",
         "heapq.py", "json/encoder.py", "locale.py", "platform.py", "random.py", "shutil.py", "typing.py", "uuid.py",
         "asyncio/locks.py"]  # fmt: skip
SPLINTERS = [b"(", b")", b"\n", b"    ", b":", b"lambda ", b"import ", b"from . import *\n", b"global x\n", b"\0", b"*",
             b"class ", b"@", b"\xff", b"# coding: utf-7\n", b"'''", b"\\", b"\r", b"if TYPE_CHECKING:\n", b"try:\n",
             b"async ", b"f'{", b"def f(): pass\n", b"\xef\xbb\xbf", b"match x:\n"]  # fmt: skip
QUICK = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def ask(file: Path, name: str) -> Reach | None:
    try:
        reach = analysis.of_file(str(file), name)
    except ConfigError:
        return None
    reach.as_data()
    return reach


def all_names(source: bytes) -> list[str]:
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ["f"]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in body if isinstance(node, kinds)] or ["f"]


@QUICK
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_bytes(tmp_path: Path, source: bytes) -> None:
    file = tmp_path / "main.py"
    file.write_bytes(source)
    ask(file, "f")
    file.write_bytes(b"import near\nfrom near import *\ndef f(): return near.x, y\n")
    (tmp_path / "near.py").write_bytes(source)
    assert ask(file, "f") is not None


@QUICK
@given(st.data())
def test_damaged_files_of_the_standard_library(tmp_path: Path, data: st.DataObject) -> None:
    source = bytearray((STDLIB / data.draw(st.sampled_from(FILES))).read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(source)))
        if data.draw(st.booleans()):
            source[at:at] = data.draw(st.sampled_from(SPLINTERS))
        else:
            del source[at : at + data.draw(st.integers(1, 40))]
    file = tmp_path / "damaged.py"
    file.write_bytes(source)
    names = all_names(bytes(source))
    ask(file, data.draw(st.sampled_from(names)))


@pytest.mark.parametrize("name", FILES)
def test_whole_files_of_the_standard_library(name: str, tmp_path: Path) -> None:
    source = (STDLIB / name).read_bytes()
    file = tmp_path / "whole.py"
    file.write_bytes(source)
    for one in all_names(source)[:12]:
        reach = ask(file, one)
        assert reach is not None
        lost = [doubt.text for doubt in reach.doubts if "is bound nowhere" in doubt.text]
        assert not lost, (one, lost)


@QUICK
@given(st.lists(st.sampled_from([
    "import m{}", "from m{} import *", "from m{} import g as h", "from . import m{}", "from .m{} import g",
    "try:\n    import m{}\nexcept ImportError:\n    g = None", "def g(): return m{}.g, h()", "X = m{}.g()",
    "class A(m{}.A):\n    h = g", "g = lambda: m{}", "@m{}.g\ndef h(): pass", "h = g = m{}", "__getattr__ = m{}",
    "if TYPE_CHECKING:\n    import m{}", "def k(x=m{}): import m0; return m0.h",
]), min_size=1, max_size=40), st.integers(1, 5))  # fmt: skip
def test_modules_that_refer_to_each_other(tmp_path: Path, lines: list[str], count: int) -> None:
    texts = [""] * count
    for number, line in enumerate(lines):
        texts[number % count] += line.format((number * 7 + 1) % count) + "\n"
    for number, text in enumerate(texts):
        (tmp_path / f"m{number}.py").write_text(text)
    file = tmp_path / "main.py"
    file.write_text("import m0\nfrom m0 import *\ndef f(): return m0, g, h, A, k\n")
    assert ask(file, "f") is not None


DEEP = {
    "attributes": "a" + ".b" * 100_000,
    "sums": "1" + "+1" * 100_000,
    "signs": "-" * 100_000 + "1",
    "calls": "a" + "()" * 100_000,
    "lambdas": "lambda: " * 100_000 + "1",
    "brackets": "(" * 100_000,
    "lists": "[" * 150 + "]" * 150,
    "branches": "if a: pass\n" + "elif a: pass\n" * 20_000,
    "conditions": "1" + " if 1 else 1" * 30_000,
    "powers": "2" + "**2" * 30_000,
    "a chain that the parser bears and no visitor": "a" + ".b()" * 800,
    "a long list": "[" + "a, " * 200_000 + "]",
    "strings": "'a' " * 100_000,
    "assignments": "a = " * 50_000 + "1",
}


@pytest.mark.parametrize("kind", DEEP)
def test_nesting(kind: str, tmp_path: Path) -> None:
    text = DEEP[kind]
    inside = text if kind == "branches" else f"x = {text}\n"
    (tmp_path / "near.py").write_text(inside + "def g(): return x\n")
    main = tmp_path / "main.py"
    main.write_text("import near\na = 1\ndef f(): return near.g(), near.x\n")
    assert ask(main, "f") is not None
    if kind != "branches":
        main.write_text(f"a = 1\ndef f():\n    return {text}\n")
        ask(main, "f")


@pytest.mark.parametrize(
    "source",
    [
        b"# -*- coding: latin-1 -*-\nNAME = '\xe4'\ndef f(): return NAME\n",
        b"\xef\xbb\xbfdef f(): return 1\n",
        b"# coding: utf-16\ndef f(): pass\n",
        b"# coding: no-such-codec\ndef f(): pass\n",
        b"# coding: rot13\nqrs s(): cnff\n",
        b"# coding: idna\ndef f(): pass\n",
        b"def f(): return '\xff'\n",
        b"def f(): return 1\0\n",
        b"def f():\r\n    return 1\r\n",
        b"def f(): return '\\d' is 1\n",
        b"def f(): return 1" + b"0" * 100_000 + b"\n",
        b"",
        b"\x0c\n",
    ],
)
def test_encodings_and_odd_bytes(source: bytes, tmp_path: Path) -> None:
    file = tmp_path / "main.py"
    file.write_bytes(source)
    ask(file, "f")


def test_a_file_of_a_megabyte(tmp_path: Path) -> None:
    line = (
        "def g{n}(x):\n    import m{k}\n    y = [x.a.b for z in helper(x) if z]  # {pad}\n"
        "    return g{m}(y) or TABLE[x]\n"
    )
    text = "".join(line.format(n=n, m=n + 1, k=n % 50, pad="x" * 200) for n in range(3_500))
    file = tmp_path / "main.py"
    file.write_text("TABLE = {}\ndef helper(x): return x\ndef f(): return g0(1)\n" + text)
    assert file.stat().st_size > 1_000_000
    start = time.process_time()
    reach = ask(file, "f")
    assert reach is not None and len(reach.own) > 3_000
    assert time.process_time() - start < 60


def test_more_than_may_be_read(write: Callable[..., Path]) -> None:
    place = write({"main": "import near\ndef f(): return near\n", "near": "#" * 3_000_000})
    reach = ask(place / "main.py", "f")
    assert reach is not None and not reach.complete
    assert any("were not read" in one.text or "was not read" in one.text for one in reach.doubts)


# -- nothing is run: the interpreter itself is asked, by an audit hook

_told: list[str] | None = None


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _told is None:
        return
    if event == "exec":
        _told.append(f"exec {getattr(args[0], 'co_filename', args[0])}")
    elif event == "import":
        _told.append(f"import {args[0]}")
    elif event in ("subprocess.Popen", "os.system", "os.fork", "os.exec", "socket.connect"):
        _told.append(event)
    elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        _told.append(f"open {args[0]}")


@contextlib.contextmanager
def nothing_runs(place: Path) -> Iterator[None]:
    """Within this context no code of a folder may run, nothing may be written or started, and no module m… imported."""
    global _told
    if not getattr(sys, "_clustrix_audit", False):  # a hook stays for ever
        sys.addaudithook(_audit)
        sys._clustrix_audit = True  # type: ignore[attr-defined]
    before, _told = set(sys.modules), []
    try:
        yield
        told = _told
    finally:
        _told = None
    assert not [one for one in told if str(place) in one or not one.startswith(("exec", "import"))], told
    assert not [one for one in told if one.startswith(("import m0", "import m1", "import m2", "import room"))], told
    assert not {"m0", "m1", "m2", "room", "room.m3"} & (set(sys.modules) - before)


def test_the_hook_hears(tmp_path: Path) -> None:
    with pytest.raises(AssertionError), nothing_runs(tmp_path):
        exec(compile("1", str(tmp_path / "x.py"), "exec"))
    with pytest.raises(AssertionError), nothing_runs(tmp_path):
        (tmp_path / "written").write_text("")
    with pytest.raises(AssertionError), nothing_runs(tmp_path), contextlib.suppress(ImportError):
        __import__("m0")
    with pytest.raises(AssertionError), nothing_runs(tmp_path):
        sys.modules["m0"] = sys
    del sys.modules["m0"]


DEEDS = [
    "open(RAN, 'w').close()", "import os; os.system('touch ' + RAN)", "raise SystemExit(3)", "import m{}", "1 / 0",
    "from m{} import *", "from room import m3", "import room.m3 as far", "__import__('m{}')", "while True: pass",
    "import importlib; late = importlib.import_module('m{}')", "exec('import m{}')", "[print(open(RAN, 'w'))]",
    "class Meta(type):\n    def __prepare__(*a): raise SystemExit\n    def __getattr__(c, n): raise SystemExit",
    "class A(Base, metaclass=Meta):\n    import m{}\n    x = open(RAN, 'w')\n    def go(self): return m{}.g()",
    "@(lambda g: open(RAN, 'w'))\ndef g(x=open(RAN, 'w')): return A().go(), m{}.h",
    "def __getattr__(name): raise SystemExit(name)", "g = h = eval('m{}')", "def h(): yield from m{}.__all__",
    "async def k(): return [open(RAN, 'w') async for _ in g()]", "import pkgutil; pkgutil.get_data('room', 'x')",
    "try:\n    import m{}\nexcept ImportError:\n    open(RAN, 'w')", "__all__ = [open(RAN, 'w'), 'g']",
    "import sys; sys.path.insert(0, RAN); sys.meta_path.clear()", "BASE = type('BASE', (m{}.X,), dict(y=g))",
    "with open(RAN, 'w') as out:\n    def g(): return out", "__path__ = [open(RAN, 'w')]", "__name__ = exit()",
]  # fmt: skip


@QUICK
@given(st.lists(st.sampled_from(DEEDS), min_size=3, max_size=40))
def test_no_line_of_any_file_is_run(tmp_path: Path, deeds: list[str]) -> None:
    ran = tmp_path / "ran"
    texts = [f"RAN = {str(ran)!r}\n"] * 5
    for number, deed in enumerate(deeds):
        texts[number % 5] += deed.replace("{}", str(number % 3)) + "\n"
    (tmp_path / "room").mkdir(exist_ok=True)
    for name, text in zip(("m0", "m1", "m2", "room/__init__", "room/m3"), texts, strict=True):
        (tmp_path / f"{name}.py").write_text(text)
    main = tmp_path / "main.py"
    main.write_text(texts[0] + "def f():\n    import m1, room.m3\n    return g, h, A, k, BASE, m1.g, room.m3.g\n")
    with nothing_runs(tmp_path):
        reach = ask(main, "f")
        analysis.functions(str(main))
    assert reach is not None and not ran.exists()


@QUICK
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from([*SPLINTERS, *(deed.encode() + b"\n" for deed in DEEDS)]), max_size=30).map(b"".join),
    ),
    st.sampled_from(["main", "m0", "room"]),
)
@example(b"def f():pass", "main")
def test_files_that_are_others_than_when_they_were_imported(
    write: Callable[..., Path], source: bytes, which: str
) -> None:
    """Of a live function the file may say anything by now, and so may what its run would import."""
    place = write({
        "main": "def f():\n    import m0, room.m3\n    return g(), m0.g, room.m3\ndef g():\n    return [1]\n",
        "m0": "def g(): pass\n", "room/__init__": "", "room/m3": "",
    })  # fmt: skip
    sys.modules.pop("main", None)
    linecache.clearcache()
    importlib.invalidate_caches()
    f = importlib.import_module("main").f
    file = place / ("room/__init__.py" if which == "room" else f"{which}.py")
    file.write_bytes(source)
    linecache.clearcache()
    with nothing_runs(place):
        reach = analysis.of_function(f)
        reach.as_data()
    names = {one.name for one in reach.own}
    assert {"main.f", "main.g"} <= names, "what is bound is known without any source"


@pytest.mark.parametrize("kind", DEEP)
def test_live_functions_beside_deep_source(kind: str, write: Callable[..., Path]) -> None:
    text = DEEP[kind]
    place = write({"main": "def f():\n    import m0\n    return m0.x, g()\ndef g(): return 1\n"})
    f = importlib.import_module("main").f
    deep = text if kind == "branches" else f"x = {text}\n"
    (place / "m0.py").write_text(deep)
    (place / "main.py").write_text(f"{deep}\ndef f(): pass\n")
    linecache.clearcache()
    with nothing_runs(place):
        assert {"main.f", "main.g"} <= {one.name for one in analysis.of_function(f).own}


def test_a_live_function_in_a_file_of_a_megabyte(write: Callable[..., Path]) -> None:
    many = "".join(f"def g{n}(x):\n    return g{n + 1}(x)  # {'x' * 200}\n" for n in range(4_500))
    place = write({"main": f"{many}def g4500(x): return x\ndef f(): return g0(1)\n"})
    assert (place / "main.py").stat().st_size > 1_000_000
    f = importlib.import_module("main").f
    start = time.process_time()
    with nothing_runs(place):
        assert len(analysis.of_function(f).own) > 4_500
    assert time.process_time() - start < 60
