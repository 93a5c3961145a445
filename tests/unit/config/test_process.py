"""Where the configuration is found, what wins, and how a process changes it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clustrix_core.config import (
    ClusterConfig,
    Config,
    configure,
    current,
    environ,
    find,
    home,
    load,
    reset,
)
from clustrix_core.errors import ConfigError
from clustrix_core.resources import Resources

Write = Callable[..., Path]


def test_the_search(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def host() -> str | None:
        return load().find().host

    assert load() == Config() and find() == ClusterConfig(name="local", backend="local")
    write("host: home", "../home/.clustrix/clustrix.json".replace("json", "yaml"))
    assert host() == "home"
    write("host: state", "../state/clustrix.yml")
    monkeypatch.setenv("CLUSTRIX_HOME", str(tmp_path / "state"))
    assert host() == "state"
    write('{"host": "json"}', "clustrix.json")
    assert host() == "json"
    write("host: yaml", "clustrix.yaml")
    assert host() == "yaml"
    write("host: yml", "clustrix.yml")
    assert host() == "yml" and load().source == tmp_path / "cwd" / "clustrix.yml"
    write("host: named", "elsewhere.yml")
    monkeypatch.setenv("CLUSTRIX_CONFIG", "elsewhere.yml")
    assert host() == "named"
    monkeypatch.setenv("CLUSTRIX_CONFIG", "missing.yml")
    with pytest.raises(ConfigError, match=r"^\$CLUSTRIX_CONFIG: there is no file 'missing.yml'"):
        load()


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home() == tmp_path / "home" / ".clustrix" and home().stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("CLUSTRIX_HOME", str(tmp_path / "a" / "b"))
    assert home() == tmp_path / "a" / "b" and home().is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CLUSTRIX_HOME", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="cannot be made"):
        home()


def test_who_wins(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find().resources.cores == 1
    monkeypatch.setenv("CLUSTRIX_CORES", "2")
    reset()
    assert find().resources.cores == 2 and find(backend="slurm").resources.cores == 2
    write("backend: slurm\ncores: 3\n")
    reset()
    assert find().resources.cores == 3
    configure(cores=4)
    assert find() == ClusterConfig(backend="slurm", cores=4)


def test_the_environment_describes_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "BACKEND": "slurm",
        "HOST": "h",
        "USER": "ada",
        "PORT": "2222",
        "MEMORY": "8GB",
        "MODULES": "gcc,cuda",
        "ENV": "A=1,B=x,y",
        "EXCLUSIVE": "yes",
        "SETUP": "export A=1,2",
        "CLEANUP": "never",
        "PASSWORD": "hunter2",
        "UNKNOWN": "x",
        "JOB": "x",
        "DEBUG": "x",
        "PARTITION": "",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"CLUSTRIX_{name}", value)
    assert find() == ClusterConfig(
        backend="slurm",
        host="h",
        user="ada",
        port=2222,
        cleanup="never",
        password="hunter2",
        resources={
            "memory": "8GB",
            "modules": ["gcc", "cuda"],
            "env": {"A": "1", "B": "x,y"},
            "exclusive": True,
            "setup": ["export A=1,2"],
        },
    )


def test_the_environment_fills_in_what_the_file_leaves_out(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        "default: a\nclusters:\n  a: {backend: slurm, env: {A: x}}\n  b: {backend: ssh, host: b}\n  local: {cores: 2}\n"
    )
    for name, value in {"HOST": "h", "USER": "ada", "PASSWORD": "p", "CORES": "8", "ENV": "A=1,B=2"}.items():
        monkeypatch.setenv(f"CLUSTRIX_{name}", value)
    assert find() == ClusterConfig(
        name="a", backend="slurm", host="h", user="ada", password="p", cores=8, env={"A": "x", "B": "2"}
    )
    # Another host must not get a user and password that were meant for the default one.
    assert find("b") == ClusterConfig(name="b", backend="ssh", host="b", cores=8, env={"A": "1", "B": "2"})
    assert find("local") == ClusterConfig(cores=2, env={"A": "1", "B": "2"})
    write("backend: local\n")
    reset()
    assert find().host is None


def test_the_environment_names_the_default(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("clusters:\n  a: {host: a}\n  b: {host: b}\n")
    with pytest.raises(ConfigError, match="several clusters are configured and none is the default"):
        find()
    monkeypatch.setenv("CLUSTRIX_DEFAULT", "b")
    reset()
    assert find().name == "b"
    monkeypatch.setenv("CLUSTRIX_DEFAULT", "c")
    reset()
    with pytest.raises(ConfigError, match=r"^\$CLUSTRIX_DEFAULT: default='c' is not a configured cluster"):
        find()


@pytest.mark.parametrize(
    ("name", "value"),
    [("CORES", "x"), ("CORES", "0"), ("TIME", "1:30"), ("PORT", "0"), ("HOST", "a b"), ("EXCLUSIVE", "maybe")],
)
def test_a_wrong_variable_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CLUSTRIX_{name}", value)
    with pytest.raises(ConfigError, match=rf"\$CLUSTRIX_{name}: {name.lower()}="):
        find()


def test_reserved_variables_are_not_settings() -> None:
    assert not {f"CLUSTRIX_{name}" for name in environ.RESERVED} & set(environ.variables())
    assert {"CLUSTRIX_BACKEND", "CLUSTRIX_HOST", "CLUSTRIX_CORES", "CLUSTRIX_WORK_DIR"} <= set(environ.variables())


def test_find(write: Write) -> None:
    write(
        "default: b\nclusters:\n  a: {backend: slurm, host: a}\n  b: {backend: slurm, host: b}\n  c: {backend: k8s}\n"
    )
    assert find().host == "b" and find("a").host == "a"
    assert find(backend="slurm").host == "b" and find(backend="kubernetes").name == "c"
    assert find("a", "slurm").host == "a" and find("local") == ClusterConfig()
    assert find(backend="pbs") == ClusterConfig(name="pbs", backend="pbs")
    with pytest.raises(ConfigError, match=r"there is no cluster 'hpc'\nKnown: a, b, c, local in .*clustrix\.yml\."):
        find("hpc")
    with pytest.raises(ConfigError, match="Did you mean 'local'"):
        find("locla")
    with pytest.raises(ConfigError, match="the cluster 'c' has the backend k8s, not slurm"):
        find("c", "slurm")
    with pytest.raises(ConfigError, match="is not the name of a backend"):
        find(backend="a;b")


def test_without_a_file_the_error_says_so() -> None:
    with pytest.raises(ConfigError, match=r"there is no cluster 'hpc'\nKnown: local; there is no configuration file\."):
        find("hpc")


def test_configure_one_cluster(write: Write) -> None:
    assert configure(cluster_type="slurm", cluster_host="h").find() == ClusterConfig(backend="slurm", host="h")
    assert configure(default_cores=4, env={"A": "1"}).find().host == "h"
    made = configure(memory="8GB", env={"B": "2"}).find()
    assert made == ClusterConfig(backend="slurm", host="h", cores=4, memory="8GB", env={"A": "1", "B": "2"})
    assert configure(backend="ssh", host="g").find() == ClusterConfig(backend="ssh", host="g")
    assert find("slurm") == made
    reset()
    assert find() == ClusterConfig()
    assert configure(host="h", user="ada").find() == ClusterConfig(name="ssh", backend="ssh", host="h", user="ada")


def test_configure_over_a_file(write: Write) -> None:
    write("default: a\nclusters:\n  a: {backend: slurm, host: a, cores: 2}\n  b: {backend: slurm, host: b}\n")
    assert configure(cores=8).find() == ClusterConfig(name="a", backend="slurm", host="a", cores=8)
    assert configure(backend="slurm", user="ada").find().host == "a"
    assert configure("b").find().host == "b"
    assert configure(name="a", memory="1GB").find().resources == Resources(cores=8, memory=1024**3)
    assert configure(backend="slurm", host="c").find() == ClusterConfig(backend="slurm", host="c")
    assert set(current().clusters) == {"a", "b", "slurm"}


def test_configure_clusters() -> None:
    made = configure(clusters={"x": {"backend": "slurm", "host": "x"}})
    assert made.default == "x" and made is current()
    assert configure(clusters={"y": ClusterConfig(host="y")}).default == "x"
    assert find("y") == ClusterConfig(name="y", host="y")
    assert configure(ClusterConfig(name="z", host="z")).default == "z"
    assert configure("local").find() == ClusterConfig()


@pytest.mark.parametrize(
    "wrong", [{"default": "nope"}, {"hots": "h"}, {"clusters": {"a": 4}}, {"cores": 0}, {"backend": "a b"}]
)
def test_configure_changes_nothing_when_it_fails(wrong: dict[str, Any]) -> None:
    before = configure(backend="slurm", host="h")
    with pytest.raises(ConfigError):
        configure(**wrong)
    assert current() is before


def test_configure_warns_of_what_has_no_effect() -> None:
    with pytest.warns(UserWarning, match="auto_parallel has no effect") as caught:
        configure(backend="slurm", auto_parallel=True)
    assert caught[0].filename == __file__


def test_it_is_loaded_once(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("host: a\n")
    assert find().host == "a"
    write("host: b\n")
    assert find().host == "a"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "clustrix.yml").write_text("host: c\n")
    monkeypatch.chdir(tmp_path / "other")
    assert find().host == "a"
    assert configure(user="ada").find().host == "c"


def test_threads_lose_no_change() -> None:
    def change(n: int) -> None:
        configure(clusters={f"c{n}": {"host": f"h{n}"}})

    threads = [threading.Thread(target=change, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(current().clusters) == 50
