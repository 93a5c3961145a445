"""What a contract is about: a plugin, and a cluster to try it on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from clustrix_core import config
from clustrix_core.api import session
from clustrix_core.config import ClusterConfig
from clustrix_core.config.flat import Given
from clustrix_core.engine import Engine
from clustrix_core.errors import ClustrixError
from clustrix_core.model import BackendInfo, Cluster
from clustrix_core.plugins import Plugins
from clustrix_core.testing.contract.bench import Bench
from clustrix_core.testing.transports import Failing, Without
from clustrix_core.transport import Transport
from clustrix_core.transport.counting import Counting


class Subject:
    """What a subclass of a contract says of itself."""

    plugin: ClassVar[str | ModuleType]
    """The name of the backend of an installed plugin, or the plugin's module."""

    golden: ClassVar[Path | None] = None
    """The directory of the golden scripts; None: ``golden`` beside the file of the class."""

    options: ClassVar[Mapping[str, Any]] = {}
    """Options of the backend for golden scripts, where it has some that must be given."""

    full: ClassVar[Mapping[str, Any]] = {}
    """Resources that are otherwise in the golden script ``full``; None: not at all."""

    directives: ClassVar[Sequence[str]] = ()
    """A few raw options that the scheduler knows, for the golden script ``full``."""

    refused: ClassVar[Mapping[str, Any]] = {}
    """Resources that this cluster refuses, such as a partition that there is not."""

    programs: ClassVar[Sequence[str]] = ()
    """The scheduler's programs as the plugin calls them: in an outage they fail."""

    patience: ClassVar[float] = 60.0
    """Seconds that a short job may take here, waiting included."""

    @property
    def lasting(self) -> str:
        """A command that outlives its test."""
        return f"sleep {3 * self.patience:g}"

    @pytest.fixture
    def cluster(self) -> ClusterConfig:
        """The cluster to try the plugin on: every class has its own."""
        raise NotImplementedError(
            f"{type(self).__name__} names no cluster: give it a fixture `cluster` that returns a ClusterConfig"
        )

    def outages(self, transport: Transport) -> Iterator[tuple[str, Transport]]:
        """Yield transports on which the scheduler cannot be asked, each with what is wrong with it.

        Override it for a backend that is reached by other means.
        """
        yield "every command fails", Failing(transport)
        yield "every command fails as where there is no such program", Failing(transport, returncode=127)
        if self.programs:
            yield f"{', '.join(self.programs)} fail", Without(transport, programs=self.programs)

    def holdings(self, cluster: Cluster) -> object:
        """Return what ``provision`` has taken: brought up again, it must be the same.

        Here what lies in work_dir, but for jobs. Override it for a backend that takes machines.
        """
        assert cluster.site is not None
        listing = cluster.transport.run(f"cd -- {Bench.quoted(cluster.site.work_dir)} && ls -d -- * worker/*")
        assert listing.returncode == 0, listing.error
        return listing.text

    @pytest.fixture
    def plugins(self) -> Plugins:
        """The installed plugins, with the one that this is about among them."""
        plugins = Plugins()
        plugins.load()
        if isinstance(self.plugin, ModuleType):
            plugins.register(self.plugin, self.plugin.__name__)
        return plugins

    @pytest.fixture
    def module(self, plugins: Plugins) -> ModuleType:
        """The plugin's module."""
        if isinstance(self.plugin, ModuleType):
            return self.plugin
        plugins.backend(self.plugin)
        found = plugins.manager.get_plugin(plugins.owners[self.plugin])
        assert isinstance(found, ModuleType), f"the plugin of {self.plugin!r} is no module; write its hooks into one"
        return found

    @pytest.fixture
    def info(self, plugins: Plugins, module: ModuleType) -> BackendInfo:
        """What the backend says of itself."""
        owner = plugins.manager.get_name(module)
        (name,) = [name for name, plugin in plugins.owners.items() if plugin == owner]
        return plugins.backend(name)

    @pytest.fixture
    def settings(self, request: pytest.FixtureRequest, info: BackendInfo) -> ClusterConfig:
        """The settings of the cluster: the class's own, or those of ``--clustrix-cluster``."""
        named = request.config.getoption("--clustrix-cluster")
        if named is None:
            own: ClusterConfig = request.getfixturevalue("cluster")
            found = own
        else:
            found = config.load().find(named)
            if found.backend != info.name:
                pytest.skip(f"{type(self).__name__} is about {info.name}, and the cluster {named} has {found.backend}")
        # What the tests leave behind goes, whatever becomes of their jobs.
        return ClusterConfig.of(Given({"cleanup": "always"}).over(found.given()), found.name)

    @pytest.fixture
    def client(
        self, settings: ClusterConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Engine]:
        """An engine with a home, keys and a journal of its own; calls of this process go through it."""
        monkeypatch.setenv("CLUSTRIX_HOME", str(tmp_path / "contract-home"))
        monkeypatch.delenv("CLUSTRIX_JOB", raising=False)
        config.reset()
        config.configure(default=settings)
        engine = Engine(config.home(), plugins)
        session._engines[engine.home] = engine  # what `@cluster` uses in this process
        yield engine
        session.close()
        config.reset()

    @pytest.fixture
    def bench(self, client: Engine, settings: ClusterConfig) -> Iterator[Bench]:
        """The cluster, ready, its transport counted; what was sent there is removed again."""
        raw = client.places.cluster(settings, settings.resources)
        counted = replace(raw, transport=Counting(raw.transport))
        bench = Bench(client.dispatch, client.dispatch.provision(counted), client.home, self.patience)
        yield bench
        try:
            bench.clear()
        except ClustrixError as error:
            raise AssertionError(f"what the test left on the cluster could not be removed: {error}") from error
