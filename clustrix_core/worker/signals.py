"""The signals of a process that waits in ``select``: they come as bytes of a pipe, and are passed on, not obeyed."""

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Dict, List, Optional, Type


class Signals:
    """Collects signals from now on. ``fd`` is readable when there is one."""

    ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    _ALL = ENDING + (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU, signal.SIGCHLD)

    def __init__(self) -> None:
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

    def blocked(self) -> "Blocked":
        """Return a context in which no signal is delivered."""
        return Blocked(self._ALL)

    def reset(self) -> None:
        """In a new process: be as one that has never collected any."""
        signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._write)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._ALL)


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
