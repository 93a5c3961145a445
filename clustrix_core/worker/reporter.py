"""``report_progress``: at most one small file a second is written, however often a function reports."""

import atexit
import os
import sys
import threading
import time

from clustrix_core.worker import key, progress
from clustrix_core.worker.inside import REPORTS
from clustrix_core.worker.machine import host
from clustrix_core.worker.records import Signer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

    from clustrix_core.worker.progress import Number

PAUSE = 1.0  # seconds between two writes of a process


def report_progress(done: "Number", total: "Optional[Number]" = None, text: str = "") -> None:
    """Say how far this call is: ``done`` of ``total``, in whatever unit, and a text (120 characters of it).

    Whoever waits sees it as ``job.progress``. It may be called as often as you like, and from any process of the call:
    a process writes at most one report a second, and its last one always, unless it is killed. Outside of a job it
    does nothing. Raises ConfigError, there too, for numbers that are negative or not finite.
    """
    said = progress.checked(done, total, text)
    target = os.environ.get(REPORTS)
    if target:
        _reporter(target).take(said)


def flush() -> None:
    """Write what this process has reported last, if it has not been written yet."""
    if _mine():
        _last[0].flush()


class _Reporter:
    """Writes the reports of one process for one call."""

    def __init__(self, target: str) -> None:
        self.pid, self.target = os.getpid(), target
        call, _, self._path = target.partition(" ")
        self._call = int(call)
        self._directory, self._name = os.path.split(self._path)
        # A job that was submitted from within a job has the environment of that one.
        self._able = os.path.basename(self._directory) == os.environ.get("CLUSTRIX_JOB")
        self._signer: "Optional[Signer]" = None
        self._said: "Optional[Dict[str, Any]]" = None
        self._next = 0.0
        self._timer: "Optional[threading.Timer]" = None
        self._lock = threading.RLock()  # a handler of signals may report as well

    def take(self, said: "Dict[str, Any]") -> None:
        """Write a report: now, or when the last one is old enough."""
        with self._lock:
            self._said = dict(said, call=self._call, at=round(time.time(), 3))
            self._write_or_wait()

    def flush(self) -> None:
        """Write what is waiting."""
        with self._lock:
            timer, self._timer = self._timer, None
            if self._said is not None:
                self._write()
        _end(timer)

    def rest(self) -> None:
        """End the thread that would write what is waiting."""
        with self._lock:
            timer, self._timer = self._timer, None
        _end(timer)

    def go_on(self) -> None:
        """Start it again, if something is waiting."""
        with self._lock:
            if self._said is not None:
                self._write_or_wait()

    def _wake(self) -> None:
        with self._lock:
            if self._timer is threading.current_thread():
                self._timer = None
                if self._said is not None:
                    self._write_or_wait()

    def _write_or_wait(self) -> None:
        wait = self._next - time.monotonic()
        if wait > 0 and self._timer is None:
            timer = threading.Timer(wait, self._wake)
            timer.daemon = True
            try:
                timer.start()
                self._timer = timer
            except RuntimeError:  # the interpreter is about to end
                wait = 0
        if wait <= 0:
            self._write()

    def _write(self) -> None:
        said, self._said = self._said, None
        self._next = time.monotonic() + PAUSE
        if said is None or not self._able:
            return
        new = "%s.%s.%d.new" % (self._path, host(), self.pid)
        try:
            if self._signer is None:
                secret = key.read(os.path.join(self._directory, "key"))
                self._signer = Signer(secret, os.path.basename(self._directory))
            with open(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
                file.write(progress.pack(self._signer, self._name, said))
            os.replace(new, self._path)
        except (OSError, ValueError, SystemExit) as error:  # a courtesy, and no reason for a call to fail
            self._able = False
            print("clustrix: progress cannot be written any more: %s" % error, file=sys.stderr)


_last: "List[_Reporter]" = []
_provided: "List[int]" = []  # the process whose end has been provided for


def _reporter(target: str) -> _Reporter:
    if not _mine() or _last[0].target != target:
        flush()
        _last[:] = [_Reporter(target)]
        _provide()
    return _last[0]


def _mine() -> bool:
    return bool(_last) and _last[0].pid == os.getpid()


def _provide() -> None:
    """See to it that the last report of a child of multiprocessing is written: it ends without ``atexit``."""
    util: "Any" = sys.modules.get("multiprocessing.util")
    if util is not None and _provided != [os.getpid()]:
        _provided[:] = [os.getpid()]
        util.Finalize(None, flush, exitpriority=0)


def _end(timer: "Optional[threading.Timer]") -> None:
    if timer is not None:
        timer.cancel()
        timer.join()


def _before_fork() -> None:
    # A fork beside a thread makes Python warn.
    if _mine():
        _last[0].rest()


def _after_fork() -> None:
    if _mine():
        _last[0].go_on()


atexit.register(flush)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)
