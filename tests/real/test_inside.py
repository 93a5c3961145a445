"""Inside a job, with nothing installed there: the node's files, progress, configurations. And the same from outside."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import clustrix
from clustrix import (
    ClusterConfig,
    CommandError,
    ConfigError,
    cluster,
    cluster_count_files,
    cluster_du,
    cluster_exists,
    cluster_find,
    cluster_glob,
    cluster_isdir,
    cluster_isfile,
    cluster_ls,
    cluster_stat,
    configure,
    report_progress,
)
from clustrix_core.api import files
from clustrix_core.api.progress import standing
from clustrix_core.engine import places
from clustrix_core.transport.connect import connect
from clustrix_core.transport.counting import Counting
from clustrix_core.worker.progress import Progress
from tests.real.onlooker import Onlooker, until
from tests.testbeds.bed import Bed

ODD = os.fsdecode(b"caf\xe9 \xff.csv")


@pytest.fixture
def data(shared: Path) -> Path:
    """Files that the client and the cluster both see."""
    root = shared / "it's a ☃ $(id)"
    (root / "deep").mkdir(parents=True)
    for name, size in (("a.csv", 3), ("deep/b.csv", 5), (".hidden", 7), (ODD, 11)):
        (root / name).write_bytes(b"x" * size)
    (root / "circle").symlink_to(".")
    (root / "a.csv").chmod(0o644)
    return root


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> list[Counting]:
    """All connections that are made, counted."""
    made: list[Counting] = []

    def counted(*arguments: Any) -> Counting:
        made.append(Counting(connect(*arguments)))
        return made[-1]

    monkeypatch.setattr(places, "connect", counted)
    return made


def commands(wires: list[Counting]) -> list[str]:
    return [command for wire in wires for command in wire.commands]


def pythons(place: str) -> list[str | None]:
    # On this machine the tests' own Python has Clustrix installed, the system's has not, and so it is on the clusters.
    return [None, "/usr/bin/python3"] if place == "local" else [None]


@cluster
def look(root: str) -> dict[str, Any]:
    try:
        cluster_ls(root + "/nowhere")
    except FileNotFoundError as error:
        missing = error.filename
    return {
        "ls": cluster_ls(root),
        "find": cluster_find("*.csv", root),
        "stat": cluster_stat(root + "/a.csv"),
        "exists": [cluster_exists(f"{root}/{name}") for name in ("deep", "nowhere")],
        "isdir": [cluster_isdir(f"{root}/{name}") for name in ("circle", "a.csv")],
        "isfile": [cluster_isfile(f"{root}/{name}") for name in ("a.csv", "circle")],
        "glob": cluster_glob("*/*.csv", root),
        "du": cluster_du(root),
        "count": cluster_count_files(root, "*.csv"),
        "missing": missing,
        "home": cluster_ls("~") == sorted(os.listdir(os.path.expanduser("~"))),
    }


def test_the_nine_functions_in_a_job(there: ClusterConfig, place: str, data: Path) -> None:
    csv = sorted(["a.csv", "deep/b.csv", ODD])
    for python in pythons(place):
        if python is not None:
            configure(python=python)
        found = look(str(data))
        info = found.pop("stat")
        assert found == {
            "ls": sorted([".hidden", "a.csv", "circle", "deep", ODD]),
            "find": csv,
            "exists": [True, False],
            "isdir": [True, False],
            "isfile": [True, False],
            "glob": ["circle/a.csv", f"circle/{ODD}", "deep/b.csv"],
            "du": (26, 4),
            "count": 3,
            "missing": f"{data}/nowhere",
            "home": True,
        }
        assert (info.size, info.is_file, info.permissions, info.name) == (3, True, "644", "a.csv")
        assert info.modified == (data / "a.csv").stat().st_mtime


def test_a_job_looks_at_its_own_node_whatever_the_configuration(there: ClusterConfig, place: str, data: Path) -> None:
    def both(root: str, config: ClusterConfig) -> Any:
        return cluster_ls(root, config) == cluster_ls(root, "hpc") == clustrix.cluster_ls(root)

    for python in pythons(place):
        if python is not None:
            configure(python=python)
        assert cluster(both)(str(data), there) is True


# -- on the client


def test_the_same_from_here_with_one_command_each(
    wires: list[Counting], there: ClusterConfig, place: str, data: Path
) -> None:
    here = look.local(str(data))  # on a cluster: over its transport
    if place == "local":
        assert commands(wires) == []
    else:
        contact, *asked = commands(wires)
        assert "--- probe ---" in contact and len(asked) == 14 and all(one.endswith(" files") for one in asked)
        assert not any(str(data.name) in one for one in asked), "no shell sees a path"
    assert {name: value for name, value in here.items() if name != "home"} == {
        name: value for name, value in look(str(data)).items() if name != "home"
    }


def test_relative_paths_begin_where_jobs_begin(
    there: ClusterConfig, place: str, bed: Bed | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bed is None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "mine").mkdir()
        assert "mine" in cluster_ls() and cluster_isdir("mine")
    else:
        keys = bed.run("ls", "-A1", f"{bed.home}/.ssh").splitlines()
        assert sorted(keys) == cluster_ls(".ssh") == cluster_ls("~/.ssh") == cluster_ls(bed.home / ".ssh")
        assert ".ssh" in cluster_ls() and cluster_stat("~").name == bed.home.name
    assert cluster(os.getcwd)() == str(tmp_path if bed is None else bed.home)


def test_a_cluster_is_named_given_or_the_default(there: ClusterConfig, data: Path) -> None:
    assert cluster_ls(data) == cluster_ls(data, there.name) == cluster_ls(data, config=there)
    with pytest.raises(ConfigError, match="nowhere"):
        cluster_ls(data, "nowhere")
    with pytest.raises(ConfigError, match="is no cluster"):
        cluster_ls(data, 3)  # type: ignore[arg-type]


def test_errors_are_those_of_os(there: ClusterConfig, bed: Bed | None, data: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        cluster_find("*", data / "nowhere")
    assert missing.value.filename == f"{data}/nowhere"
    with pytest.raises(NotADirectoryError):
        cluster_ls(data / "a.csv")
    with pytest.raises(ConfigError, match="is no path"):
        cluster_stat("")
    with pytest.raises(ConfigError, match="fits no path"):
        cluster_find(f"{data}/*.csv")
    if bed is not None:  # where it is not root who looks
        (data / "deep").chmod(0)
        for ask in (cluster_du, cluster_count_files, lambda root: cluster_find("*", root)):
            with pytest.raises(PermissionError) as closed:
                ask(data)
            assert closed.value.filename == f"{data}/deep" and there.name in str(closed.value)
        (data / "deep").chmod(0o755)
        with pytest.raises(CommandError, match="name too long"):
            cluster_stat("x" * 5000)


def test_a_worker_that_was_removed_is_brought_again(onlooker: Onlooker, bed: Bed | None, data: Path) -> None:
    if bed is None:
        assert cluster_exists(data)
        return
    assert cluster_exists(data)
    complete = max((onlooker.work_dir / "worker").glob("*/complete"), key=lambda path: path.stat().st_mtime)
    complete.unlink()
    assert cluster_exists(data) and complete.exists()


def test_an_answer_that_is_too_long_is_refused(
    there: ClusterConfig, bed: Bed | None, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST", 1000)
    for number in range(500):
        (data / f"{number:05d}").touch()
    if bed is None:
        assert len(cluster_ls(data)) == 505
        return
    with pytest.raises(CommandError, match="longer than") as raised:
        cluster_ls(data)
    assert "Ask for less" in str(raised.value)
    assert cluster_count_files(data) == 504, "the connection goes on"


# -- progress


@cluster
def steps(gate: str) -> str:
    report_progress(0, 3, "begun")
    report_progress(1, 3, "waiting \x1b[31m")
    while not os.path.exists(gate):
        time.sleep(0.05)
    report_progress(3, 3, "done")
    return "value"


def test_progress_is_seen_while_a_job_runs_and_costs_no_command(
    wires: list[Counting], there: ClusterConfig, place: str, shared: Path, client: Callable[..., str]
) -> None:
    job = steps.submit(str(shared / "gate"))
    assert job.progress is None or job.progress.done <= 1
    said = until(lambda: job.progress and job.progress.done == 1 and job.progress, "the second report")
    assert said == Progress(1, 3, "waiting \x1b[31m", said.at, 0)
    assert abs(said.at - time.time()) < 100
    until(lambda: standing(job._flight) == "running, 1 of 3: waiting [31m", "the line that people see")
    (shown,) = json.loads(client("-m", "clustrix_core.cli", "jobs", "--json"))
    (one,) = shown["progress"]
    assert {name: one[name] for name in ("done", "total", "call")} == {"done": 1, "total": 3, "call": 0}
    told = client("-m", "clustrix_core.cli", "status", job.id)
    assert "progress   1 of 3: waiting [31m\n" in told, told
    (shared / "gate").touch()
    assert job.result(60) == "value"
    assert job.progress is not None and job.progress[:3] == (3, 3, "done"), "the last one comes with the value"
    kinds = ("--- probe ---", "clustrix: staged", "clustrix: files", "clustrix: answer")
    assert all(any(kind in one for kind in kinds) for one in commands(wires))
    looks = sum("clustrix: files" in one for one in commands(wires))
    assert len(commands(wires)) - looks <= 2 + sum("clustrix: answer" in one for one in commands(wires))


def test_of_a_map_each_call_is_seen(there: ClusterConfig, shared: Path) -> None:
    def step(number: int, gate: str) -> int:
        report_progress(number, 10)
        while number and not os.path.exists(gate):
            time.sleep(0.05)
        return number

    calls = cluster(step).map([0, 1, 2], gate=str(shared / "gate"))
    assert next(iter(calls)) == 0
    until(lambda: calls.progress, "a report")
    assert set(calls.progress) <= {1, 2} and all(said.done == call for call, said in calls.progress.items())
    (shared / "gate").touch()
    assert calls.results() == [0, 1, 2] and calls.progress == {}


def test_a_report_that_somebody_else_has_written_is_ignored(onlooker: Onlooker, shared: Path) -> None:
    job = steps.submit(str(shared / "gate"))
    until(lambda: job.progress and job.progress.done == 1, "the second report")
    (file,) = onlooker.directory(job).glob("progress-*.1")
    genuine = file.read_bytes()
    file.write_bytes(genuine.replace(b'"done":1', b'"done":2')[1:] + b"\n")
    mirror = job._flight.mirror / file.name  # type: ignore[union-attr]
    until(lambda: mirror.read_bytes() != genuine, "the forged one has come")
    assert job.progress is None
    (shared / "gate").touch()
    assert job.result(60) == "value" and job.progress is not None and job.progress.done == 3


# -- configurations as arguments


def test_a_configuration_arrives_whole_and_comes_back(there: ClusterConfig, place: str) -> None:
    def told(config: Any) -> Any:
        import clustrix

        same = isinstance(config, clustrix.ClusterConfig) and isinstance(config.resources, clustrix.Resources)
        resources = config.resources.cores, config.resources.memory, config.resources.env, config.resources.time
        known = config.name, config.backend, config.host, config.user, config.work_dir, config.cleanup, config.python
        return same, known, resources, dict(config.options), config.password, repr(config), config, config.resources

    plain = ClusterConfig(backend="slurm", host="h.example", password="open sesame", options={"a": 1})
    old = {"cluster_type": "ssh", "cluster_host": "h", "username": "ada", "default_cores": 4, "default_memory": "8GB"}
    flat = ClusterConfig(name="hpc", **old)
    for python in pythons(place):
        if python is not None:
            configure(python=python)
        run = cluster(told)
        for config in (plain, flat, there):
            same, known, resources, options, password, shown, back, needs = run(config)
            assert same and known == (
                config.name,
                config.backend,
                config.host,
                config.user,
                config.work_dir,
                config.cleanup,
                config.python,
            )
            ours = config.resources
            assert resources == (ours.cores, ours.memory, ours.env, ours.time)
            assert options == dict(config.options) and password == config.password
            assert "sesame" not in shown and config.backend in shown
            assert back == config and type(back) is ClusterConfig and needs == ours
            assert repr(back) == repr(config)
