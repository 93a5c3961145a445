"""``clustrix config`` and ``clustrix plugins``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clustrix_core import config
from tests.unit import toys
from tests.unit.cli.conftest import Shell

FILE = """\
default: hpc
clusters:
  hpc:
    backend: slurm
    host: login.example
    password: hunter2
    resources: {cores: 4, memory: 8GB, time: "01:00:00"}
"""


def test_show_is_a_file_without_secrets(shell: Shell) -> None:
    shell.file("clustrix.yml", FILE).chmod(0o600)
    done = shell("config", "show")
    assert "hunter2" not in done.stdout + done.stderr and "memory: 8GB" in done.stdout
    assert "clustrix.yml" in done.stderr
    shown = shell.json("config", "show")
    assert shown["default"] == "hpc" and shown["clusters"]["hpc"]["password"] == "********"
    assert shown["source"].endswith("clustrix.yml")


def test_show_without_a_file(shell: Shell) -> None:
    assert shell("config", "show").stdout == "default: local\n"
    assert shell.json("config", "show") == {"source": None, "default": "local", "clusters": {}}


def test_check(shell: Shell) -> None:
    file = shell.file("clustrix.yml", "clusters: {hpc: {backend: slurm, host: h.example, options: {reservatoin: x}}}\n")
    found = shell.json("config", "check", code=2)
    assert not found["ok"] and "reservation" in found["problems"][0]["hint"]
    file.write_text("clusters: {a: {backend: nosuch}, b: {backend: ssh}}\n")
    messages = [problem["message"] for problem in shell.json("config", "check", code=2)["problems"]]
    assert "'nosuch'" in messages[0] and "needs a host" in messages[1]
    done = shell("config", "check", code=2)
    assert done.stdout.endswith(
        "clustrix.yml:1: the backend ssh needs a host\n    Set host: in its configuration (--host).\n"
    )
    assert done.stderr.endswith("clusters: a, b; default: none.\n")
    file.write_text("cluster_type: slurm\ncluster_host: h.example\nauto_parallel: true\n")
    done = shell("config", "check")
    assert done.stdout.startswith("warning: ") and "auto_parallel" in done.stdout


def test_check_a_file_by_name(shell: Shell) -> None:
    other = shell.file("other.yml", "clusters: {hpc: {backend: slurm, host: h.example}}\n")
    assert shell.json("config", "check", other)["source"].endswith("other.yml")
    assert shell.json("config", "check", "absent.yml", code=2)["error"]["type"] == "ConfigError"


def test_the_schema_knows_the_backends(shell: Shell) -> None:
    schema = json.loads(shell("config", "schema").stdout)
    assert schema["title"] and '"slurm"' in json.dumps(schema)
    assert set(schema) == set(config.schema({}))


def test_plugins(shell: Shell) -> None:
    by_name = {one["name"]: one for one in shell.json("plugins")}
    assert {"local", "ssh", "slurm"} <= set(by_name)
    assert by_name["slurm"]["distribution"] == "clustrix-slurm" and by_name["slurm"]["version"]
    assert all(one["status"] == "ok" and one["error"] is None for one in by_name.values())
    table = shell("plugins").stdout
    assert table.startswith("PLUGIN") and "\x1b" not in table


@pytest.fixture
def house(process: Shell, tmp_path: Path) -> Path:
    """A directory that distributions are installed into."""
    found = tmp_path / "house"
    found.mkdir()
    process.environment["PYTHONPATH"] = str(found)
    return found


COMMAND = """
import click
from clustrix_core.hookspecs import hookimpl

@hookimpl
def register_commands(cli):
    @cli.command("greet")
    def greet():
        "Say hello."
        click.echo("hello from a plugin")
    @cli.command("jobs")
    def jobs():
        click.echo("not the jobs of clustrix")
"""
RAISES = "from clustrix_core.hookspecs import hookimpl\n@hookimpl\ndef register_commands(cli):\n    1 / 0\n"


def test_a_broken_plugin_is_listed_with_its_error(process: Shell, house: Path) -> None:
    toys.install(house, "clustrix-bad", "bad", "import nothing_of_that_name\n")
    bad = next(one for one in process.json("plugins") if one["name"] == "bad")
    assert bad["status"] == "broken" and "nothing_of_that_name" in bad["error"] and bad["version"] == "1.0"
    assert "nothing_of_that_name" in process("plugins").stdout
    process.environment["CLUSTRIX_DISABLE_PLUGINS"] = "bad"
    assert next(one for one in process.json("plugins") if one["name"] == "bad")["status"] == "disabled"


def test_plugins_bring_commands_and_a_broken_one_costs_nothing(process: Shell, house: Path) -> None:
    toys.install(house, "clustrix-greet", "greet", COMMAND, "clustrix_greet")
    toys.install(house, "clustrix-raises", "raises", RAISES, "clustrix_raises")
    toys.install(house, "clustrix-bad", "bad", f"{RAISES}\nimport nothing_of_that_name\n", "clustrix_bad")
    assert process("greet").stdout == "hello from a plugin\n"
    assert "greet  Say hello." in process("--help").stdout
    assert process("jobs", "--json").stdout == "[]\n"
    assert "--slurm-reservation" in process("run", "--help").stdout
