"""A fake PBS server with a real sshd: real jobs of an ordinary user, and answers as an OpenPBS was seen to give them.

    from tests.testbeds import pbs
    bed = pbs.up()

Nothing of it is shared: each test session has users, an sshd and a server of its own, and no state outlives it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.testbeds import sshd

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PROGRAMS = ("qsub", "qstat", "qdel", "qselect", "qrls", "qhold", "pbsnodes")
PYTHON = "/usr/bin/python3"

_bed: PBSBed | None = None


class PBSBed:
    """One server and its login node."""

    variable = "PBS_JOBID"

    def __init__(self, user: sshd.User, second: sshd.User, *, torque: bool = False) -> None:
        self._user, self._second = user, second
        self.state = Path(tempfile.mkdtemp(prefix="clustrix-pbs-"))
        self.state.chmod(0o755)
        self.alias = "testtorque" if torque else "testpbs"
        self._bin = self.state / "bin"
        self._bin.mkdir()
        for name in PROGRAMS:
            program = self._bin / name
            program.write_text(
                f"#!{PYTHON} -IS\n" + (HERE / "client.py").read_text().replace("@HOUSE@", str(self.state))
            )
            program.chmod(0o755)
        self.path = f"{self._bin}:/usr/local/bin:/usr/bin:/bin"
        self._sshd = sshd.Sshd(self.state / "ssh", user, f'SetEnv "PATH={self.path}"')
        self._server: subprocess.Popen[bytes] | None = None
        self._torque = torque

    @property
    def user(self) -> str:
        return self._user.name

    @property
    def second_user(self) -> str:
        return self._second.name

    @property
    def home(self) -> Path:
        return self._user.home

    @property
    def ssh_config(self) -> Path:
        return self.state / "ssh_config"

    @property
    def narrow(self) -> Mapping[str, Any]:
        return {"partition": "narrow"}

    def start(self) -> PBSBed:
        argv = [PYTHON, "-m", "tests.testbeds.pbs.server", str(self.state)]
        self._server = subprocess.Popen(argv, cwd=ROOT, env={"PATH": self.path})
        deadline = time.monotonic() + 20
        while not (self.state / "socket").exists():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the fake PBS server does not start")
            time.sleep(0.02)
        if self._torque:
            self.set(torque=True)
        self._sshd.start()
        self.ssh_config.write_text(
            f"Host {self.alias}\n  HostName 127.0.0.1\n  Port {self._sshd.port}\n  User {self.user}\n"
            f"  IdentityFile {self._sshd.key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {self._sshd.known_hosts}\n"
        )
        return self

    def stop(self) -> None:
        self._sshd.stop()
        if self._server:
            self._server.terminate()
            self._server.wait()
        shutil.rmtree(self.state, ignore_errors=True)

    def set(self, **settings: Any) -> list[list[str]]:
        """Set the server otherwise (see ``jobs.Settings``); return the commands that it has heard so far."""
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(f"{self.state}/socket")
            server.sendall(json.dumps({"program": "bed", "argv": settings}).encode())
            server.shutdown(socket.SHUT_WR)
            said = b"".join(iter(lambda: server.recv(1 << 16), b""))
        found: list[list[str]] = json.loads(json.loads(said)["out"])
        return found

    @contextlib.contextmanager
    def but(self, **settings: Any) -> Iterator[None]:
        """Have the server otherwise for a while."""
        from tests.testbeds.pbs.jobs import Settings

        usual = Settings(torque=self._torque)
        self.set(**settings)
        try:
            yield
        finally:
            self.set(**{name: getattr(usual, name) for name in settings})

    def call(self, *argv: str, user: str | None = None, timeout: float = 60, cwd: str = "/", stdin: str = "",
             **environment: str) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a command as a user of the cluster on the login node."""
        name = user or self.user
        env = {"HOME": str(Path(f"~{name}").expanduser()), "USER": name, "PATH": self.path, "LANG": "C.UTF-8"}
        words = ["runuser", "-u", name, "--", "env", "-i", *(f"{k}={v}" for k, v in (env | environment).items()), *argv]
        return subprocess.run(
            words, input=stdin, capture_output=True, encoding="utf-8", errors="replace", timeout=timeout, cwd=cwd
        )

    def run(self, *argv: str, user: str | None = None, timeout: float = 60, check: bool = True) -> str:
        done = self.call(*argv, user=user, timeout=timeout)
        if check and done.returncode:
            raise RuntimeError(f"{argv}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def ended(self, native: str) -> str:
        shown = self.run("qstat", *([] if self._torque else ["-x"]), "-f", native, check=False)
        found = dict(re.findall(r"^    (\w+) = (.*)$", shown, re.MULTILINE))
        if found.get("job_state") not in ("F", "X", "C"):
            return ""
        return f"{found['job_state']} {found.get('Exit_status', found.get('exit_status', ''))}"

    def cancel(self, native: str) -> None:
        self.run("qdel", native)

    @contextlib.contextmanager
    def forget(self, native: str) -> Iterator[None]:
        # By another name it is another job.
        self.set(forget=native)
        try:
            yield
        finally:
            self.cancel(native)


def why_not() -> str:
    return sshd.why_not()


def up(*, alone: bool = False) -> PBSBed:
    """Bring the bed up and keep it until `leave`."""
    global _bed
    if _bed is None:
        number = os.getpid()
        _bed = PBSBed(sshd.User(f"hpcpbs{number}"), sshd.User(f"hpcpbs2{number}")).start()
    return _bed


def leave() -> None:
    """Take it down: the server, its jobs, the sshd and the users."""
    global _bed
    if _bed is not None:
        bed, _bed = _bed, None
        bed.stop()
        bed._user.remove()
        bed._second.remove()


def torque(bed: PBSBed) -> PBSBed:
    """Return a second server beside a bed, for the same users, that answers as a Torque; the caller stops it."""
    return PBSBed(bed._user, bed._second, torque=True).start()
