"""For all tests: with CI=true a skip is a failure; and who may have the test beds."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from importlib import import_module
from typing import Any

import pytest

from tests.testbeds.bed import NAMES, PACKAGES, Bed

CI = os.environ.get("CI") == "true"
# A place is a backend, or that and a way to get there; a host without a scheduler is the login node of a bed.
HOSTS = {"ssh": "slurm"}
_beds = pytest.StashKey[dict[str, Bed | Exception]]()


def pytest_configure() -> None:
    """Whoever starts us in the background has us ignore SIGINT, and so all programs that the tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _no_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"left out, and with CI=true nothing may be: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _no_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _no_skip(report)
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side run the tests of different files or classes, and of one file on different clusters; those that
    take minutes begin first."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            parent = item.parent.nodeid if item.parent else item.nodeid
            item.add_marker(pytest.mark.xdist_group(f"{parent} {_place(item)}"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Bring the beds up before the first test: their first start may take longer than a test has."""
    found = session.config.stash[_beds] = {}
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in _wanted(item)}
    for name in NAMES:
        if wanted & {name, f"{name} alone"} and not _package(name).why_not():
            try:
                found[name] = _package(name).up(alone=f"{name} alone" in wanted)
            except Exception as error:
                found[name] = error


def _wanted(item: pytest.Item) -> set[str]:
    """What a test needs of beds: by the names of its fixtures, or by the place that it runs in."""
    fixtures = getattr(item, "fixturenames", ())
    alone = {f"{name} alone" for name in NAMES if f"{name}_bed_alone" in fixtures}
    return alone | {name for name in NAMES if f"{name}_bed" in fixtures} | ({bed_of(_place(item))} & {*NAMES})


def _place(item: pytest.Item) -> str:
    return str(getattr(getattr(item, "callspec", None), "params", {}).get("place", "local"))


def bed_of(place: str) -> str:
    """Return the name of the bed on which a place is; "local" is on none."""
    backend = place.partition("-")[0]
    return HOSTS.get(backend, backend)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    for name in session.config.stash.get(_beds, {}):
        _package(name).leave()


def _package(name: str) -> Any:
    return import_module(f"tests.testbeds.{PACKAGES.get(name, name)}")


def _bed(name: str, config: pytest.Config) -> Any:
    if reason := _package(name).why_not():
        pytest.skip(reason)
    bed = config.stash[_beds][name]
    if isinstance(bed, Exception):
        raise bed
    return bed


@pytest.fixture(scope="session")
def slurm_bed(pytestconfig: pytest.Config) -> Any:
    """A real Slurm with sshd, shared with other test sessions."""
    return _bed("slurm", pytestconfig)


@pytest.fixture(scope="session")
def sge_bed(pytestconfig: pytest.Config) -> Any:
    """A real Grid Engine with sshd, shared with other test sessions."""
    return _bed("sge", pytestconfig)


@pytest.fixture(scope="session")
def pbs_bed(pytestconfig: pytest.Config) -> Any:
    """A PBS server that is a fake on PATH, with a real sshd."""
    return _bed("pbs", pytestconfig)


@pytest.fixture(scope="session")
def k8s_bed(pytestconfig: pytest.Config) -> Any:
    """A real Kubernetes of two nodes, reached by its API."""
    return _bed("k8s", pytestconfig)


@pytest.fixture
def slurm_bed_alone(slurm_bed: Any) -> Iterator[Any]:
    """The same for a test that breaks things: no other session uses it meanwhile, and it is repaired afterwards."""
    yield slurm_bed
    slurm_bed.repair()


@pytest.fixture
def sge_bed_alone(sge_bed: Any) -> Iterator[Any]:
    """The same for a test that stops daemons or sets them otherwise."""
    yield sge_bed
    sge_bed.repair()


@pytest.fixture
def k8s_bed_alone(k8s_bed: Any) -> Iterator[Any]:
    """The same for a test that stops its daemons or takes a node away."""
    yield k8s_bed
    k8s_bed.repair()
