"""The fixtures that pytest finds by itself, and what they cost who does not use them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clustrix_core.backends.host import HostOptions
from clustrix_core.dispatch import Dispatch
from clustrix_core.errors import PluginError, SubmitRejected, TransportError
from clustrix_core.model import Cluster, JobHandle, JobSpec, JobState, JobStatus, Site
from clustrix_core.plugins import JOBS, LISTENERS, MACHINES, Plugins
from clustrix_core.resources import Resources
from clustrix_core.testing import BackendContract, Distributions, FakeTransport, HookCall, Programs, Recorder
from clustrix_core.testing.contract.subject import Subject
from clustrix_core.transport.local import Local
from tests.unit import toys

ROOT = Path(__file__).resolve().parents[2]
PROMISES = [name for name in dir(BackendContract) if name.startswith("test_")]
# Fixtures that the contract itself uses, and what follows from `patience`.
OWN = {"plugins", "module", "info", "settings", "client", "bench", "lasting"}
JOB = JobSpec("0123456789abcdef", "simulate", Resources())
RUNNING = JobStatus(JobState.RUNNING)


def place(transport: FakeTransport, backend: str = "local") -> Cluster:
    site = Site("/scratch/ada", (3, 11), "ada")
    return Cluster("hpc", backend, HostOptions(), transport, "/scratch/ada", site=site)


# -- clustrix_plugins and hook_calls


def test_a_fresh_registry_has_the_backends_of_core(clustrix_plugins: Plugins) -> None:
    assert set(clustrix_plugins.backends) == {"local", "ssh"}
    clustrix_plugins.register(toys.backend("toy"), "toy")
    assert clustrix_plugins.backend("toy").name == "toy"


def test_the_next_registry_knows_nothing_of_the_last(clustrix_plugins: Plugins) -> None:
    assert "toy" not in clustrix_plugins.backends


def test_every_call_is_kept_with_arguments_and_answer(clustrix_plugins: Plugins, hook_calls: Recorder) -> None:
    clustrix_plugins.register(toys.backend("toy"), "toy")
    ask, cluster = Dispatch(clustrix_plugins), toys.cluster()
    handle = ask.submit(JOB, "#!/bin/sh\n", cluster)
    ask.job_changed(handle, RUNNING, RUNNING, cluster)
    assert hook_calls == [
        HookCall("submit", {"job": JOB, "script": "#!/bin/sh\n", "cluster": cluster}, handle),
        HookCall("job_changed", {"handle": handle, "before": RUNNING, "after": RUNNING, "cluster": cluster}),
    ]


def test_what_is_raised_is_kept_and_raised_on(clustrix_plugins: Plugins, hook_calls: Recorder) -> None:
    more = "from clustrix_core.errors import *\n@hookimpl\ndef submit(): raise SubmitRejected('no')\n"
    clustrix_plugins.register(toys.backend("toy", more=more), "toy")
    with pytest.raises(SubmitRejected) as raised:
        Dispatch(clustrix_plugins).submit(JOB, "#!/bin/sh\n", toys.cluster())
    (call,) = hook_calls.of("submit")
    assert call.error is raised.value and call.answer is None


def test_no_hook_escapes(clustrix_plugins: Plugins, hook_calls: Recorder, tmp_path: Path) -> None:
    more = "@hookimpl\ndef provision(cluster): return cluster\n@hookimpl\ndef release(cluster): ...\n"
    clustrix_plugins.register(toys.backend("toy", more=more), "toy")
    ask, cluster, handle = Dispatch(clustrix_plugins), toys.cluster(), toys.HANDLE
    ask.check(cluster), ask.provision(cluster), ask.release(cluster), ask.render_script(JOB, cluster)
    ask.submit(JOB, "#!/bin/sh\n", cluster), ask.find(JOB, cluster), ask.status([handle], cluster)
    ask.fetch([handle], tmp_path, cluster), ask.logs(handle, cluster), ask.cancel([handle], cluster)
    ask.job_changed(handle, RUNNING, RUNNING, cluster), ask.register_commands("cli")
    assert set(hook_calls.hooks) == JOBS | MACHINES | LISTENERS
    assert len(hook_calls) == len(JOBS | MACHINES | LISTENERS)


# -- fake_transport


def test_a_fake_transport_plays_what_it_was_told(fake_transport: FakeTransport) -> None:
    fake_transport.answer("ps", out="0123456789abcdef 0 RUNNING\n")
    fake_transport.answer("tail", err="no disk", rc=1)
    assert fake_transport.run("ps -A").stdout == b"0123456789abcdef 0 RUNNING\n"
    done = fake_transport.run("tail log", [b"a", b"b"])
    assert (done.returncode, done.error) == (1, "no disk")
    assert fake_transport.commands == ["ps -A", "tail log"] and fake_transport.runs == 2
    assert fake_transport.ran[1].stdin == b"ab"


def test_the_last_that_was_told_counts_as_often_as_it_was_meant(fake_transport: FakeTransport) -> None:
    fake_transport.answer("squeue", out="here")
    fake_transport.answer("squeue", error=TransportError("gone"), times=2)
    for _ in range(2):
        with pytest.raises(TransportError, match="gone"):
            fake_transport.run("squeue")
    assert fake_transport.run("squeue").text == "here"


def test_a_sink_gets_the_answer(fake_transport: FakeTransport) -> None:
    fake_transport.answer("cat", out="file")
    heard: list[bytes] = []
    assert fake_transport.run("cat", sink=heard.append).stdout == b"" and heard == [b"file"]


def test_what_nobody_told_is_an_error(fake_transport: FakeTransport) -> None:
    with pytest.raises(AssertionError, match="not told what to answer to 'rm -rf /'"):
        fake_transport.run("rm -rf /")


def test_a_backend_speaks_through_a_fake_transport(clustrix_plugins: Plugins, fake_transport: FakeTransport) -> None:
    fake_transport.answer("", out="clustrix: answer\n0123456789abcdef 0 PENDING it waits\n")
    handle = JobHandle(JOB.id, JOB.name, f"{JOB.id}.0")
    found = Dispatch(clustrix_plugins).status([handle], place(fake_transport))[JOB.id]
    assert (found.state, found.reason) == (JobState.PENDING, "it waits")


# -- fake_bin


def test_fake_programs_note_how_they_were_called(fake_bin: Programs, tmp_path: Path) -> None:
    fake_bin.answer("qstat", out="17 running\n", err="slow today\n", rc=3)
    done = Local().run(f"cd '{tmp_path}'; qstat -u 'a b' <<'E'".replace("<<'E'", "</dev/null"), [])
    assert (done.returncode, done.text, done.error) == (3, "17 running\n", "slow today")
    (call,) = fake_bin.calls
    assert (call.argv, call.cwd, fake_bin.names) == (("qstat", "-u", "a b"), str(tmp_path), ["qstat"])
    assert Local().run("echo names | qstat").returncode == 3
    assert fake_bin.calls[1].stdin == "names\n"
    fake_bin.remove("qstat")
    assert Local().run("qstat").returncode == 127


# -- installed_plugin


def test_a_plugin_is_installed_from_source(installed_plugin: Distributions) -> None:
    module = installed_plugin("toy", toys.BACKEND.format(backend="toy"))
    plugins = Plugins()
    plugins.load()
    assert plugins.owners["toy"] == "toy" and "toy" not in plugins.broken
    code = "from clustrix_core.plugins import Plugins; p = Plugins(); p.load(); print(p.backend('toy').name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "toy\n" and module in sys.modules


def test_what_was_installed_is_gone_afterwards() -> None:
    plugins = Plugins()
    plugins.load()
    with pytest.raises(PluginError):
        plugins.backend("toy")
    assert not any(name.startswith("acme_toy_") for name in sys.modules)


# -- what it costs


def bystander(house: Path, *arguments: str, test: str = "def test_nothing(): pass\n") -> str:
    """Run pytest on somebody's own tests; return what it printed."""
    (house / "test_own.py").write_text(test)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("CLUSTRIX", "PYTEST"))}
    argv = [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(argv, cwd=house, env=environment, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_who_tests_something_else_pays_nothing(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import json, sys\n"
        "def pytest_unconfigure():\n"
        "    ours = sorted(name for name in sys.modules if name.startswith('clustrix'))\n"
        "    print('LOADED', json.dumps([ours, sorted({'pluggy._hooks', 'cloudpickle', 'yaml'} & set(sys.modules))]))\n"
    )
    said = bystander(tmp_path, "--strict-config", "--strict-markers")
    assert "1 passed" in said
    ours, others = json.loads(said.partition("LOADED ")[2].splitlines()[0])
    assert ours == ["clustrix_core", "clustrix_core.testing", "clustrix_core.testing.plugin"]
    assert others == ["pluggy._hooks"]  # pytest's own


def test_nothing_is_used_by_itself(tmp_path: Path) -> None:
    said = bystander(tmp_path, "--setup-plan")
    assert "test_nothing" in said and "SETUP" not in said


def test_the_plugin_is_imported_in_no_time() -> None:
    code = (
        "import pytest, time; start = time.perf_counter(); import clustrix_core.testing.plugin;"
        "print(time.perf_counter() - start)"
    )
    best = min(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5))
    assert best < 0.05


def test_options_and_fixtures_are_listed(tmp_path: Path) -> None:
    said = bystander(tmp_path, "--help")
    assert "--clustrix-cluster=NAME" in said and "--clustrix-accept" in said
    said = bystander(tmp_path, "--fixtures", "-v")
    for name in ("clustrix_plugins", "hook_calls", "fake_transport", "fake_bin", "installed_plugin"):
        assert f"{name} -- " in said and "no docstring" not in said.partition(f"{name} -- ")[2].splitlines()[1]


# -- a cluster of the user's

TEST = """
import pytest
from clustrix_core.config import ClusterConfig
from clustrix_core.testing import BackendContract

class TestLocal(BackendContract):
    plugin = "local"

    @pytest.fixture
    def cluster(self):
        raise AssertionError("nobody asked for the class's own cluster")

    def test_with_a_fake(self, fake_bin):
        raise AssertionError("this needs a fake")

class TestSSH(BackendContract):
    plugin = "ssh"
"""


def test_a_contract_runs_on_a_cluster_of_the_user(tmp_path: Path) -> None:
    work = tmp_path / "the-work"
    (tmp_path / "clustrix.yml").write_text(f"clusters: {{mine: {{backend: local, work_dir: {work}}}}}\n")
    chosen = ["-k", "fake or values_come_back or lost_answer", "-rs", "--clustrix-cluster"]
    said = bystander(tmp_path, *chosen, "mine", test=TEST)
    assert "2 passed, 3 skipped" in said and (work / "jobs").is_dir(), said
    assert "test_with_a_fake needs fake_bin: left out with --clustrix-cluster" in said
    assert "TestSSH is about ssh, and the cluster mine has local" in said
    said = bystander(tmp_path, *chosen, "yours", test=TEST)
    assert "there is no cluster 'yours'" in said and "Known: local, mine in " in said


def test_what_the_contract_left_on_the_cluster_is_gone(tmp_path: Path) -> None:
    work = tmp_path / "the-work"
    (tmp_path / "clustrix.yml").write_text(f"clusters: {{mine: {{backend: local, work_dir: {work}}}}}\n")
    said = bystander(tmp_path, "-k", "lost_answer or fetch_brings", "--clustrix-cluster", "mine", test=TEST)
    assert "passed" in said and list((work / "jobs").glob("*/*")) == []


def test_a_class_that_names_no_cluster_is_told_so(tmp_path: Path) -> None:
    said = bystander(tmp_path, "-k", "TestSSH and provision", test=TEST)
    assert "TestSSH names no cluster: give it a fixture `cluster` that returns a ClusterConfig" in said


# -- the page


def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs/testing.md").read_text("utf-8")
    first, second = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    said = bystander(tmp_path, test=second)
    assert "2 passed" in said, said
    said = bystander(tmp_path, "--collect-only", "-q", test=first)
    assert f"{len(PROMISES)} tests collected" in said, said


def test_the_page_names_all_that_a_class_may_say() -> None:
    page = (ROOT / "docs/testing.md").read_text("utf-8")
    said = {name for name in vars(Subject) if not name.startswith("_")} - OWN
    assert {name for name in said if f"\n| `{name}" not in page} == set()
