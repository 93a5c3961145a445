"""Write docs/python-versions.md from what tests/real/test_pythons.py says: it runs the test.

python tools/pythons_page.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pythons

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "python-versions.md"
NOT_RUN = "not run"
BEGIN, END = "<!-- what the test said -->\n", "<!-- end -->\n"


def main() -> int:
    """Run the test; where it passes, put its table into the page."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        argv = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/real/test_pythons.py",
            "-k",
            "each",
        ]
        code = subprocess.run(argv, cwd=ROOT, env={**os.environ, "CLUSTRIX_PYTHONS": str(said)}).returncode
        if code:
            return code
        rows = [json.loads(line) for line in said.read_text("utf-8").splitlines()]
    head, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(head + BEGIN + table(rows) + END + rest.partition(END)[2], "utf-8")
    return 0


def table(rows: list[dict[str, str]]) -> str:
    """Return the combinations: a row for each Python there and case, a column for each Python here."""
    here = sorted({row["here"] for row in rows}, key=_order)
    there = sorted({row["there"] for row in rows}, key=_order)
    # In the order of the last combination, which has them all.
    cases = [row["case"] for row in rows if (row["here"], row["there"]) == (here[-1], there[-1])]
    known = {(row["here"], row["there"], row["case"]): row["outcome"] for row in rows}
    lines = [f"| there | case | {' | '.join(f'{one} here' for one in here)} |", f"|---|---|{'---|' * len(here)}"]
    for other in there:
        for case in cases:
            cells = [_word(known.get((one, other, case))) for one in here]
            if {*cells} != {NOT_RUN}:
                lines.append(f"| {other} | {case} | {' | '.join(cells)} |")
    return "\n".join([_versions(), *lines, ""])


def _word(outcome: str | None) -> str:
    return NOT_RUN if outcome is None else outcome.partition(":")[0]


def _versions() -> str:
    said = "import sys, numpy; print('{}.{}.{} with numpy {}'.format(*(sys.version_info[:3] + (numpy.__version__,))))"
    plain = "import sys; print('{}.{}.{}'.format(*sys.version_info[:3]))"
    found = [
        subprocess.check_output([python, "-c", said if minor in pythons.numpy() else plain], text=True).strip()
        for minor, python in pythons.environments().items()
    ]
    return f"Run with Python {', '.join(found)}.\n"


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    sys.exit(main())
