"""ruff, mypy --strict and import-linter; all of them run, and one that fails makes the whole fail."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHECKS = (
    ("ruff check", [sys.executable, "-m", "ruff", "check", "."]),
    ("ruff format", [sys.executable, "-m", "ruff", "format", "--check", "."]),
    ("mypy --strict", [sys.executable, "-m", "mypy", "--strict"]),
    ("import-linter", [str(BIN / "lint-imports"), "--no-logo", "--cache-dir", ".import_linter_cache"]),
)


def main() -> int:
    failed = []
    for name, argv in CHECKS:
        print(f"== {name}", flush=True)
        start = time.monotonic()
        if subprocess.run(argv, cwd=ROOT).returncode:
            failed.append(name)
        print(f"   {time.monotonic() - start:.1f} s", flush=True)
    print("check: " + (f"FAILED: {', '.join(failed)}" if failed else "all is well"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
