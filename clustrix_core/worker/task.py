"""A task: the parent of the slots. It claims calls, hands them out one by one, and outlives the slots that die.

No code of the user runs in this process, so neither a crash nor a call that never lets go of the interpreter keeps it
from sharing calls with other tasks, from recording what has died, and from passing signals on.
"""

import os
import select
import signal
import sys
import time

from clustrix_core.worker import records
from clustrix_core.worker.attempt import Attempt, recorded
from clustrix_core.worker.child import Child, Reply, death
from clustrix_core.worker.claims import Own, Shared
from clustrix_core.worker.machine import host
from clustrix_core.worker.parts import write_all
from clustrix_core.worker.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Union

# Records become visible on a shared file system at most this late.
_FLUSH = 0.05
# So long the slots may take to end after a signal.
_GRACE = 25.0
# So many slots in a row may die without a call that ends.
_FATAL = 10


class Task:
    """Runs the calls of one attempt. ``shown`` is what the last call has to show to people."""

    def __init__(self, attempt: Attempt, results: int) -> None:
        self.ended = 0
        self.failed = 0
        self.peak = 0
        self.shown: "Optional[Dict[str, Any]]" = None
        self._attempt = attempt
        self._results = results
        self._slots = 0
        self._children: "List[Child]" = []
        self._signals = Signals()
        self._stop_by: "Optional[float]" = None
        warn_in = attempt.warn_in()
        self._warn_at = None if warn_in is None else time.monotonic() + warn_in
        self._flush_at: "Optional[float]" = None
        self._deaths = 0
        self._given = 0
        self._longest = 0.0
        self._width = max(1, attempt.spec.get("width") or 1)
        self._claims = self._find_calls()

    @property
    def stopped(self) -> bool:
        """Whether a signal has ended this task."""
        return self._stop_by is not None

    def run(self) -> None:
        """Run until there is no call left for this task, or it is told to stop."""
        while True:
            self._hand_out()
            if self._claims.over:
                for child in self._children:
                    if child.call is None:
                        child.dismiss()
                if not self._children:
                    break
            self._wait()
        if self._claims.left and not self.stopped:
            self._claimed(0, 0)
        self._signals.close()

    def _find_calls(self) -> "Union[Own, Shared]":
        attempt, spec = self._attempt, self._attempt.spec
        done = attempt.earlier()
        self.failed = sum(kind not in ("value", "json") for kind in done.values())
        calls = attempt.open_calls()
        if spec["tasks"] == 1:
            if len(calls) > 1:
                self._claimed(0, len(calls))
            return Own(calls, done)
        shape = (spec["tasks"], self._width)
        directory = attempt.path("claims-%d" % attempt.round)
        shared = Shared(directory, calls, shape, self._claimed, attempt.task, attempt.number, spec.get("chunk"))
        if attempt.number:
            shared.take_over(done)
        return shared

    def _hand_out(self) -> None:
        idle = [child for child in self._children if child.call is None]
        while (idle or len(self._children) < self._width) and not self._claims.over:
            if not self._is_time():
                self._claims.leave()
            call = self._claims.take()
            if call is None:
                return
            (idle.pop(0) if idle else self._fork()).give(call)
            self._given += 1

    def _is_time(self) -> bool:
        """Whether another call fits into what is left of the walltime."""
        walltime, asked = self._attempt.spec.get("walltime"), self._attempt.spec.get("time")
        # Whoever never began would never get anywhere.
        if not walltime or self._given < self._width:
            return True
        left = self._attempt.started + walltime - min(30.0, 1 + 0.05 * walltime) - time.time()
        if asked and left >= asked:
            return True
        if not self.ended:
            return not asked
        return bool(left >= 2 * max(self._longest, self._busy()) + 1)

    def _busy(self) -> float:
        """Return how long the longest of the running calls has run."""
        now = time.monotonic()
        return max([now - child.since for child in self._children if child.call is not None] or [0.0])

    def _wait(self) -> None:
        """Wait for whatever comes first: a reply, a signal, or a moment at which something is due."""
        now = time.monotonic()
        moments = (self._flush_at, self._stop_by, self._warn_at, self._claims.due)
        pause = min([max(0.0, moment - now) for moment in moments if moment is not None] or [3600.0])
        watched = {child.replies: child for child in self._children if child.replies >= 0}
        ready = select.select([self._signals.fd, *watched], [], [], pause)[0]
        for fd in ready:
            if fd in watched:
                self._hear(watched[fd])
        if self._signals.fd in ready:
            for number in self._signals.take():
                self._on_signal(number)
        self._do_what_is_due(time.monotonic())

    def _do_what_is_due(self, now: float) -> None:
        if self._claims.due is not None and now >= self._claims.due:
            self._claims.tend(self._busy())
        if self._flush_at is not None and now >= self._flush_at:
            self._flush()
        if self._warn_at is not None and now >= self._warn_at:
            self._warn_at = None
            self._claims.leave()
            self._signal_all(signal.SIGUSR1)
        if self._stop_by is not None and now >= self._stop_by:
            self._signal_all(signal.SIGKILL)
            self._stop_by = now + _GRACE

    def _hear(self, child: Child) -> None:
        reply = child.hear()
        if reply is not None:
            self._end(reply)
            if self._flush_at is None:
                self._flush_at = time.monotonic() + _FLUSH

    def _end(self, reply: Reply) -> None:
        self.ended += 1
        self.failed += not reply.ok
        self.shown = reply.shown
        self._deaths = 0
        self._longest = max(self._longest, reply.seconds)

    def _flush(self) -> None:
        """Make records visible to other hosts: on NFS, closing a file is what sends it to the server."""
        self._flush_at = None
        for child in self._children:
            if child.dirty:
                child.dirty = False
                os.close(os.open(self._attempt.results(child.number), os.O_WRONLY))

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            for child in list(self._children):
                self._reap(child)
            return
        if number in Signals.ENDING and not self.stopped:
            self._stop_by = time.monotonic() + max(_GRACE, self._attempt.asked("warn", 0))
            self._claims.leave()
        if not self._signals.went_to_all(number):
            self._signal_all(number)

    def _signal_all(self, number: int) -> None:
        for child in self._children:
            child.signal(number)

    def _reap(self, child: Child) -> None:
        """Take leave of a slot if it has ended; look whether it died during a call."""
        ended = child.reap()
        if ended is None:
            return
        self.peak = max(self.peak, ended[1])
        if child.replies >= 0 and select.select([child.replies], [], [], 0)[0]:
            self._hear(child)
        self._children.remove(child)
        child.forget()
        if child.call is not None and not self.stopped:
            self._died(child, child.call, ended[0])

    def _died(self, child: Child, call: int, status: int) -> None:
        seconds = time.monotonic() - child.since
        kind = recorded(self._attempt.results(child.number)).get(call)
        if kind is not None:  # it died between the record and the reply
            return self._end(Reply(kind in ("value", "again"), seconds, None))
        how, message = death(status)
        header = {"kind": "died", "call": call, "message": message, "host": host(), "seconds": round(seconds, 3)}
        self._record(dict(header, **how))
        deaths = self._deaths + 1
        self._end(Reply(False, seconds, {"error": message}))
        self._deaths = deaths
        if deaths >= _FATAL:
            print("clustrix: %d processes in a row have died: giving up" % deaths, file=sys.stderr, flush=True)
            self._claims.leave()

    def _claimed(self, first: int, count: int) -> None:
        """Record which positions of the round's open calls are this task's: they will be begun in this order.

        None: the task ends by itself, and what it had claimed and not ended was not begun.
        """
        self._record({"kind": "claimed", "first": first, "count": count})

    def _record(self, header: "Dict[str, Any]") -> None:
        """Write a record of the task's own. What a child had begun to write may be cut off: nobody adds to that."""
        try:
            write_all(self._results, records.pack(self._attempt.signer, dict(header, run=self._attempt.run(0))))
        except OSError as error:
            print("clustrix: a %s record cannot be written: %s" % (header["kind"], error), file=sys.stderr)
        os.close(os.dup(self._results))  # see _flush

    def _fork(self) -> Child:
        self._slots += 1
        results = self._attempt.create_results(self._slots)
        child = Child(self._attempt, self._slots, results, self._signals, self._children)
        self._children.append(child)
        return child
