"""All test suites: fast and independent ones first and side by side, then real clusters, then those that break them.

    tools/test.py [--fast] [SUITE...] [-- PYTEST_ARGUMENT...]

unit        tests/unit and the plugins' tests, on the oldest and the newest Python >= 3.10 found, and with the lowest
            dependency versions
packaging   the wheels
kit         the plugin authors' kit, and plugins that break its promises
real        sshd, Slurm, Grid Engine, PBS (a fake server), the local and the ssh backends; the contract of backends
kubernetes  a real Kubernetes, which is compiled in the background meanwhile, where it has never been
sweep       whatever can happen to a client at any step of a job's life
chaos       real clusters, while daemons stop and nodes die: last on each, and nothing else uses it

Few tests that fail beside others are run once more, alone: one that passes then is printed as unsteady, by its name. It
wants mending (what it waits for takes longer on a busy machine, or it has found a race), but it does not fail the run.

`--fast` runs the unit tests in .venv alone. The suites on real clusters run under a Python of the same minor version as
/usr/bin/python3, which is what the cluster's users find there.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import bootstrap
import interpreters
from packaging.requirements import Requirement

ROOT = bootstrap.ROOT
VENVS = ROOT / ".venvs"
UNIT = " ".join(["tests/unit", *(f"plugins/{plugin.name}/tests" for plugin in bootstrap.PLUGINS)])
ASIDE = ("packaging", "kit")
# Jobs are mostly waited for, so several groups of tests fit side by side; whoever stops daemons has a bed for itself.
SIDE_BY_SIDE = ("-n", "4", "--dist", "loadgroup", "--no-loadscope-reorder")
CHAOS = tuple(sorted(path.parent.name for path in (ROOT / "tests/chaos").glob("*/__init__.py")))
SUITES = ("unit", *ASIDE, "real", "sweep", "chaos", "kubernetes")
KUBERNETES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("*/test_k8s*.py"))
BUILD_KUBERNETES = ROOT / "tests/testbeds/kubernetes/build.sh"
NO_TESTS = 5
FAILURES = 1
FEW = 5  # failures; more of them are no chance
FAILED = re.compile(r"(?:FAILED|ERROR) (\S+::.+?)(?:@[\w.-]+)?(?: - .*)?")
CLOSING_LINE = re.compile(r"\b(passed|failed|errors?|no tests ran)\b.* in [\d.]+s")
CLUSTER_PYTHON = "/usr/bin/python3"
_printing = threading.Lock()


@dataclass
class Run:
    """One pytest process: what it needs, and how it went."""

    name: str
    folder: str
    python: str | None = None
    profile: str = "test"
    venv: str = ""
    constraints: str = ""
    limit: float = 1800
    live: bool = True
    options: tuple[str, ...] = ()
    code: int | None = None
    seconds: float = 0
    lines: list[str] = field(default_factory=list)
    only: tuple[str, ...] = ()
    alone: Run | None = None

    def interpreter(self) -> Path:
        if self.python is None:
            return Path(sys.executable)
        return bootstrap.ensure(VENVS / (self.venv or self.name), self.profile, self.python, self.constraints)

    @property
    def failed(self) -> bool:
        return self.code not in (0, NO_TESTS) and (self.alone is None or self.alone.failed)

    @property
    def failures(self) -> tuple[str, ...]:
        """The tests that did not pass, by pytest's short summary."""
        found = (FAILED.fullmatch(line) for line in self.lines)
        return tuple(dict.fromkeys(one[1] for one in found if one)) if self.code == FAILURES else ()

    @property
    def verdict(self) -> str:
        closing = [line.strip("= ") for line in self.lines if CLOSING_LINE.search(line)]
        return closing[-1] if closing else f"exit code {self.code}"

    def count(self, word: str) -> int:
        found = re.search(rf"(\d+) {word}s?\b", self.verdict)
        return int(found[1]) if found else 0

    @property
    def left_out(self) -> list[str]:
        return [line.strip() for line in self.lines if line.startswith("SKIPPED [")]


def minor_of(python: str) -> tuple[int, int] | None:
    answer = interpreters.probe(Path(python))
    return answer and answer[0]


def lowest_versions() -> str:
    """A constraints file that pins each dependency of ours to the oldest version we claim to work with."""
    pins = set()
    for distribution in [
        "clustrix",
        *(f"clustrix-{plugin.name.removeprefix('clustrix_')}" for plugin in bootstrap.PLUGINS),
    ]:
        for text in importlib.metadata.requires(distribution) or ():
            requirement = Requirement(text)
            floors = [spec.version for spec in requirement.specifier if spec.operator == ">="]
            if floors and not requirement.name.startswith("clustrix"):
                pins.add(f"{requirement.name}=={floors[0]}")
    return "\n".join(sorted(pins)) + "\n"


def unit_runs(fast: bool) -> list[Run]:
    if fast:
        return [Run("unit", UNIT)]
    found = interpreters.find(interpreters.OLDEST_CLIENT)
    oldest, newest = min(found), max(found)
    # The oldest Python goes with the oldest dependencies: what works at both ends works in between.
    return [
        Run(
            "unit-python-{}.{}-lowest".format(*oldest),
            UNIT,
            str(found[oldest]),
            constraints=lowest_versions(),
        ),
        Run("unit-python-{}.{}-latest".format(*newest), UNIT, str(found[newest])),
    ]


def cluster_python() -> str | None:
    """The Python for the suites on clusters; None is our own."""
    wanted = minor_of(CLUSTER_PYTHON)
    if wanted is None or wanted == sys.version_info[:2] or wanted < interpreters.OLDEST_CLIENT:
        return None
    return str(interpreters.find().get(wanted, CLUSTER_PYTHON))


