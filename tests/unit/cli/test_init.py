"""``clustrix init`` and ``clustrix doctor``, on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from clustrix_core import config
from clustrix_core.cli import init
from clustrix_core.errors import ConfigError
from tests.unit.cli.conftest import Shell


def test_flags_say_all(shell: Shell) -> None:
    words = ["--yes", "--backend", "local", "--name", "desk", "--cores", "2", "--memory", "1GB", "--local-slots"]
    found = shell.json("init", *words[:-1])
    file = shell.cwd / "clustrix.yml"
    assert found == {"file": "clustrix.yml", "cluster": "desk", "problems": []}
    written = config.load(file)
    cluster = written.clusters["desk"]
    assert (written.default, cluster.backend, cluster.resources.cores) == ("desk", "local", 2)
    assert file.read_text().startswith("#") and [path.name for path in shell.cwd.iterdir()] == ["clustrix.yml"]


def test_lists_and_mappings(shell: Shell) -> None:
    words = ["--environment", "none", "--modules", "gcc,cuda/12", "--env", "A=1,2", "--env", "B=x"]
    more = ["--host", "h.example", "--backend", "slurm", "--options", "requeue=true", "--options", "reservation=r"]
    shell("init", "--yes", "--no-check", *words, *more)
    cluster = config.load(shell.cwd / "clustrix.yml").clusters["h"]
    assert (cluster.environment, cluster.resources.modules) == ("none", ("gcc", "cuda/12"))
    assert (dict(cluster.resources.env), dict(cluster.options)) == (
        {"A": "1,2", "B": "x"},
        {"requeue": "true", "reservation": "r"},
    )


def test_questions(shell: Shell) -> None:
    shell.environment["PATH"] = "/usr/bin:/bin"
    answers = "\nlocal\ndesk\n3\n\n00:10:00\n"
    done = shell("init", stdin=answers)
    assert "Host to log in to" in done.stderr and not done.stdout
    cluster = config.load(shell.cwd / "clustrix.yml").clusters["desk"]
    assert (cluster.backend, cluster.resources.cores, cluster.resources.time) == ("local", 3, 600)


def test_a_partition_is_asked_for_where_there_are_some(shell: Shell) -> None:
    said = [shell("init", "--host", "h", stdin=f"{name}\n" + "\n" * 4, code=2).stderr for name in ("ssh", "slurm")]
    assert ["Partition" in one for one in said] == [False, True]
    assert "no installed plugin" in shell("init", "--host", "h", stdin="slrum\n" * 5, code=2).stderr


def test_what_flags_say_is_not_asked(shell: Shell) -> None:
    words = ["--host", "", "--backend", "local", "--name", "desk", "--cores", "1", "--memory", "1GB"]
    done = shell("init", *words, stdin="\n")
    assert "Walltime" in done.stderr and "Cores" not in done.stderr and "Who runs" not in done.stderr


def test_nobody_answers(shell: Shell) -> None:
    assert "nobody answers: say --host, " in shell("init", code=2).stderr
    assert "nobody answers: say --work-dir, " in shell("init", "--host", "h", stdin="ssh\nx\n\n", code=2).stderr
    there = ["init", *["--host", "", "--backend", "local", "--name", "desk"], *["--cores", "1", "--memory", "1GB"]]
    assert "nobody answers: say --time, " in shell(*there, code=2).stderr
    bad = [*there, "--time", "1h", "--python", "/no/such"]
    assert "nobody answers: say --no-check." in shell(*bad, code=2).stderr
    assert not [*shell.cwd.iterdir()]


def test_a_file_that_is_there_is_never_replaced_without_a_yes(shell: Shell) -> None:
    file = shell.file("clustrix.yml", "default: local  # mine\n")
    assert "--force" in shell("init", "--yes", "--backend", "local", code=2).stderr
    given = ["--host", "", "--backend", "local", "--name", "desk", "--cores", "1", "--memory", "1GB", "--time", "1h"]
    assert "nobody answers: say --force." in shell("init", *given, code=2).stderr
    refused = shell("init", *given, stdin="n\n", code=1)
    assert "Nothing was written" in refused.stderr and "backend: local" in refused.stdout
    assert file.read_text() == "default: local  # mine\n"
    shell("init", *given, stdin="y\n")
    assert "desk" in config.load(file).clusters
    assert (shell.cwd / "clustrix.yml.old").read_text() == "default: local  # mine\n"
    shell("init", "--yes", "--force", "--backend", "local", "--name", "two")
    assert [*config.load(file).clusters] == ["two"]


def test_a_cluster_that_does_not_answer_is_not_written(shell: Shell) -> None:
    words = ["--yes", "--backend", "ssh", "--host", "127.0.0.1", "--port", "1"]
    found = shell.json("init", *words, code=1)
    assert found["file"] is None and found["problems"][0]["severity"] == "error"
    assert not [*shell.cwd.iterdir()]
    assert shell.json("init", *words, "--no-check")["file"] == "clustrix.yml"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--backend", "ssh"], "the backend ssh needs a host"),
        (["--backend", "ssh", "--no-check"], "the backend ssh needs a host"),
        (["--backend", "slrum"], "no installed plugin answers for the backend 'slrum'"),
        (["--host", "user@host"], "holds a user"),
        (["--memory", "8 potatoes"], "not an amount of memory"),
        (["--work-dir", "relative"], "neither absolute nor under ~"),
        (["--backend", "slurm", "--options", "reservatoin=x"], "Did you mean 'reservation'?"),
    ],
)
def test_mistakes(words: list[str], said: str, shell: Shell) -> None:
    assert said in shell("init", "--yes", *words, code=2).stderr
    assert not [*shell.cwd.iterdir()]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        init.write(tmp_path / "absent" / "clustrix.yml", "x")


def test_doctor(shell: Shell) -> None:
    assert shell("doctor").stdout == "local: nothing is wrong.\n"
    assert shell.json("doctor", "local") == {"cluster": "local", "backend": "local", "ok": True, "problems": []}
    shell.file("clustrix.yml", "clusters: {bad: {backend: local, python: /no/such/python}}\n")
    done = shell("doctor", code=1)
    assert done.stdout.startswith("error: no Python answers to '/no/such/python'")
    assert not shell.json("doctor", "bad", code=1)["ok"]
    shell("doctor", "absent", code=2)
    shell.file("clustrix.yml", "clusters: {far: {backend: ssh, host: 127.0.0.1, port: 1}}\n")
    assert "connection refused" in shell("doctor", code=3).stderr
    assert shell.json("doctor", code=3)["error"]["type"] == "TransportError"
