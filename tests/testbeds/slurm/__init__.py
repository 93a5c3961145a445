"""The Slurm test bed from Python: `slurm.up()`, `slurm.down()`, and what a test needs to know of it.

    from tests.testbeds import slurm
    bed = slurm.up()

Sessions that only use the bed share it. One that stops daemons or restarts it holds it alone (`up(alone=True)`),
and waits for the others to end. The last session to leave takes it down, unless somebody brought it up by hand.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.testbeds import holding

HERE = Path(__file__).parent
STATE = Path(os.environ.get("CLUSTRIX_SLURM_BED", "/var/lib/clustrix-testbeds/slurm"))
NODES = ("n1", "n2", "n3")
_LIVE = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED", "STAGE_OUT")


@dataclass(frozen=True)
class SlurmBed:
    """Where the bed listens, who may log in, and handles to break it with."""

    state: Path = STATE
    host: str = "127.0.0.1"
    port: int = 2222
    user: str = "hpc"
    alias: str = "testcluster"
    second_user: str = "hpc2"
    second_alias: str = "testcluster2"
    # Reached through `alias` as a jump host, with the second user's key.
    jump_alias: str = "testjump"
    password_port: int = 2223
    password_user: str = "hpc2"
    password_alias: str = "testpassword"
    nodes: tuple[str, ...] = field(default=NODES)

    @property
    def ssh_config(self) -> Path:
        return self.state / "ssh/ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.state / "ssh/known_hosts"

    @property
    def key_file(self) -> Path:
        return self.state / "ssh/id_hpc"

    @property
    def second_key_file(self) -> Path:
        return self.state / "ssh/id_hpc2"

    @property
    def password_file(self) -> Path:
        return self.state / "ssh/password_hpc2"

    @cached_property
    def password(self) -> str:
        return self.password_file.read_text().strip()

    @property
    def home(self) -> Path:
        return Path("~hpc").expanduser()

    variable = "SLURM_JOB_ID"

    @property
    def narrow(self) -> Mapping[str, Any]:
        return {"cores": 8, "partition": "debug", "directives": ["--nodelist=n3", "--exclusive"]}

    def ended(self, native: str) -> str:
        shown = self.root("scontrol", "-o", "show", "job", native, check=False)
        word = re.search(r"\bJobState=(\S+)", shown)
        return word[1] if word and word[1] not in _LIVE else ""

    def cancel(self, native: str) -> None:
        self.run("scancel", native)

    @contextlib.contextmanager
    def forget(self, native: str) -> Iterator[None]:
        # By another name it is another job: neither squeue nor sacct know ours any more.
        self.run("scontrol", "update", f"jobid={native}", "jobname=renamed")
        try:
            yield
        finally:
            self.cancel(native)

    def run(self, *argv: str, user: str = "hpc", timeout: float = 60, check: bool = True) -> str:
        """Run a command as a user of the cluster, on the login node (this machine); its stdout."""
        return holding.run_as(user, "/usr/local/bin:/usr/bin:/bin", argv, timeout, check)

    def root(self, *argv: str, timeout: float = 60, check: bool = True) -> str:
        """Run a command as root, as the cluster's administrator would."""
        return holding.script([*argv], timeout, check)

    def start(self, service: str) -> None:
        """One of munged mariadbd slurmdbd slurmctld n1 n2 n3 sshd sshd-password. A node is usable when this returns."""
        holding.script([str(HERE / "ctl.sh"), "start", service], 120)

    def stop(self, service: str) -> None:
        holding.script([str(HERE / "ctl.sh"), "stop", service], 60)

    def kill(self, service: str) -> None:
        """SIGKILL: no goodbye. Slurm takes 10 s and more to notice a dead node."""
        holding.script([str(HERE / "ctl.sh"), "kill", service], 60)

    def repair(self) -> str:
        """Everything runs again, with accounting; what had to be done for that."""
        return holding.script([str(HERE / "up.sh")], 300)

    @contextlib.contextmanager
    def without_accounting(self) -> Iterator[None]:
        """slurmctld restarted without slurmdbd; only for who holds the bed alone."""
        holding.script([str(HERE / "up.sh"), "--no-accounting"], 300)
        try:
            yield
        finally:
            self.repair()

    @contextlib.contextmanager
    def small_disk(self, path: Path, size: str = "1m", user: str = "hpc") -> Iterator[Path]:
        """A tmpfs that a test can fill."""
        path.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=True)
        try:
            shutil.chown(path, user, user)
            yield path
        finally:
            subprocess.run(["umount", "-l", str(path)], check=True)
            path.rmdir()


def why_not() -> str:
    """Why this machine cannot have the bed; empty when it can."""
    return holding.why_not("Slurm")


def down(purge: bool = False) -> None:
    holding.script([str(HERE / "down.sh"), *(["--purge"] if purge else [])], 120)


_holding = holding.Holding(STATE, down)
leave = _holding.leave


def up(*, alone: bool = False, patience: float = holding.PATIENCE) -> SlurmBed:
    """Bring the bed up, or repair it, and hold it until `leave` or the end of this process."""
    if reason := why_not():
        raise RuntimeError(reason)
    _holding.hold(alone, patience)
    # Several minutes: the packages may have to be installed.
    holding.script([str(HERE / "up.sh")], 900)
    return SlurmBed()
