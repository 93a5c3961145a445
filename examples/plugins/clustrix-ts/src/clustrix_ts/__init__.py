"""task-spooler for Clustrix: a queue of slots on one machine. Run against `tsp` 1.0.1 of Debian 12."""

from __future__ import annotations

from dataclasses import dataclass, field

from clustrix_core import batch
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import BackendInfo
from clustrix_ts import answers, commands, room


@dataclass(frozen=True)
class TsOptions:
    """What only task-spooler knows."""

    program: str = field(default="tsp", metadata={"help": "its program; outside of Debian it is called ts"})
    socket: str | None = field(default=None, metadata={"help": "socket of the queue; absent: as tsp has it"})
    slots: int | None = field(default=None, metadata={"help": "slots of a queue that Clustrix starts (TS_SLOTS)"})


TS = batch.Dialect(
    name="task-spooler",
    directives=room.directives,
    submit=commands.submit,
    read_job_id=answers.read_job_id,
    queries=(
        batch.Query(commands.queue, answers.read_queue),
        # A queue that was restarted has forgotten its jobs, but those that ran run on.
        batch.Query(commands.processes, answers.read_processes),
    ),
    cancel=commands.cancel,
    states=answers.STATES,
    task="$2",  # the script's arguments are its name and its task: tsp has neither arrays nor variables of its own
    directory=".",
    native="$1",
    own_log=True,
    probe=commands.probe,
    read_probe=room.read,
    check=room.check,
)


@hookimpl
def describe_backend() -> BackendInfo:
    return BackendInfo(
        "ts", TsOptions, "task-spooler, over SSH or on this machine", lacks=room.FOREIGN, programs=("tsp",)
    )


check, provision, render_script, submit, find, status, fetch, logs, cancel = batch.hooks(TS, __name__)
