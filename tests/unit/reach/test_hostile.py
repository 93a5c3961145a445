"""Source that was not written to be read: whatever it is, there is an answer or a ConfigError, and soon."""

from __future__ import annotations

import ast
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
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
