"""Claims: how the tasks of a round share its calls out, with nothing but exclusive creation of files.

The open calls are cut into blocks by a table that every task computes alike. In the claims directory
    b<block>              this block is taken; holds "<task>.<attempt>"
    h                     somebody is hungry: found every block taken
    o<block>.<position>   the block's calls from this position on are free for all, each for its own claim
    c<position>           such a call is taken; holds "<task>.<attempt>"
    t<task>, i<task>      the task has begun; it holds no call that it has not begun, and will take no more blocks
Nobody opens blocks before somebody is hungry, so calls that are alike cost one file a block. Whoever is hungry takes
calls from open blocks until all tasks that have begun are idle. Correctness rests on O_EXCL alone: a directory
listing that is out of date only costs time.
"""

import collections
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Collection, Deque, Dict, List, Optional, Sequence, Set, Tuple

LARGEST = 64
# Seconds between two looks at the directory: by the hungry, and by those who may be asked to share.
_HUNGRY = (0.05, 0.5)
_SHARING = (0.25, 2.0)
# Silence for longer than this means that whoever still holds calls is dead.
_PATIENCE = 2.5 * _SHARING[1]


def blocks(count: int, slots: int, chunk: "Optional[int]" = None) -> "List[int]":
    """Return where each block begins, and ``count`` at the end: blocks shrink towards the end."""
    starts, place = [0], 0
    while place < count:
        place += chunk or max(1, min(LARGEST, (count - place) // (4 * slots)))
        starts.append(min(place, count))
    return starts


class Own:
    """The calls of a task that is alone: nothing needs claiming."""

    def __init__(self, calls: "Sequence[int]", done: "Collection[int]" = ()) -> None:
        self._calls = iter([call for call in calls if call not in done] if done else calls)
        self.over = False
        self.left = False
        self.due: "Optional[float]" = None

    def take(self) -> "Optional[int]":
        """Return the next call; None when there is none now."""
        call = None if self.over else next(self._calls, None)
        self.over = self.over or call is None
        return call

    def tend(self, busy: float) -> None:
        """Do what is due between calls."""

    def leave(self) -> None:
        """Take no more calls."""
        self.left = self.left or not self.over
        self.over = True


class Shared:
    """The calls of a round that several tasks share. ``over`` is True when there will never be another call here,
    ``left`` when that is because this task was told to leave.

    ``shape`` is the number of tasks and their width. ``tell(first, count)`` hears which positions were claimed before
    any of them is taken.
    """

    def __init__(
        self,
        directory: str,
        calls: "Sequence[int]",
        shape: "Tuple[int, int]",
        tell: "Callable[[int, int], None]",
        task: int,
        attempt: int = 0,
        chunk: "Optional[int]" = None,
    ) -> None:
        self._directory = directory
        self._calls = calls
        self._starts = blocks(len(calls), shape[0] * shape[1], chunk)
        self._last = len(self._starts) - 2
        self._tell = tell
        self._me = task
        self._sign = "%d.%d" % (task, attempt)
        # Every task begins at another block and leaps, so that they seldom reach for the same one.
        self._next = task
        self._leap = shape[0]
        self._first_free = 0
        self._taken: "Set[int]" = set()
        self._held: "Deque[int]" = collections.deque()
        self._open: "Set[int]" = set()
        self._idle = False
        self._hungry = False
        self._look_again = time.monotonic() + _SHARING[0]
        self._delay = _HUNGRY[0]
        self._seen: "Sequence[str]" = ()
        self._changed = time.monotonic()
        self.over = self.left = False
        self._wanting = False
        self._create("t%d" % task)

    @property
    def due(self) -> "Optional[float]":
        """When ``take`` or ``tend`` should be called again, by the monotonic clock."""
        return self._look_again if not self.over and (self._wanting or not self._idle) else None

    def take(self) -> "Optional[int]":
        """Return the next call; None when there is none now."""
        while not self.over:
            if not self._held:
                block = None if self._idle else self._take_block()
                if block is None:
                    return self._take_from_others()
                first, end = self._starts[block], self._starts[block + 1]
                self._tell(first, end - first)
                self._held.extend(range(first, end))
            position = self._held.popleft()
            if position not in self._open or self._create("c%d" % position):
                return self._calls[position]
        return None

    def tend(self, busy: float) -> None:
        """Open what is held if somebody is hungry, once in a while. ``busy``: how long the longest call has run."""
        if self.over or self._idle or time.monotonic() < self._look_again:
            return
        names = self._names()
        if self._held and "h" in names:
            self._open_held()
        elif not self._held and self._free(names) is None:
            self._say_idle()
        self._look_again = time.monotonic() + max(_SHARING[0], min(_SHARING[1], busy / 4))

    def leave(self) -> None:
        """Take no more calls and leave what is held to the others."""
        if not self.over:
            self.over = self.left = True
            self._open_held()
            self._say_idle()

    def take_over(self, done: "Collection[int]") -> None:
        """Hold again what earlier attempts of this task had claimed, but for the calls that they got ``done``."""
        names = set(self._names())
        opened = _opened(names)
        mine: "List[int]" = []
        for block in sorted(_numbers(names, "b")):
            if self._was_mine("b%d" % block):
                end = min(self._starts[block + 1], opened.get(block, self._starts[block + 1]))
                mine += range(self._starts[block], end)
        mine += [position for position in _numbers(names, "c") if self._was_mine("c%d" % position)]
        for position in mine:
            if self._calls[position] not in done:
                self._tell(position, 1)
                self._held.append(position)
        if self._held:
            self._remove("i%d" % self._me)

    def _take_block(self) -> "Optional[int]":
        block = self._next if self._next <= self._last else self._free(self._names())
        while block is not None:
            self._taken.add(block)
            self._next = block + self._leap
            if self._create("b%d" % block):
                return block
            block = self._free(self._names())
        return None

    def _free(self, names: "Sequence[str]") -> "Optional[int]":
        self._taken.update(_numbers(names, "b"))
        while self._first_free in self._taken:
            self._first_free += 1
        return self._first_free if self._first_free <= self._last else None

    def _take_from_others(self) -> "Optional[int]":
        now = time.monotonic()
        if self._wanting and now < self._look_again:
            return None
        self._say_idle()
        if not self._hungry:
            self._hungry = True
            self._create("h")
        names = self._names()
        if names != self._seen:
            self._seen, self._changed, self._delay = names, now, _HUNGRY[0]
        claimed = _numbers(names, "c")
        for block, first in sorted(_opened(names).items(), reverse=True):
            # From the end: the holder goes through its block from the start.
            for position in range(self._starts[block + 1] - 1, first - 1, -1):
                if position not in claimed and self._create("c%d" % position):
                    self._tell(position, 1)
                    self._wanting = False
                    return self._calls[position]
        self._wanting = True
        self.over = _numbers(names, "t") <= _numbers(names, "i") or now - self._changed > _PATIENCE
        self._look_again = time.monotonic() + self._delay
        self._delay = min(2 * self._delay, _HUNGRY[1])
        return None

    def _say_idle(self) -> None:
        if not self._idle:
            self._idle = True
            self._create("i%d" % self._me)

    def _open_held(self) -> None:
        held = set(self._held)
        for block in range(self._last + 1):
            first = self._starts[block + 1]
            while first > self._starts[block] and first - 1 in held:
                first -= 1
            fresh = set(range(first, self._starts[block + 1])) - self._open
            if fresh:
                # Open to ourselves first: from the moment others see it we claim like them.
                self._open |= fresh
                self._create("o%d.%d" % (block, first))

    def _create(self, name: str) -> bool:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        try:
            fd = os.open(os.path.join(self._directory, name), flags, 0o600)
        except FileExistsError:
            return False
        try:
            os.write(fd, self._sign.encode("ascii"))
        finally:
            os.close(fd)
        return True

    def _was_mine(self, name: str) -> bool:
        with open(os.path.join(self._directory, name)) as file:
            return file.read().split(".")[0] == str(self._me)

    def _names(self) -> "List[str]":
        # NFS shows an old listing for up to a minute unless this host itself changes the directory.
        fresh = "r%s" % self._sign
        self._create(fresh)
        self._remove(fresh)
        return sorted(name for name in os.listdir(self._directory) if name[0] != "r")

    def _remove(self, name: str) -> None:
        try:
            os.unlink(os.path.join(self._directory, name))
        except FileNotFoundError:
            pass


def _numbers(names: "Collection[str]", kind: str) -> "Set[int]":
    return {int(name[1:]) for name in names if name[0] == kind}


def _opened(names: "Collection[str]") -> "Dict[int, int]":
    """Return the open blocks and the position from which on each is open."""
    found: "Dict[int, int]" = {}
    for name in names:
        if name[0] == "o":
            block, first = (int(word) for word in name[1:].split("."))
            found[block] = min(first, found.get(block, first))
    return found
