"""The transport for a configured cluster, by its kind."""

from __future__ import annotations

from clustrix_core.errors import ConfigError
from clustrix_core.transport import Transport
from clustrix_core.transport.authentication import Prompt
from clustrix_core.transport.local import Local
from clustrix_core.transport.login import Login

KINDS = ("local", "paramiko", "openssh")


def connect(kind: str, login: Login | None = None, prompt: Prompt | None = None) -> Transport:
    """Return the transport of this kind; nothing is connected before its first ``run``.

    ``prompt(question, echo)`` answers a host's questions for "paramiko"; "openssh" asks on the terminal itself.
    Raises ConfigError for an unknown kind, a missing login, or what the kind cannot do.
    """
    if kind == "local":
        return Local()
    if kind not in KINDS:
        raise ConfigError(f"transport: {kind!r} is not one", hint=f"One of: {', '.join(KINDS)}.")
    if login is None:
        raise ConfigError(f'transport: "{kind}" needs a host', hint="Give host: …, or leave transport out.")
    if kind == "paramiko":
        from clustrix_core.transport.ssh import Paramiko

        return Paramiko(login, prompt)
    from clustrix_core.transport.openssh import OpenSSH

    return OpenSSH(login)


__all__ = ["KINDS", "connect"]
