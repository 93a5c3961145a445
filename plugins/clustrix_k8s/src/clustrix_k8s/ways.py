"""Ways to the stream of a pod's files, for the toolkit that reads it: last words of a container, or a command in it."""

from __future__ import annotations

import base64
import binascii
import re
import shlex
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from clustrix_core.errors import CommandError, TransportError
from clustrix_core.model import Cluster
from clustrix_core.transport import DEADLINE, Completed
from clustrix_k8s import asking, manifest

LARGEST = 1 << 24  # bytes that a container's last words may unpack to
NO_RIGHT = (
    "The right to create and get pods/exec is missing: ask the cluster's administrator for a Role as"
    " docs/tutorials/kubernetes.md shows it. `clustrix doctor` says which rights there are."
)
_LEFT = re.compile(r"clustrix: left (\d{1,9})")

Sink = Callable[[bytes], None] | None


class Unreached(TransportError):
    """No command could be run in the container that keeps results, or it was broken off."""


class _Way:
    """A way to the stream of one pod; what the toolkit would have run in a shell is of no use here."""

    here = False

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class LastWords(_Way):
    """The stream is in a container's termination message."""

    words: str

    def run(self, command: str, stdin: Iterable[bytes] = (), sink: Sink = None, idle: float = DEADLINE) -> Completed:
        try:
            unpacker = zlib.decompressobj(wbits=31)
            stream = unpacker.decompress(base64.b64decode(self.words, validate=True), LARGEST)
        except (binascii.Error, zlib.error, ValueError) as error:
            raise CommandError(f"a container's last words are damaged: {error}") from error
        assert sink is not None
        sink(stream)
        return Completed(0)


@dataclass
class Keeper(_Way):
    """The stream comes from a command in the container that keeps the results of the pod ``namespace/pod``.

    Raises Unreached where none can be run there; what is wrong with a stream is for the toolkit to say.
    """

    cluster: Cluster
    place: str
    left: int = field(default=0, init=False)  # values that nobody has asked for yet

    def run(self, command: str, stdin: Iterable[bytes] = (), sink: Sink = None, idle: float = DEADLINE) -> Completed:
        request = b"".join(stdin)
        done = self._execute("give", [b"%d\n" % len(request) + request], sink, idle)
        said = _LEFT.search(done.error)
        self.left = int(said[1]) if said else 0
        return done

    def release(self) -> None:
        """Tell it that all is fetched."""
        self._execute("release")

    def _execute(self, word: str, stdin: Iterable[bytes] = (), sink: Sink = None, idle: float = DEADLINE) -> Completed:
        argv = [*shlex.split(self.cluster.python), f"{manifest.IN}/worker/pod.py", word, manifest.work(self.cluster)]
        wrong: list[CommandError] = []

        def listen(data: bytes) -> None:
            assert sink is not None
            try:
                sink(data)
            except CommandError as error:
                wrong.append(error)
                raise

        try:
            command = f"EXEC {self.place} keeper {shlex.join(argv)}"
            return self.cluster.transport.run(command, stdin, listen if sink else None, idle)
        except (CommandError, TransportError) as error:
            if error in wrong or not error.transient:
                raise
            refused = isinstance(error, CommandError) and error.returncode == asking.FORBIDDEN
            raise Unreached(str(error.args[0]), hint=NO_RIGHT if refused else error.hint) from error
