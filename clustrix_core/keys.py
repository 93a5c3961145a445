"""Job ids and signing keys. The key of a job is derived, so that nothing but the client's own key has to be kept."""

from __future__ import annotations

import hmac
import os
import secrets
import shlex
from pathlib import Path

from clustrix_core import alive
from clustrix_core.errors import ConfigError

_REMOVE = "Remove it; the results of jobs in flight will then be refused."
_ELSEWHERE = "CLUSTRIX_HOME names a directory of yours on a file system that keeps owners and modes."


def new_job_id() -> str:
    """Return 16 random hex digits."""
    return secrets.token_hex(8)


def job_key(home: Path, job: str) -> str:
    """Return the signing key of a job, 64 hex digits; the client's own key is made where there is none.

    Raises ConfigError where somebody else may know that one, or may have put it there.
    """
    return derive(_client_key(home), b"", b"clustrix job " + job.encode(), 32).hex()


def derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """Return ``length`` bytes (8160 at most) that nobody can tell from random without the secret: HKDF-SHA256."""
    pseudorandom = hmac.digest(salt or bytes(32), secret, "sha256")
    derived = block = b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(pseudorandom, block + info + bytes([number]), "sha256")
        derived += block
    return derived[:length]


def _client_key(home: Path) -> bytes:
    path = home / "key"
    _insist(home, 0o002, "write to it", "chmod o-w")  # not 022: where each user has a group, umask is often 002
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = _make(path)
    _insist(path, 0o077, "read it", "If nobody has: chmod 600; else remove it:")
    if len(key) < 32:
        raise ConfigError(f"{path} is damaged", hint=_REMOVE)
    return key


def _insist(path: Path, others: int, could: str, mend: str) -> None:
    """Refuse what is not ours alone. Mended silently it would be trusted, whatever has been done with it."""
    if os.name != "posix":
        return
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise ConfigError(f"{path} belongs to somebody else (user {found.st_uid})", hint=_ELSEWHERE)
    if found.st_mode & others:
        mode = f"{found.st_mode & 0o777:o}"
        raise ConfigError(
            f"others can {could}: {path} has mode {mode}", hint=f"{mend} {shlex.quote(str(path))}. {_ELSEWHERE}"
        )


def _make(path: Path) -> bytes:
    # Complete before it has its name: another process either makes its own or reads this one whole.
    new = path.with_name(f"key.{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(32))
    try:
        os.link(new, path)
    except FileExistsError:
        pass
    except OSError:  # no hard links here: some network and FUSE mounts
        with alive.alone(path.with_name("key.lock")):
            if not path.exists():
                new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return path.read_bytes()
