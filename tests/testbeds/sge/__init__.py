"""The Grid Engine test bed from Python: `sge.up()`, `sge.down()`, and what a test needs to know of it.

Sessions share it as they share the Slurm bed; see tests/testbeds/holding.py.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbeds import holding

HERE = Path(__file__).parent
STATE = Path(os.environ.get("CLUSTRIX_SGE_BED", "/var/lib/clustrix-testbeds/sge"))
PROGRAMS = STATE / "root/wrap"


@dataclass(frozen=True)
class SgeBed:
    """Where the bed listens, who may log in, and handles to break it with."""

    state: Path = STATE
    alias: str = "testgrid"
    user: str = "hpcsge"
    # This one's sessions have the system's PATH alone: Grid Engine's settings must be read first.
    bare_alias: str = "testgrid2"
    second_user: str = "hpcsge2"
    slots: int = 24
    variable: str = "JOB_ID"

    @property
    def ssh_config(self) -> Path:
        return self.state / "ssh/ssh_config"

    @property
    def home(self) -> Path:
        return Path(f"~{self.user}").expanduser()

    @property
    def settings(self) -> Path:
        """The file that puts Grid Engine on PATH."""
        return self.state / "root/default/common/settings.sh"

    @property
    def narrow(self) -> Mapping[str, Any]:
        return {"directives": ["-l token=1"]}

    def run(self, *argv: str, user: str = "hpcsge", timeout: float = 60, check: bool = True) -> str:
        """Run a command as a user of the cluster, on the login node (this machine); its stdout."""
        return holding.run_as(user, f"{PROGRAMS}:/usr/local/bin:/usr/bin:/bin", argv, timeout, check)

    def admin(self, program: str, *argv: str, check: bool = True) -> str:
        """Run one of Grid Engine's programs as its manager."""
        return holding.script([str(PROGRAMS / program), *argv], 60, check)

    def state_of(self, native: str) -> str:
        """Return the state that qstat shows of a job, such as ``r`` or ``Eqw``; "" where it shows none."""
        shown = self.run("qstat", "-u", "*")
        found = re.search(rf"^ *{native} +\S+ +\S+ +\S+ +(\S+)", shown, re.MULTILINE)
        return found[1] if found else ""

    def ended(self, native: str) -> str:
        state = self.state_of(native)
        if state:
            return state if "E" in state else ""
        records = self.run("qacct", "-j", native, check=False)
        failed = re.findall(r"^failed +(\d.*?) *$", records, re.MULTILINE)
        return f"failed {failed[-1]}" if failed else ""

    def cancel(self, native: str) -> None:
        self.run("qdel", native)

    @contextlib.contextmanager
    def forget(self, native: str) -> Iterator[None]:
        # By another name it is another job: neither qstat nor qacct know ours any more.
        self.run("qalter", "-N", "renamed", native)
        try:
            yield
        finally:
            self.cancel(native)

    def start(self, service: str) -> None:
        """One of qmaster execd sshd; it answers when this returns."""
        holding.script([str(HERE / "ctl.sh"), "start", service], 120)

    def stop(self, service: str) -> None:
        holding.script([str(HERE / "ctl.sh"), "stop", service], 60)

    @contextlib.contextmanager
    def late_accounting(self) -> Iterator[None]:
        """Accounting is written every 15 s, as it is by default; only for who holds the bed alone."""
        holding.script([str(HERE / "ctl.sh"), "flush", "stock"], 60)
        try:
            yield
        finally:
            holding.script([str(HERE / "ctl.sh"), "flush", "fast"], 60)

    def repair(self) -> str:
        """Everything runs again, as up.sh has it; what had to be done for that."""
        return holding.script([str(HERE / "up.sh")], 300)


@functools.cache
def why_not() -> str:
    """Why this machine cannot have the bed; empty when it can."""
    if reason := holding.why_not("Grid Engine"):
        return reason
    if any(STATE.glob("root/bin/*/sge_qmaster")) or _packaged():
        return ""
    # A fresh container has no lists of packages.
    subprocess.run(["apt-get", "-q", "update"], capture_output=True, timeout=300, check=False)
    return "" if _packaged() else "this release of Debian has no packages of Grid Engine"


def _packaged() -> bool:
    return subprocess.run(["apt-cache", "show", "gridengine-master"], capture_output=True).returncode == 0


def down(purge: bool = False) -> None:
    holding.script([str(HERE / "down.sh"), *(["--purge"] if purge else [])], 120)


_holding = holding.Holding(STATE, down)
leave = _holding.leave


def up(*, alone: bool = False) -> SgeBed:
    """Bring the bed up, or repair it, and hold it until `leave` or the end of this process."""
    if reason := why_not():
        raise RuntimeError(reason)
    _holding.hold(alone)
    # Several minutes: the packages may have to be downloaded.
    holding.script([str(HERE / "up.sh")], 900)
    return SgeBed()
