"""For all tests: with CI=true a skip is a failure; and who may have the Slurm test bed."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from tests.testbeds import slurm

CI = os.environ.get("CI") == "true"
BED_FIXTURES = {"slurm_bed", "slurm_bed_alone"}
_bed = pytest.StashKey[object]()


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


def pytest_collection_finish(session: pytest.Session) -> None:
    """Bring the bed up before the first test: its first start may take longer than a test has."""
    wanted = {name for item in session.items for name in _beds(item)}
    if not wanted or session.config.option.collectonly or slurm.why_not():
        return
    try:
        session.config.stash[_bed] = slurm.up(alone="slurm_bed_alone" in wanted)
    except Exception as error:
        session.config.stash[_bed] = error


def _beds(item: pytest.Item) -> set[str]:
    """What a test needs of the bed: by the name of a fixture, or by the place that it runs in."""
    place = getattr(getattr(item, "callspec", None), "params", {}).get("place", "local")
    return BED_FIXTURES & {*getattr(item, "fixturenames", ()), "slurm_bed" if place != "local" else ""}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    slurm.leave()


@pytest.fixture(scope="session")
def slurm_bed(pytestconfig: pytest.Config) -> slurm.SlurmBed:
    """A real Slurm with sshd, shared with other test sessions."""
    if reason := slurm.why_not():
        pytest.skip(reason)
    bed = pytestconfig.stash[_bed]
    if isinstance(bed, Exception):
        raise bed
    assert isinstance(bed, slurm.SlurmBed)
    return bed


@pytest.fixture
def slurm_bed_alone(slurm_bed: slurm.SlurmBed) -> Iterator[slurm.SlurmBed]:
    """The same for a test that breaks things: no other session uses it meanwhile, and it is repaired afterwards."""
    yield slurm_bed
    slurm_bed.repair()
