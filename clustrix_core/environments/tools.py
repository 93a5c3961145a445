"""Installers that are brought along: a cluster needs neither pip nor uv."""

from __future__ import annotations

import ensurepip
import functools
import shutil
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from clustrix_core.environments.recipe import File
from clustrix_core.environments.wheels import rewheel
from clustrix_core.errors import ConfigError
from clustrix_core.model import Site


@functools.cache
def pip(wheels: Path) -> File | None:
    """Return a wheel of pip, which can be run as it is: that of this Python, else the one that is installed here."""
    bundled = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    if bundled:
        return File.of(bundled[-1])
    try:
        return File.of(rewheel(distribution("pip"), wheels))
    except (PackageNotFoundError, ConfigError):
        return None


def uv(site: Site) -> File | None:
    """Return this machine's uv where it can run over there; None where there is none."""
    beside = Path(sys.executable).parent
    found = shutil.which("uv") or shutil.which("uv", path=str(beside))
    if found is None or sysconfig.get_platform() not in site.interpreter.split():
        return None
    return File.of(Path(found).resolve())
