"""What the tests know of a cluster that they run on, whoever schedules there."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

# By the name of the backend. Each is a package here with ``why_not() -> str`` (why this machine cannot have it, "" when
# it can), ``up(*, alone=False) -> Bed`` and ``leave() -> None``.
NAMES = ("slurm", "sge", "pbs", "k8s")
PACKAGES = {"k8s": "kubernetes"}  # where the package has another name


class Bed(Protocol):
    """A real cluster on this machine, with a login node to reach over SSH."""

    @property
    def alias(self) -> str:
        """The login node's name in ``ssh_config``."""

    @property
    def ssh_config(self) -> Path: ...

    @property
    def user(self) -> str:
        """The ordinary user who logs in."""

    @property
    def home(self) -> Path: ...

    @property
    def narrow(self) -> Mapping[str, Any]:
        """Resources with which jobs run one at a time, and which no other test asks for."""

    @property
    def variable(self) -> str:
        """The environment variable in which a job finds the scheduler's id of it."""

    def run(self, *argv: str, user: str = ..., timeout: float = 60, check: bool = True) -> str:
        """Run a command as a user of the cluster on its login node, with the scheduler's programs on PATH."""

    def ended(self, native: str) -> str:
        """Return the scheduler's own word for how a job ended; "" while it lives or is not known."""

    def cancel(self, native: str) -> None:
        """Cancel a job as its owner does who has never heard of Clustrix."""

    def forget(self, native: str) -> contextlib.AbstractContextManager[None]:
        """Make the scheduler deny a running job by its name; the job is ended at the end."""
