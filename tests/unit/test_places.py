"""Clusters that are reached by an API of their own, and not by a login."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from clustrix_core import config, entry
from clustrix_core.config import ClusterConfig
from clustrix_core.dispatch import Dispatch
from clustrix_core.engine.places import Places
from clustrix_core.errors import ConfigError
from clustrix_core.journal import Journal
from clustrix_core.plugins import Plugins
from clustrix_core.resources import Resources
from clustrix_core.testing import FakeTransport
from tests.unit import toys


@dataclass
class Reached(FakeTransport):
    """The way to a cluster, and what it was made of."""

    options: Any = None
    place: tuple[str, str] = ("", "")
    closed: bool = False

    def close(self) -> None:
        self.closed = True


def plugin() -> ModuleType:
    plain, reached = "Options)", "Options, connect=lambda options, *place: Reached(options=options, place=place))"
    made = toys.module("clustrix_api", toys.BACKEND.format(backend="api").replace(plain, reached, 1))
    made.Reached = Reached  # type: ignore[attr-defined]
    return made


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    config.reset()
    plugins = Plugins()
    plugins.register(plugin(), "api")
    journal = Journal(tmp_path / "jobs.db")
    yield Places(Dispatch(plugins), journal)
    journal.close()


def settings(speed: int, **more: Any) -> ClusterConfig:
    return ClusterConfig(**({"name": f"of {speed}", "backend": "api", "options": {"speed": speed}} | more))


def test_a_backend_brings_its_own_way_and_shares_it(places: Places) -> None:
    one, same, other = (places.cluster(settings(name), Resources()).transport for name in (1, 1, 2))
    assert isinstance(one, Reached) and isinstance(other, Reached)
    assert one is same and one is not other
    assert (one.options.speed, other.options.speed) == (1, 2)
    assert one.place == ("~/.clustrix", "python3")
    places.close()
    assert one.closed and other.closed


@pytest.mark.parametrize("extra", [{"host": "login.example"}, {"transport": "openssh"}])
def test_a_login_makes_no_sense_there(places: Places, extra: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(extra))}=.* reached by its own API"):
        places.cluster(settings(1, **extra), Resources())


def test_what_its_options_name_is_another_place() -> None:
    here = {"backend": "api", "options": {"context": "a", "image": "one"}}
    assert entry.place(here) == entry.place({**here, "options": {"context": "a", "image": "two"}})
    assert entry.place(here) != entry.place({**here, "options": {"context": "b"}})
    assert entry.place({"backend": "slurm", "options": {"reservation": "x"}}) == entry.place({"backend": "slurm"})
