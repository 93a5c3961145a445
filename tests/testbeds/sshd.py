"""Real sshd processes on loopback for an ordinary user, each with a configuration and host keys of its own.

Needs root on Debian. Nothing in /etc/ssh is touched; one PAM service file and one user are made, and removed again.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PAM_SERVICE = f"clustrix-sshd-{os.getpid()}"  # sshd asks PAM under the name that it was started by
PACKAGES = {"sshd": "openssh-server", "ssh": "openssh-client", "tcsh": "tcsh", "fish": "fish"}
PASSWORD = "correct horse, 馬!"


def why_not() -> str:
    """Return why no sshd can be started here, "" when one can; installs what is missing."""
    if os.name != "posix" or os.getuid() != 0:
        return "needs root to start sshd"
    if all(shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") for program in PACKAGES):
        return ""
    if not shutil.which("apt-get"):
        return f"needs {', '.join(PACKAGES)}"
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600"]
    policy = Path("/usr/sbin/policy-rc.d")
    mine = not policy.exists()
    if mine:  # the package must not start the system's own sshd
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        for order in (["update"], ["install", "-y", "--no-install-recommends", *sorted(set(PACKAGES.values()))]):
            done = subprocess.run([*apt, *order], env=env, capture_output=True)
    finally:
        if mine:
            policy.unlink(missing_ok=True)
    return f"could not be installed: {done.stderr.decode()[-500:]}" if done.returncode else ""


class User:
    """An ordinary user with a password, made for the tests."""

    def __init__(self, name: str = f"cx{os.getpid()}", shell: str = "/bin/bash") -> None:
        self.name = name
        self.remove()
        subprocess.run(["useradd", "-m", "-s", shell, name], check=True)
        subprocess.run(["chpasswd"], input=f"{name}:{PASSWORD}\n".encode(), check=True)
        self.home = Path(pwd.getpwnam(name).pw_dir)

    def use_shell(self, shell: str) -> None:
        subprocess.run(["usermod", "-s", shell, self.name], check=True)

    def remove(self) -> None:
        for pid in _processes_of(self.name):
            _kill(pid)
        subprocess.run(["userdel", "-rf", self.name], stderr=subprocess.DEVNULL)


class Sshd:
    """One sshd. ``config`` holds further sshd_config lines, which win over the usual ones."""

    def __init__(self, root: Path, user: User, *config: str, pam: bool = False, port: int | None = None) -> None:
        self.root, self.user, self.pam = root, user, pam
        self.config = config
        self.port = port or _free_port()
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o755)
        self.key = root / "id_user"
        self.log = root / "sshd.log"
        self.known_hosts = root / "known_hosts"
        for name, kind in (("host_ed25519", "ed25519"), ("host_rsa", "rsa"), ("id_user", "ed25519")):
            make_key(root / name, kind)
        self.authorized = root / "authorized_keys"
        self.authorized.write_text((root / "id_user.pub").read_text())
        self.trust("host_ed25519")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The name under which known_hosts files know it."""
        return f"[127.0.0.1]:{self.port}"

    def trust(self, *keys: str) -> None:
        """Let known_hosts hold just these host keys."""
        lines = [f"{self.name} {' '.join((self.root / f'{key}.pub').read_text().split()[:2])}\n" for key in keys]
        self.known_hosts.write_text("".join(lines))

    def start(self) -> Sshd:
        Path("/run/sshd").mkdir(exist_ok=True)
        program = "/usr/sbin/sshd"
        if self.pam:
            Path(f"/etc/pam.d/{PAM_SERVICE}").write_text(
                "auth required pam_unix.so nodelay\naccount required pam_permit.so\nsession required pam_permit.so\n"
            )
            program = str(self.root / PAM_SERVICE)
            if not os.path.lexists(program):
                os.symlink("/usr/sbin/sshd", program)
        settings = self.root / "sshd_config"
        said = {line.split()[0] for line in self.config}  # of some words sshd takes the last line, not the first
        usual = [line for line in self._usual() if line.split()[0] not in said]
        settings.write_text("\n".join([*self.config, *usual]) + "\n")
        self.process = subprocess.Popen([program, "-D", "-f", str(settings), "-E", str(self.log)])
        self._wait_until_it_answers()
        return self

    def _usual(self) -> list[str]:
        return [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.root}/host_ed25519",
            f"HostKey {self.root}/host_rsa",
            f"AuthorizedKeysFile {self.authorized}",
            f"PidFile {self.root}/sshd.pid",
            f"AllowUsers {self.user.name}",
            "StrictModes no",
            "PasswordAuthentication no",
            f"KbdInteractiveAuthentication {'yes' if self.pam else 'no'}",
            f"UsePAM {'yes' if self.pam else 'no'}",
            "LogLevel VERBOSE",
            "MaxStartups 100",
            "PrintMotd no",
            "Subsystem sftp internal-sftp",
        ]

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as sock:
                if not sock.connect_ex(("127.0.0.1", self.port)):
                    return
            assert self.process and self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise RuntimeError(f"sshd does not answer: {self.log.read_text()}")

    def logins(self) -> int:
        """Return how many connections have logged in so far."""
        return len(re.findall(r"^Accepted \S+ for ", self.log.read_text(), re.MULTILINE)) if self.log.exists() else 0

    def session_pids(self) -> list[int]:
        """Return the processes of sshd that serve connections."""
        assert self.process
        return [pid for pid in _descendants(self.process.pid) if "sshd" in _read(f"/proc/{pid}/comm")]

    def kill_sessions(self) -> None:
        """Kill the processes that serve connections; the listener lives on."""
        for pid in self.session_pids():
            _kill(pid)

    def stop(self) -> None:
        """Kill the listener and all that it has started."""
        if self.process:
            pids = _descendants(self.process.pid)
            self.process.kill()
            self.process.wait()
            for pid in pids:
                _kill(pid)
            self.process = None
        Path(f"/etc/pam.d/{PAM_SERVICE}").unlink(missing_ok=True)


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> None:
    """Make a key pair, unless it is there."""
    if not path.exists():
        bits = ["-b", "2048"] if kind == "rsa" else []
        subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", "", "-f", path], check=True)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _descendants(pid: int) -> list[int]:
    children = [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]
    return [*children, *(deeper for child in children for deeper in _descendants(child))]


def _processes_of(user: str) -> list[int]:
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
