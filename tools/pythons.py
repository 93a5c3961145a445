"""One environment for each Python found, with numpy, and with Clustrix from 3.10 on. For tests/real/test_pythons.py."""

from __future__ import annotations

import subprocess
from pathlib import Path

import bootstrap
import interpreters

Minor = tuple[int, int]
STAMP = "numpy-stamp"


def environments() -> dict[Minor, Path]:
    """Return the Python of each environment, in the order of the versions."""
    return {minor: environment(minor, python) for minor, python in interpreters.find().items()}


def environment(minor: Minor, python: Path) -> Path:
    venv = bootstrap.ROOT / ".venvs" / "python-{}.{}".format(*minor)
    if minor >= interpreters.OLDEST_CLIENT:
        bootstrap.ensure(venv, "demo", str(python))
    with bootstrap.locked(venv.with_suffix(f".{minor[1]}.lock")):
        if not (venv / STAMP).exists():
            if minor < interpreters.OLDEST_CLIENT:
                subprocess.run([python, "-m", "venv", "--clear", venv], check=True, capture_output=True)
            # The pip that came with an old Python has its say on stderr.
            argv = [bootstrap.venv_python(venv), "-m", "pip", "install", "--quiet", "numpy"]
            done = subprocess.run(argv, capture_output=True, text=True)
            (venv / STAMP).write_text("" if done.returncode else "numpy")
    return bootstrap.venv_python(venv)


def has_numpy(python: Path) -> bool:
    return (python.parent.parent / STAMP).read_text() == "numpy"


if __name__ == "__main__":
    for (major, minor), path in environments().items():
        print(f"{major}.{minor}\t{path}\t{'numpy' if has_numpy(path) else ''}")
