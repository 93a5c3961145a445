"""Finding, loading and vetting plugins: real modules, real entry points."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from clustrix_core import plugins as plugins_module
from clustrix_core.errors import BackendNotInstalled, PluginError
from clustrix_core.plugins import EXTRAS, Plugins
from tests.unit import toys


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on sys.path for distributions."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("CLUSTRIX_DISABLE_PLUGINS", raising=False)
    return tmp_path


def loaded() -> Plugins:
    plugins = Plugins()
    plugins.load()
    return plugins


def test_a_backend_is_registered_and_says_what_it_is() -> None:
    plugins = Plugins()
    plugins.register(toys.backend("toy"), "toy")
    info = plugins.backend("toy")
    assert (info.name, info.options().speed, plugins.owners) == ("toy", 1, {"toy": "toy"})


def test_backends_are_found_through_entry_points(house: Path) -> None:
    toys.install(house, "acme-fast", "fast", toys.BACKEND.format(backend="fast"))
    plugins = loaded()
    assert plugins.backend("fast").name == "fast"
    assert {"local", "ssh", "fast"} <= set(plugins.backends)
    assert plugins.broken == {}


def test_loading_twice_changes_nothing(house: Path) -> None:
    toys.install(house, "acme-fast", "fast", toys.BACKEND.format(backend="fast"))
    plugins = loaded()
    before = dict(plugins.owners)
    plugins.load()
    assert (plugins.owners, plugins.broken) == (before, {})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("@hookimpl\ndef sumbit(job, script, cluster): ...", "'sumbit', which does not exist"),
        ("@hookimpl(specname='sumbit')\ndef anything(job, script, cluster): ...", "'sumbit', which does not exist"),
        ("@hookimpl(wrapper=True)\ndef release(cluster):\n    return (yield)", "wraps release"),
        ("@hookimpl(hookwrapper=True)\ndef release(cluster):\n    yield", "wraps release"),
        ("@hookimpl(specname='submit', wrapper=True)\ndef audit(job):\n    return (yield)", "wraps submit"),
        ("@hookimpl(wrapper=True)\ndef job_changed(handle):\n    return (yield)", "wraps job_changed"),
        ("@hookimpl\ndef release(cluster, nonsense): ...", "nonsense"),
        ("@hookimpl(specname='describe_backend')\ndef a(): return 3", "describe_backend returned 3"),
        ("@hookimpl\ndef describe_backend(): return None", "describe_backend returned None"),
        ("@hookimpl\ndef describe_backend(): return BackendInfo('toy', dict)", "not a dataclass"),
        ("@hookimpl\ndef describe_backend(): return BackendInfo('toy', Options())", "not a dataclass"),
    ],
)
def test_a_backend_that_breaks_a_rule_is_refused_by_name(more: str, said: str) -> None:
    plugins = Plugins()
    with pytest.raises(PluginError) as raised:
        plugins.register(toys.backend("toy", more=more), "acme")
    assert said in str(raised.value) and "'acme'" in str(raised.value)
    assert raised.value.plugin == "acme"
    # Nothing of it is left behind: a sound plugin of that name may still come.
    with pytest.raises(BackendNotInstalled):
        plugins.backend("toy")
    plugins.register(toys.backend("toy"), "acme")
    assert plugins.backend("toy").name == "toy"


@pytest.mark.parametrize("hook", sorted(plugins_module.JOBS))
def test_a_missing_hook_is_named(hook: str) -> None:
    with pytest.raises(PluginError, match=rf"'acme' \(backend 'toy'\) lacks {hook}$"):
        Plugins().register(toys.backend("toy", without=hook), "acme")


def test_a_backend_that_only_provisions_needs_no_more() -> None:
    plugins = Plugins()
    plugins.register(toys.module("clustrix_cloud", toys.MACHINES.format(backend="eks", over="k8s")), "cloud")
    assert plugins.backend("eks").name == "eks"


def test_half_of_each_kind_is_neither() -> None:
    more = "@hookimpl\ndef provision(cluster): ...\n@hookimpl\ndef release(cluster): ...\n"
    with pytest.raises(PluginError, match="lacks cancel"):
        Plugins().register(toys.backend("toy", more=more, without="cancel"), "acme")


def test_two_plugins_for_one_backend_are_refused_with_both_names() -> None:
    plugins = Plugins()
    plugins.register(toys.backend("toy", plugin="first_toy"), "first")
    with pytest.raises(PluginError, match="'first' and 'second' both claim the backend 'toy'") as raised:
        plugins.register(toys.backend("toy", plugin="second_toy"), "second")
    assert "CLUSTRIX_DISABLE_PLUGINS=second" in str(raised.value)
    # Neither wins silently: which one did would be an accident of their names.
    with pytest.raises(PluginError, match="'first' and 'second' both claim"):
        plugins.backend("toy")


def test_a_dispute_ends_when_one_is_switched_off(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        toys.install(house, f"acme-{name}", name, toys.BACKEND.format(backend="toy"))
    plugins = loaded()
    with pytest.raises(PluginError, match="'one' and 'two' both claim"):
        plugins.backend("toy")
    assert "both claim" in str(plugins.broken["two"])
    monkeypatch.setenv("CLUSTRIX_DISABLE_PLUGINS", "two")
    assert loaded().backend("toy").name == "toy"


def test_two_distributions_with_one_name_are_refused_with_both(house: Path) -> None:
    first = toys.install(house, "acme-one", "toy", toys.BACKEND.format(backend="toy"))
    second = toys.install(house, "acme-two", "toy", toys.BACKEND.format(backend="toy"))
    plugins = loaded()
    with pytest.raises(PluginError) as raised:
        plugins.backend("toy")
    assert first in str(raised.value) and second in str(raised.value)
    assert first not in sys.modules and second not in sys.modules


def test_a_hook_imported_from_another_plugin_is_refused() -> None:
    theirs = toys.backend("other")
    mine = toys.backend("toy", plugin="acme_toy")
    mine.submit = theirs.submit  # what `from clustrix_other import submit` does
    with pytest.raises(PluginError, match="'acme' imports its hook 'submit' from 'clustrix_other'"):
        Plugins().register(mine, "acme")


def test_a_hook_imported_from_core_is_refused() -> None:
    from clustrix_core.backends import local, ssh

    mine = toys.backend("toy", plugin="acme_toy")
    mine.submit = local.submit
    with pytest.raises(PluginError, match=r"imports its hook 'submit' from 'clustrix_core.backends.host'"):
        Plugins().register(mine, "acme")
    copied = types.ModuleType("clustrix_core.elsewhere.copied")
    copied.__dict__.update({name: value for name, value in vars(ssh).items() if not name.startswith("__")})
    with pytest.raises(PluginError, match=r"from 'clustrix_core.backends\.(host|ssh)'"):
        Plugins().register(copied, "copied")


def test_a_hook_may_come_from_another_module_of_the_same_package() -> None:
    made = toys.backend("toy", plugin="acme.toy")
    made.submit = toys.backend("toy", plugin="acme.submission").submit
    Plugins().register(made, "acme")


@pytest.mark.parametrize("hook", ["submit", "status", "provision", "release", "render_script"])
def test_a_plugin_that_is_no_backend_may_not_answer_for_all(hook: str) -> None:
    source = f"{toys.HEAD}\n@hookimpl\ndef {hook}(cluster): ...\n"
    with pytest.raises(PluginError, match=f"'audit' describes no backend and yet answers {hook}") as raised:
        Plugins().register(toys.module("audit", source), "audit")
    assert "wrapper=True" in str(raised.value)


def test_a_plain_submit_does_not_hide_behind_a_wrapper() -> None:
    source = (
        f"{toys.HEAD}\n@hookimpl(wrapper=True)\ndef submit(job):\n    return (yield)\n"
        "@hookimpl(specname='submit')\ndef other(job): return 3\n"
    )
    with pytest.raises(PluginError, match="describes no backend and yet answers submit"):
        Plugins().register(toys.module("audit", source), "audit")


def test_a_wrapper_that_is_no_generator_is_refused() -> None:
    source = f"{toys.HEAD}\n@hookimpl(wrapper=True)\ndef submit(job): ...\n"
    plugins = Plugins()
    with pytest.raises(PluginError, match="'audit'"):
        plugins.register(toys.module("audit", source), "audit")
    assert not plugins.manager.has_plugin("audit")


def test_disabled_plugins_are_not_even_imported(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = house / "imported"
    source = f"with open({str(trace)!r}, 'a') as file: file.write('x')\n" + toys.BACKEND.format(backend="fast")
    toys.install(house, "acme-fast", "fast", source)
    monkeypatch.setenv("CLUSTRIX_DISABLE_PLUGINS", "nonsense, fast")
    plugins = loaded()
    assert not trace.exists()
    with pytest.raises(PluginError, match="'fast' is switched off by CLUSTRIX_DISABLE_PLUGINS"):
        plugins.backend("fast")
    monkeypatch.delenv("CLUSTRIX_DISABLE_PLUGINS")
    assert loaded().backend("fast").name == "fast"
    assert trace.read_text() == "x"


def test_a_slow_import_is_named_while_it_lasts(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = toys.install(house, "acme-quick", "quick", toys.BACKEND.format(backend="quick"))
    slow = toys.install(
        house, "acme-slow", "slow", "import time; time.sleep(0.8)\n" + toys.BACKEND.format(backend="slow")
    )
    monkeypatch.setattr(plugins_module, "SLOW_IMPORT", 0.2)
    loaded()
    said = capsys.readouterr().err
    assert f"'slow' ({slow}) takes over 0.2 s" in said
    assert quick not in said


def test_the_bound_of_a_slow_import_is_five_seconds() -> None:
    assert plugins_module.SLOW_IMPORT == 5.0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nosuchmodule_at_all\n", "nosuchmodule_at_all"),
        ("raise RuntimeError('no licence')\n", "no licence"),
        ("import sys; sys.exit(3)\n", "sys.exit(3)"),
        ("def broken(:\n", "invalid syntax"),
        (toys.BACKEND.format(backend="bad") + "@hookimpl\ndef sumbit(): ...\n", "sumbit"),
    ],
)
def test_a_plugin_that_fails_is_listed_and_raises_when_asked_for(house: Path, source: str, said: str) -> None:
    toys.install(house, "acme-bad", "bad", source)
    toys.install(house, "acme-good", "good", toys.BACKEND.format(backend="good"))
    plugins = loaded()
    assert said in str(plugins.broken["bad"])
    assert plugins.backend("good").name == "good"
    with pytest.raises(PluginError, match="'bad' could not be used") as raised:
        plugins.backend("bad")
    assert said in str(raised.value)
    assert raised.value.__cause__ is plugins.broken["bad"]


def test_the_extras_are_those_of_the_package() -> None:
    assert {*EXTRAS, "all"} == {*(importlib.metadata.metadata("clustrix").get_all("Provides-Extra") or ())}


@pytest.mark.parametrize("name", EXTRAS)
def test_a_backend_of_ours_that_is_missing_says_how_to_install_it(name: str) -> None:
    with pytest.raises(BackendNotInstalled, match=rf'pip install "clustrix\[{name}\]"'):
        Plugins().backend(name)


def test_an_unknown_backend_names_those_there_are() -> None:
    plugins = Plugins()
    plugins.register(toys.backend("toy"), "toy")
    with pytest.raises(BackendNotInstalled, match=r"'slrum' \(there are: toy\)"):
        plugins.backend("slrum")


def test_an_unknown_backend_names_the_plugins_that_could_not_say_theirs(house: Path) -> None:
    toys.install(house, "acme-bad", "acme", "raise RuntimeError('no licence')\n")
    with pytest.raises(BackendNotInstalled, match="Not in use: acme; see `clustrix plugins`"):
        loaded().backend("acme-cloud")


def test_loading_needs_no_client_library(tmp_path: Path) -> None:
    code = (
        "import sys; from clustrix_core.plugins import Plugins; plugins = Plugins(); plugins.load();"
        "assert {'local', 'ssh', 'slurm'} <= set(plugins.backends), plugins.broken;"
        "print(*sorted({'paramiko', 'yaml', 'rich', 'click', 'kubernetes', 'boto3'} & set(sys.modules)))"
    )
    env = {name: value for name, value in os.environ.items() if name != "CLUSTRIX_DISABLE_PLUGINS"}
    argv = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")
