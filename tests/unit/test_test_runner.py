"""tools/test.py looks once more, alone, at few tests that did not pass beside others."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
CROWDED = """
import pathlib, pytest

SEEN = pathlib.Path(__file__).with_name("seen")

@pytest.mark.parametrize("word", ["a-b", "c d"])
def test_unsteady(word):
    seen = SEEN.with_name("seen" + word[0])
    if not seen.exists():
        seen.touch()
        raise AssertionError(word)

@pytest.mark.parametrize("number", range({broken}))
def test_broken(number):
    assert not "always"
"""


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they take seconds to come up
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location("clustrix_test_runner", TOOLS / "test.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("broken", "failed", "looks"), [(0, False, True), (1, True, True), (9, True, False)])
def test_few_failures_have_a_second_look(
    runner: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: int, failed: bool, looks: bool
) -> None:
    (tmp_path / "test_crowded.py").write_text(CROWDED.format(broken=broken))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    run = runner.Run("crowded", str(tmp_path))
    runner.carry_out(run, [f"--rootdir={tmp_path}", "-c", str(tmp_path / "pytest.ini")])
    assert run.failed and len(run.failures) == 2 + broken
    runner.once_more(run, [f"--rootdir={tmp_path}", "-c", str(tmp_path / "pytest.ini")])
    assert (run.failed, run.alone is not None) == (failed, looks)
    capsys.readouterr()
    runner.summary([run])
    said = capsys.readouterr().out
    assert ("unsteady" in said) is not failed
    assert (", 0 failed" in said.splitlines()[-1]) is not failed
