"""``run ROUND TASK``: run one task in the job directory that is the working directory."""

import json
import os
import signal
import struct
import sys

from clustrix_core.worker import inside, slot, summary
from clustrix_core.worker.attempt import Attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Tuple

TERMINATED = 143


def run(round: int, task: int) -> int:
    """Return the exit code: 0 when all its calls have returned, 1 when one has not, 143 when told to stop."""
    for number in (signal.SIGINT, signal.SIGQUIT):  # the job's shell has started us in the background, deaf to them
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    attempt = Attempt(os.getcwd(), round, task)
    for name in ("stdout", "stderr"):
        slot.make_live(name, shared=(attempt.spec.get("width") or 1) > 1)
    results = attempt.begin()
    header = payload_header(attempt.path("payload"))
    inside.install(attempt.spec)
    if header["kind"] == "command":
        code, facts = _run_command(attempt, results, header["command"])
    else:
        code, facts = _run_calls(attempt, results)
    summary.write(attempt, code, facts)
    return code


def payload_header(path: str) -> "Dict[str, Any]":
    """Return the header of a payload without importing what reads the rest."""
    with open(path, "rb") as file:
        magic, length = struct.unpack("<4sI", file.read(8))
        header: "Dict[str, Any]" = json.loads(file.read(length).decode("utf-8"))
    return header


def _run_command(attempt: Attempt, results: int, line: str) -> "Tuple[int, Dict[str, Any]]":
    from clustrix_core.worker.command import Command

    command = Command(attempt, results, line)
    command.run()
    return (TERMINATED if command.stopped else command.code), dict(command.shown, peak_memory=command.peak)


def _run_calls(attempt: Attempt, results: int) -> "Tuple[int, Dict[str, Any]]":
    from clustrix_core.worker import checkpoint, pickling
    from clustrix_core.worker.task import Task

    # Imported here, every slot has it.
    pickling.pickler_class()
    if attempt.asked("warn"):
        checkpoint.listen()
    sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
    sys.argv[:] = ["clustrix"]
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    task = Task(attempt, results)
    task.run()
    facts: "Dict[str, Any]" = {"peak_memory": task.peak}
    if attempt.spec["calls"] > 1:
        facts.update(calls=task.ended, failed=task.failed)
    facts.update(task.shown or {})
    return TERMINATED if task.stopped else int(task.failed > 0), facts
