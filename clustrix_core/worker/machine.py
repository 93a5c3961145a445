"""This machine: its name, its Python, how much of it there is for us."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional


def host() -> str:
    """Return the name of this machine."""
    return os.uname().nodename


def python() -> str:
    """Return the version of this interpreter."""
    return "%d.%d.%d" % sys.version_info[:3]


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        count = os.cpu_count() or 1
    limit = _cgroup("cpu.max")
    if limit and limit[0].isdigit():
        count = min(count, -(-int(limit[0]) // int(limit[1])))
    return max(1, count)


def memory() -> int:
    """Return how much memory this process may use, in bytes."""
    installed: int = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _cgroup("memory.max")
    return min(installed, int(limit[0])) if limit and limit[0].isdigit() else installed


def _cgroup(name: str) -> "Optional[List[str]]":
    """Return the words of a limit of our control group (version 2)."""
    try:
        with open("/proc/self/cgroup") as file:
            groups = [line.strip().split(":", 2)[2] for line in file if line.startswith("0::")]
        with open("/sys/fs/cgroup%s/%s" % (groups[0].rstrip("/"), name)) as file:
            return file.read().split()
    except (OSError, IndexError):
        return None
