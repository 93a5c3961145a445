"""known_hosts files: which keys a host is known by, and the refusal of every other one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clustrix_core.errors import HostKeyError

_RSA = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")


@dataclass(frozen=True)
class Known:
    """One line of a known_hosts file that speaks of the host in question. ``marker`` is "", "@revoked" or another.

    ``exact`` is False for a line about the host at another port: ssh accepts that key, but expects no other.
    """

    name: str
    exact: bool
    kind: str
    key: bytes
    marker: str
    file: str
    line: int


def lookup(files: Iterable[str], names: Sequence[str]) -> list[Known]:
    """Return what the files say of a host, whose proper name comes first; files that are not there say nothing."""
    return [known for file in files for known in _entries(file, names)]


def algorithms(known: Iterable[Known], offered: Sequence[str]) -> list[str]:
    """Return ``offered`` host key algorithms with those in front that the host is known by."""
    kinds = {known.kind for known in known if not known.marker}
    fit = {name for kind in kinds for name in (_RSA if kind == "ssh-rsa" else (kind,))}
    return sorted(offered, key=lambda name: name not in fit)


def fingerprint(key: bytes) -> str:
    """Return the fingerprint of a public key as ssh writes it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def verify(known: Sequence[Known], kind: str, key: bytes, where: str, files: Sequence[str], introduction: str) -> None:
    """Return when this key of the host is known; raise HostKeyError, which names it and the next step, otherwise.

    ``introduction`` tells how people make the host known.
    """
    shown = f"{kind} {fingerprint(key)}"
    same = [entry for entry in known if entry.key == key]
    revoked = [entry for entry in same if entry.marker == "@revoked"]
    plain = [entry for entry in known if entry.exact and not entry.marker]
    if revoked:
        raise HostKeyError(
            f"{where}: its host key {shown} is revoked in {_at(revoked[0])}; refused",
            hint="Do not connect; ask the site for its present host key.",
        )
    if any(not entry.marker for entry in same):
        return
    if plain:
        entry = next((entry for entry in plain if entry.kind == kind), plain[0])
        raise HostKeyError(
            f"{where}: its host key has CHANGED: it shows {shown}, but is known by "
            f"{entry.kind} {fingerprint(entry.key)} in {_at(entry)}; refused, somebody may be listening",
            hint=f"If the site confirms the new key, remove the old one: {forget(entry.name, entry.file)}",
        )
    first = files[0] if files else "~/.ssh/known_hosts"
    if any(entry.marker == "@cert-authority" for entry in known):
        raise HostKeyError(
            f"{where}: its host key {shown} is known through a certificate authority only, which paramiko cannot check",
            hint=f'Use "transport: openssh" for this cluster, or put the key itself into {first}.',
        )
    raise HostKeyError(
        f"{where}: its host key {shown} is not in {first}; an unknown host is never trusted",
        hint=introduction,
    )


def forget(name: str, file: str) -> str:
    """Return the command that removes a host's keys from a file."""
    return shlex.join(["ssh-keygen", "-R", name, "-f", file])


def _at(entry: Known) -> str:
    return f"{entry.file} line {entry.line}"


def _entries(file: str, names: Sequence[str]) -> Iterable[Known]:
    try:
        with open(file, encoding="utf-8", errors="replace") as stream:
            lines = stream.read().splitlines()
    except OSError:
        return
    for number, line in enumerate(lines, 1):
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        for name in names:
            if _speaks_of(fields[0], name):
                try:
                    key = base64.b64decode(fields[2], validate=True)
                except binascii.Error:
                    break
                yield Known(name, name == names[0], fields[1], key, marker, file, number)
                break


def _speaks_of(patterns: str, name: str) -> bool:
    """Tell whether the first field of a line is about ``name``: hashed, or patterns of which none forbids it."""
    if patterns.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part) for part in patterns[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.new(salt, name.encode(), "sha1").digest(), digest)
    hit = False
    for pattern in patterns.lower().split(","):
        bare = re.escape(pattern.lstrip("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(bare, name.lower()):
            if pattern.startswith("!"):
                return False
            hit = True
    return hit


__all__ = ["Known", "algorithms", "fingerprint", "forget", "lookup", "verify"]
