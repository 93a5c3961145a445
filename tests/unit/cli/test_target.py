"""``FILE.py[:function]`` and its arguments."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core.cli.target import Broken, Target, arguments, is_option, literal


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    known = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1", 1),
        ("-1.5e3", -1500.0),
        ("1_000", 1000),
        ("True", True),
        ("None", None),
        ("[1, 'a']", [1, "a"]),
        ("{'a': (1,)}", {"a": (1,)}),
        ("'a=b'", "a=b"),
        ("1-2", "1-2"),
        ("007", "007"),
        ("__import__('os')", "__import__('os')"),
        ("data/file.txt", "data/file.txt"),
        ("", ""),
        ("ünï", "ünï"),
    ],
)
def test_literals(word: str, value: Any) -> None:
    assert literal(word) == value and type(literal(word)) is type(value)


@given(st.text(max_size=80))
def test_no_word_crashes(word: str) -> None:
    literal(word)


@given(
    st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.lists(st.integers()))
)
def test_the_repr_of_plain_data_comes_through(value: Any) -> None:
    assert literal(repr(value)) == value


def test_keywords() -> None:
    assert arguments(["1", "y=2", "z=a b", "x==1", "'q=1'"]) == ((1, "x==1", "q=1"), {"y": 2, "z": "a b"})
    with pytest.raises(click.UsageError, match="given twice"):
        arguments(["y=1", "y=2"])


@pytest.mark.parametrize(
    ("word", "is_it"), [("-1", False), ("-.5", False), ("-", False), ("--cores", True), ("-x", True)]
)
def test_options_are_told_from_negative_numbers(word: str, is_it: bool) -> None:
    assert is_option(word) is is_it


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_the_only_decorated_function_is_meant(here: Path) -> None:
    file = write(here / "sim_a.py", "from clustrix import cluster\n@cluster\ndef f(): return 1\ndef main(): return 2\n")
    assert Target.of(file).load().__name__ == "f"
    assert Target.of(f"{file}:main").load()() == 2


def test_else_main(here: Path) -> None:
    text = "from clustrix import cluster\n@cluster\ndef f(): pass\n@cluster\ndef g(): pass\n"
    file = write(here / "sim_b.py", text)
    with pytest.raises(click.UsageError, match=r"One of sim_b.py:f, sim_b.py:g"):
        Target.of(file).load()
    assert Target.of(write(here / "sim_c.py", text + "def main(): return 3\n")).load()() == 3


def test_a_decorated_function_of_another_module_is_not_meant(here: Path) -> None:
    write(here / "sim_near.py", "from clustrix import cluster\n@cluster\ndef other(): pass\n")
    file = write(
        here / "sim_d.py", "from clustrix import cluster\nfrom sim_near import other\n@cluster\ndef f(): pass\n"
    )
    assert Target.of(file).load().__name__ == "f"


def test_methods_and_names_that_are_wrong(here: Path) -> None:
    file = write(
        here / "sim_e.py", "class A:\n    @staticmethod\n    def go(): return 5\nvalue = 1\ndef simulate(): pass\n"
    )
    assert Target.of(f"{file}:A.go").load()() == 5
    with pytest.raises(click.UsageError, match="Did you mean 'simulate'"):
        Target.of(f"{file}:simulat").load()
    with pytest.raises(click.UsageError, match="is not a function"):
        Target.of(f"{file}:value").load()
    with pytest.raises(click.UsageError, match="neither a function"):
        Target.of(file).load()
    with pytest.raises(click.UsageError, match="no file"):
        Target.of(str(here / "nothing.py"))


def test_modules_keep_their_name_and_their_neighbours(here: Path) -> None:
    write(here / "neighbour_f.py", "word = 'near'\n")
    function: Any = Target.of(
        write(here / "sim_f.py", "import neighbour_f\ndef main(): return neighbour_f.word\n")
    ).load()
    assert (function(), function.__module__) == ("near", "sim_f")
    assert sys.modules["sim_f"].__file__ == str(here / "sim_f.py")


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("json.py", "clustrix_run_json"),
        ("click.py", "clustrix_run_click"),
        ("2nd-try.py", "clustrix_run_2nd_try"),
        ("no_suffix", "no_suffix"),
    ],
)
def test_a_file_takes_no_other_modules_place(name: str, module: str, here: Path) -> None:
    import json

    function: Any = Target.of(write(here / name, "def main(): return __name__\n")).load()
    assert function() == function.__module__ == module
    assert sys.modules["json"] is json and sys.modules["click"] is click


def test_what_a_file_prints_is_talk(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Target.of(write(here / "sim_g.py", "print('loading')\ndef main(): pass\n")).load()
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "loading\n")


@pytest.mark.parametrize("line", ["1 / 0", "raise SystemExit(3)", "import nothing_of_that_name", "def"])
def test_a_file_that_does_not_load(line: str, here: Path) -> None:
    with pytest.raises(Broken) as caught:
        Target.of(write(here / "sim_h.py", f"x = 1\n{line}\n")).load()
    assert "sim_h.py cannot be loaded" in caught.value.format_message()
    assert "target.py" not in caught.value.trace and "importlib" not in caught.value.trace
