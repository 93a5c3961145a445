"""Configuration files: what is read, and what is refused with its line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clustrix_core.config import (
    ClusterConfig,
    load,
)
from clustrix_core.config.file import parse
from clustrix_core.errors import ConfigError
from clustrix_core.options import Origin
from clustrix_core.resources import Resources

Write = Callable[..., Path]


def refused(text: str, write: Write, **how: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(write(text, **how))
    return caught.value


def test_a_file(write: Write) -> None:
    path = write(
        """
default: hpc
clusters:
  hpc:
    backend: slurm
    host: login.hpc.example
    user: ada
    transport: openssh
    work_dir: /scratch/ada/clustrix
    python: python3.11
    environment: auto
    resources: {cores: 4, memory: 8GB, time: "01:00:00", partition: short}
    options: {a: 1}
  desk:
    backend: ssh
    host: desk
    cores: 2
"""
    )
    made = load(path)
    assert made.default == "hpc" and made.source == path and made.problems == ()
    assert made.clusters == {
        "hpc": ClusterConfig(
            name="hpc",
            backend="slurm",
            host="login.hpc.example",
            user="ada",
            transport="openssh",
            work_dir="/scratch/ada/clustrix",
            python="python3.11",
            environment="auto",
            resources=Resources(cores=4, memory=8 * 1024**3, time=3600, partition="short"),
            options={"a": 1},
        ),
        "desk": ClusterConfig(name="desk", backend="ssh", host="desk", cores=2),
    }


FLAT = """
cluster_type: slurm
cluster_host: h
username: ada
default_cores: 4
auto_parallel: true
cleanup_on_success: no
"""


def test_the_flat_form(write: Write) -> None:
    made = load(write(FLAT))
    assert made.find() == ClusterConfig(backend="slurm", host="h", user="ada", cores=4, cleanup="never")
    assert [str(problem.message).split(": ", 1)[1] for problem in made.problems] == [
        "auto_parallel has no effect: it is decided by itself"
    ]
    same = write(json.dumps(yaml.safe_load(FLAT), indent="\t"), "clustrix.json")
    assert load(same).find() == made.find()


def test_an_empty_file(write: Write) -> None:
    assert load(write("# nothing\n")).find() == ClusterConfig()
    assert load(write("default: local\n")).find() == ClusterConfig()
    assert load(write("", "clustrix.json")).find() == ClusterConfig()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:10:00", 600),
        ("01:00:00", 3600),
        ("1:30:00", 5400),
        ("10:00:00", 36000),
        ("2-00:00:00", 172800),
        ("90m", 5400),
    ],
)
def test_a_walltime_means_the_same_with_and_without_quotes(text: str, seconds: int, write: Write) -> None:
    for written in (text, f'"{text}"', f"'{text}'"):
        assert load(write(f"backend: slurm\ntime: {written}\n")).find().resources.time == seconds


@pytest.mark.parametrize("text", ["1:30", "90:00", "190:20:30.15"])
def test_a_walltime_in_base_60_is_refused(text: str, write: Write) -> None:
    for written in (text, f'"{text}"'):
        assert refused(f"backend: slurm\ntime: {written}\n", write).line == 2


def test_text_is_text_as_typed(write: Write) -> None:
    text = "backend: slurm\naccount: 007\npartition: no\nqos: 1e3\n"
    text += "env: {A: 010, B: true, C: 1.10, D: 2020-01-01, E: 0x10}\n"
    made = load(write(text)).find().resources
    assert (made.account, made.partition, made.qos) == ("007", "no", "1e3")
    assert made.env == {"A": "010", "B": "true", "C": "1.10", "D": "2020-01-01", "E": "0x10"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hots: x", "unknown key 'hots'\nDid you mean 'host'?"),
        ("memory: 8", "memory=8 is 8 bytes, too little"),
        ("memory: 8 potatoes", "memory='8 potatoes' is not an amount of memory"),
        ('time: "-1"', "time='-1' is not a walltime"),
        ("time: -1", "time=-1 is not a walltime"),
        ("cores: 0", "cores=0 is not a whole number"),
        ("cores: .inf", "cores=inf is not a whole number"),
        ("cores: [4]", "cores=[4] is not a whole number"),
        ("default_cores: four", "cores='four' is not a whole number"),
        ("resources: {cores: 0}", "cores=0 is not a whole number"),
        ("port: 99999", "port=99999 is not a port"),
        ("host: a b", "host='a b' is not a host name"),
        ("env: {A: [1]}", "env: what is at 'A' does not fit"),
        ("env: {A b: 1}", "env: 'A b' is not the name of a variable"),
        ("name: other", "the name of this cluster is 'hpc' already"),
        ("backend: slurm", "'backend' is here twice, in line 3 too"),
        ("host: !!python/object:os.system x", "is not taken"),
        ("host: !!binary aGk=", "is not taken"),
        ("host: [", "is not YAML"),
        ("? [a]\n    : b", "a key must be a word"),
        ("host: &a [*a]", "aliases that never end"),
        ("password: '********'", "password is only asterisks"),
    ],
)
def test_errors_name_file_and_line(line: str, message: str, write: Write) -> None:
    path = write(f"clusters:\n  hpc:\n    backend: slurm\n    {line}\n", mode=0o600)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert message in str(caught.value) and f"{path}:" in str(caught.value)
    assert caught.value.file == str(path) and caught.value.line in (4, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clusters: {a: {host: h}}\nverbose: 1", "unknown key 'verbose'"),
        ("defualt: hpc", "Did you mean 'default'?"),
        ("cluster: {}", "Did you mean 'clusters'?"),
        ("clusters: []", "clusters is not a mapping"),
        ("clusters: {a: 4}", "is not a mapping"),
        ("[1]", "holds no mapping"),
        ("just text", "holds no mapping"),
        ("default: x\nclusters: {hpc: {host: h}}", "default='x' is not a configured cluster"),
        ("default: [1]", "default=[1] is not a configured cluster"),
        ("clusters: {hpc: {user: ada}}", "says how to log in, but neither backend nor host"),
        ("a: 1\n---\nb: 1", "is not YAML"),
        ("a: \x01", "is not YAML"),
        ("[" * 5000, "is not YAML"),
    ],
)
def test_files_that_are_wrong(text: str, message: str, write: Write) -> None:
    assert message in str(refused(text, write))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"host": "h",}', "is not JSON"),
        ('{"port": NaN}', "is not JSON"),
        ("host: h", "is not JSON"),
        ('{\n"host": "a",\n"host": "b"}', "clustrix.json:3: 'host' is here twice"),
        ('{\n\t"hots": "a"}', "clustrix.json:2: unknown key 'hots'"),
    ],
)
def test_json_that_is_wrong(text: str, message: str, write: Write) -> None:
    assert message in str(refused(text, write, name="clustrix.json"))


@given(
    st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(10**17), 10**17),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(st.characters(exclude_categories=["Cs"])),
        ),
        lambda inner: st.one_of(
            st.lists(inner),
            # A key of YAML has at most 1,024 characters, and an escaped one may take twelve.
            st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), inner),
        ),
    ),
    st.booleans(),
)
def test_json_is_read_as_json(data: Any, ascii: bool) -> None:
    text = json.dumps(data, ensure_ascii=ascii, indent=1)
    assert parse(text, Origin(), as_json=True)[0] == data


def test_merge_keys_and_aliases(write: Write) -> None:
    text = "clusters:\n  a: &a {backend: ssh, host: a, cores: 4}\n  b:\n    <<: *a\n    host: b\n  c:\n    <<: [*a]\n"
    made = load(write(text)).clusters
    assert (made["b"].host, made["b"].resources.cores, made["c"].host) == ("b", 4, "a")


def test_aliases_do_not_explode(write: Write) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "too many" in str(refused("\n".join(lines), write))


def test_unreadable_files(tmp_path: Path, write: Write) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    path = write("")
    path.write_bytes(b"host: \xff")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(path)
    path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigError, match="is larger than"):
        load(path)
    path.write_bytes(b"\xef\xbb\xbfhost: h\n")
    assert load(path).find().host == "h"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
@pytest.mark.parametrize(
    "line",
    [
        "password: hunter2",
        "options: {api_token: hunter2}",
        "env: {HF_TOKEN: hunter2}",
        "environment_variables: {A_SECRET: x}",
    ],
)
def test_a_plain_secret_needs_a_private_file(line: str, write: Write) -> None:
    for text in (f"host: h\n{line}\n", f"clusters:\n  hpc:\n    host: h\n    {line}\n"):
        for mode in (0o644, 0o640, 0o604, 0o620):
            error = refused(text, write, mode=mode)
            assert "others may read" in str(error) and "hunter2" not in str(error) and error.line in (2, 4)
        for mode in (0o600, 0o400):
            load(write(text, mode=mode))
            (Path() / "clustrix.yml").unlink()
