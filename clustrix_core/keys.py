"""Job ids and signing keys. The key of a job is derived, so that nothing but the client's own key has to be kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from clustrix_core import alive
from clustrix_core.errors import ConfigError


def new_job_id() -> str:
    """Return 16 random hex digits."""
    return secrets.token_hex(8)


def job_key(home: Path, job: str) -> str:
    """Return the signing key of a job, 64 hex digits."""
    return hmac.new(_client_key(home), b"clustrix job " + job.encode(), hashlib.sha256).hexdigest()


def _client_key(home: Path) -> bytes:
    path = home / "key"
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = _make(path)
    if len(key) < 32:
        raise ConfigError(f"{path} is damaged", hint="Remove it; the results of jobs in flight will then be refused.")
    return key


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
    except OSError:  # no hard links here: exFAT, some network and FUSE mounts
        with alive.alone(path.with_name("key.lock")):
            if not path.exists():
                new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return path.read_bytes()
