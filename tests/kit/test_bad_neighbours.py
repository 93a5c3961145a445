"""A plugin that is broken in whatever way costs nobody else a job: calls on this machine run beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.api.function import cluster
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import PluginError
from clustrix_core.plugins import JOBS, MACHINES
from clustrix_core.testing import Distributions
from tests.unit import toys

HEAD = "from clustrix_core.hookspecs import hookimpl\n"
WRAPPER = HEAD + "@hookimpl(wrapper=True{order})\ndef {hook}():\n    answer = yield\n    {then}\n"
# What a neighbour is, and what is said of it when its own backend is asked for.
NEIGHBOURS = {
    "does not import": ("import no_such_module_at_all\n", "no_such_module_at_all"),
    "is no Python": ("def broken(:\n", "invalid syntax"),
    "leaves at import": ("import sys; sys.exit('no licence')\n", "sys.exit('no licence')"),
    "lacks a hook": (toys.BACKEND.format(backend="bad") + "del submit\n", "lacks submit"),
    "misspells a hook": (toys.BACKEND.format(backend="bad") + "@hookimpl\ndef sumbit(job): ...\n", "'sumbit'"),
    "takes what there is not": (
        toys.BACKEND.format(backend="bad") + "@hookimpl\ndef cancel(handle): ...\n",
        "handle",
    ),
    "breaks when described": (
        toys.BACKEND.format(backend="bad") + "@hookimpl\ndef describe_backend(): return 1 / 0\n",
        "division by zero",
    ),
    "wraps and answers": (HEAD + "@hookimpl\ndef submit(job): ...\n", "yet answers submit"),
}
LISTENERS = {
    "raises when a job changes": HEAD + "@hookimpl\ndef job_changed(): raise ValueError('deaf')\n",
    "raises when commands are asked for": HEAD + "@hookimpl\ndef register_commands(): raise ValueError('deaf')\n",
    "answers its own calls badly": toys.BACKEND.format(backend="bad").replace("return None", "return 17"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterConfig]:
    """This machine, seen by a client with a home of its own."""
    monkeypatch.setenv("CLUSTRIX_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CLUSTRIX_CONFIG", raising=False)
    monkeypatch.delenv("CLUSTRIX_DISABLE_PLUGINS", raising=False)
    config.reset()
    yield ClusterConfig(backend="local", work_dir=str(tmp_path / "work"))
    session.close()
    config.reset()


def runs(here: ClusterConfig) -> None:
    """Insist that a call runs to its value, and a map to its values."""
    function = cluster(here)(lambda number: number + 1)
    assert function(41) == 42
    assert list(function.map(range(3))) == [1, 2, 3]


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_beside_one_that_cannot_be_used(name: str, here: ClusterConfig, installed_plugin: Distributions) -> None:
    source, said = NEIGHBOURS[name]
    installed_plugin("bad", source)
    runs(here)
    with pytest.raises(PluginError) as raised:
        cluster(ClusterConfig(backend="bad"))(len)("abc")
    assert said in str(raised.value) and "'bad'" in str(raised.value)


@pytest.mark.parametrize("name", LISTENERS)
def test_beside_one_that_raises(name: str, here: ClusterConfig, installed_plugin: Distributions) -> None:
    installed_plugin("bad", LISTENERS[name])
    runs(here)


@pytest.mark.parametrize("then", ["raise ValueError('late')", "pass"])
@pytest.mark.parametrize("hook", sorted((JOBS | MACHINES) - {"check", "release"}))
def test_inside_a_wrapper_that_breaks_after_its_yield(
    hook: str, then: str, here: ClusterConfig, installed_plugin: Distributions
) -> None:
    for order in ("tryfirst", "trylast"):
        installed_plugin(f"bad-{order}", WRAPPER.format(hook=hook, then=then, order=f", {order}=True"))
    runs(here)


def test_beside_two_that_claim_one_name(here: ClusterConfig, installed_plugin: Distributions) -> None:
    installed_plugin("bad", toys.BACKEND.format(backend="ssh"))
    installed_plugin("worse", toys.BACKEND.format(backend="ssh"))
    runs(here)
    with pytest.raises(PluginError, match="'bad' and 'worse' both claim the backend 'ssh'"):
        cluster(ClusterConfig(backend="ssh", host="nowhere"))(len)("abc")


def test_beside_two_distributions_of_one_name(here: ClusterConfig, installed_plugin: Distributions) -> None:
    for distribution in ("acme-one", "acme-two"):
        installed_plugin("bad", toys.BACKEND.format(backend="bad"), distribution=distribution)
    runs(here)
    with pytest.raises(PluginError, match="several distributions bring a plugin 'bad'"):
        cluster(ClusterConfig(backend="bad"))(len)("abc")


SCRIPT = """
from clustrix import ClusterConfig, cluster
print(cluster(ClusterConfig(backend="local", work_dir={work!r}))(len)("abc"))
"""


def script(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a call in a process of its own; the plugins installed by the test are on its path."""
    argv = [sys.executable, "-c", SCRIPT.format(work=str(tmp_path / "work"))]
    known = {**os.environ, "CLUSTRIX_HOME": str(tmp_path / "home"), **environment}
    return subprocess.run(argv, env=known, capture_output=True, text=True, timeout=60)


def test_beside_one_that_takes_long_to_import(tmp_path: Path, installed_plugin: Distributions) -> None:
    module = installed_plugin("slow", "import time; time.sleep(6)\n" + toys.BACKEND.format(backend="slow"))
    done = script(tmp_path)
    assert done.stdout == "3\n"
    assert f"clustrix: importing the plugin 'slow' ({module}) takes over 5 s" in done.stderr


def test_one_that_is_switched_off_is_not_imported(tmp_path: Path, installed_plugin: Distributions) -> None:
    installed_plugin("hangs", "import time; time.sleep(600)\n")
    done = script(tmp_path, CLUSTRIX_DISABLE_PLUGINS="hangs")
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_a_listener_hears_of_the_end_although_the_program_ends(tmp_path: Path, installed_plugin: Distributions) -> None:
    """Also one that takes its time: whoever has the value may exit at once."""
    installed_plugin(
        "slow-listener",
        HEAD + "import time\n@hookimpl\ndef job_changed(after):\n    time.sleep(1)\n    print(after.state.value)\n",
    )
    assert script(tmp_path).stdout.splitlines()[-2:] == ["SUCCEEDED", "3"]
