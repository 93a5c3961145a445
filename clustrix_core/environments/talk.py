"""What the worker says of environments: lines ``clustrix-env WORD JSON`` among whatever else a login shell prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from clustrix_core.errors import CommandError
from clustrix_core.worker.building import SAY

LONGEST = 1 << 22  # bytes of a line: longer ones come from somebody else


class Lines:
    """Takes what arrives and hands on what was said; ``heard`` counts it. Every byte of it is untrusted."""

    def __init__(self, hear: Callable[[str, Any], None]) -> None:
        self.heard = 0
        self._hear, self._rest = hear, b""

    def feed(self, data: bytes) -> None:
        """Take some bytes. Raises CommandError where an answer is damaged."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST:
            raise CommandError("the answer about environments has no end", transient=True)
        for line in whole:
            self._read(line.decode("utf-8", "replace"))

    def _read(self, line: str) -> None:
        begin, _, rest = line.partition(" ")
        word, _, text = rest.partition(" ")
        if begin != SAY:
            return
        try:
            what = json.loads(text)
        except ValueError:
            raise CommandError(f"the answer about environments is damaged: {line[:200]!r}", transient=True) from None
        self.heard += 1
        self._hear(word, what)


__all__ = ["Lines"]
