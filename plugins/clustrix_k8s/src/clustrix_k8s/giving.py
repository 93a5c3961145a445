"""The files of a job in a pod, as the client reads them: Python 3.6 and later, standard library only.

A plan is made first, so that its length is known before the first byte is sent.
"""

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional

NAMES = re.compile(r"results-[0-9.]+|value-[0-9a-f]+|log-[0-9.]+|status-[0-9.]+|result(-[0-9.]+)?[.]json")
GROW = ("results-", "value-", "log-")
ASKED = "value-"  # goes to who has something of it, be it an empty file
PROGRESS = re.compile(r"progress-[0-9.]+")
STEP = 1 << 20
SAID = "/dev/termination-log"


def say(text: str) -> None:
    """Leave the container's last words, which the server shows in the status of its pod."""
    with open(SAID, "w") as file:
        file.write(text)


class Part:
    """A file, or as much of it as is new, behind its line; or a line alone."""

    def __init__(self, head: str, path: str = "", start: int = 0, end: int = 0, tail: str = "") -> None:
        self.head, self.path, self.start, self.end, self.tail = head.encode("utf-8"), path, start, end, tail.encode()

    def __len__(self) -> int:
        return len(self.head) + self.end - self.start + len(self.tail)

    def pieces(self) -> "Iterator[bytes]":
        yield self.head
        left = self.end - self.start
        if left:
            with open(self.path, "rb") as file:
                file.seek(self.start)
                while left:
                    data = file.read(min(left, STEP))
                    if not data:
                        raise SystemExit("clustrix: %s has shrunk" % self.path)
                    left -= len(data)
                    yield data
        if self.tail:
            yield self.tail


class Plan:
    """What is new in a job's directory, for who has ``here``: names and sizes. ``left``: values nobody has asked for.

    Without ``here`` it is everything.
    """

    def __init__(self, place: str, directory: str, here: "Optional[Dict[str, str]]" = None) -> None:
        self.parts: "List[Part]" = [Part("clustrix: files\n")]
        self.left = 0
        if os.path.isdir(place):
            self.parts.append(Part("D %s\n" % directory))
            for name in sorted(os.listdir(place)):
                self._add(name, os.path.join(place, name), "%s/%s" % (directory, name), here)
        self.parts.append(Part("E\n"))

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def pieces(self) -> "Iterator[bytes]":
        """Yield the stream, in steps of constant memory."""
        for part in self.parts:
            for piece in part.pieces():
                yield piece

    def _add(self, name: str, path: str, file: str, here: "Optional[Dict[str, str]]") -> None:
        had = (here or {}).get(name, "0")
        if PROGRESS.fullmatch(name):
            with open(path, "rb") as source:
                line = source.readline(4096).decode("utf-8", "replace").strip()
            if line and line.split(" ")[0] != had:
                self.parts.append(Part("P %s %s\n" % (file, line)))
        elif NAMES.fullmatch(name):
            if name.startswith(ASKED) and here is not None and name not in here:
                self.left += 1
                return
            size, grows = os.path.getsize(path), name.startswith(GROW)
            if size and (size > int(had) if grows else size != int(had)):
                start = int(had) if grows else 0
                self.parts.append(Part("F %s %d %d\n" % (file, start, size), path, start, size, "= %s\n" % file))
