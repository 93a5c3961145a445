"""The group of all commands: its help, what it costs, what it knows without importing it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

from clustrix_core import __version__
from clustrix_core.cli.ending import CODES
from clustrix_core.cli.root import COMMANDS, clustrix
from tests.unit.cli.conftest import Shell

HEAVY = {"rich", "paramiko", "yaml", "clustrix_core.engine", "clustrix_core.config", "clustrix_core.plugins", "sqlite3"}
NAMES = [name for _, name, _, _ in COMMANDS]


def commands() -> list[tuple[str, click.Command]]:
    context = click.Context(clustrix)
    found = [(name, clustrix.get_command(context, name)) for name in NAMES]
    return [(name, command) for name, command in found if command is not None]


def test_help_names_every_command_and_exit_code(process: Shell) -> None:
    said = process("--help").stdout
    assert all(f"\n  {name} " in said for name in NAMES)
    assert all(f"\n  {code} " in said for code in CODES)


def test_help_loads_little_of_ours_and_nothing_heavy() -> None:
    """What that costs beside click is measured by ``benchmarks/run.py help``."""
    code = "import sys; from clustrix_core.cli import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert HEAVY & loaded == set()
    assert len([name for name in loaded if name.startswith("clustrix")]) <= 12


def test_each_command_has_help_and_takes_json_and_debug(process: Shell) -> None:
    assert [name for name, _ in commands()] == NAMES
    for name, command in commands():
        assert command.name == name and command.help, name
        assert {"--json", "--debug", "-v"} <= {word for option in command.params for word in option.opts}, name


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_a_command(name: str, process: Shell) -> None:
    assert f"clustrix {name}" in process(name, "--help").stdout


def test_version(process: Shell) -> None:
    assert process("--version").stdout == f"clustrix {__version__}\n"


def test_an_unknown_command_names_the_nearest(process: Shell) -> None:
    done = process("stauts", code=2)
    assert "Did you mean 'status'?" in done.stderr and not done.stdout


@pytest.mark.parametrize("words", [("--json", "nope"), ("jobs", "--json", "--nope"), ("result", "--json")])
def test_with_json_mistakes_are_told_on_stdout(words: tuple[str, ...], process: Shell) -> None:
    import json

    error = json.loads(process(*words, code=2).stdout)["error"]
    assert set(error) >= {"type", "message", "hint"}


def test_json_behind_the_dashes_is_an_argument_of_the_command(process: Shell) -> None:
    done = process("run", "-c", "nowhere", "--", "echo", "--json", code=2)
    assert not done.stdout and "there is no cluster 'nowhere'" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there are no POSIX pipes")
def test_a_reader_that_has_gone_is_no_traceback(process: Shell) -> None:
    argv = [sys.executable, "-m", "clustrix_core.cli", "config", "schema"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=process.cwd, env=process.environment
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        said = running.stderr.read()
    assert (running.returncode, said) == (141, "")


def test_a_bug_shows_its_traceback_and_ours_do_not(process: Shell) -> None:
    process.file("clustrix.yml", "clusters: {hpc: {backendd: slurm}}\n")
    plain = process("config", "show", code=2)
    assert "Traceback" not in plain.stderr and "Did you mean 'backend'?" in plain.stderr
    assert "clustrix.yml:1" in plain.stderr
    assert "Traceback" in process("-v", "config", "show", code=2).stderr


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_lines_work(name: str, process: Shell) -> None:
    line = process("completion", name).stdout
    assert f"_CLUSTRIX_COMPLETE={name}_source clustrix" in line
    if name != "bash":  # click asks a real bash for its version
        process.environment["_CLUSTRIX_COMPLETE"] = f"{name}_source"
        assert "_CLUSTRIX_COMPLETE" in process().stdout


def test_the_shell_is_offered_commands_and_clusters(process: Shell, tmp_path: Path) -> None:
    process.file("clustrix.yml", "clusters: {hpc: {backend: slurm, host: login.example}}\n")
    process.environment |= {"_CLUSTRIX_COMPLETE": "zsh_complete", "COMP_CWORD": "1", "COMP_WORDS": "clustrix re"}
    assert {"render", "result", "retry"} <= set(process().stdout.split("\n"))
    process.environment |= {"COMP_CWORD": "2", "COMP_WORDS": "clustrix doctor h"}
    assert "hpc" in process().stdout.split("\n")


@pytest.mark.parametrize("words", [[], ["config"]])
def test_no_command_at_all(words: list[str], shell: Shell) -> None:
    name = " ".join(["clustrix", *words])
    said = shell(*words, code=2).stderr.splitlines()
    assert said[-2:] == ["Error: Missing command.", f"See `{name} --help`."] and len(said) == 3
    assert shell.json(*words, code=2)["error"]["message"] == "Missing command."


def test_what_is_there_to_be_copied_is_whole_on_a_narrow_terminal(process: Shell) -> None:
    terminal, inside = pty.openpty()
    argv = [sys.executable, "-W", "error", "-m", "clustrix_core.cli", "plugins"]
    environment = {**process.environment, "COLUMNS": "40", "TERM": "dumb"}
    subprocess.run(argv, cwd=process.cwd, env=environment, stdout=inside, check=True)
    os.close(inside)
    said = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert "clustrix-slurm" in said and max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(streams: str, process: Shell) -> None:
    command = f"exec '{sys.executable}' -W error -m clustrix_core.cli plugins {streams}"
    done = subprocess.run(["sh", "-c", command], cwd=process.cwd, env=process.environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
