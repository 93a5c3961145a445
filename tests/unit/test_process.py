"""Commands of this machine: what their streams promise."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from clustrix_core.transport import Completed, process


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_keep_a_command_waiting() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def stream() -> Iterator[bytes]:
        yield b"some"
        begun.set()
        go_on.wait(10)
        yield b"thing"

    said: list[Completed] = []
    thread = threading.Thread(target=lambda: said.append(process.run(["cat"], stream(), None, 20)))
    thread.start()
    assert begun.wait(10)
    child = os.fork()
    if not child:
        time.sleep(8)
        os._exit(0)
    go_on.set()
    thread.join(4)
    try:
        assert [completed.stdout for completed in said] == [b"something"]
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        thread.join()
