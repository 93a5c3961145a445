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
    if name == "admit" and len(words) == 1:
        from clustrix_core.worker.admission import admit

        return admit(int(words[0]))
    if name == "environment" and len(words) == 2:
        from clustrix_core.worker import building

        return building.command(words[0], words[1])
    if name == "environments" and len(words) == 1:
        from clustrix_core.worker import inventory

        return inventory.command(words[0])
    if (name, len(words)) in (("start", 2), ("ps", 0), ("kill", 0), ("cores", 0)):
        from clustrix_core.worker import host

        command = getattr(host, name)
        return int(command(*(int(word) for word in words)))
    if (name, words) == ("receive", []):
        from clustrix_core.worker.receiving import receive

        return receive(sys.stdin.buffer)
    if (name, words) == ("files", []):
        from clustrix_core.worker.lookup import answer

        return answer()
    usage = "run ROUND TASK | admit LENIENT | start ROUND SLOTS | ps | kill | cores | files"
    usage += " | environment KEY MODE | environments MODE | receive"
    print("usage: %s" % usage, file=sys.stderr)
    return 2
