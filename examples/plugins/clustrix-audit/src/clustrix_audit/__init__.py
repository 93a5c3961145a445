"""An audit log of what is submitted to any cluster, whichever backend answers for it, and of what becomes of it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from clustrix_audit import entries, log
from clustrix_core.errors import TransportError
from clustrix_core.hookspecs import hookimpl
from clustrix_core.model import Cluster, JobHandle, JobSpec, JobStatus


@hookimpl(wrapper=True)
def submit(job: JobSpec, cluster: Cluster) -> Generator[None, JobHandle, JobHandle]:
    # What cannot be written down is not submitted: this raises before anything reaches the cluster.
    with log.opened() as book:
        try:
            handle = yield
        except TransportError as error:  # there may be a job; whoever looks for it finds out
            book.write(entries.submission("unanswered", job, cluster, error=str(error)))
            raise
        except Exception as error:
            book.write(entries.submission("refused", job, cluster, error=str(error)))
            raise
        book.write(entries.submission("submitted", job, cluster, native=handle.native))
    return handle


@hookimpl
def job_changed(handle: JobHandle, before: JobStatus, after: JobStatus, cluster: Cluster) -> None:
    with log.opened() as book:
        book.write(entries.change(handle, before, after, cluster))


@hookimpl
def register_commands(cli: Any) -> None:
    from clustrix_audit.command import audit

    cli.add_command(audit)
