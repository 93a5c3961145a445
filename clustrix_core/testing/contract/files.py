"""What comes home: results, markers and logs."""

from __future__ import annotations

import dataclasses
import os
import time

from clustrix_core.model import JobHandle
from clustrix_core.testing.contract.bench import Bench
from clustrix_core.testing.contract.subject import Subject
from clustrix_core.testing.contract.watch import unpickled

LARGE = 1 << 19  # and yet part of its record
BLOB = 1 << 21


class FileContract(Subject):
    """Promises of ``fetch`` and ``logs``."""

    def test_fetch_brings_what_is_new(self, bench: Bench) -> None:
        """``fetch`` brings a result once, in one exec, never unpickles it, and removes what is discarded."""

        def large() -> object:
            import pathlib

            return pathlib.PurePosixPath("/"), bytes(1 << 19)

        handle = bench.ended(large)
        with unpickled() as loaded:
            cost = bench.counted(lambda: bench.fetch(handle))
            self._all_here(bench, handle)
        assert loaded == [], f"fetch unpickled {loaded}: results are not checked yet, copy bytes and nothing else"
        assert cost <= 1, f"fetch of one job ran {cost} commands: one stream is enough"
        value, error = bench.outcome(handle)
        assert error is None and len(value[1]) == LARGE, f"the result is damaged: {error!r}"
        before = bench.transport.received
        again = bench.fetch(handle)[handle.job]
        received = bench.transport.received - before
        assert not again.new and received < LARGE // 4, (
            f"fetch copied {again.new} again ({received} bytes): the size of the local file is where to go on"
        )
        bench.fetch(dataclasses.replace(handle, discard=True))
        gone = bench.fetch(handle)[handle.job]
        assert gone.missing, "what fetch was told to discard is still there"

    def test_a_large_value_waits_until_it_is_asked_for(self, bench: Bench) -> None:
        """``fetch`` brings a ``value-…`` only where there is a file of that name, be it empty, and goes on there."""

        def huge() -> bytes:
            return bytes(1 << 21)

        handle = bench.ended(huge)
        results, deadline = bench.into / handle.job, time.monotonic() + bench.patience
        while not any(path.stat().st_size for path in results.glob("results-*.1")):
            assert time.monotonic() < deadline, f"fetch brings no result: {[path.name for path in results.glob('*')]}"
            bench.fetch(handle)
        unasked = [path.name for path in results.glob("value-*")]
        assert not unasked, f"fetch brought {unasked}, which nobody has asked for: it may be meant to stay"
        value, error = bench.outcome(handle)
        assert error is None and len(value) == BLOB, f"the result is damaged: {error!r}"
        (blob,) = results.glob("value-*")
        size = blob.stat().st_size
        os.truncate(blob, size - 1000)
        before = bench.transport.received
        bench.fetch(handle)
        received = bench.transport.received - before
        assert blob.stat().st_size == size and received < BLOB // 4, (
            f"fetch brought {received} bytes where 1000 were missing: the size of the local file is where to go on"
        )

    def _all_here(self, bench: Bench, handle: JobHandle) -> None:
        deadline = time.monotonic() + bench.patience
        results = bench.into / handle.job
        while sum(path.stat().st_size for path in results.glob("results-*")) < LARGE:
            assert time.monotonic() < deadline, f"fetch brings no result: {[path.name for path in results.glob('*')]}"
            bench.fetch(handle)

    def test_a_stranger_has_nothing(self, bench: Bench) -> None:
        """A job without a directory is missing, and its log is empty; neither is an error."""
        stranger = JobHandle("e" * 16, "stranger-" + "e" * 16, "17")
        assert bench.fetch(stranger)[stranger.job].missing, "fetch did not say that there is no such directory"
        chunk = bench.chunk(stranger)
        assert (chunk.text, chunk.next) == ("", 0), f"the log of a job without one is {chunk}"

    def test_logs_go_on_from_an_offset(self, bench: Bench) -> None:
        """``logs`` returns what was written after an offset, in whole characters; negative: the last bytes."""
        handle = bench.ended('printf "first \\342\\230\\203\\nsecond \\303\\251\\n"')
        whole = bench.chunk(handle)
        text = "first \u2603\nsecond \u00e9\n"
        assert text in whole.text, f"the log is {whole.text!r}: stdout of the job belongs there"
        assert whole.next == len(whole.text.encode()), f"next is {whole.next}: it is an offset in bytes"
        rest = bench.chunk(handle, whole.next)
        assert (rest.text, rest.next) == ("", whole.next), f"nothing new was written, and logs returns {rest}"
        at = whole.text.encode().index(b"second")
        assert bench.log(handle, at) == whole.text.encode()[at:].decode(), "logs does not go on where it was told to"
        tail = bench.chunk(handle, -4)
        assert whole.text.endswith(tail.text) and 0 < len(tail.text) <= 4, f"the last 4 bytes are not {tail.text!r}"
        assert tail.next == whole.next, f"after the tail logs goes on at {tail.next}, not at {whole.next}"
