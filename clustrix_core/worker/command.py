"""A job that is a shell command: no pickle is involved anywhere."""

import os
import signal
import sys
import time

from clustrix_core.worker import records
from clustrix_core.worker.attempt import Attempt
from clustrix_core.worker.machine import host
from clustrix_core.worker.parts import Parts, write_all
from clustrix_core.worker.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator


class Command:
    """Runs a shell line as call 0 of an attempt. ``code`` is its exit code as a shell counts (128 + signal)."""

    def __init__(self, attempt: Attempt, results: int, line: str) -> None:
        self.peak = 0
        self.stopped = False
        self.code = 0
        self._attempt = attempt
        self._results = results
        self._line = line

    @property
    def shown(self) -> "Dict[str, Any]":
        """What ``result.json`` says of it."""
        return {"exit_code": self.code}

    def run(self) -> None:
        """Run it, unless an earlier attempt already has, and record how it ended."""
        import select

        for code in self._earlier():
            self.code = code
            return
        self._attempt.tries_left(0)
        started = time.time()
        signals = Signals()
        with signals.blocked():
            pid = os.fork()
            if pid == 0:
                self._be_shell(signals)
        warn_in = self._attempt.warn_in()
        warn_at = None if warn_in is None else time.monotonic() + warn_in
        while True:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                break
            select.select([signals.fd], [], [], None if warn_at is None else max(0.0, warn_at - time.monotonic()))
            if warn_at is not None and time.monotonic() >= warn_at:
                warn_at = None
                os.kill(pid, signal.SIGUSR1)
            for number in signals.take():
                if number != signal.SIGCHLD:
                    self.stopped = self.stopped or number in Signals.ENDING
                    if not signals.went_to_all(number):
                        os.kill(pid, number)
        signals.close()
        self.peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        self.code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        if not self.stopped:
            self._record(time.time() - started)

    def _earlier(self) -> "Iterator[int]":
        """Yield how earlier attempts have ended, where they have recorded it."""
        for path in self._attempt.before():
            with open(path, "rb") as file:
                for record in records.read_all(file, 0, self._attempt.signer):
                    file.seek(record.offset)
                    yield int(file.read(sum(record.sizes)))

    def _record(self, seconds: float) -> None:
        header = {"kind": "json", "call": 0, "run": self._attempt.run(0), "seconds": round(seconds, 3)}
        header.update(host=host(), peak=self.peak)
        body = Parts([b"%d" % self.code])
        write_all(self._results, records.pack(self._attempt.signer, header, body))

    def _be_shell(self, signals: Signals) -> None:
        try:
            signals.reset()
            # Python ignores these two; a command expects to die of them.
            for number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(self._attempt.spec.get("cwd") or os.environ.get("HOME") or "/")
            os.execv("/bin/sh", ["/bin/sh", "-c", self._line])
        except OSError as error:
            print("clustrix: %s: the command cannot be started: %s" % (host(), error), file=sys.stderr, flush=True)
        finally:
            os._exit(126)
