"""Input that makes no sense is refused before anything happens; input that only looks dangerous arrives as written."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import clustrix
from clustrix import BackendNotInstalled, CannotTravel, ClusterConfig, ConfigError, PayloadError, cluster
from clustrix_core import plugins
from tests.unit.conftest import CONFIG, World


@cluster
def add(a: int, b: int = 1, *, c: int = 0) -> int:
    return a + b + c


# ---------------------------------------------------------------- the configuration


@pytest.mark.parametrize(
    ("line", "number", "words"),
    [
        ("    partiton: short", 6, ["unknown", "'partiton'", "'partition'"]),
        ("    resources: {memory: 8 potatoes}", 6, ["memory='8 potatoes'", '"8GB"']),
        ("    resources: {core: 4}", 6, ["unknown", "'core'", "'cores'"]),
        ("    options: {reservatoin: mine}", 6, ["unknown", "'reservatoin'", "'reservation'"]),
        ("    work_dir: relative/path", 6, ["work_dir='relative/path'"]),
        ("    port: 99999999", 6, ["port=99999999"]),
    ],
    ids=["key", "memory", "resource", "option", "work_dir", "port"],
)
def test_a_line_of_the_file_is_wrong(world: World, line: str, number: int, words: list[str]) -> None:
    world.write(CONFIG.format(work_dir=world.work_dir).replace("nowhere.invalid\n", f"nowhere.invalid\n{line}\n"))
    with pytest.raises(ConfigError) as caught:
        add.submit(1)
    said = str(caught.value)
    assert all(word in said for word in words), said
    assert (caught.value.file, caught.value.line) == (str(world.file), number)
    assert f"{world.file}:{number}" in said or f"line {number}" in said
    assert world.untouched()


def test_an_unknown_cluster(world: World) -> None:
    pool = clustrix.Executor("hcp")
    for call in (lambda: add.options(cluster="hcp").submit(1), lambda: pool.submit(add.local, 1)):
        with pytest.raises(ConfigError, match=r"there is no cluster 'hcp'\s.*'hpc'") as caught:
            call()
        assert str(world.file) in str(caught.value)
    assert world.untouched()


def test_a_cluster_and_a_backend(world: World) -> None:
    with pytest.raises(ConfigError, match="not both"):
        add.options(cluster="hpc", backend="local").submit(1)
    assert world.untouched()


def test_a_backend_that_nobody_brings(world: World) -> None:
    world.write(CONFIG.format(work_dir=world.work_dir).replace("backend: slurm", "backend: lsf"))
    with pytest.raises(BackendNotInstalled, match="'lsf'") as caught:
        add.submit(1)
    assert "local" in str(caught.value) and "slurm" in str(caught.value) and "Install" in str(caught.value)
    assert world.untouched()


def test_a_backend_of_ours_that_is_not_installed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_slurm(**asked: Any) -> Any:
        return [point for point in importlib.metadata.entry_points(**asked) if point.name != "slurm"]

    monkeypatch.setattr(plugins, "entry_points", without_slurm)
    with pytest.raises(BackendNotInstalled, match=r'pip install "clustrix\[slurm\]"'):
        add.submit(1)
    assert world.untouched()


@pytest.mark.parametrize(
    "host", ["-oProxyCommand=touch /tmp/canary", "a b", "host;touch x", "host\nother", "$(id)", "`id`", ""]
)
def test_a_host_that_is_none(world: World, host: str) -> None:
    with pytest.raises(ConfigError, match="host"):
        add.options(cluster=ClusterConfig(backend="ssh", host=host)).submit(1)
    assert world.untouched()


# ---------------------------------------------------------------- options and resources


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory": "8 potatoes"}, "memory='8 potatoes' is not an amount of memory"),
        ({"memory": -1}, "memory=-1"),
        ({"memory": 8}, "too little"),
        ({"time": "-1"}, "time='-1' is not a walltime"),
        ({"time": 0}, "time=0"),
        ({"time": "90:00"}, "ambiguous"),
        ({"time": "tomorrow"}, "time='tomorrow'"),
        ({"cores": 0}, "cores=0"),
        ({"cores": 1.5}, "cores=1.5"),
        ({"cores": True}, "cores=True"),
        ({"nodes": -3}, "nodes=-3"),
        ({"gpus": "many"}, "gpus='many'"),
        ({"partition": "short; rm -rf ~"}, "partition="),
        ({"account": "$(id)"}, "account="),
        ({"qos": "--begin=now"}, "qos="),
        ({"constraint": "a\n#SBATCH --uid=0"}, "constraint="),
        ({"name": "two\nlines"}, "name"),
        ({"directives": ["--a\n--b"]}, "directives"),
        ({"env": {"A B": "1"}}, "'A B'"),
        ({"env": {"A": object()}}, "the value of A"),
        ({"setup": ["a\0b"]}, "setup"),
        ({"modules": ["gcc; id"]}, "modules="),
        ({"chunk": 0}, "chunk=0"),
        ({"max_parallel": -1}, "max_parallel=-1"),
        ({"core": 4}, "Did you mean 'cores'?"),
        ({"memmory": "8GB"}, "Did you mean 'memory'?"),
        ({"quux": 1}, "unknown option 'quux'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_an_option_that_makes_no_sense(world: World, options: dict[str, Any], words: str) -> None:
    ways: list[Callable[..., Any]] = [
        lambda **given: cluster(**given)(add.local),
        add.options,
        lambda **given: clustrix.Executor("here", **given),
    ]
    for way in ways:
        with pytest.raises(ConfigError) as caught:
            way(**options)
        assert words in str(caught.value)
    assert world.untouched()


@pytest.mark.parametrize("directive", ["noption", "# --begin=now", "  --x"])
def test_a_directive_that_is_none(world: World, directive: str) -> None:
    with pytest.raises(ConfigError, match="directives"):
        add.options(cluster="hpc", directives=[directive]).submit(1)
    assert world.untouched()


@pytest.mark.parametrize(
    "options", [{"partition": "short"}, {"gpus": 1}, {"nodes": 2}, {"directives": ["--begin=now"]}]
)
def test_what_a_host_without_a_scheduler_cannot_do(world: World, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        add.options(cluster="here", **options).submit(1)
    assert world.untouched()


# ---------------------------------------------------------------- functions and arguments


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"d": 4}), ((1, 2), {"b": 3})])
def test_arguments_that_the_function_does_not_take(world: World, args: Any, kwargs: Any) -> None:
    with pytest.raises(TypeError, match=r"add\(\)"):
        add.options(cluster="here").submit(*args, **kwargs)
    with pytest.raises(TypeError, match=r"add\(\)"):
        add.options(cluster="here")(*args, **kwargs)
    if args:
        with pytest.raises(TypeError, match=r"add\(\)"):
            add.options(cluster="here").map(*[[arg] for arg in args], **kwargs)
    assert world.untouched()


def test_a_map_over_what_is_no_iterable(world: World) -> None:
    for iterables in ((), (5,), ([1], 5)):
        with pytest.raises(TypeError):
            add.options(cluster="here").map(*iterables)
    assert world.untouched()


def test_what_cannot_travel_is_named(world: World) -> None:
    lock = threading.Lock()
    guarded = cluster("here")(lambda: lock.locked())
    with open(__file__) as file:
        for call, words in (
            (lambda: add.options(cluster="here").submit(file), "the argument 'a'"),
            (lambda: add.options(cluster="here").map([1, file]), "the argument 'a'"),
            (lambda: add.options(cluster="here").submit({"deep": [threading.Lock()]}), "['deep'][0]"),
            (lambda: guarded.submit(), "'lock'"),
        ):
            with pytest.raises(CannotTravel) as caught:
                call()
            assert words in str(caught.value)
            assert caught.value.hint
    assert world.untouched()


def test_something_else_than_a_function(world: World) -> None:
    for thing in (5, [add], {"cores": 4}):
        with pytest.raises(ConfigError, match="takes a function or the name of a cluster"):
            cluster(thing)  # type: ignore[call-overload]
    for decorated in (staticmethod(add.local), classmethod(add.local)):
        with pytest.raises(ConfigError, match="goes under"):
            cluster(decorated)  # type: ignore[call-overload]
    assert world.untouched()


def test_a_python_that_is_too_old_on_the_cluster(world: World, tmp_path: Path) -> None:
    """The one thing that only the first contact can tell; there is no job then, nor its files."""
    python = tmp_path / "python3.5"
    pretend = "import sys; sys.version_info = (3, 5, 10)"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] || exit 99\nexec {sys.executable} -c "{pretend}; $2"\n')
    python.chmod(0o755)
    there = ClusterConfig(backend="local", work_dir=str(world.work_dir), python=str(python))
    job = add.options(cluster=there).submit(1)
    error = job.exception(30)
    assert type(error) is PayloadError, repr(error)
    here = "{}.{}".format(*sys.version_info)
    assert "Python 3.5 on the cluster" in str(error) and here in str(error) and "python:" in str(error)
    assert list((world.work_dir / "jobs").iterdir()) == []


# ---------------------------------------------------------------- text that a shell would run

EVIL = [
    "; touch CANARY #",
    "$(touch CANARY)",
    "`touch CANARY`",
    "\ntouch CANARY\n",
    "'; touch CANARY; '",
    '"; touch CANARY; "',
    "&& touch CANARY",
    "| touch CANARY",
    "\\'; touch CANARY #",
    "${IFS}touch${IFS}CANARY",
    "#!/bin/sh\ntouch CANARY",
    "EOF\ntouch CANARY",
    "%a %j ~ * ? [a] {b,c} !x",
    " leading and trailing ",
    "é馬\u202e\U0001f40e\u2028",
    "\r\n",
    "\x1b[31m\x7f",
    "-rf",
    "--",
]
text = st.one_of(st.sampled_from(EVIL), st.lists(st.sampled_from(EVIL), min_size=2, max_size=3).map("".join), st.text())
few = hypothesis_settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@cluster
def report(argument: str) -> tuple[Any, ...]:
    from clustrix import current_job

    job = current_job()
    return argument, os.environ.get("EVIL"), job and job.name


@few
@given(value=text)
@example(value="'\"; touch CANARY; $(touch CANARY)`touch CANARY`")
@example(value="\ntouch CANARY\n")
def test_text_arrives_as_written_or_is_refused(world: World, value: str) -> None:
    asked: dict[str, Any] = {}
    for options in ({"name": value}, {"env": {"EVIL": value}}):
        try:
            report.options(**options)
        except ConfigError:
            continue
        asked |= options
    evil = value.replace("CANARY", str(world.home.parent / "canary"))
    asked = {"name": evil, "env": {"EVIL": evil}} if len(asked) == 2 else asked
    job = report.options(cluster="here", **asked).submit(evil)
    argument, variable, name = job.result(60)
    assert argument == evil
    assert variable == asked.get("env", {}).get("EVIL")
    assert name == asked.get("name", "report")
    assert not (world.home.parent / "canary").exists()
    assert job.name.replace("-", "").replace("_", "").replace(".", "").isalnum() and job.name.isascii()


@hypothesis_settings(few, max_examples=6)
@given(value=text.filter(lambda value: "/" not in value))
@example(value="'\"; touch CANARY; $(touch CANARY)`touch CANARY`")
def test_a_work_dir_is_a_name_and_nothing_else(world: World, value: str) -> None:
    root = world.home.parent / "places"
    try:
        there = ClusterConfig(backend="local", work_dir=f"{root}/{value}x")
        result = add.options(cluster=there).submit(1).result(60)
    except ConfigError:
        return
    assert result == 2
    assert Path(f"{root}/{value}x").is_dir()
    assert not any(
        path.name.startswith("CANARY") for folder in (Path.home(), Path.cwd(), root) for path in folder.iterdir()
    )


def test_setup_and_teardown_are_shell_and_see_nothing_else(world: World) -> None:
    """What is meant to be run is run, as one line after the other, and a function's name is no part of it."""
    canary = world.home.parent / "canary"
    said = (
        report.options(cluster="here", setup=["export EVIL='a b'", f": >'{canary}'; false || true"], teardown="exit 0")
        .submit("x")
        .result(60)
    )
    assert said == ("x", "a b", "report")
    assert canary.exists()
