"""Transports for tests: one that plays answers, and others on which something goes wrong."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from clustrix_core.errors import TransportError
from clustrix_core.transport import DEADLINE, Completed, Transport

Sink = Callable[[bytes], None] | None


@dataclass(frozen=True)
class Ran:
    """One command that was run, and all that it got on stdin."""

    command: str
    stdin: bytes


@dataclass
class _Answer:
    pattern: re.Pattern[str]
    completed: Completed
    error: Exception | None
    times: int | None


@dataclass
class FakeTransport:
    """A transport that reaches nothing. ``ran`` keeps what was run; what nobody has told it to answer is an error."""

    here: bool = False
    ran: list[Ran] = field(default_factory=list)
    _answers: list[_Answer] = field(default_factory=list)

    def answer(
        self,
        pattern: str,
        out: str | bytes = b"",
        err: str | bytes = b"",
        rc: int = 0,
        *,
        error: Exception | None = None,
        times: int | None = None,
    ) -> None:
        """Answer commands in which the regular expression is found, ``times`` often (None: always); the last told
        counts. ``error`` is raised in place of an answer."""
        completed = Completed(rc, _bytes(out), _bytes(err))
        self._answers.insert(0, _Answer(re.compile(pattern, re.DOTALL), completed, error, times))

    @property
    def commands(self) -> list[str]:
        """What was run, in order."""
        return [ran.command for ran in self.ran]

    @property
    def runs(self) -> int:
        """How many commands were run."""
        return len(self.ran)

    def run(self, command: str, stdin: Iterable[bytes] = (), sink: Sink = None, idle: float = DEADLINE) -> Completed:
        """Play the answer to a command."""
        self.ran.append(Ran(command, b"".join(stdin)))
        for answer in self._answers:
            if answer.times != 0 and answer.pattern.search(command):
                answer.times = None if answer.times is None else answer.times - 1
                if answer.error is not None:
                    raise answer.error
                return _played(answer.completed, sink)
        raise AssertionError(f"the fake transport was not told what to answer to {command!r}; see answer()")

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _played(completed: Completed, sink: Sink) -> Completed:
    if sink is None:
        return completed
    sink(completed.stdout)
    return Completed(completed.returncode, b"", completed.stderr)


@dataclass
class Beside:
    """A transport over another one, ``under``, that does as it does. ``runs`` counts what was asked of it."""

    under: Transport
    runs: int = 0

    @property
    def here(self) -> bool:
        return self.under.here

    def run(self, command: str, stdin: Iterable[bytes] = (), sink: Sink = None, idle: float = DEADLINE) -> Completed:
        """Run a command, or what becomes of it."""
        self.runs += 1
        return self.reach(command, stdin, sink, idle)

    def reach(self, command: str, stdin: Iterable[bytes], sink: Sink, idle: float) -> Completed:
        return self.under.run(command, stdin, sink, idle)

    def close(self) -> None:
        self.under.close()


@dataclass
class Cut(Beside):
    """The connection breaks before anything arrives; ``late`` lets it arrive after all."""

    held: list[Ran] = field(default_factory=list)

    def reach(self, command: str, stdin: Iterable[bytes], sink: Sink, idle: float) -> Completed:
        self.held.append(Ran(command, b"".join(stdin)))
        raise TransportError("the contract cut this connection before the command arrived")

    def late(self) -> None:
        """Deliver what was held back, as a connection does that everybody thought dead."""
        for ran in self.held:
            self.under.run(ran.command, [ran.stdin])


@dataclass
class Deaf(Beside):
    """Commands run to their end, and then the connection breaks: nobody hears the answer."""

    def reach(self, command: str, stdin: Iterable[bytes], sink: Sink, idle: float) -> Completed:
        self.under.run(command, stdin, None, idle)
        raise TransportError("the contract cut this connection before the answer arrived")


@dataclass
class Failing(Beside):
    """Every command fails with this exit code and says so, as where a file system or a scheduler is away."""

    returncode: int = 1

    def reach(self, command: str, stdin: Iterable[bytes], sink: Sink, idle: float) -> Completed:
        for _ in stdin:
            pass
        return Completed(self.returncode, b"", b"the contract lets every command fail")


@dataclass
class Without(Beside):
    """These programs fail wherever they are called by name."""

    programs: Sequence[str] = ()

    def reach(self, command: str, stdin: Iterable[bytes], sink: Sink, idle: float) -> Completed:
        fail = shlex.quote("#!/bin/sh\necho the contract lets this program fail >&2\nexit 1\n".replace("\n", "\\n"))
        names = shlex.join(self.programs)
        shim = f'for name in {names}; do printf {fail} >"$away/$name" && chmod 755 "$away/$name" || exit 1; done'
        inner = f'PATH="$away:$PATH" /bin/sh -c {shlex.quote(command)}'
        wrapped = f'away=$(mktemp -d) || exit 1; {shim}; {inner}; code=$?; rm -rf "$away"; exit $code'
        return self.under.run(wrapped, stdin, sink, idle)
