"""The commands of the bundle."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List


def main(argv: "List[str]") -> int:
    """Run a command and return the exit code."""
    name, words = (argv[0] if argv else ""), argv[1:]
    if name == "run" and len(words) == 2:
        from clustrix_core.worker.run import run

        return run(int(words[0]), int(words[1]))
    print("usage: run ROUND TASK | start ROUND SLOTS | ps | kill | cores", file=sys.stderr)
    return 2
