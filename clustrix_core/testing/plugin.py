"""What pytest finds through the entry point: two options, and fixtures that import nothing before they are used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from clustrix_core.plugins import Plugins
    from clustrix_core.testing.distributions import Distributions
    from clustrix_core.testing.programs import Programs
    from clustrix_core.testing.recorder import Recorder
    from clustrix_core.testing.transports import FakeTransport

FAKES = frozenset({"fake_bin", "fake_transport"})

# The contract's own assertions tell their values, also where Clustrix is installed as a checkout.
pytest.register_assert_rewrite("clustrix_core.testing.contract")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("clustrix", "contracts of Clustrix backends")
    group.addoption(
        "--clustrix-cluster",
        metavar="NAME",
        help="run the contracts on this cluster of clustrix.yml, not on their own",
    )
    group.addoption(
        "--clustrix-accept",
        action="store_true",
        help="write golden scripts anew (as CLUSTRIX_ACCEPT=1 does)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a real cluster, leave out by name what needs a fake of its own."""
    if config.getoption("--clustrix-cluster") is None:
        return
    for item in items:
        if fakes := FAKES & set(getattr(item, "fixturenames", ())):
            why = f"{item.name} needs {', '.join(sorted(fakes))}: left out with --clustrix-cluster"
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture
def clustrix_plugins() -> Plugins:
    """A fresh registry with core's own backends; ``register(module, name)`` what the test is about.

    What is installed on this machine is not in it, unless the test calls ``load()``.
    """
    from clustrix_core.backends import local, ssh
    from clustrix_core.plugins import Plugins

    plugins = Plugins()
    plugins.register(local, "local")
    plugins.register(ssh, "ssh")
    return plugins


@pytest.fixture
def hook_calls(clustrix_plugins: Plugins) -> Recorder:
    """A list of all calls of the hooks of ``clustrix_plugins``, with their arguments, and what they answered."""
    from clustrix_core.testing.recorder import Recorder

    recorder = Recorder()
    recorder.listen(clustrix_plugins)
    return recorder


@pytest.fixture
def fake_transport() -> FakeTransport:
    """A transport that answers as it was told, by pattern, and keeps what was run."""
    from clustrix_core.testing.transports import FakeTransport

    return FakeTransport()


@pytest.fixture
def fake_bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Programs first on PATH that note how they were called: ``fake_bin.answer("qstat", out="…")`` makes one."""
    import os

    from clustrix_core.testing.programs import Programs

    programs = Programs(tmp_path / "fake-bin")
    monkeypatch.setenv("PATH", f"{programs.bin}{os.pathsep}{os.environ['PATH']}")
    return programs


@pytest.fixture
def installed_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distributions]:
    """Puts plugins on the path from source, with their entry points: ``installed_plugin("acme", source)``."""
    import os

    from clustrix_core.testing.distributions import Distributions

    house = tmp_path / "site"
    house.mkdir()
    monkeypatch.syspath_prepend(str(house))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(house), os.environ.get("PYTHONPATH", "")])))
    installed = Distributions(house)
    yield installed
    installed.forget()
