"""Distributions put on the path from source, as an installer leaves them: a module, its metadata, its entry point."""

from __future__ import annotations

import sys
from importlib import invalidate_caches
from pathlib import Path


class Distributions:
    """What is installed in one directory of ``sys.path``."""

    def __init__(self, house: Path) -> None:
        self.house = house
        self._modules: list[str] = []

    def __call__(self, name: str, source: str, *, distribution: str | None = None, module: str | None = None) -> str:
        """Install a plugin under the entry point ``name``; return the name of its module.

        ``distribution`` is ``acme-<name>`` unless given, ``module`` a name that no other test uses.
        """
        distribution = distribution or f"acme-{name}"
        # Modules of an earlier test may be remembered: each directory has names of its own.
        module = module or f"{distribution}_{self.house.parent.name}".replace("-", "_")
        (self.house / f"{module}.py").write_text(source, "utf-8")
        info = self.house / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[clustrix]\n{name} = {module}\n")
        self._modules.append(module)
        self.forget()
        return module

    def forget(self) -> None:
        """Let the modules be imported anew."""
        for module in self._modules:
            sys.modules.pop(module, None)
        invalidate_caches()
