"""ClusterConfig: the names that it takes, what it refuses, and that it is a value."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core.config import (
    ClusterConfig,
    flat,
    load,
    old,
)
from clustrix_core.errors import ConfigError
from clustrix_core.model import BackendInfo
from clustrix_core.options import settings
from clustrix_core.resources import Resources

from ..test_resources import ANYTHING, HOSTILE

Write = Callable[..., Path]


def test_flat_names_mean_the_same() -> None:
    old_way = ClusterConfig(cluster_type="slurm", cluster_host="h", username="u", default_cores=4)
    assert old_way == ClusterConfig(backend="slurm", host="h", user="u", resources={"cores": 4})
    assert old_way == ClusterConfig(backend="slurm", host="h", user="u", cores=4)
    assert old_way == ClusterConfig(backend="slurm", host="h", user="u", resources=Resources(cores=4), name="slurm")


def test_all_flat_names() -> None:
    made = ClusterConfig(
        cluster_type="kubernetes",
        cluster_host="h",
        cluster_port=22,
        username="u",
        password="p",
        key_file="~/.ssh/id",
        remote_work_dir="/scratch/u",
        python_executable="python3.11",
        default_cores=4,
        default_memory="8GB",
        default_time="01:00:00",
        default_queue="short",
        module_loads=["gcc/12"],
        environment_variables={"A": "1"},
        pre_execution_commands=["export B=1,2"],
        conda_env_name="lab",
        cleanup_remote_files=False,
        max_parallel_jobs=10,
        k8s_namespace="n",
        k8s_image="i",
        k8s_backoff_limit=2,
    )
    assert made == ClusterConfig(
        backend="k8s",
        host="h",
        port=22,
        user="u",
        password="p",
        key_file="~/.ssh/id",
        work_dir="/scratch/u",
        python="python3.11",
        environment="lab",
        cleanup="never",
        max_parallel=10,
        options={"namespace": "n", "image": "i"},
        resources=Resources(
            cores=4,
            memory=8 * 1024**3,
            time=3600,
            partition="short",
            modules=("gcc/12",),
            env={"A": "1"},
            setup=("export B=1,2",),
            retries=2,
        ),
    )


def test_the_lists_of_names_are_complete() -> None:
    assert tuple(settings(ClusterConfig)) == flat.SETTINGS
    targets = {target.rpartition(".")[2] for target in old.OLD.values() if not target.startswith("options.")}
    assert targets <= {*flat.SETTINGS, *flat.RESOURCES}
    assert not set(old.OLD) & set(old.DROPPED)
    assert not (set(old.OLD) | set(old.DROPPED)) & {*flat.SETTINGS, *flat.RESOURCES}


@pytest.mark.parametrize("name", sorted(old.DROPPED))
def test_old_names_without_effect_warn(name: str) -> None:
    with pytest.warns(UserWarning, match=f"{name} has no effect: "):
        assert ClusterConfig(**{name: "x"}) == ClusterConfig()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hots": "h"}, "unknown key 'hots'\nDid you mean 'host'?"),
        ({"cluster_hots": "h"}, "unknown key 'cluster_hots'\nDid you mean 'cluster_host'?"),
        ({"memroy": "8GB"}, "unknown key 'memroy'\nDid you mean 'memory'?"),
        ({"resources": {"corse": 1}}, "unknown key 'corse'\nDid you mean 'cores'?"),
        ({"host": "a", "cluster_host": "b"}, "cluster_host and host say two different things"),
        ({"cores": 2, "resources": {"cores": 3}}, "resources.cores and cores say two different things"),
        ({"resources": 4}, "resources is not a mapping"),
        ({"options": [1]}, "options is not a mapping"),
        ({"cleanup": "sometimes"}, "cleanup='sometimes' is not `success` or `always` or `never`"),
        ({"transport": "telnet"}, "transport='telnet' is not"),
        ({"cluster_type": 4}, "backend=4 is not text"),
        ({"host": "u@h"}, "holds a user"),
        ({"host": "h:22"}, "holds a port"),
    ],
)
def test_wrong_settings(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ClusterConfig(**given)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["host", "backend", "proxy_jump", "user"])
@pytest.mark.parametrize(
    "text", [text for text in HOSTILE if text not in ("é", "~", "--wrap=id")] + ["h`", "h\n", "-oX=y"]
)
def test_what_logs_in_holds_no_shell(name: str, text: str) -> None:
    with pytest.raises(ConfigError):
        ClusterConfig(**{"backend": "ssh", "host": "h", name: text})


@pytest.mark.parametrize("host", ["login.hpc.example", "10.0.0.1", "::1", "fe80::1%eth0", "my_alias", "h-1"])
def test_hosts(host: str) -> None:
    assert ClusterConfig(host=host).host == host


@pytest.mark.parametrize("user", ["ada", "ada.l@corp.example", "CORP\\ada", "jürgen", "_svc"])
def test_users(user: str) -> None:
    assert ClusterConfig(host="h", user=user).user == user


@pytest.mark.parametrize("jump", ["gate", "ada@gate:2222", "a,b@c", "[::1]:22", "none"])
def test_jumps(jump: str) -> None:
    assert ClusterConfig(host="h", proxy_jump=jump).proxy_jump == jump


@pytest.mark.parametrize("jump", ["a,-b", "a@-oX", "a b", "a,,b", ""])
def test_jumps_are_refused(jump: str) -> None:
    with pytest.raises(ConfigError):
        ClusterConfig(host="h", proxy_jump=jump)


@pytest.mark.parametrize("port", [0, -1, 65536, "x", 1.5, True])
def test_ports_are_refused(port: Any) -> None:
    with pytest.raises(ConfigError):
        ClusterConfig(host="h", port=port)


@pytest.mark.parametrize("path", ["~", "~/x", "/a b/'c\"", "/$HOME"])
def test_work_dirs(path: str) -> None:
    assert ClusterConfig(work_dir=path).work_dir == path


@pytest.mark.parametrize("path", ["", "jobs", "./x", "$SCRATCH/x", "~bob/x", "/a\nb", "/a\0b", "/a\rb"])
def test_work_dirs_are_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        ClusterConfig(work_dir=path)


TEXT = [
    "name",
    "key_file",
    "known_hosts",
    "ssh_config",
    "password",
    "work_dir",
    "python",
    "environment",
    "user",
    "proxy_jump",
]


@given(
    st.sampled_from(TEXT), st.one_of(st.sampled_from(HOSTILE), st.text(), st.sampled_from(HOSTILE).map("/x".__add__))
)
def test_text_is_kept_as_written_or_refused(name: str, text: str) -> None:
    try:
        made = ClusterConfig(host="h", **{name: text})
    except ConfigError:
        return
    assert getattr(made, name) == text or (name == "name" and text == "")
    if name != "password":
        assert not {"\n", "\r", "\0"} & set(text)


@given(st.sampled_from([*flat.SETTINGS, *flat.RESOURCES, *old.OLD]), ANYTHING)
def test_nothing_but_config_errors(name: str, value: Any) -> None:
    try:
        made = ClusterConfig(**{name: value})
    except ConfigError:
        return
    if made.options == made.options:
        assert made == ClusterConfig(**made.settings())
    repr(made)


def test_repr_shows_no_secret(full: ClusterConfig) -> None:
    assert "hunter2" not in repr(full) and "********" in repr(full)
    assert "hunter2" not in json.dumps(full.public())
    with pytest.raises(ConfigError) as caught:
        ClusterConfig(password=["hunter2"])
    assert "hunter2" not in str(caught.value)


def test_it_is_a_value(full: ClusterConfig) -> None:
    made = full
    assert pickle.loads(pickle.dumps(made)) == made and hash(pickle.loads(pickle.dumps(made))) == hash(made)
    assert ClusterConfig(**made.settings()) == made
    assert ClusterConfig(**dataclasses.asdict(made)) == made
    changed = dataclasses.replace(made, host="g")
    assert (changed.host, changed.backend, changed.options) == ("g", "slurm", made.options)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.host = "g"  # type: ignore[misc]
    assert ClusterConfig(host="h").backend == "ssh" and ClusterConfig().backend == "local"
    given = {"a": 1}
    kept = ClusterConfig(options=given)
    given["a"] = 2
    assert kept.options == {"a": 1}


def test_the_face_has_it() -> None:
    from clustrix.config import ClusterConfig as public

    assert public is ClusterConfig


def test_options_become_the_backends(write: Write) -> None:
    @dataclass
    class Options:
        account: str | None = None
        nice: int = 0

    info = BackendInfo("slurm", Options)
    text = "clusters:\n  hpc:\n    backend: slurm\n    options:\n      account: 007\n      nice: 5\n"
    assert load(write(text)).find().typed_options(info) == Options("007", 5)
    assert ClusterConfig(options={"nice": "5"}).typed_options(info) == Options(None, 5)
    with pytest.raises(ConfigError, match=r"^\[hpc\] .*clustrix\.yml:6: unknown key 'ncie'\nDid you mean 'nice'"):
        load(write(text.replace("nice", "ncie"))).find().typed_options(info)


def test_a_host_too_many_or_too_few(write: Write) -> None:
    @dataclass
    class Options:
        pass

    here, far = BackendInfo("local", Options, here=True), BackendInfo("ssh", Options, needs_host=True)
    text = "clusters:\n  mine:\n    backend: local\n    host: h\n"
    with pytest.raises(ConfigError, match=r"clustrix\.yml:4: host=.h., but the backend local runs"):
        load(write(text)).find().typed_options(here)
    with pytest.raises(ConfigError, match="the backend ssh needs a host"):
        ClusterConfig(backend="ssh").typed_options(far)
    assert ClusterConfig(backend="local").typed_options(here) == Options()
    assert ClusterConfig(host="h").typed_options(far) == Options()
