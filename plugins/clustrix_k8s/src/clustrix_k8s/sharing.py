"""What runs in a pod that shares a volume with the others: Python 3.6 and later, standard library only.

DIRECTORY SCRIPT ROUND TASK WALLTIME    run a job's script in its directory, and say how it ended where it does not
"""

import os
import signal
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

SAID = "/dev/termination-log"
GRACE = 20.0  # seconds between the two signals that end a job


def main(directory: str, script: str, round: str, number: str, walltime: str) -> int:
    process = subprocess.Popen(["/bin/sh", script], cwd=directory, stdin=subprocess.DEVNULL)
    marker = outcome(process, float(walltime) or None)
    path = os.path.join(directory, "status-%s.%s" % (round, number))
    if marker:
        with open(path + ".new", "w") as file:
            file.write(marker + "\n")
        os.rename(path + ".new", path)
    if os.path.exists(path):  # a script that was killed says nothing
        with open(path) as file, open(SAID, "w") as said:
            said.write(file.readline(200))
    code = int(process.returncode or 0)
    return 143 if marker else code if code >= 0 else 128 - code


def outcome(process: "subprocess.Popen[bytes]", walltime: "Optional[float]") -> str:
    """Wait for a script; return the marker of one that was ended here."""
    told: "List[int]" = []

    def stop(number: int, frame: object) -> None:
        told.append(number)
        process.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        process.wait(walltime)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return "TIMEOUT 143 over its walltime"
    return "CANCELLED 143 it was told to stop" if told else ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
