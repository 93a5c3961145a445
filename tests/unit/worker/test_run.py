"""Running tasks: every test starts real processes."""

from __future__ import annotations

from pathlib import Path

from tests.unit.worker.jobdir import JobDir, by_value, each


def test_a_value_comes_back(tmp_path: Path) -> None:
    job = JobDir(tmp_path).function(by_value("def f(x): return x + 1"), [(41,)])
    assert job.run()[0] == 0
    assert job.only()["body"] == 42


def test_every_call_of_a_map_is_made_once(tmp_path: Path) -> None:
    job = JobDir(tmp_path, width=4).function(by_value("def f(x): return x * x"), each(range(100)))
    assert job.run()[0] == 0
    assert job.values() == {x: x * x for x in range(100)}


def test_an_exception_with_a_keyword_only_argument_comes_back(tmp_path: Path) -> None:
    source = (
        "class MyError(Exception):\n"
        "    def __init__(self, a, *, b):\n"
        "        super().__init__('boom')\n"
        "        self.a, self.b = a, b\n"
        "def f():\n"
        "    raise MyError(1, b=2) from KeyError('k')\n"
    )
    job = JobDir(tmp_path).function(by_value(source))
    assert job.run()[0] == 1
    error = job.only()["body"]
    assert (type(error).__name__, error.args, error.a, error.b) == ("MyError", ("boom",), 1, 2)
    assert repr(error.__cause__) == "KeyError('k')"
