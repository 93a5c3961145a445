"""Whatever happens to a client, at any step of a job's life: the job runs once, and its end is told within a bound."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.sweep import scenarios, verdict
from tests.sweep.client import STORIES
from tests.sweep.place import Place
from tests.sweep.scenarios import Happened, Scenario
from tests.testbeds.slurm import SlurmBed

# What is still wrong elsewhere, by step and fault. It must be: whoever mends it takes it out here.
KNOWN: dict[tuple[str, str], str] = {}


def report(story: str, happened: Sequence[Happened], seconds: float) -> str:
    kinds = Counter("killed" if one.scenario.kills else one.scenario.fault for one in happened)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    lines = [f"{story}: {len(happened)} scenarios in {seconds:.0f} s: {counts}"]
    lines += [f"  not reached: {one.scenario}" for one in happened if not one.reached]
    return "\n".join(lines)


def judge(happened: Sequence[Happened]) -> None:
    known = [one for one in happened if (one.scenario.step, one.scenario.fault) in KNOWN]
    wrong = [
        f"{one.scenario} ({one.seconds:.0f} s): {text}" for one in happened for text in one.wrong if one not in known
    ]
    assert not wrong, "\n".join([f"{len(wrong)} things are wrong:", *wrong])
    mended = [str(one.scenario) for one in known if not one.wrong]
    assert not mended, f"take out of KNOWN: {mended}"
    missed = [one.scenario for one in happened if not one.reached]
    polls = [one.scenario for one in happened if one.scenario.name in scenarios.POLLS]
    assert set(missed) <= set(polls), missed
    assert len(missed) <= max(2, len(polls) / 4), missed


@pytest.mark.timeout(400)
@pytest.mark.parametrize("story", STORIES)
def test_on_this_machine(story: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def configure(directory: Path) -> str:
        return f"default: here\nclusters: {{here: {{backend: local, work_dir: {directory}/work}}}}\n"

    begun = time.monotonic()
    record = scenarios.undisturbed(story, tmp_path / "undisturbed", configure)
    happened = scenarios.run_all(list(scenarios.enumerate_all(story, record)), tmp_path, configure)
    with capsys.disabled():
        print("\n" + report(story, happened, time.monotonic() - begun))
    judge(happened)


def matters(scenario: Scenario) -> bool:
    """Return whether a scenario is worth a real scheduler's time: deaths around the submission, and lost replies."""
    if scenario.kills:
        return scenario.name in ("shaped", "submit", "submitted")
    return scenario.fault == "lost"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("story", STORIES)
def test_on_slurm(story: str, slurm_bed: SlurmBed, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def configure(directory: Path) -> str:
        login = f"host: {slurm_bed.alias}, ssh_config: {slurm_bed.ssh_config}"
        return f"default: there\nclusters: {{there: {{backend: slurm, {login}, work_dir: {directory}/work}}}}\n"

    def queued(place: Place) -> list[str]:
        names = slurm_bed.run("squeue", "-h", "-o", "%j")
        return [job["id"] for job in place.jobs() if job["id"] in names]

    def left(place: Place) -> list[str]:
        return [*verdict.left(place), *verdict.still_there(lambda: queued(place))]

    begun = time.monotonic()
    record = scenarios.undisturbed(story, shared / "undisturbed", configure)
    some = [scenario for scenario in scenarios.enumerate_all(story, record) if matters(scenario)]
    happened = scenarios.run_all(some, shared, configure, left)
    with capsys.disabled():
        print("\n" + report(f"{story} on slurm", happened, time.monotonic() - begun))
    judge(happened)
