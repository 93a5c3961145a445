"""The one-line files ``status-<round>.<task>`` that say how a task ended."""

import os


def path(directory: str, round: int, task: int) -> str:
    """Return where the marker of a task is."""
    return os.path.join(directory, "status-%d.%d" % (round, task))


def exists(directory: str, round: int, task: int) -> bool:
    """Whether the task has ended."""
    return os.path.exists(path(directory, round, task))


def read(directory: str, round: int, task: int) -> str:
    """Return what a marker says, "" where there is none."""
    try:
        with open(path(directory, round, task), encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def write(directory: str, round: int, task: int, word: str, code: int, reason: str = "") -> None:
    """Write a marker, in place of any other: readers see the old one or the new one, never a part."""
    place = path(directory, round, task)
    with open(place + ".new", "w", encoding="utf-8") as file:
        file.write(("%s %d %s" % (word, code, reason)).strip() + "\n")
    os.rename(place + ".new", place)
