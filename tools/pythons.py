"""One environment for each Python found, quickly made: Clustrix from 3.10 on, numpy where the matrix needs it.

For tests/real/test_pythons.py.
"""

from __future__ import annotations

import ensurepip
import functools
import importlib.util
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution, distribution
from pathlib import Path

import bootstrap
import interpreters

Minor = tuple[int, int]
STAMP = "pythons-stamp"


def environments() -> dict[Minor, Path]:
    """Return the Python of each environment, in the order of the versions."""
    found = interpreters.find()
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(found, pool.map(environment, found, found.values()), strict=True))


@functools.cache
def numpy() -> dict[Minor, str]:
    """Return what which of them install: arrays go from numpy 1 and from numpy 2 to either."""
    found = interpreters.find()
    clients = [minor for minor in found if minor >= interpreters.OLDEST_CLIENT]
    return {min(found): "numpy", min(clients): "numpy<2", max(clients): "numpy>=2"}


def environment(minor: Minor, python: Path) -> Path:
    """Return the Python of one environment; it is made where there is none, or one of other things."""
    version = "{}.{}".format(*minor)
    venv = bootstrap.ROOT / ".venvs" / f"python-{version}"
    site = venv / "lib" / f"python{version}" / "site-packages"
    clustrix = distribution("clustrix") if minor >= interpreters.OLDEST_CLIENT else None
    needed = [line for line in (clustrix and clustrix.requires) or () if "extra ==" not in line]
    points = (clustrix and clustrix.read_text("entry_points.txt")) or ""
    mark = "\n".join([str(python), numpy().get(minor, ""), *needed, points])
    with bootstrap.locked(venv.with_suffix(f".{minor[1]}.lock")):
        if not (venv / STAMP).exists() or (venv / STAMP).read_text() != mark:
            subprocess.run([python, "-m", "venv", "--without-pip", "--clear", venv], check=True)
            if clustrix:
                pip("--python", bootstrap.venv_python(venv), "install", *needed)
                repeat(clustrix, site)
            if minor in numpy():
                # No pip of today runs on Python 3.6, but any finds its wheels.
                pip("install", "--target", site, "--no-deps", "--python-version", version, numpy()[minor])
            (venv / STAMP).write_text(mark)
    return bootstrap.venv_python(venv)


def pip(*words: str | Path) -> None:
    """Run pip, or where an installer other than pip has made this environment the one that lies beside ensurepip."""
    bundled = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    runner = ["-m", "pip"] if importlib.util.find_spec("pip") else [bundled[-1] / "pip"]
    quickly = ["--quiet", "--only-binary", ":all:", "--no-compile", "--disable-pip-version-check"]
    at = words.index("install") + 1
    subprocess.run([sys.executable, *runner, *words[:at], *quickly, *words[at:]], check=True, stdout=sys.stderr)


def repeat(installed: Distribution, site: Path) -> None:
    """Install once more what is installed here editable: its metadata, and what leads to its folder."""
    for file in installed.files or ():
        if file.suffix == ".pth" or file.parent.suffix == ".dist-info":
            target = site / file
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file.locate(), target)


if __name__ == "__main__":
    for (major, minor), path in environments().items():
        print(f"{major}.{minor}\t{path}\t{numpy().get((major, minor), '')}")
