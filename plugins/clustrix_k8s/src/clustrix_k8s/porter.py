"""What runs in the door: Python 3.6 and later, standard library only.

wait SECONDS    the pod's first process: it ends when nothing was wanted of it for so long, and nothing else runs there
run             one line of sh for the client. stdin is frames, each a length of four bytes and so many bytes: the line,
                then what the line reads; an empty one is its end, which the API server cannot pass on
"""

import os
import signal
import subprocess
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Callable, Dict, List, Optional

ITSELF = "CLUSTRIX_PORTER"  # the variable in which this program is
KILLED = 137  # the exit code of a command that was not let run to its end
LOOK = 5.0  # seconds between looks at what runs there


def wait(seconds: str) -> int:
    used = [time.monotonic()]

    def use(number: int, frame: object) -> None:
        used[0] = time.monotonic()

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    signal.signal(signal.SIGUSR1, use)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # it inherits the children of all that ends there
    while time.monotonic() - used[0] < float(seconds):
        time.sleep(LOOK)
        if any(name.isdigit() and int(name) != os.getpid() for name in os.listdir("/proc")):
            used[0] = time.monotonic()
    return 0


def run() -> int:
    os.kill(1, signal.SIGUSR1)
    source = sys.stdin.buffer
    line = frame(source)
    if not line:
        return 65
    home = os.path.expanduser("~")
    child = subprocess.Popen(
        ["/bin/sh", "-c", os.fsdecode(line)],
        stdin=subprocess.PIPE,
        cwd=home if os.path.isdir(home) else "/",
        env={name: value for name, value in os.environ.items() if name != ITSELF},
        start_new_session=True,
    )
    cut: "List[bool]" = []
    feeder = threading.Thread(target=feed, args=(source, child, cut))
    feeder.start()
    code = child.wait()
    feeder.join()
    return KILLED if cut else code if code >= 0 else 128 - code


def feed(source: "BinaryIO", child: "subprocess.Popen[bytes]", cut: "List[bool]") -> None:
    """Pass on what the client sends, all of it: until then it does not listen."""
    stdin = child.stdin
    assert stdin is not None
    while True:
        data = frame(source)
        try:
            if data is None:  # the client is gone: to end its stdin would say that all has come
                cut.append(True)
                os.killpg(child.pid, signal.SIGTERM)
            elif data:
                stdin.write(data)
                stdin.flush()
            else:
                stdin.close()
        except OSError:  # the command has read enough, or has ended
            pass
        if not data:
            return


def frame(source: "BinaryIO") -> "Optional[bytes]":
    """Return what comes next; None where it does not come whole."""
    head = source.read(4)
    size = int.from_bytes(head, "big")
    data = source.read(size) if len(head) == 4 else b""
    return data if len(head) == 4 and len(data) == size else None


COMMANDS: "Dict[str, Callable[..., int]]" = {"wait": wait, "run": run}

if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]](*sys.argv[2:]))
