"""Requirements as people keep them are read as pip reads them; what cannot be had over there is refused by line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clustrix_core.environments import requirements
from clustrix_core.errors import ConfigError


def read(path: Path, text: str) -> requirements.Listed:
    path.write_text(text, "utf-8")
    return requirements.read(path)


def test_a_requirements_file(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/base.txt").write_text("moss\n-c held.txt\n")
    (tmp_path / "more/held.txt").write_text("pebbles==2.5  # not the latest\n")
    found = read(
        tmp_path / "requirements.txt",
        "# what we need\n\nstones[hard] >= 1.0 ; python_version > '3'  # a comment\n-r more/base.txt\n"
        "sand==1.0 \\\n    --hash=sha256:abc\n--extra-index-url https://example.org/simple\n"
        "clay @ https://example.org/clay-1.0-py3-none-any.whl#sha256=ab\n",
    )
    assert found.lines == (
        "stones[hard] >= 1.0 ; python_version > '3'",
        "moss",
        "sand==1.0      --hash=sha256:abc",
        "--extra-index-url https://example.org/simple",
        "clay @ https://example.org/clay-1.0-py3-none-any.whl#sha256=ab",
    )
    assert found.constraints == ("pebbles==2.5",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-e .", "is not to be had on the cluster"),
        ("./stones", "is not to be had on the cluster"),
        ("stones @ file:///home/ada/stones", "is not to be had on the cluster"),
        ("--find-links ./wheels", "is a folder of this machine"),
        ("--index-url https://ada:secret@example.org/simple", "holds a user name or password"),
        ("stones @ git+https://token@example.org/stones", "holds a user name or password"),
        ("-r missing.txt", "cannot be read"),
        ("--config-settings x", "is not to be had on the cluster"),
    ],
)
def test_what_only_this_machine_has_is_refused_and_no_secret_is_shown(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        read(tmp_path / "r.txt", f"moss\n{line}\n")
    assert "secret" not in str(caught.value) and "token" not in str(caught.value)
    assert "missing" in line or f"{tmp_path / 'r.txt'}:2" in str(caught.value)


def test_files_that_include_one_another_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="include one another"):
        read(tmp_path / "r.txt", "-r r.txt\n")


def test_pyproject(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\ndependencies = ["stones>=1", "moss"]\n'
    assert read(tmp_path / "pyproject.toml", text).lines == ("stones>=1", "moss")
    with pytest.raises(ConfigError, match="neither a"):
        read(tmp_path / "pyproject.toml", "[tool.x]\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "pyproject.toml", "[project\n")


UV_LOCK = """
version = 1
[[package]]
name = "mine"
version = "0.1"
source = { virtual = "." }
dependencies = [{ name = "stones", extra = ["hard"] }, { name = "moss", marker = "sys_platform == 'linux'" }]
[[package]]
name = "stones"
version = "1.4"
source = { registry = "https://example.org/simple" }
[[package]]
name = "moss"
version = "0.1"
source = { registry = "https://example.org/simple" }
[[package]]
name = "twice"
version = "1"
source = { registry = "https://example.org/simple" }
[[package]]
name = "twice"
version = "2"
source = { registry = "https://example.org/simple" }
"""


def test_lock_files(tmp_path: Path) -> None:
    found = read(tmp_path / "uv.lock", UV_LOCK)
    assert found.lines == ("stones[hard]", "moss ; sys_platform == 'linux'")
    assert found.constraints == ("stones==1.4", "moss==0.1"), "what is locked twice depends on the platform"
    text = '[[packages]]\nname = "stones"\nversion = "1.4"\n[[packages]]\nname = "moss"\nversion = "1"\nmarker = "x"\n'
    assert read(tmp_path / "pylock.toml", text).lines == ("stones==1.4", "moss==1 ; x")
    with pytest.raises(ConfigError, match="lies here alone"):
        read(tmp_path / "pylock.toml", '[[packages]]\nname = "mine"\ndirectory = { path = "." }\n')
    with pytest.raises(ConfigError, match="Export it"):
        read(tmp_path / "poetry.lock", "[[package]]\n")


@pytest.mark.parametrize(
    ("line", "name"), [("Zope.Interface>=1", "zope-interface"), ("a_b", "a-b"), ("--pre", ""), ("x @ https://y", "x")]
)
def test_names(line: str, name: str) -> None:
    assert requirements.name_of(line) == name
