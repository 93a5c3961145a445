"""Deliberate defects, each put alone into a copy of the tree: some test must fail on it that passes without it.

    tools/mutants.py

Prints a table. Exits with 1 where a defect survives, where its place in the source is no longer found, or where a test
fails without any defect.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 120  # seconds for the tests of one defect
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")


@dataclass(frozen=True)
class Mutant:
    """``old`` stands exactly once in ``file``; ``tests`` must fail where ``new`` stands there."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = (
    Mutant(
        "no look-up before another submission",
        "clustrix_core/engine/submission.py",
        "handle = self._engine.dispatch.find(spec, cluster)",
        "handle = None",
        "tests/unit/test_engine.py",
    ),
    Mutant(
        "an empty queue is taken for success",
        "clustrix_core/batch/queue.py",
        "return JobStatus.of(joined, handle.tasks)",
        "return JobStatus.of(joined, handle.tasks) if joined else JobStatus(JobState.SUCCEEDED)",
        "tests/unit/test_batch_queue.py",
    ),
    Mutant(
        "the intent is struck out before the scheduler has answered",
        "clustrix_core/journal.py",
        "        handle = yield\n",
        '        self._journal.submitted(job.id, JobHandle(job.id, job.name, ""))\n        handle = yield\n',
        "tests/unit/test_engine.py",
    ),
    Mutant(
        "signatures are not looked at",
        "clustrix_core/worker/records.py",
        "if not hmac.compare_digest(told, mac.digest()):",
        "if len(told) != len(mac.digest()):",
        "tests/unit/worker/test_records.py",
    ),
    Mutant(
        "markers are written in place",
        "clustrix_core/worker/markers.py",
        """    with open(place + ".new", "w", encoding="utf-8") as file:
        file.write(("%s %d %s" % (word, code, reason)).strip() + "\\n")
    os.rename(place + ".new", place)
""",
        """    with open(place, "w", encoding="utf-8") as file:
        file.write(("%s %d %s" % (word, code, reason)).strip() + "\\n")
""",
        "tests/unit/worker/test_markers.py",
    ),
)


def verdict(mutant: Mutant, tree: Path) -> str:
    """Return what became of a defect; "caught" is what it should be. The tree is as before then."""
    file = tree / mutant.file
    sound = file.read_text("utf-8")
    if sound.count(mutant.old) != 1:
        return f"not found in {mutant.file}"
    if not passes(mutant.tests, tree):
        return f"{mutant.tests} fails without it"
    file.write_text(sound.replace(mutant.old, mutant.new), "utf-8")
    try:
        return "SURVIVED" if passes(mutant.tests, tree) else "caught"
    finally:
        file.write_text(sound, "utf-8")


def passes(tests: str, tree: Path) -> bool:
    """Return whether tests pass in a tree. A defect that makes them hang is as good as caught."""
    argv = [sys.executable, "-B", "-m", "pytest", tests, "-qx", "-p", "no:cacheprovider"]
    path = os.pathsep.join(map(str, [tree, *tree.glob("plugins/*/src")]))
    try:
        done = subprocess.run(
            argv, cwd=tree, env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout.decode(errors='replace')}")
    return done.returncode == 0


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="clustrix-mutants-") as folder:
        tree = Path(folder, "tree")
        shutil.copytree(ROOT, tree, ignore=_LEFT_OUT, symlinks=True)
        bad = 0
        for mutant in MUTANTS:
            said = verdict(mutant, tree)
            bad += said != "caught"
            print(f"{said:8} {mutant.name:58} {mutant.tests}", flush=True)
    print(f"{len(MUTANTS) - bad} of {len(MUTANTS)} defects are caught")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