def plan(suites: list[str], fast: bool) -> list[list[list[Run]]]:
    """Return what is to run, in stages, one after the other; a stage's lanes run side by side, a lane's runs do not."""
    aside = unit_runs(fast) if "unit" in suites else []
    aside += [Run(name, f"tests/{name}", limit=1200) for name in ASIDE if name in suites]
    on_clusters = partial(Run, python=cluster_python(), profile="real", venv="clusters")
    others = tuple(f"--ignore={path}" for path in KUBERNETES)
    real = on_clusters("real", "tests/real tests/contract", limit=3600, options=(*SIDE_BY_SIDE, *others))
    pods = on_clusters("kubernetes", " ".join(KUBERNETES), limit=1800, options=("-n", "2", "--dist", "loadgroup"))
    sweep = on_clusters("sweep", "tests/sweep")
    first = {"slurm": [sweep] * ("sweep" in suites), "kubernetes": [pods] * ("kubernetes" in suites)}
    # A lane has a bed of its own, and mostly waits for it.
    beds = [
        [*first.get(bed, ()), *[on_clusters(f"chaos-{bed}", f"tests/chaos/{bed}")] * ("chaos" in suites)]
        for bed in CHAOS
    ]
    stages = ([[run] for run in aside], [[real] * ("real" in suites)], beds)
    return [lanes for stage in stages if (lanes := [lane for lane in stage if lane])]


def build_kubernetes() -> subprocess.Popen[bytes] | None:
    """Begin to compile a Kubernetes where there is none yet: while others wait for their clusters it costs no time.

    Whoever needs it waits for it, and tells what has gone wrong.
    """
    if not bootstrap.is_debian_root():
        return None
    quiet = subprocess.DEVNULL
    return subprocess.Popen(["nice", "-n", "15", str(BUILD_KUBERNETES)], stdin=quiet, stdout=quiet, stderr=quiet)


def follow(process: subprocess.Popen[str], run: Run) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            run.lines.append(line.rstrip("\n"))
            if run.live:
                print(line, end="", flush=True)


def end(process: subprocess.Popen[str]) -> None:
    """As Ctrl-C does, so that pytest takes its clusters down; then for good."""
    for sign, patience in ((signal.SIGINT, 60), (signal.SIGKILL, 10)):
        process.send_signal(sign)
        try:
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue


def carry_out(run: Run, arguments: list[str]) -> None:
    start = time.monotonic()
    try:
        argv = [
            str(run.interpreter()),
            "-m",
            "pytest",
            *(run.only or run.folder.split()),
            "--durations=15",
            "-p",
            "no:cacheprovider",
            *run.options,
            *arguments,
        ]
        if run.live:
            print(f"\n######## {run.name}: {' '.join(argv)}", flush=True)
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        reader = threading.Thread(target=follow, args=(process, run))
        reader.start()
        try:
            run.code = process.wait(run.limit)
        except BaseException as error:
            end(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            run.lines.append(f"clustrix tests: {run.name} was stopped after its {run.limit:.0f} s")
            run.code = -1
        reader.join(10)
    except (OSError, subprocess.CalledProcessError, SystemExit) as error:
        run.lines.append(f"clustrix tests: {error}")
        run.code = -1
    run.seconds = time.monotonic() - start
    if not run.live:
        with _printing:
            print(f"\n######## {run.name}", *run.lines, sep="\n", flush=True)


def once_more(run: Run, arguments: list[str]) -> None:
    """Look at the few tests that did not pass, with nothing beside them."""
    if 0 < len(run.failures) <= FEW:
        venv = run.venv or run.name
        run.alone = replace(
            run, name=f"{run.name}-alone", venv=venv, only=run.failures, options=(), live=True, lines=[]
        )
        carry_out(run.alone, arguments)


def summary(runs: list[Run]) -> None:
    print("\n######## summary")
    for run in runs:
        print(f"{'FAILED' if run.failed else 'ok':6} {run.name:24} {run.seconds:5.0f} s   {run.verdict}")
        for test in run.failures if run.alone and not run.failed else ():
            print(f"         unsteady: {test} failed beside others, and passed alone")
        for line in run.left_out:
            print(f"         left out: {line}")
    skipped = sum(run.count("skipped") for run in runs)
    passed = sum(run.count("passed") + (run.alone.count("passed") if run.alone else 0) for run in runs)
    bad = sum(max(1, run.count("failed") + run.count("error")) for run in runs if run.failed)
    print(f"{passed} passed, {bad} failed" + (f", {skipped} skipped" if skipped else ""))


def split(argv: list[str]) -> tuple[list[str], list[str]]:
    at = argv.index("--") if "--" in argv else len(argv)
    return argv[:at], argv[at + 1 :]


def main() -> int:
    own, passed_on = split(sys.argv[1:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}")
    options = parser.parse_args(own)
    if unknown := set(options.suites) - set(SUITES):
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    # The suites start thousands of Pythons: where none may keep what it has compiled, that is a third of all the time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    suites = options.suites or list(SUITES)
    building = build_kubernetes() if "kubernetes" in suites else None
    stages = plan(suites, options.fast)
    for stage in stages:
        runs = [run for lane in stage for run in lane]
        for run in runs:
            run.live = len(stage) == 1
        # All of them wait now and then: one more than there are cores keeps the cores busy.
        with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
            list(pool.map(lambda lane: [carry_out(run, passed_on) for run in lane], stage))
        for run in runs:
            once_more(run, passed_on)
    if building is not None:
        building.wait()
    runs = [run for stage in stages for lane in stage for run in lane]
    summary(runs)
    nothing_ran = all(run.code == NO_TESTS for run in runs)
    return 1 if nothing_ran or any(run.failed for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
