"""The steps of one client, counted as it takes them: journal writes, hooks, transport commands; at one, a disturbance.

Put under the real code of a client process by `install`. Each step has a key, ``KIND NAME NUMBER``, that is the same
in every run of the same story; what is reached is written to a file line by line, so that it survives the process.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from clustrix_core.database import Database
from clustrix_core.dispatch import Dispatch
from clustrix_core.engine import places
from clustrix_core.errors import TransportError
from clustrix_core.transport import DEADLINE, Completed, Transport

BEFORE, AFTER = "before", "after"
Sink = Callable[[bytes], None]
_NOISE = b"\n* Welcome! Your quota is exceeded. *\n" + random.Random(1).randbytes(3000) + b"\n"
_HANG = 1.0  # seconds until a command that hangs runs into the transport's deadline


class Steps:
    """Notes in a file which steps are reached, and kills the process at ``at``, before or after it."""

    def __init__(self, file: Path, at: str = "", fault: str = "") -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.at, self.fault = at, fault
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.here = threading.local()

    @contextmanager
    def step(self, kind: str, name: str) -> Iterator[str]:
        with self._lock:
            self._counts[f"{kind} {name}"] += 1
            key = f"{kind} {name} {self._counts[f'{kind} {name}']}"
        self._reach(key, BEFORE)
        yield key
        self._reach(key, AFTER)

    def note(self, key: str, when: str, **facts: Any) -> None:
        line = {"key": key, "when": when, "thread": threading.get_ident(), **facts}
        os.write(self._file, (json.dumps(line) + "\n").encode())

    def _reach(self, key: str, when: str) -> None:
        self.note(key, when)
        if (key, when) == (self.at, self.fault):
            os.kill(os.getpid(), signal.SIGKILL)


class Disturbed:
    """A transport, one command of which goes wrong."""

    def __init__(self, transport: Transport, steps: Steps) -> None:
        self._transport, self._steps = transport, steps

    @property
    def here(self) -> bool:
        return self._transport.here

    def run(
        self, command: str, stdin: Iterable[bytes] = (), sink: Sink | None = None, idle: float = DEADLINE
    ) -> Completed:
        with self._steps.step("run", getattr(self._steps.here, "hook", "-")) as key:
            sent = list(stdin)  # small ones, all of them
            fault = FAULTS.get(self._steps.fault, undisturbed) if key == self._steps.at else undisturbed
            answered: list[int] = []

            def count(data: bytes) -> None:
                answered.append(len(data))
                if sink:
                    sink(data)

            done = fault(self._transport.run, command, sent, count if sink else None)
            size = sum(answered) + len(done.stdout)
            self._steps.note(key, "answer", sent=sum(map(len, sent)), size=size, code=done.returncode)
        return done

    def close(self) -> None:
        self._transport.close()


Run = Callable[..., Completed]
Fault = Callable[[Run, str, list[bytes], "Sink | None"], Completed]


def undisturbed(run: Run, command: str, stdin: list[bytes], sink: Sink | None) -> Completed:
    return run(command, stdin, sink)


def refused(run: Run, command: str, stdin: list[bytes], sink: Sink | None) -> Completed:
    """The connection breaks before the command starts."""
    raise TransportError("the connection was closed")


def lost(run: Run, command: str, stdin: list[bytes], sink: Sink | None) -> Completed:
    """The command works; half of its answer arrives."""
    answer: list[bytes] = []
    run(command, stdin, answer.append)
    whole = b"".join(answer)
    if sink:
        sink(whole[: len(whole) // 2])
    raise TransportError("the connection was reset")


def hangs(run: Run, command: str, stdin: list[bytes], sink: Sink | None) -> Completed:
    """The command is never reached, and the transport's own deadline ends that."""
    return run(f"sleep {3 * _HANG:.0f}; {command}", stdin, sink, _HANG)


def late(run: Run, command: str, stdin: list[bytes], sink: Sink | None) -> Completed:
    """The command works when all is over, and its client long done."""

    def work() -> None:
        threading.main_thread().join()
        run(command, stdin)

    threading.Thread(target=work).start()
    raise TransportError("nothing heard, given up")


def garbage(run: Run, command: str, stdin: list[bytes], sink: Sink | None) -> Completed:
    """The command works; something else is heard in the place of its answer."""
    done = run(command, stdin, lambda data: None)
    if sink:
        sink(_NOISE)
        return Completed(done.returncode)
    return Completed(done.returncode, _NOISE)


def half(run: Run, command: str, stdin: list[bytes], sink: Sink | None) -> Completed:
    """The connection breaks while half of what is sent has arrived."""
    whole = b"".join(stdin)
    run(command, [whole[: len(whole) // 2]], lambda data: None)
    raise TransportError("the connection was reset by its other end")


FAULTS: dict[str, Fault] = {fault.__name__: fault for fault in (refused, lost, hangs, late, garbage, half)}


def install(steps: Steps) -> None:
    """Put the steps of this process under its journal, its hooks and its transports."""
    connect, writing, ask, tell = places.connect, Database.writing, Dispatch._ask, Dispatch._tell

    @contextmanager
    def around(name: str, transaction: AbstractContextManager[Any]) -> Iterator[Any]:
        with steps.step("journal", name), transaction as db:
            yield db

    def wrote(journal: Database) -> AbstractContextManager[Any]:
        frame = sys._getframe(1)
        while frame.f_code.co_name in ("_noting", "__enter__") and frame.f_back:
            frame = frame.f_back
        return around(frame.f_code.co_name, writing(journal))

    def asked(dispatch: Dispatch, hook: str, *args: Any, **arguments: Any) -> Any:
        steps.here.hook = hook
        with steps.step("hook", hook):
            return ask(dispatch, hook, *args, **arguments)

    def told(dispatch: Dispatch, hook: str, **arguments: Any) -> None:
        with steps.step("hook", hook):
            tell(dispatch, hook, **arguments)

    places.connect = lambda *args: Disturbed(connect(*args), steps)
    Database.writing, Dispatch._ask, Dispatch._tell = wrote, asked, told  # type: ignore[method-assign, assignment]
