"""The signals of a process that waits in ``select``: they come as bytes of a pipe, and are passed on, not obeyed."""

import os
import select
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Dict, List, Optional, Sequence, Type


class Signals:
    """Collects signals from now on. ``fd`` is readable when there is one."""

    ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    _ALL = ENDING + (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU, signal.SIGCHLD)

    def __init__(self) -> None:
        self._witness = Witness(self._ALL)
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write)
        self._before: "Dict[int, Any]" = {}
        for number in self._ALL:
            # What the submitter had ignored (nohup) stays ignored.
            if number == signal.SIGCHLD or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, _ignore)

    def take(self) -> "List[int]":
        """Return the signals that have come since the last time, each once."""
        try:
            return sorted(set(os.read(self.fd, 4096)))
        except BlockingIOError:
            return []

    def went_to_all(self, number: int) -> bool:
        """Whether a signal that came went to all processes around us, so that passing it on would deliver it twice."""
        return self._witness.saw(number)

    def close(self) -> None:
        """Collect no more."""
        self._witness.end()

    def blocked(self) -> "Blocked":
        """Return a context in which no signal is delivered."""
        return Blocked(self._ALL)

    def reset(self) -> None:
        """In a new process: be as one that has never collected any."""
        signal.set_wakeup_fd(-1)
        for fd in (self.fd, self._write) + self._witness.ends:
            os.close(fd)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._ALL)


class Witness:
    """A process of our group that does nothing but tell which signals it gets.

    Schedulers signal all processes of a job, people and containers only the first one. A function that writes a
    checkpoint when it hears SIGTERM must hear it once: a second one would interrupt just that.
    """

    _PATIENCE = 0.3

    def __init__(self, numbers: "Sequence[int]") -> None:
        heard, tell = os.pipe()
        gone, stay = os.pipe()
        self.ends = (heard, stay)
        self._pid = os.fork()
        if self._pid == 0:
            self._be_witness(numbers, tell, gone)
        os.close(tell)
        os.close(gone)

    def saw(self, number: int) -> bool:
        """Whether it got the signal too, now or a moment ago."""
        told = b""
        while number not in told:
            if not select.select([self.ends[0]], [], [], self._PATIENCE)[0]:
                return False
            more = os.read(self.ends[0], 64)
            if not more:  # somebody has killed it
                return True
            told += more
        return True

    def end(self) -> None:
        """Let it go."""
        for fd in self.ends:
            os.close(fd)
        os.waitpid(self._pid, 0)

    def _be_witness(self, numbers: "Sequence[int]", tell: int, gone: int) -> None:
        try:
            for fd in self.ends:
                os.close(fd)
            os.set_blocking(tell, False)
            signal.set_wakeup_fd(tell)
            for number in numbers:
                signal.signal(number, _ignore)
            nothing = os.open(os.devnull, os.O_RDWR)
            for fd in range(3):
                os.dup2(nothing, fd)
            os.read(gone, 1)  # until nobody holds the other end
        finally:
            os._exit(0)


class Blocked:
    """Holds signals back: what comes meanwhile is delivered afterwards."""

    def __init__(self, numbers: "Any") -> None:
        self._numbers = numbers
        self._mask: "Any" = None

    def __enter__(self) -> None:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)

    def __exit__(
        self, kind: "Optional[Type[BaseException]]", error: "Optional[BaseException]", trace: "Optional[TracebackType]"
    ) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def _ignore(number: int, frame: "Any") -> None:
    """The byte in the pipe says it all."""
